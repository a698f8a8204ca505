"""Draws the pictures of the pages in docs/, into docs/pictures.

    python validation/figures.py
"""
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ntref import predict, stax

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


if __name__ == '__main__':
    PICTURES.mkdir(exist_ok=True)
    sample_then_optimize(PICTURES / 'sample-then-optimize.png')
