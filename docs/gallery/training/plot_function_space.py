"""
Training without weights: the equation of the outputs
=====================================================

Gradient descent moves the outputs of a wide network by its tangent kernel alone,

.. math:: f_*(t) = f_*(0) + \\Theta_{*t}\\, \\Theta_{tt}^{-1} (1 - e^{-\\Theta_{tt} t / N}) (y - f_t(0)),

in which no weights appear. One network is trained, step by step; the lines are the formula, with
the kernel of its weights before training.
"""
import autograd.numpy as np
import matplotlib.pyplot as plt
from autograd import grad
from sklearn.datasets import load_digits

from ntref import empirical_ntk_fn, predict, stax
from ntref.trees import tree_map

images, digit = load_digits(return_X_y=True)
images, targets = (images - images.mean()) / images.std(), np.eye(10)[digit]
x, x_test, y = images[:32], images[32:64], targets[:32]
init_fn, f, _ = stax.serial(stax.Dense(256, 1., .05), stax.Erf(),
                            stax.Dense(10, 1., .05))
_, start = init_fn(0, x.shape)

# %%
# The kernel at the start, with all pairs of outputs (``trace_axes=()``), and the equation. A step
# of rate 10 takes time 1.

ntk_fn = empirical_ntk_fn(f, trace_axes=(), vmap_axes=0, implementation=3)
predict_fn = predict.gradient_descent_mse(
    ntk_fn(x, None, start), y, learning_rate=10., trace_axes=())
times = np.arange(101)
_, closed = predict_fn(times, f(start, x), f(start, x_test), ntk_fn(x_test, x, start))

# %%
slope = grad(lambda params: np.mean((f(params, x) - y) ** 2) / 2)
params, network = start, []
for _ in times:
    network.append(f(params, x_test))
    params = tree_map(lambda p, g: p - 10. * g, params, slope(params))
network = np.array(network)

ax = plt.subplots(layout='constrained')[1]
for c in range(3):
    ax.plot(times, closed[:, 0, c], color=f'C{c}', label=f'equation, output {c}')
    ax.plot(times[::5], network[::5, 0, c], ['o', 's', 'D'][c], color=f'C{c}', ms=4,
            mfc='none',
            label=f'network, output {c}')
ax.set(xlabel='steps of gradient descent',
       ylabel='outputs for one image of the test set')
ax.legend(ncols=2)
plt.show()

# %%
off, moved = (np.sqrt(np.mean((network[-1] - a) ** 2))
              for a in (closed[-1], network[0]))
print(f'outputs moved by {moved:.2f}; network and equation differ by {off:.3f}')
assert off < moved / 20
