"""The tangent kernel stays as it is during training, the more the wider the network (Lee et al. 2019, figure 1)."""
from typing import NamedTuple

import numpy

from .common import (
    BLUE, GREEN, GREY, MARKERS, ORANGE, PINK, Section, canvas, digits, power_law, root_mean_square, save, table,
    trained)

QUICK = {'widths': (48, 120, 300), 'networks': 8, 'steps': 30, 'images': 6}

NAMES = 'tangent kernel', 'input weights', 'hidden weights', 'output weights'
WITH_RELU = 'tangent kernel, Relu'
EXPECTED = dict(zip(NAMES, (-1., -.5, -1., -.5)))

TEXT = """
Networks of two hidden layers (Erf, W_std = √2, b_std = 0.1), one output, trained on {images} digits, even (+1) or odd
(-1), by {steps} steps of full-batch gradient descent at half the largest stable rate; the loss falls to {loss:.1%} of
what it was. Change: ‖A(t) - A(0)‖ / ‖A(0)‖ (Frobenius), root mean square over {networks} networks, for the empirical
NTK of the images and each matrix of weights.

Theory: all weights together move by a distance of order 1, so that of input and output weights, whose norm is of order
√width, the change goes with width^-1/2, and of the hidden ones, whose norm is the width, with 1/width. The kernel's
change is bounded by width^-1/2 (Lee et al. 2019, theorem 2.1) and of order 1/width for smooth nonlinearities (Huang
and Yau 2020; Dyer and Gur-Ari 2020). Relu is not smooth: units that change sign add a part that falls more slowly, and
nothing is said of it but the bound.

**It shows** why a wide network trains as its tangent kernel says, and how wide is wide for such data.
**It cannot show** what happens over long times, for many data (the bounds grow with their number) or with rates above
the stable ones, where the kernel does change. Corrections of higher order in 1/width bend the lines at the left.
"""


class Row(NamedTuple):
    name: str
    width: int
    change: float               # root mean square, relative
    uncertainty: float          # relative standard error of that
    loss: float                 # after training, over that before


def network(width, nonlinearity):
    from ntref import stax
    layers = [stax.Dense(width, 2 ** .5, .1), getattr(stax, nonlinearity)()] * 2
    return stax.serial(*layers, stax.Dense(1, 2 ** .5, .1))


def changes(net, x, y, rng, steps):
    """Relative change of each of NAMES, and of the loss, by training one network."""
    from ntref import empirical_ntk_fn, predict
    ntk_fn = empirical_ntk_fn(net.apply_fn, vmap_axes=0, implementation=3)
    rate = .5 * predict.max_learning_rate(net.kernel_fn(x, None, 'ntk'), y_train_size=y.size)
    _, params = net.init_fn(rng, x.shape)
    after = trained(net, params, x, y, rate, steps)
    pairs = [[ntk_fn(x, None, p) for p in (params, after)], *([p[i][0] for p in (params, after)] for i in (0, 2, 4))]
    loss = [((net.apply_fn(p, x) - y) ** 2).sum() for p in (params, after)]
    return [*(numpy.linalg.norm(b - a) / numpy.linalg.norm(a) for a, b in pairs), loss[1] / loss[0]]


def measure(widths=(64, 128, 256, 512, 1024), networks=8, steps=100, images=16):
    x, labels = digits(numpy.random.default_rng(0))
    x, y = x[:images], 1. - 2 * (labels[:images, None] % 2)
    rows = []
    for nonlinearity, names in (('Erf', NAMES), ('Relu', (WITH_RELU,))):
        for width in widths:
            net = network(width, nonlinearity)
            found = numpy.array([changes(net, x, y, rng, steps)
                                 for rng in numpy.random.default_rng(width).spawn(networks)])
            rows += [Row(name, width, *root_mean_square(column ** 2), float(found[:, -1].mean()))
                     for name, column in zip(names, found.T)]
    return rows


def slopes(rows):
    return {name: power_law(*zip(*(r[1:4] for r in rows if r.name == name))) for name in (*NAMES, WITH_RELU)}


def run(figure, networks=8, steps=100, images=16, **sizes):
    rows = measure(networks=networks, steps=steps, images=images, **sizes)
    lines = slopes(rows)
    draw(rows, lines, figure)
    kernel = [r for r in rows if r.name == NAMES[0]]
    return Section(
        'The tangent kernel during training', 'slope against width -1 (bound -1/2; Relu: the bound only)',
        f'Erf {lines[NAMES[0]]}, Relu {lines[WITH_RELU]}',
        table(('relative change of', 'expected slope', 'slope', 'chi-squared a degree of freedom',
               *(f'width {r.width}' for r in kernel)), [
            (name, EXPECTED.get(name, 'at most -1/2'), line, f'{line.chi2:.1f}',
             *(f'{r.change:.2g}' for r in rows if r.name == name))
            for name, line in lines.items()])
        + '\n' + TEXT.format(images=images, steps=steps, networks=networks, loss=max(r.loss for r in rows)))


def draw(rows, lines, path):
    figure, axes = canvas(1, 3.6, width=5.5)
    for name, color, marker in zip(lines, (ORANGE, BLUE, GREEN, PINK, GREY), MARKERS):
        width, change, uncertainty = map(numpy.array, zip(*(r[1:4] for r in rows if r.name == name)))
        axes.errorbar(width, change, change * uncertainty, color=color, marker=marker, ls='', capsize=3,
                      label=f'{name}: slope {lines[name].slope:.2f}')
        axes.plot(width, lines[name](width), color=color, lw=1)
    axes.set(xscale='log', yscale='log', xlabel='width', ylabel='relative change by training',
             xticks=width, xticklabels=width)
    axes.minorticks_off()
    axes.legend(fontsize=8, frameon=False, loc='lower left')
    save(figure, path)
