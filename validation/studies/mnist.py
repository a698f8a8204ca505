"""Digits of MNIST: what Lee et al. 2018 publish, and finite, convolutional and calibrated networks beside it."""
import inspect
import time
from typing import NamedTuple

import numpy

from .common import (
    BLUE, GREEN, GREY, MARKERS, ORANGE, PINK, Section, canvas, mean_and_error, one_hot, save, table, trained)
from .estimators import calibration_error, reliability

QUICK = {'published': {'sizes': (50, 100), 'splits': 2, 'test': 200},
         'by_depth': {'depths': (1, 3), 'splits': 2, 'train': 50, 'test': 200},
         'by_width': {'widths': (16,), 'depths': (1,), 'splits': 2, 'train': 30, 'test': 100, 'steps': 50},
         'uncertain': {'splits': 2, 'train': 50, 'test': 200},
         'convolutional': {'sizes': (30, 60), 'splits': 2, 'test': 60},
         'calibrated': {'splits': 2, 'train': 50, 'test': 200, 'names': ('NNGP, regression', 'NTK, regression')}}

REG = 1e-8                      # diag_reg, relative to the mean variance
KERNELS = 'nngp', 'ntk'
START = .25                     # W_std of the readout of networks that are trained: outputs begin near 0
RELU_20, ERF_20, RELU_7 = 'Relu, 20 layers', 'Erf, 20 layers', 'Relu, 7 layers'
NETWORKS = {RELU_20: ('Relu', 20, 1.45, .28), ERF_20: ('Erf', 20, 1.96, .62), RELU_7: ('Relu', 7, .61, .07)}
"""Nonlinearity, hidden layers, variance of weights and of biases: rows of table 1 of Lee et al. 2018."""
PAPER = {(RELU_20, 1000): '0.9279', (ERF_20, 1000): '0.9266 (tanh)'}
"""Accuracy of the NNGP there, with their own split."""

TEXT = """
Digits of 28 x 28 pixels (`validation/data/mnist.npz`), each with mean 0 and variance 1; targets 0.9 and -0.1. Training
and test images are disjoint; every split draws both anew from the 10,000. Errors are standard errors of the mean over
splits; splits share images, so that they say how much a split matters, not how much other digits would.

### Published networks

{published}

Exact inference, `gp_inference` with diag_reg = {reg:g}, NNGP / NTK, {published_splits} splits, {published_test:,} test
images each. Variances of weights and biases and the numbers of layers are those of Lee et al. 2018, table 1; Erf stands
for tanh. They choose a network for each number of images on a validation set, and test on 10,000 images, with their
own split.

### Depth

{by_depth}

The same variances, {by_depth_train:,} images, {by_depth_splits} splits.

### Finite networks

{by_width}

Fully connected networks with Relu (variance of weights 2, of those of the readout 1/16, of biases 0.01), drawn at
random and trained by {by_width_steps} steps of full-batch gradient descent at half the largest stable rate on
{by_width_train} images; {by_width_splits} splits, each with a network of its own. *A draw*: outputs drawn from
`gradient_descent_mse_ensemble` at the same time, which are those of one network of infinite width; *mean*: the mean of
all such networks, which has no scatter from its random weights. *Less a draw*: the difference within splits.

### What the variance of the posterior knows

{uncertain}

Test images in ten equal groups by the variance of the NNGP posterior, {uncertain_train:,} images to train on. Rank
correlation of variance and squared error of an image, mean over the classes; *squared error / variance* would be 1 if
the targets were a draw from the prior.

### Convolutions

{convolutional}

Images of 7 x 7 pixels, means of 4 x 4: convolution 3 x 3, Relu, convolution 3 x 3 with strides of 2, Relu, then pooling
or flattening and the readout; variance of weights 2, of biases 0.01; {convolutional_splits} splits,
{convolutional_test} test images each. Fully connected: as many layers on the same images. Within splits, at {largest}
images the NTK with pooling is {gain} better than flattened, and {gain_dense} better than fully connected.

### Calibration

{calibrated}

Classes with probabilities from `ntref.estimators`, three hidden layers of Relu, {calibrated_train:,} images,
{calibrated_splits} splits. Calibration error: the mean over predictions of the difference between the confidence and
how often it is right, in ten bins.

**It shows** that exact inference with published variances has the published accuracy within the scatter of splits; that
the mean accuracies of NTK and NNGP are at most {apart} apart on fully connected networks; how wide a trained
network has to be to do as well as one of infinite width; that the posterior's variance orders images by their errors;
and that on centred digits of few pixels, pooling gives nothing over flattening.
**It cannot show** the numbers for 10,000 and 50,000 images of the paper (0.977 and 0.988), nor its choice of networks
by validation; nor differences below the errors, which are those of splits of one set of 10,000 digits. Convolutions on
7 x 7 pixels are not those of the papers on 28 x 28. The variance orders errors, but its size is that of the prior's
scale, which nothing here has fitted.
"""


