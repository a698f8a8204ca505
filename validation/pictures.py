"""Draws the pictures of the pages in docs/, into docs/pictures.

    python validation/pictures.py
"""
from pathlib import Path

import numpy as np
from autograd import grad, numpy as anp
from autograd.misc.flatten import flatten
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from ntref import empirical_ntk_fn, linearize, plot, predict, stax

PICTURES = Path(__file__).parent.parent / 'docs' / 'pictures'

WIDTH, MODELS, W_STD, B_STD = 1000, 25, 5., 5.


def features(rng, x):
    """Hidden units of a network with one hidden layer, the last layer of which trains."""
    hidden = stax.serial(stax.Dense(WIDTH, W_STD, B_STD), stax.Erf())
    return hidden.apply_fn(hidden.init_fn(rng, x.shape)[1], x) / WIDTH ** .5


def sample_then_optimize(path):
    """Linear models in random features during training, over mean and band of the infinite ensemble."""
    x = np.array([[-2.2], [-1.3], [-.2], [.5], [1.9]])
    y, grid, rng = np.sin(2 * x) + .3 * x, np.linspace(-3, 3, 121)[:, None], np.random.default_rng(3)
    net = stax.serial(stax.Dense(1, W_STD, B_STD), stax.Erf(), stax.Dense(1))
    closed = predict.gradient_descent_mse_ensemble(net.kernel_fn, x, y)
    figure = Figure(figsize=(11, 3.4), layout='constrained')
    models = [(features(rng, np.vstack([x, grid])), rng.standard_normal((WIDTH, 1))) for _ in range(MODELS)]
    titles = {0.: 't = 0: the prior', 15.: 't = 15', None: 't = ∞: the posterior'}
    for axes, (t, title) in zip(figure.subplots(1, 3, sharey=True), titles.items()):
        mean, covariance = closed(t, grid, 'nngp', True)
        band = 2 * np.sqrt(np.maximum(np.diagonal(covariance), 0))         # 0 to rounding at the targets
        axes.fill_between(grid[:, 0], mean[:, 0] - band, mean[:, 0] + band, color='tab:blue', alpha=.2, lw=0,
                          label='closed form: mean ± 2 sd')
        for phi, theta in models:
            k, f0 = phi @ phi[:5].T, phi @ theta
            f = predict.gradient_descent_mse(k[:5], y)(t, f0[:5], f0[5:], k[5:])[1]
            axes.plot(grid[:, 0], f[:, 0], color='tab:orange', lw=.7, alpha=.7)
        axes.plot([], [], color='tab:orange', lw=.7, label=f'{MODELS} models of {WIDTH} random features')
        axes.plot(grid[:, 0], mean[:, 0], color='tab:blue', lw=1.5, ls='--', label='closed form: mean')
        axes.plot(x[:, 0], y[:, 0], 'ko', ms=4, label='targets')
        axes.set(title=title, xlim=(-3, 3), xlabel='x')
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc='outside lower center', ncols=4, fontsize=8)
    figure.savefig(path, dpi=80)


def mse(f, y):
    return anp.mean((f - y) ** 2) / 2


def cross_entropy(f, y):
    return -anp.mean(y * (f - anp.log(anp.sum(anp.exp(f), 1, keepdims=True))))


def outputs_during(f, params, loss, x, y, rate, momentum, steps):
    """The outputs for all of x after each of `steps`, trained on the first of them by full-batch gradient descent."""
    weights, tree = flatten(params)
    gradient = grad(lambda weights: loss(f(tree(weights), x[:len(y)]), y))
    velocity, found = 0., []
    for step in range(steps[-1] + 1):
        if step in steps:
            found.append(f(tree(weights), x))
        velocity = momentum * velocity - rate * gradient(weights)
        weights = weights + velocity
    return found


def weight_and_function_space(path):
    """Loss of a network, of its linearization and in function space during training."""
    images, digit = load_digits(return_X_y=True)
    x, y = ((images - images.mean()) / images.std())[:128], np.eye(10)[digit[:128]]
    init_fn, f, _ = stax.serial(stax.Dense(512, 1., .05), stax.Erf(), stax.Dense(10, 1., .05))
    _, params = init_fn(0, x.shape)
    k, f0 = empirical_ntk_fn(f, trace_axes=(), vmap_axes=0, implementation=3)(x, None, params), f(params, x)
    steps = np.unique(np.round(np.geomspace(1, 300, 16)).astype(int))
    figure = Figure(figsize=(11, 3.6), layout='constrained')
    for axes, (loss, rate, momentum, title) in zip(figure.subplots(1, 2), [
            (mse, 10., 0., 'squared loss'), (cross_entropy, 3., .9, 'cross-entropy, momentum 0.9')]):
        predict_fn = predict.gradient_descent(loss, k[:64, :64], y[:64], rate, momentum or None, trace_axes=())
        t = np.geomspace(1, steps[-1], 200)
        solved = predict_fn(t, f0[:64], f0[64:], k[64:, :64])
        network, linear = (outputs_during(g, params, loss, x, y[:64], rate, momentum, steps)
                           for g in (f, linearize(f, params)))
        for part, color, name in ((slice(64), 'tab:blue', 'training'), (slice(64, None), 'tab:orange', 'test')):
            axes.plot(t, [loss(out, y[part]) for out in solved[part.start is not None]], color=color, lw=1.2,
                      label=f'{name}: function space')
            axes.plot(steps, [loss(out[part], y[part]) for out in linear], '+', color=color, ms=9,
                      label=f'{name}: linearization')
            axes.plot(steps, [loss(out[part], y[part]) for out in network], 'o', mfc='none', color=color, ms=6,
                      label=f'{name}: network of width 512')
        axes.set(title=title, xscale='log', yscale='log', xlabel='steps', ylabel='loss')
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc='outside lower center', ncols=3, fontsize=8)
    figure.savefig(path, dpi=80)


