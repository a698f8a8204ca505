"""
The tangent kernel of a network as it is
========================================

Every differentiable function :math:`f(\\theta, x)` has a tangent kernel,
:math:`\\Theta = J J^T` with :math:`J = \\partial f / \\partial\\theta`, of any width and at any time.
Here is one written by hand, in ``autograd.numpy``, before and after training: the kernel learns
the labels.
"""
import autograd.numpy as np
import matplotlib.pyplot as plt
from autograd import grad
from sklearn.datasets import load_digits

from ntref import empirical_ntk_fn, plot
from ntref.trees import tree_map

images, digit = load_digits(n_class=2, return_X_y=True)
order = np.argsort(digit[:60], kind='stable')
x, y = ((images - images.mean()) / images.std())[:60][order], digit[:60][order] * 2. - 1


def f(params, x):
    hidden = np.tanh(x @ params['W'] / 8 + params['b'])
    return hidden @ params['V'] / 30 ** .5


rng = np.random.default_rng(0)
start = {'W': rng.standard_normal((64, 30)), 'b': np.zeros(30), 'V': rng.standard_normal((30, 1))}

# %%
# Train it.

slope = grad(lambda params: np.mean((f(params, x)[:, 0] - y) ** 2) / 2)
params = start
for _ in range(300):
    params = tree_map(lambda p, g: p - .5 * g, params, slope(params))

# %%
# Alignment is the cosine between the kernel and :math:`y y^T`.


def alignment(k):
    return y @ k @ y / (np.linalg.norm(k) * len(y))


ntk_fn = empirical_ntk_fn(f, vmap_axes=0, implementation=3)
before, after = ntk_fn(x, None, start), ntk_fn(x, None, params)
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
for ax, k, title in zip(axes, (before, after), ('before training', 'after')):
    plot.heatmap(k, label='tangent kernel [output² / parameter²]', ax=ax)
    ax.images[0].set_clim(0, after.max())
    ax.set(title=f'{title}: alignment {alignment(k):.2f}', xlabel='digit, sorted by class', ylabel='digit')
plt.show()

# %%
print(f'alignment with the labels: {alignment(before):.3f} before, {alignment(after):.3f} after')
assert alignment(after) > alignment(before) + .02
