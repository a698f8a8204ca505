"""
How far training moves the kernel
=================================

The theory of infinite width holds the tangent kernel still. In a network of finite width it
moves while training does, and the less the wider the network is (:cite:t:`jacot2018`): a fourth
of the movement for sixteen times the width, or less. What moves is what a finite network learns
beyond its kernel.
"""
import autograd.numpy as np
import matplotlib.pyplot as plt
from autograd import grad
from sklearn.datasets import load_digits

from ntref import empirical_ntk_fn, stax
from ntref.trees import tree_map

images, digit = load_digits(return_X_y=True)
x, y = ((images - images.mean()) / images.std())[:40], digit[:40, None] % 2 * 2. - 1


def moved(width, seed):
    """|Θ(end) - Θ(0)| / |Θ(0)| after 60 steps of gradient descent."""
    init_fn, f, _ = stax.serial(stax.Dense(width, 1.5, .1), stax.Erf(), stax.Dense(1))
    ntk_fn = empirical_ntk_fn(f, vmap_axes=0, implementation=3)
    slope = grad(lambda params: np.mean((f(params, x) - y) ** 2) / 2)
    _, params = init_fn(seed, x.shape)
    before = ntk_fn(x, None, params)
    for _ in range(60):
        params = tree_map(lambda p, g: p - 1. * g, params, slope(params))
    return np.linalg.norm(ntk_fn(x, None, params) - before) / np.linalg.norm(before)


# %%
widths = np.array([16, 64, 256])
found = np.array([[moved(width, seed) for seed in range(3)] for width in widths])

ax = plt.subplots(layout='constrained')[1]
ax.loglog(np.repeat(widths, 3), found.ravel(), 'o', ms=5, alpha=.6, label='a network')
ax.loglog(widths, found.mean(1), label='mean of three')
ax.loglog(widths, found.mean(1)[0] * (widths[0] / widths) ** .5, ':', color='gray',
          label='1 / √width')
ax.set(xlabel='width', ylabel='change of the tangent kernel, relative')
ax.set_xticks(widths, widths)
ax.minorticks_off()
ax.legend()
plt.show()

# %%
slope = np.polyfit(np.log(widths), np.log(found.mean(1)), 1)[0]
print(f'{found.mean(1)[0]:.1%} at width 16, {found.mean(1)[-1]:.1%} at 256: like width ** {slope:.2f}')
assert -1.1 < slope < -.4
