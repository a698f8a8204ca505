"""
A sample of the posterior by training
=====================================

Draw a network at random and train its last layer on targets without noise: the function it
becomes is a sample of the Gaussian posterior (:cite:t:`matthews2017`). So an ensemble of trained
networks *is* the posterior, mean and band, and not an approximation of it.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import plot, predict, stax

x_train = np.array([[-2.2], [-1.3], [-.2], [.5], [1.9]])
y_train, x = np.sin(2 * x_train) + .3 * x_train, np.linspace(-3, 3, 61)[:, None]
hidden = stax.serial(stax.Dense(1000, 5., 5.), stax.Erf())
net = stax.serial(hidden, stax.Dense(1))

# %%
# A network of 1,000 hidden units is linear in its last layer. Where gradient descent ends is a
# least-squares problem: the nearest weights to the first ones that fit.


def trained(seed):
    rng = np.random.default_rng(seed)
    params = hidden.init_fn(rng, x.shape)[1]
    phi_train, phi = (hidden.apply_fn(params, each) / 1000 ** .5
                      for each in (x_train, x))
    theta = rng.standard_normal((1000, 1))
    theta += np.linalg.lstsq(phi_train, y_train - phi_train @ theta)[0]
    return (phi @ theta)[:, 0]


networks = np.array([trained(seed) for seed in range(400)])

# %%
predict_fn = predict.gradient_descent_mse_ensemble(net, x_train, y_train)
ax = plot.posterior(predict_fn, x, get='nngp')
ax.plot(x[:, 0], networks[:25].T, color='gray', lw=.6, zorder=0)
ax.plot([], [], color='gray', lw=.6, label='25 of 400 trained networks')
ax.legend()
plt.show()

# %%
mean, covariance = predict_fn(x_test=x, get='nngp', compute_cov=True)
sd = np.diagonal(covariance).clip(1e-9) ** .5
free = sd > .1                                             # away from the targets
ratio = networks.std(0)[free] / sd[free]
far = abs(networks.mean(0) - mean[:, 0])[free] / sd[free] * 20          # standard errors
print(f'deviations of 400 networks: {ratio.min():.2f} to {ratio.max():.2f} of the band')
print(f'their mean is off by {far.max():.1f} standard errors at most')
assert .85 < ratio.min() < ratio.max() < 1.15 and far.max() < 4
