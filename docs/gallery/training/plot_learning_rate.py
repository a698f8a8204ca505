"""
The largest learning rate, before training
==========================================

Full-batch gradient descent on the squared loss of :math:`N` targets diverges above

.. math:: \\eta_{max} = \\frac{2 N}{\\lambda_{max}(\\Theta)}.

The kernel knows it before the first step. Below this rate a network of width 512 follows the
closed form. Above it the closed form diverges; the network begins to, and then, while its loss is
large, moves to weights with a smaller kernel, where the same rate converges.
"""
import autograd.numpy as np
import matplotlib.pyplot as plt
from autograd import grad
from sklearn.datasets import load_digits

from ntref import empirical_ntk_fn, predict, stax
from ntref.trees import tree_map

images, digit = load_digits(return_X_y=True)
x, y = ((images - images.mean()) / images.std())[:50], (digit[:50, None] % 2) * 2. - 1
init_fn, f, _ = stax.serial(stax.Dense(512, 1.5, .1), stax.Erf(), stax.Dense(1))
_, start = init_fn(0, x.shape)

ntk = empirical_ntk_fn(f, vmap_axes=0, implementation=3)(x, None, start)
largest = predict.max_learning_rate(ntk, y.size)
slope = grad(lambda params: np.mean((f(params, x) - y) ** 2) / 2)

# %%
# Lines are the closed form of the steps, ``gradient_descent_mse_steps``; markers are the network.

ax = plt.subplots(layout='constrained')[1]
steps, losses, closed, ends = np.arange(61), {}, {}, {}
for share, marker in ((.5, 'o'), (.95, 's'), (1.2, '^')):
    rate, params, losses[share] = share * largest, start, []
    outputs = predict.gradient_descent_mse_steps(ntk, y, rate)(steps, f(start, x))
    closed[share] = np.mean((outputs - y) ** 2, (1, 2)) / 2
    line, = ax.semilogy(steps, closed[share])
    for _ in steps:
        losses[share].append(np.mean((f(params, x) - y) ** 2) / 2)
        params = tree_map(lambda p, g: p - rate * g, params, slope(params))
    ends[share] = params
    ax.plot(steps[::3], losses[share][::3], marker, color=line.get_color(), mfc='none',
            label=f'{share} of the largest rate')
ax.set(xlabel='steps', ylabel='loss', ylim=(1e-3, 1e3),
       title=f'largest rate: {largest:.2f}')
ax.legend(title='lines: closed form, markers: network')
plt.show()

# %%
# The largest rate where the third network has ended:

ntk = empirical_ntk_fn(f, vmap_axes=0, implementation=3)(x, None, ends[1.2])
flatter = predict.max_learning_rate(ntk, y.size)
print(f'{flatter / largest:.2f} times what it was; it is trained at 1.2 times')
assert closed[1.2][-1] > 100 > 1 > losses[1.2][-1] and flatter > 1.2 * largest
