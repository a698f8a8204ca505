"""
Probabilities of classes by Laplace's approximation
===================================================

A Gaussian process for the log odds of two classes: its posterior is not Gaussian, but nearly so
about its maximum. The process is sure where points of both classes hold the border between them,
and the doubt fans out where there are none.
"""
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

from ntref import predict, stax

x, label = make_moons(60, noise=.15, random_state=0)
net = stax.serial(stax.Dense(1, 3., 1.), stax.Erf(), stax.Dense(1, 12.))

sides = np.linspace(-4, 5, 61), np.linspace(-4, 4, 55)
grid = np.stack(np.meshgrid(*sides), -1)
points = grid.reshape(-1, 2)

predict_fn = predict.laplace_inference(net.kernel_fn(x, get='nngp'), label)
k = net.kernel_fn(points, x, ('nngp', 'cov1'))
probability = predict_fn(k.nngp, k.cov1)

# %%
ax = plt.subplots(layout='constrained')[1]
shown = ax.contourf(*sides, probability.reshape(grid.shape[:2]), np.linspace(0, 1, 11),
                    cmap='PuOr')
ax.contour(*sides, probability.reshape(grid.shape[:2]), [.5], colors='black')
for c, marker in enumerate('os'):
    ax.plot(*x[label == c].T, marker, mec='black', color=('C1', 'C4')[c],
            label=f'class {c}')
ax.figure.colorbar(shown, ax=ax, label='probability of class 1')
ax.set(xlabel='$x_1$', ylabel='$x_2$')
ax.legend()
plt.show()

# %%
at_points = predict_fn(net.kernel_fn(x, None, 'nngp'),
                       np.diag(net.kernel_fn(x, None, 'nngp')))
right = ((at_points > .5) == label).mean()
print(f'{right:.0%} of the 60 points are on their side; '
      f'evidence: log p = {predict_fn.log_marginal_likelihood:.1f}')

# %%
# How much of a vertical line has a probability between 0.25 and 0.75?

doubtful = (abs(probability - .5) < .25).reshape(grid.shape[:2]).mean(0)
middle, edges = doubtful[30], doubtful[[0, -1]]                # x = 0.5 is between the moons
print(f'in the middle {middle:.0%}; at the edges {edges[0]:.0%} and {edges[1]:.0%}')
assert right > .9 and edges.min() > 2 * middle