def phases(path):
    """chi, the line where it is 1, and q* over the plane of W_std and b_std."""
    figure = Figure(figsize=(12, 3.4), layout='constrained')
    for axes, nonlinearity in zip(figure.subplots(1, 3, sharey=True), (stax.Tanh(), stax.Erf(), stax.Relu())):
        plot.phase_diagram(nonlinearity, ax=axes)
    figure.savefig(path, dpi=80)


def angles(path):
    """Kernels against the angle at several depths; angles along the depth of a network with branches."""
    figure = Figure(figsize=(11, 4), layout='constrained')
    left, right = figure.subplots(1, 2)
    plot.kernel_against_angle(stax.serial(stax.Dense(1, 2 ** .5), stax.Relu()), (1, 2, 4, 8, 16, 32), ax=left)
    branch = stax.serial(stax.Dense(1, 2 ** .5), stax.Relu(), stax.Dense(1))
    residual = stax.serial(stax.FanOut(2), stax.parallel(branch, stax.Dense(1)), stax.FanInSum(), stax.LayerNorm())
    plot.depth(stax.serial(stax.Dense(1), residual, residual), ax=right)
    figure.savefig(path, dpi=80)


def first(path):
    """README's networks at initialization, and the ensemble trained to the end, over the function of the targets."""
    net = stax.serial(stax.Dense(512, 1.5, .5), stax.Erf(), stax.Dense(512, 1.5, .5), stax.Erf(), stax.Dense(1))
    x = np.linspace(-2, 2, 9)[:, None]
    grid = np.linspace(-4, 4, 201)
    predict_fn = predict.gradient_descent_mse_ensemble(net, x, np.sin(x), diag_reg=1e-6)
    figure = Figure(figsize=(11, 3.4), layout='constrained')
    before, after = figure.subplots(1, 2, sharey=True)
    plot.prior(net, grid, ax=before).set_title('at initialization')
    plot.posterior(predict_fn, grid, ax=after).set_title('trained')
    after.plot(grid, np.sin(grid), color='gray', ls=':', zorder=0)
    figure.savefig(path, dpi=80)


def what(path):
    """The first page's: networks at initialization, the ensemble trained, and the tangent kernel behind both."""
    net = stax.serial(stax.Dense(512, 1.5, .5), stax.Erf(), stax.Dense(1, 1.5, .5))
    x, grid = np.linspace(-2, 2, 9)[:, None], np.linspace(-4, 4, 201)
    predict_fn = predict.gradient_descent_mse_ensemble(net, x, np.sin(x), diag_reg=1e-6)
    figure = Figure(figsize=(12, 3.4), layout='constrained')
    before, after, kernel = figure.subplots(1, 3, width_ratios=(1.3, 1.3, 1))
    plot.prior(net, grid, ax=before).set_title('random weights')
    plot.posterior(predict_fn, grid, ax=after).set_title('trained on nine points')
    after.plot(grid, np.sin(grid), color='gray', ls=':', zorder=0)
    plot.heatmap(net.kernel_fn(grid[:, None], get='ntk'), ax=kernel).set_title('the tangent kernel')
    ticks = np.linspace(0, len(grid) - 1, 5)
    for axis in kernel.xaxis, kernel.yaxis:
        axis.set_ticks(ticks, [f'{grid[int(i)]:.0f}' for i in ticks])
    kernel.set(xlabel='x', ylabel="x'")
    figure.savefig(path, dpi=100)


if __name__ == '__main__':
    PICTURES.mkdir(exist_ok=True)
    what(PICTURES / 'what.png')
    first(PICTURES / 'first.png')
    phases(PICTURES / 'phases.png')
    angles(PICTURES / 'angles.png')
    weight_and_function_space(PICTURES / 'weight-and-function-space.png')
    sample_then_optimize(PICTURES / 'sample-then-optimize.png')