class Row(NamedTuple):
    name: str                   # of the network
    at: int                     # images to train on, or layers, or width
    kernel: str
    values: tuple               # one for each split


# ------------------------------------------------------------------ data

def images(pixels=1):
    """(images, labels): squares of `pixels` x `pixels` averaged, each image with mean 0 and variance 1."""
    from benched import DATA
    stored, side = numpy.load(DATA / 'mnist.npz'), 28 // pixels
    x = stored['images'].reshape(-1, side, pixels, side, pixels).mean((2, 4)).reshape(-1, side ** 2)
    return (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True), stored['labels']


def splits_of(n, train, test, seed):
    """For each of n splits: indices of images to train on, and of others to test on."""
    for rng in numpy.random.default_rng(seed).spawn(n):
        order = rng.permutation(10000)
        yield order[:train], order[-test:]


# ------------------------------------------------------------------ networks

def network(name):
    """Of `NETWORKS`: (hidden layer, number of them, readout), the readout with the variances of all."""
    from ntref import stax
    nonlinearity, depth, w2, b2 = NETWORKS[name]
    layer = stax.serial(stax.Dense(1, w2 ** .5, b2 ** .5), getattr(stax, nonlinearity)())
    return layer, depth, stax.Dense(1, w2 ** .5, b2 ** .5)


def dense(depth, width=1, outputs=1, W_std=1.):
    """Networks of Relu; `W_std` is that of the readout, with which outputs begin."""
    from ntref.stax import Dense, Relu, serial
    return serial(*[Dense(width, 2 ** .5, .1), Relu()] * depth, Dense(outputs, W_std, .1))


def convolutions(pool):
    from ntref.stax import Conv, Dense, Flatten, GlobalAvgPool, Relu, serial
    first, second = (Conv(1, (3, 3), strides, 'SAME', 2 ** .5, .1) for strides in ((1, 1), (2, 2)))
    return serial(first, Relu(), second, Relu(), GlobalAvgPool() if pool else Flatten(), Dense(1))


def accuracy(k, k_test, labels, truth):
    """Of the network trained to the end, or of the posterior, which have the same mean."""
    from ntref import predict
    mean = predict.gp_inference(k, one_hot(labels), diag_reg=REG)('nngp', k_test)
    return float((mean.argmax(-1) == truth).mean())


def by_size(kernel_fn, x, labels, split, sizes):
    """{(size, kernel): accuracy} of the first `sizes` images to train on."""
    train, test = split
    k, k_test = kernel_fn(x[train], None, KERNELS), kernel_fn(x[test], x[train], KERNELS)
    return {(n, name): accuracy(getattr(k, name)[:n, :n], getattr(k_test, name)[:, :n], labels[train][:n], labels[test])
            for n in sizes for name in KERNELS}


def rows_of(name, found):
    """Rows from one dictionary {(at, kernel): value} for each split."""
    return [Row(name, at, kernel, tuple(each[at, kernel] for each in found)) for at, kernel in found[0]]


# ------------------------------------------------------------------ parts of the study

def published(sizes=(100, 200, 500, 1000, 2000, 5000), splits=4, test=2000):
    from ntref.stax import serial
    (x, labels), rows = images(), []
    for name in NETWORKS:
        layer, depth, readout = network(name)
        kernel_fn = serial(*[layer] * depth, readout).kernel_fn
        rows += rows_of(name, [by_size(kernel_fn, x, labels, split, sizes)
                               for split in splits_of(splits, max(sizes), test, 0)])
    return rows


