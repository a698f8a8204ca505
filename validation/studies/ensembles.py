"""Finite networks, trained, against mean and covariance of the infinite ensemble (Lee et al. 2019)."""
from typing import NamedTuple

import numpy
from scipy.stats import chi2

from .common import BLUE, GREY, MARKERS, ORANGE, Section, canvas, save, table, trained

QUICK = {'sizes': ((1, 8), (1, 1024)), 'networks': 20}

SIZES = *((1, 4 ** k) for k in range(2, 8)), *((2, 2 ** k) for k in (5, 7, 9))          # hidden layers, width
STEPS = 80
X = numpy.array([-2., -.7, .6, 2.])[:, None]
Y = numpy.sin(2 * X)
GRID = numpy.linspace(-3, 3, 61)[:, None]
AT = [3, 16, 30, 43, 57]                # of the grid, between and beyond the training points: where both are compared

TEXT = """
Networks of one or two hidden layers (Erf, W_std = 2.5, b_std = 0.5), drawn at random and trained by full-batch gradient
descent on four points, {steps} steps at half the largest stable rate, against `gradient_descent_mse_ensemble` at the
same time; the figure has one hidden layer. Both statistics look at {m} test points together. *Mean*: n D'C⁻¹D for the
difference D of the mean of n = {n} networks from the infinite one and the infinite covariance C, which is chi-squared
with {m} degrees of freedom if they agree; p is the probability of as much. *Variance*: tr(C⁻¹S)/{m} for the sample
covariance S, in the limit 1 ± √(2/({m} (n - 1))).

**It shows** that trained networks, through autograd and `apply_fn`, have the mean and covariance that the NTK and the
NNGP kernel predict, at finite time, and that narrow networks do not. With two hidden layers the mean is still off at
width 512, by half as much as at 128.
**It cannot show** errors of the infinite kernel below a few per cent, the size of the scatter of {n} networks; nor that
networks trained with large rates, with other losses or on more data are as close.
"""


class Row(NamedTuple):
    depth: int                          # hidden layers
    width: int
    outputs: numpy.ndarray              # (networks, grid)
    mean: numpy.ndarray                 # of the infinite ensemble
    covariance: numpy.ndarray

    @property
    def mean_chi2(self):
        d = (self.outputs.mean(0) - self.mean)[AT]
        return float(len(self.outputs) * d @ numpy.linalg.solve(self.covariance[numpy.ix_(AT, AT)], d))

    @property
    def error(self):
        return float(((self.outputs.mean(0) - self.mean)[AT] ** 2).mean() ** .5)

    @property
    def p(self):
        return float(chi2.sf(self.mean_chi2, len(AT)))

    @property
    def variance(self):
        """Ratio to the infinite one, and the standard error that it has if it is 1."""
        s = numpy.cov(self.outputs[:, AT].T)
        ratio = numpy.trace(numpy.linalg.solve(self.covariance[numpy.ix_(AT, AT)], s)) / len(AT)
        return float(ratio), (2 / (len(AT) * (len(self.outputs) - 1))) ** .5


def network(depth, width):
    from ntref.stax import Dense, Erf, serial
    return serial(*[Dense(width, 2.5, .5), Erf()] * depth, Dense(1, 1.5, .3))


def measure(sizes=SIZES, networks=100, steps=STEPS):
    from ntref import predict
    rows = []
    for depth, width in sizes:
        net, outputs = network(depth, width), []
        rate = .5 * predict.max_learning_rate(net.kernel_fn(X, None, 'ntk'), y_train_size=Y.size)
        ensemble = predict.gradient_descent_mse_ensemble(net.kernel_fn, X, Y)
        mean, covariance = ensemble(t=rate * steps, x_test=GRID, get='ntk', compute_cov=True)
        for rng in numpy.random.default_rng((depth, width)).spawn(networks):
            _, params = net.init_fn(rng, X.shape)
            outputs.append(net.apply_fn(trained(net, params, X, Y, rate, steps), GRID)[:, 0])
        rows.append(Row(depth, width, numpy.array(outputs), mean[:, 0], covariance))
    return rows


def run(figure, **sizes):
    rows = measure(**sizes)
    draw(rows, figure)
    last = [r for r in rows if r.depth == 1][-1]
    n, (ratio, error) = len(last.outputs), last.variance
    lines = [(r.depth, r.width, f'{r.error:.3f}', f'{r.mean_chi2:.1f}', f'{r.p:.2g}',
              '{:.3f} ± {:.3f}'.format(*r.variance)) for r in rows]
    return Section(
        'Finite ensembles and the infinite one',
        f'mean: chi-squared of {len(AT)} degrees of freedom; variance ratio 1',
        f'{n} networks of width {last.width}: mean {last.mean_chi2:.1f} (p = {last.p:.2g}), variance ratio {ratio:.3f} '
        f'± {error:.3f}',
        table(('hidden layers', 'width', 'RMS of D', 'mean: chi-squared', 'p', 'variance ratio'), lines)
        + '\n' + TEXT.format(steps=STEPS, m=len(AT), n=n))


def draw(rows, path):
    rows = [r for r in rows if r.depth == 1]
    last = rows[-1]
    figure, (left, right) = canvas(2, 3.1, width_ratios=(3, 2))
    x, n, sd = GRID[:, 0], len(last.outputs), last.covariance.diagonal() ** .5
    left.fill_between(x, last.mean - 2 * sd, last.mean + 2 * sd, color=BLUE, alpha=.2, lw=0)
    left.plot(x, last.outputs.T[:, :12], color=GREY, lw=.4, alpha=.6)
    left.plot(x, last.mean, color=BLUE, lw=2, label='infinite: mean ± 2 sd')
    mean, deviation = last.outputs.mean(0), last.outputs.std(0, ddof=1)
    left.plot(x, mean, color=ORANGE, ls='--', label=f'{n} networks of width {last.width}: the same')
    left.plot(x, numpy.stack([mean - 2 * deviation, mean + 2 * deviation], -1), color=ORANGE, ls='--', lw=1)
    left.plot(X[:, 0], Y[:, 0], 'o', color='black', ms=5, label='training points', zorder=3)
    left.set(xlabel='input', ylabel='output', xlim=(-3, 3), ylim=(-2.6, 3.6))
    left.legend(fontsize=8, loc='upper center', frameon=False, borderaxespad=0.)
    widths, m = [r.width for r in rows], len(AT)
    ratios, errors = zip(*(r.variance for r in rows))
    right.errorbar(widths, ratios, errors, color=ORANGE, marker=MARKERS[0], capsize=3, label='variance ratio')
    right.plot(widths, [r.mean_chi2 / m for r in rows], color=BLUE, marker=MARKERS[1], ls='--',
               label=f'mean: chi-squared / {m}')
    right.axhline(1, color=GREY, lw=.8)
    right.set(xscale='log', yscale='log', xlabel='width', xticks=widths, xticklabels=widths)
    right.minorticks_off()
    right.legend(fontsize=8, frameon=False)
    save(figure, path)
