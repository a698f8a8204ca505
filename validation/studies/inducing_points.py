"""Images that are learnt so that few of them do for many: kernel inducing points (Nguyen, Chen, Lee 2021)."""
from typing import NamedTuple

import numpy

from .common import BLUE, GREY, ORANGE, Section, canvas, digits, mean_and_error, one_hot, save, table

QUICK = {'n': 100, 'sizes': (10,), 'steps': 30, 'draws': 3}

REG = 1e-6                      # diag_reg, relative to the mean variance
RATE = .02                      # step of Adam; pixels have variance 1
CLASSES = 10

TEXT = """
{n} digits to train on, {rest} others to test. Kernel ridge regression, `gradient_descent_mse` at infinite time with
diag_reg = {reg:g}, on the NTK of one hidden layer of Relu (W_std = √2, b_std = 0.1), from a *support* of a few images x
with fixed labels y: as many of each class. All pixels of the support are changed by {steps} steps of Adam (step {rate})
down the gradient of the squared loss on all {n} digits,

    mean |K(digits, x) (K(x, x) + reg)⁻¹ y - labels|² / 2

which autograd takes through both kernels. *Random*: as many images of the data, mean and standard error of {draws}
draws. *Learnt*: from the first images of each class. Then the same images in other kernels than the one that they were
learnt for.

All {n} digits: {whole:.1%}.

{summary}

**It shows** that gradients of kernels in their inputs train images: {seconds:.0f} seconds on two cores for
{most} images, {share:.0f} ms a step; the images also serve kernels of other networks, less well.
**It cannot show** the numbers of the paper, for MNIST with 28 x 28 pixels and 60,000 images; labels that are learnt
too; nor what the images are worth to finite networks. Differences below 1% are within the error of {rest} test images.
"""


class Row(NamedTuple):
    size: int
    random: tuple               # mean and standard error of the accuracy
    before: float               # accuracy of the first images of each class
    after: float                # of the learnt ones
    losses: list                # after each step
    others: dict                # accuracy of the learnt images in other kernels
    images: tuple               # support before and after
    seconds: float


# ------------------------------------------------------------------ kernel ridge regression from a support

def kernels():
    """{what it is: kernel function}; the first is the one that images are learnt for."""
    from ntref.stax import Dense, Erf, Relu, serial
    dense = Dense(1, 2 ** .5, .1)
    return {'NTK, 1 layer of Relu': (serial(dense, Relu(), dense).kernel_fn, 'ntk'),
            'NNGP': (serial(dense, Relu(), dense).kernel_fn, 'nngp'),
            'NTK, 3 layers': (serial(*[dense, Relu()] * 3, dense).kernel_fn, 'ntk'),
            'NTK, Erf': (serial(dense, Erf(), dense).kernel_fn, 'ntk')}


def outputs(kernel, x, support, y):
    """For inputs x, trained on the support."""
    from ntref import predict
    kernel_fn, get = kernel
    trained = predict.gradient_descent_mse(kernel_fn(support, None, get), y, diag_reg=REG)
    return trained(None, 0., 0., kernel_fn(x, support, get))[1]


def accuracy(kernel, test, support, y):
    x, labels = test
    return float((outputs(kernel, x, support, y).argmax(-1) == labels).mean())


def learnt(kernel, train, support, y, steps):
    """The support after each step of Adam down the loss on the training set, and its loss."""
    from autograd import numpy as anp, value_and_grad
    from autograd.misc.optimizers import adam
    x, labels = train
    targets = one_hot(labels)
    losses = []

    def loss(support):
        return anp.mean(anp.sum((outputs(kernel, x, support, y) - targets) ** 2, -1)) / 2
    value_and_slope = value_and_grad(loss)

    def slope(support, step):
        value, found = value_and_slope(support)
        losses.append(float(value))
        return found
    support = adam(slope, support, num_iters=steps, step_size=RATE)
    return support, [*losses, float(loss(support))]


def chosen(labels, size, rng=None):
    """Which images: size / 10 of each class, the first ones or random ones."""
    order = numpy.arange(len(labels)) if rng is None else rng.permutation(len(labels))
    return numpy.concatenate([order[labels[order] == c][:size // CLASSES] for c in range(CLASSES)])


# ------------------------------------------------------------------ measured

def measure(n=1000, sizes=(10, 30, 100), steps=200, draws=20):
    """A row for each size, and the accuracy of the whole training set."""
    from time import perf_counter
    x, labels = digits(numpy.random.default_rng(0))
    train, test = (x[:n], labels[:n]), (x[n:], labels[n:])
    first, *others = each = kernels()
    rng, rows = numpy.random.default_rng(1), []
    for size in sizes:
        random = [accuracy(each[first], test, x[some], one_hot(labels[some]))
                  for some in (chosen(train[1], size, rng) for _ in range(draws))]
        some = chosen(train[1], size)
        before, y, start = x[some], one_hot(labels[some]), perf_counter()
        after, losses = learnt(each[first], train, before, y, steps)
        seconds = perf_counter() - start
        rows.append(Row(
            size, mean_and_error(random), *(accuracy(each[first], test, s, y) for s in (before, after)), losses,
            {name: accuracy(each[name], test, after, y) for name in others}, (before, after), seconds))
    return rows, accuracy(each[first], test, train[0], one_hot(train[1]))


# ------------------------------------------------------------------ the page

def run(figure, n=1000, steps=200, draws=20, **sizes):
    rows, whole = measure(n, steps=steps, draws=draws, **sizes)
    draw(rows, whole, figure)
    last = rows[-1]
    cells = [(r.size, '{:.1%} ± {:.1%}'.format(*r.random), f'{r.before:.1%}', f'{r.after:.1%}',
              f'{r.losses[0]:.3f}', f'{r.losses[-1]:.3f}', *(f'{a:.1%}' for a in r.others.values())) for r in rows]
    summary = table(('images', 'random', 'before', 'learnt', 'loss before', 'loss', *last.others), cells)
    return Section(
        'Training sets that are learnt', 'a few learnt images classify nearly as well as all images',
        f'all {n} digits {whole:.1%}; ' + '; '.join(
            f'{r.size}: random {r.random[0]:.1%}, learnt {r.after:.1%}' for r in rows),
        TEXT.format(n=n, rest=1797 - n, reg=REG, rate=RATE, steps=steps, draws=draws, whole=whole, summary=summary,
                    seconds=last.seconds, most=last.size, share=1e3 * last.seconds / steps))


def draw(rows, whole, path):
    figure, axes = canvas(2, 3., width=8., width_ratios=(1, 1.3))
    last = rows[-1]
    for row, color in zip(rows, (BLUE, ORANGE, GREY)):
        axes[0].plot(row.losses, color=color, lw=1.5, label=f'{row.size} images')
    axes[0].set(xlabel='steps', ylabel='loss on the training set', yscale='log')
    axes[0].legend(fontsize=8, frameon=False)
    first = numpy.arange(CLASSES) * (last.size // CLASSES)           # of each class
    strips = [numpy.concatenate(images[first].reshape(CLASSES, 8, 8), 1) for images in last.images]
    axes[1].imshow(numpy.concatenate([strips[0], numpy.full((2, 8 * CLASSES), numpy.nan), strips[1]]), cmap='gray')
    axes[1].set(xticks=[], yticks=[4, 14], yticklabels=['before', 'learnt'],
                title=f'ten of {last.size} images: {last.before:.1%} and {last.after:.1%}; all: {whole:.1%}')
    axes[1].title.set_fontsize(9)
    axes[1].spines[:].set_visible(False)
    save(figure, path)