def by_depth(depths=(1, 2, 3, 5, 10, 20, 50), splits=4, train=1000, test=2000):
    from ntref.stax import serial
    x, labels = images()
    rows = []
    for name in (RELU_20, ERF_20):
        layer, _, readout = network(name)
        found = [{} for _ in range(splits)]
        for depth in depths:
            kernel_fn = serial(*[layer] * depth, readout).kernel_fn
            for each, split in zip(found, splits_of(splits, train, test, 1)):
                each |= {(depth, kernel): value
                         for (_, kernel), value in by_size(kernel_fn, x, labels, split, (train,)).items()}
        rows += rows_of(name.partition(',')[0], found)
    return rows


def by_width(widths=(8, 32, 128, 512), depths=(1, 3), splits=5, train=200, test=1000, steps=100):
    """Finite networks; at width 0 those of infinite width, as the kernels 'a draw' and 'mean'."""
    from ntref import predict
    x, labels = images()
    rows = []
    for depth in depths:
        found = []
        for seed, (first, others) in enumerate(splits_of(splits, train, test, 2)):
            y, infinite = one_hot(labels[first]), dense(depth, W_std=START)
            ntk = infinite.kernel_fn(x[first], None, 'ntk')
            rate = .5 * predict.max_learning_rate(ntk, y_train_size=y.size)
            ensemble = predict.gradient_descent_mse_ensemble(infinite, x[first], y)(
                t=rate * steps, x_test=x[others], get='ntk', compute_cov=True)
            outputs = {(0, 'mean'): ensemble.mean, (0, 'a draw'): predict.sample(ensemble, 1, seed)[0]}
            for width in widths:
                net = dense(depth, width, 10, START)
                _, params = net.init_fn(numpy.random.default_rng((seed, width)), x[first].shape)
                outputs[width, 'finite'] = net.apply_fn(trained(net, params, x[first], y, rate, steps), x[others])
            found.append({key: float((f.argmax(-1) == labels[others]).mean()) for key, f in outputs.items()})
        rows += rows_of(f'{depth} hidden', found)
    return rows


def uncertain(splits=4, train=1000, test=2000):
    """Rows of rank correlation, ratio, and the ten groups' mean variance and mean squared error."""
    from scipy.stats import spearmanr

    from ntref import predict
    from ntref.stax import serial
    x, labels = images()
    rows = []
    for name in (RELU_20, ERF_20):
        layer, depth, readout = network(name)
        kernel_fn, found = serial(*[layer] * depth, readout).kernel_fn, []
        for first, others in splits_of(splits, train, test, 3):
            k, k_test = kernel_fn(x[first], None, 'nngp'), kernel_fn(x[others], x[first], 'nngp')
            mean, covariance = predict.gp_inference(k, one_hot(labels[first]), diag_reg=REG)(
                'nngp', k_test, kernel_fn(x[others], None, 'nngp'))
            variance = covariance.diagonal()
            error = ((mean - one_hot(labels[others])) ** 2).mean(-1)
            found.append({(0, 'rank correlation'): float(spearmanr(variance, error).statistic),
                          (0, 'ratio'): float(error.mean() / variance.mean())})
            for i, group in enumerate(numpy.array_split(variance.argsort(), 10)):
                found[-1] |= {(i, 'variance'): float(variance[group].mean()), (i, 'error'): float(error[group].mean())}
        rows += rows_of(name, found)
    return rows


def convolutional(sizes=(200, 500, 1000), splits=3, test=600):
    (x, labels), rows = images(pixels=4), []
    pictures = x.reshape(-1, 7, 7, 1).astype('float32')
    nets = {'fully connected': dense(2), 'flatten': convolutions(False), 'pooling': convolutions(True)}
    for name, net in nets.items():
        inputs = x.astype('float32') if name == 'fully connected' else pictures
        rows += rows_of(name, [by_size(in_float64(net.kernel_fn), inputs, labels, split, sizes)
                               for split in splits_of(splits, max(sizes), test, 4)])
    return rows


def in_float64(kernel_fn):
    """Kernels of float32 inputs, to be solved with in float64."""
    def converted(x1, x2, get):
        k = kernel_fn(x1, x2, get)
        return k._make(part.astype(float) for part in k)
    return converted


def calibrated(splits=3, train=1000, test=2000, names=None):
    """{method: for each split (accuracy, log loss, probabilities, labels)}."""
    from sklearn.metrics import log_loss

    from ntref.estimators import NNGPClassifier, NTKClassifier
    x, labels = images()
    methods = {'NNGP, regression': NNGPClassifier(method='regression'), 'NNGP, Laplace': NNGPClassifier(),
               'NTK, regression': NTKClassifier(method='regression'), 'NTK, cross-entropy': NTKClassifier()}
    found = {}
    for name in names or methods:
        for first, others in splits_of(splits, train, test, 5):
            p, truth = methods[name].fit(x[first], labels[first]).predict_proba(x[others]), labels[others]
            found.setdefault(name, []).append(
                (float((p.argmax(-1) == truth).mean()), float(log_loss(truth, p)), p, truth))
    return found


