"""
The tangent kernel of a network as it is
========================================

Every differentiable function :math:`f(\\theta, x)` has a tangent kernel,
:math:`\\Theta = J J^T` with :math:`J = \\partial f / \\partial\\theta`, of any width, at any time. Here
is one written by hand, in ``autograd.numpy``, with small weights in its last layer. While
it learns to tell odd digits from even ones, so does its kernel.
"""
import autograd.numpy as np
import matplotlib.pyplot as plt
from autograd import grad
from sklearn.datasets import load_digits

from ntref import empirical_ntk_fn, plot
from ntref.trees import tree_map

images, digit = load_digits(return_X_y=True)
order = np.argsort(digit[:60] % 2, kind='stable')                  # even, then odd
x, y = ((images - images.mean()) / images.std())[:60][order], digit[:60][order] % 2 * 2. - 1


def f(params, x):
    hidden = np.tanh(x @ params['W'] / 8 + params['b'])
    return hidden @ params['V'] / 30 ** .5


rng = np.random.default_rng(0)
start = {'W': rng.standard_normal((64, 30)), 'b': np.zeros(30),
         'V': .1 * rng.standard_normal((30, 1))}

# %%
# Train it.

slope = grad(lambda params: np.mean((f(params, x)[:, 0] - y) ** 2) / 2)
params = start
for _ in range(500):
    params = tree_map(lambda p, g: p - 5. * g, params, slope(params))

# %%
# Alignment is the cosine between the kernel and :math:`y y^T`. The pictures are in units of the
# mean of the diagonal, which grows, too.


def alignment(k):
    return y @ k @ y / (np.linalg.norm(k) * len(y))


ntk_fn = empirical_ntk_fn(f, vmap_axes=0, implementation=3)
before, after = ntk_fn(x, None, start), ntk_fn(x, None, params)
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
for ax, k, title in zip(axes, (before, after), ('before training', 'after')):
    plot.heatmap(k / np.diagonal(k).mean(), label='tangent kernel / mean diagonal',
                 ax=ax)
    ax.images[0].set_clim(0, 1.2)
    ax.set(title=f'{title}: alignment {alignment(k):.2f}',
           xlabel='digit, even before odd', ylabel='digit')
plt.show()

# %%
print(f'alignment with the labels: {alignment(before):.3f} before, {alignment(after):.3f} after')
assert alignment(after) > 1.5 * alignment(before)
