"""
Before and after training: prior, ensemble, band
================================================

The shortest tour. An infinitely wide network at initialization is a Gaussian process, the
*prior*. Train it on five points by gradient descent, and mean and band of all such networks have
a formula. Beside it: 20 networks of width 512 that are really trained.
"""
import matplotlib.pyplot as plt
import numpy as np
from autograd import grad

from ntref import plot, predict, stax
from ntref.trees import tree_map

net = stax.serial(
    stax.Dense(512, W_std=2., b_std=1.), stax.Erf(), stax.Dense(1, W_std=1.5))
x_train = np.array([[-2.], [-1.], [0.], [1.3], [2.2]])
y_train = np.sin(x_train)
x = np.linspace(-4, 4, 81)[:, None]

# %%
# Gradient descent on :math:`\frac12` mean :math:`(f - y)^2`, with half of the largest rate that
# converges.

rate = predict.max_learning_rate(net.kernel_fn(x_train, None, 'ntk'), y_train.size) / 2
slope = grad(lambda params: np.mean((net.apply_fn(params, x_train) - y_train) ** 2) / 2)


def trained(seed, steps):
    _, params = net.init_fn(seed, x_train.shape)
    for _ in range(steps):
        params = tree_map(lambda p, g: p - rate * g, params, slope(params))
    return net.apply_fn(params, x)[:, 0]


steps = 60
finite = np.array([trained(seed, steps) for seed in range(20)])
predict_fn = predict.gradient_descent_mse_ensemble(net, x_train, y_train,
                                                   learning_rate=rate)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True,
                                     layout='constrained')
plot.prior(net, x, ax=left).set_title('at initialization')
plot.posterior(predict_fn, x, t=steps, ax=right).set_title(f'after {steps} steps')
right.plot(x[:, 0], finite.T, color='gray', lw=.7, zorder=0)
right.plot([], [], color='gray', lw=.7, label='20 networks of width 512')
right.legend()
plt.show()

# %%
mean, covariance = predict_fn(t=steps, x_test=x, get='ntk', compute_cov=True)
sd = np.diagonal(covariance) ** .5
inside = np.mean(abs(finite - mean[:, 0]) < 2 * sd)
print(f'{inside:.0%} of the networks\' outputs are in the band of 2 deviations')
assert .85 < inside <= 1
