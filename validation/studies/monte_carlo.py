"""Error of Monte Carlo estimates of both kernels, against their number and width (Novak et al. 2020)."""
from typing import NamedTuple

import numpy

from .common import BLUE, MARKERS, ORANGE, Section, canvas, power_law, root_mean_square, save, table

QUICK = {'width': 128, 'samples': (1, 2, 4), 'widths': (32, 64, 128), 'repeats': 24}

N_INPUTS, CHANNELS = 4, 10
NAMES = 'nngp', 'ntk'

TEXT = """
Networks of two hidden layers (Relu, W_std = 1.4, b_std = 0.3) on {inputs} random inputs of {channels} channels. The
estimate is the mean over networks by `monte_carlo_kernel_fn`; its error is ‖estimate - kernel‖ / ‖kernel‖ (Frobenius),
against `kernel_fn`; each point is the root mean square over {repeats} independent estimates. Left: networks of width
{width}; right: one network an estimate. The NTK is that of one output, the NNGP kernel the mean over as many outputs as
the width: of one output it would not improve with width. Slopes are weighted fits of the logarithms, with their
standard errors.

**It shows** that the analytic kernels are the limit of finite networks, and that the error falls with both square
roots: an estimate takes a hundred times the networks for one more digit.
**It cannot show** an error of the analytic kernel below the last points, about {least:.0%}; and the estimate for one
width has a bias of order 1/width, which more networks do not remove. It is below the scatter here.
"""


class Row(NamedTuple):
    name: str                   # of the kernel
    against: str                # 'samples' or 'width'
    n: int
    error: float                # root mean square, relative
    uncertainty: float          # relative standard error of that


def network(name, width):
    from ntref.stax import Dense, Relu, serial
    return serial(*[Dense(width, 1.4, .3), Relu()] * 2, Dense(1 if name == 'ntk' else width, 1.4, .3))


def squared_errors(name, width, samples, repeats, seed):
    """Of `repeats` independent estimates, each from `samples` networks."""
    from ntref import monte_carlo_kernel_fn
    net, rng = network(name, width), numpy.random.default_rng((*map(ord, name), width, samples, seed))
    x = numpy.random.default_rng(0).standard_normal((N_INPUTS, CHANNELS))
    k = net.kernel_fn(x, None, name)
    seeds = map(int, rng.integers(2 ** 31, size=repeats))
    estimates = (monte_carlo_kernel_fn(net.init_fn, net.apply_fn, seed, samples, vmap_axes=0, implementation=3)(
        x, None, name) for seed in seeds)
    return [((estimate - k) ** 2).sum() / (k ** 2).sum() for estimate in estimates]


def measure(width=512, samples=(1, 2, 4, 8, 16, 32), widths=(64, 128, 256, 512), repeats=40):
    cases = [('samples', n, width, n) for n in samples] + [('width', n, n, 1) for n in widths]
    return [Row(name, against, n, *root_mean_square(squared_errors(name, *size, repeats, against == 'width')))
            for name in NAMES for against, n, *size in cases]


def slopes(rows):
    """{(kernel, against): Line}."""
    return {(name, against): power_law(*zip(*(r[2:] for r in rows if r[:2] == (name, against))))
            for name in NAMES for against in ('samples', 'width')}


def run(figure, width=512, repeats=40, **sizes):
    rows = measure(width=width, repeats=repeats, **sizes)
    lines = slopes(rows)
    draw(rows, lines, figure)
    return Section(
        'Monte Carlo error', 'slope -1/2 against networks and against width',
        '; '.join(f'{name.upper()} {lines[name, "samples"]} and {lines[name, "width"]}' for name in NAMES),
        table(('kernel', 'against', 'slope', 'chi-squared a degree of freedom', 'error, point by point'), [
            (name.upper(), against, line, f'{line.chi2:.2f}',
             ', '.join(f'{r.error:.1%}' for r in rows if r[:2] == (name, against)))
            for (name, against), line in lines.items()])
        + '\n' + TEXT.format(inputs=N_INPUTS, channels=CHANNELS, repeats=repeats, width=width,
                             least=min(r.error for r in rows)))


def draw(rows, lines, path):
    figure, axes = canvas(2, 3., sharey=True)
    for each, against, label in zip(axes, ('samples', 'width'), ('networks', 'width')):
        for name, color, marker in zip(NAMES, (BLUE, ORANGE), MARKERS):
            _, _, n, error, uncertainty = map(numpy.array, zip(*(r for r in rows if r[:2] == (name, against))))
            line = lines[name, against]
            each.errorbar(n, error, error * uncertainty, color=color, marker=marker, ls='', capsize=3,
                          label=f'{name.upper()}: slope {line}')
            each.plot(n, line(n), color=color, lw=1)
        each.set(xscale='log', yscale='log', xlabel=label, xticks=n, xticklabels=n)
        each.minorticks_off()
        each.legend(fontsize=8, frameon=False, loc='lower left')
    axes[0].set_ylabel('relative error of the kernel')
    axes[0].set_yticks([.01, .02, .05, .1, .2, .5], ['1%', '2%', '5%', '10%', '20%', '50%'])
    save(figure, path)