PARTS = {part.__name__: part for part in (published, by_depth, by_width, uncertain, convolutional, calibrated)}


# ------------------------------------------------------------------ the page

def measure(given):
    """{part: what it found}; the time of each is printed, since all of them take minutes."""
    found = {}
    for name, part in PARTS.items():
        start = time.perf_counter()
        found[name] = part(**given.get(name, {}))
        print(f'mnist, {name}: {time.perf_counter() - start:.0f} s', flush=True)
    return found


def run(figure, **given):
    return section(measure(given), figure, given)


def shown(values, digits=3):
    """Mean and standard error over splits."""
    return '{:.{d}f} ± {:.{d}f}'.format(*mean_and_error(values), d=digits)


def cells(rows):
    return {row[:3]: shown(row.values) for row in rows}


def apart(rows):
    """The largest difference of the mean accuracies of NNGP and NTK."""
    means = {row[:3]: mean_and_error(row.values)[0] for row in rows}
    return max(abs(means[name, at, 'nngp'] - means[name, at, 'ntk']) for name, at, _ in means)


def both(rows):
    """NNGP and NTK, a column for each network, and a line for each number."""
    found, names, ats = cells(rows), *(list(dict.fromkeys(row[i] for row in rows)) for i in (0, 1))
    return names, [(at, *(f'{found[name, at, "nngp"]} / {found[name, at, "ntk"]}' for name in names)) for at in ats]


def difference(rows, name, kernel, other):
    """Of the last row of each, within splits."""
    last = {row[0]: numpy.array(row.values) for row in rows if row.kernel == kernel}
    return shown(last[name] - last[other])


def width_lines(rows):
    """Accuracy against width, and its difference from a draw of the infinite network in the same split."""
    found = {row[:3]: numpy.array(row.values) for row in rows}
    for (name, width, kernel), values in found.items():
        draw = found[name, 0, 'a draw']
        less = '' if kernel == 'a draw' else shown(values - draw)
        yield name, width or f'infinite, {kernel}', shown(values), less


def uncertain_lines(rows):
    for name in dict.fromkeys(row.name for row in rows):
        own = {row[1:3]: row.values for row in rows if row.name == name}
        yield (name, shown(own[0, 'rank correlation']), shown(own[0, 'ratio'], 2),
               shown(own[0, 'error'], 4), shown(own[9, 'error'], 4))


def calibrated_lines(found):
    for name, splits in found.items():
        accuracies, losses, _, _ = zip(*splits)
        errors = [calibration_error(reliability(p, truth)) for _, _, p, truth in splits]
        yield name, shown(accuracies), shown(losses), shown(errors)


def with_defaults(given):
    """The arguments of each part, to be named in the text."""
    found = {}
    for name, part in PARTS.items():
        own = {key: p.default for key, p in inspect.signature(part).parameters.items()} | given.get(name, {})
        found |= {f'{name}_{key}': value for key, value in own.items()}
    return found


def section(found, figure, given):
    draw(found, figure)
    names, lines = both(found['published'])
    paper = [(at, *(f'{cell} (paper {PAPER[name, at]})' if (name, at) in PAPER else cell
                    for name, cell in zip(names, each))) for at, *each in lines]
    deep, depths = both(found['by_depth'])
    kinds, sizes = both(found['convolutional'])
    first = next((row for row in found['published'] if row[:3] == (RELU_20, 1000, 'nngp')), found['published'][0])
    text = TEXT.format(
        reg=REG, published=table(('images', *names), paper), by_depth=table(('layers', *deep), depths),
        by_width=table(('layers', 'width', 'accuracy', 'less a draw'), width_lines(found['by_width'])),
        uncertain=table(('network', 'rank correlation', 'squared error / variance', 'squared error, surest tenth',
                         'least sure'), uncertain_lines(found['uncertain'])),
        convolutional=table(('images', *kinds), sizes),
        calibrated=table(('method', 'accuracy', 'log loss', 'calibration error'),
                         calibrated_lines(found['calibrated'])),
        largest=f'{sizes[-1][0]:,}', gain=difference(found['convolutional'], 'pooling', 'ntk', 'flatten'),
        gain_dense=difference(found['convolutional'], 'pooling', 'ntk', 'fully connected'),
        apart=f'{apart(found["published"] + found["by_depth"]):.1%}', **with_defaults(given))
    return Section(
        'Digits of MNIST', f'{PAPER[RELU_20, 1000]} with 1,000 images (NNGP, {RELU_20}; Lee et al. 2018)',
        f'{shown(first.values, 4)} with {first.at:,} images', text)


