"""Accuracy by architecture on handwritten digits, as Novak et al. 2019 and Arora et al. 2019 on CIFAR-10."""
from typing import NamedTuple

import numpy

from .common import BLUE, MARKERS, ORANGE, Section, canvas, digits, mean_and_error, one_hot, save, table

QUICK = {'groups': 2, 'train': 40, 'test': 40, 'names': ('fully connected', 'convolutional, flatten')}

REG = 1e-4                      # diag_reg, relative to the mean variance
KERNELS = 'nngp', 'ntk'

TEXT = """
Infinitely wide networks with Relu trained to the end (`gp_inference`, diag_reg = {reg:g}) on {train} digits of
8 x 8 pixels, tested on {test} others; {groups} disjoint groups of images, so that their accuracies are independent:
mean and standard error. Compared within groups, the NTK with pooling is {gain} better than fully connected.
Convolutions are 3 x 3 with four layers of weights; the residual network has one block in each of three groups
(`validation/architectures.py`).

**It shows** the order of the published tables on a small scale: convolutions without pooling are little better than
fully connected networks, since without pooling a position knows its neighbours only; pooling makes the difference.
**It cannot show** the published numbers (CIFAR-10: 32 x 32, color, 50,000 images), nor small differences: see the
errors. Depth, weights and regularization were not tuned. Nor is it fair to the residual network, which was made for
images 32 x 32: its strides leave 2 x 2 positions of these.
"""


class Row(NamedTuple):
    name: str
    kernel: str
    accuracies: tuple           # one a group


def networks():
    from architectures import HE, conv_flatten, conv_pooled, wide_resnet

    from ntref.stax import Dense, Flatten, Relu, serial
    return {
        'fully connected': serial(Flatten(), *[Dense(64, HE, .1), Relu()] * 3, Dense(1)),
        'convolutional, flatten': conv_flatten(4, b_std=.1),
        'convolutional, pooling': conv_pooled(4, b_std=.1),
        'residual, pooling': wide_resnet(1, outputs=1),
    }


def accuracy(k, labels, n):
    """Of the network trained to the end on the first n, tested on the others."""
    from ntref import predict
    k = k.astype(float)
    mean = predict.gp_inference(k[:n, :n], one_hot(labels[:n]), diag_reg=REG)('nngp', k[n:, :n])
    return float((mean.argmax(-1) == labels[n:]).mean())


def measure(groups=5, train=100, test=100, names=None):
    x, labels = digits(numpy.random.default_rng(0))
    x, size = x.reshape(-1, 8, 8, 1).astype('float32'), train + test
    rows = []
    for name, net in networks().items():
        if names is None or name in names:
            parts = [slice(i * size, (i + 1) * size) for i in range(groups)]
            kernels = [net.kernel_fn(x[part], None, KERNELS) for part in parts]
            rows += [Row(name, kernel, tuple(accuracy(getattr(k, kernel), labels[part], train)
                                             for k, part in zip(kernels, parts))) for kernel in KERNELS]
    return rows


def gain(rows):
    """Difference of the NTK's accuracy between the last but one architecture (pooling) and the first, within groups."""
    first, *_, other = [numpy.array(r.accuracies) for r in rows if r.kernel == 'ntk' and 'residual' not in r.name]
    return mean_and_error(other - first)


def run(figure, groups=5, train=100, test=100, names=None):
    rows = measure(groups, train, test, names)
    draw(rows, figure)
    cells = {r[:2]: '{:.3f} ± {:.3f}'.format(*mean_and_error(r.accuracies)) for r in rows}
    shown = list(dict.fromkeys(r.name for r in rows))
    text = '{:.3f} ± {:.3f}'.format(*gain(rows))
    return Section(
        'Accuracy by architecture', 'pooling beats fully connected and flattened networks',
        'NTK: ' + ', '.join(f'{name} {cells[name, "ntk"]}' for name in shown),
        table(('network', 'NNGP', 'NTK'), [(name, cells[name, 'nngp'], cells[name, 'ntk']) for name in shown])
        + '\n' + TEXT.format(reg=REG, train=train, test=test, groups=groups, gain=text))


def draw(rows, path):
    figure, axes = canvas(1, 2.6, width=6.)
    names = list(dict.fromkeys(r.name for r in rows))
    for i, (kernel, color) in enumerate(zip(KERNELS, (BLUE, ORANGE))):
        for r in [r for r in rows if r.kernel == kernel]:
            y = len(names) - names.index(r.name) + .15 * (1 - 2 * i)
            mean, error = mean_and_error(r.accuracies)
            axes.plot(r.accuracies, [y] * len(r.accuracies), '|', color=color, ms=7, alpha=.6)
            axes.errorbar(mean, y, xerr=error, color=color, marker=MARKERS[i], capsize=3,
                          label=kernel.upper() if r.name == names[0] else None)
    axes.set(yticks=range(len(names), 0, -1), yticklabels=names,
             xlabel='test accuracy: groups, their mean ± standard error')
    axes.legend(fontsize=8, frameon=False, loc='upper right')
    save(figure, path)