def draw(found, path):
    figure, axes = canvas(2, 7., rows=3)
    (sizes, depths), (widths, errors), (pools, sure) = axes
    for panel, rows, label in ((sizes, found['published'], 'images to train on'),
                               (depths, found['by_depth'], 'hidden layers'),
                               (pools, found['convolutional'], 'images to train on')):
        draw_both(panel, rows)
        panel.set(xlabel=label, ylabel='test accuracy')
        panel.legend(fontsize=7, frameon=False, loc='lower right')
    draw_widths(widths, found['by_width'])
    for name, color, marker in zip(dict.fromkeys(row.name for row in found['uncertain']), (BLUE, ORANGE), MARKERS):
        own = {row[1:3]: mean_and_error(row.values)[0] for row in found['uncertain'] if row.name == name}
        whole = numpy.mean([own[i, 'variance'] for i in range(10)])
        errors.plot([own[i, 'variance'] / whole for i in range(10)], [own[i, 'error'] for i in range(10)],
                    color=color, marker=marker, ms=4, label=name)
    errors.set(xlabel='posterior variance, over its mean', ylabel='squared error')
    errors.legend(fontsize=7, frameon=False)
    sure.plot([0, 1], [0, 1], color=GREY, lw=.8)
    for (name, splits), color, marker in zip(found['calibrated'].items(), (BLUE, GREEN, ORANGE, PINK), MARKERS):
        p, truth = (numpy.concatenate([split[i] for split in splits]) for i in (2, 3))
        confidence, right, _ = zip(*reliability(p, truth))
        sure.plot(confidence, right, color=color, marker=marker, ms=4, lw=.8, label=name)
    sure.set(xlabel='confidence', ylabel='share that is right')
    sure.legend(fontsize=7, frameon=False)
    save(figure, path, dpi=100)


def draw_both(panel, rows):
    """NNGP (full lines) and NTK (dashed) of each network."""
    for name, color, marker in zip(dict.fromkeys(row.name for row in rows), (BLUE, ORANGE, GREEN), MARKERS):
        for kernel, style in zip(KERNELS, ('-', '--')):
            own = [row for row in rows if row[0] == name and row.kernel == kernel]
            means, spread = zip(*(mean_and_error(row.values) for row in own))
            panel.errorbar([row.at for row in own], means, spread, color=color, marker=marker, ls=style, ms=4,
                           lw=1, capsize=2, label=f'{name}, {kernel.upper()}')
    low, high = panel.get_ylim()
    panel.set_ylim(low - .5 * (high - low), high)                            # room for the legend
    ticks = list(dict.fromkeys(row.at for row in rows))
    panel.set(xscale='log', xticks=ticks, xticklabels=ticks)
    panel.minorticks_off()


def draw_widths(panel, rows):
    for name, color, marker in zip(dict.fromkeys(row.name for row in rows), (BLUE, ORANGE), MARKERS):
        finite = [row for row in rows if row[0] == name and row.at]
        means, spread = zip(*(mean_and_error(row.values) for row in finite))
        panel.errorbar([row.at for row in finite], means, spread, color=color, marker=marker, ms=4, lw=1, capsize=2,
                       label=name)
        (mean,), (drawn,) = ([mean_and_error(row.values)[0] for row in rows if (row[0], row.kernel) == (name, kernel)]
                             for kernel in ('mean', 'a draw'))
        panel.axhline(drawn, color=color, ls='--', lw=1, label='infinite, a draw')
        panel.axhline(mean, color=color, ls=':', lw=1, label='infinite, mean')
    ticks = list(dict.fromkeys(row.at for row in rows if row.at))
    panel.set(xscale='log', xticks=ticks, xticklabels=ticks, xlabel='width', ylabel='test accuracy')
    panel.minorticks_off()
    panel.legend(fontsize=7, frameon=False)
