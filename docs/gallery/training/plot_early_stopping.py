"""
Stop early, or add noise: two ways to the same end
==================================================

Trained to the end, a network fits the noise of its targets. Gradient descent that stops at time
:math:`t` leaves out the eigenvectors of the kernel with :math:`\\lambda t < N`; a ridge leaves
out those with :math:`\\lambda < \\text{reg}`. So a ridge of :math:`N / t` should be as good as
stopping at :math:`t`. Is it?
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import predict, stax

rng = np.random.default_rng(0)
x_train, x_test = rng.uniform(-2, 2, (100, 2)), rng.uniform(-2, 2, (500, 2))


def f(x):
    return np.sin(2 * x[:, :1]) * np.cos(x[:, 1:])


y_train = f(x_train) + .3 * rng.standard_normal((100, 1))
net = stax.serial(stax.Dense(1, 1.5, .5), stax.Erf(), stax.Dense(1, 1.5, .5),
                  stax.Erf(), stax.Dense(1))
k, k_test = net.kernel_fn(x_train, None, 'ntk'), net.kernel_fn(x_test, x_train, 'ntk')

# %%
# All times are one call, and all ridges are one eigendecomposition.

times = np.geomspace(1, 1e6, 60)
stopped = predict.gradient_descent_mse(k, y_train)(times, None, 0., k_test)
ridges = len(y_train) / times
ridge = predict.ridge_sweep(k, y_train, ridges, k_test,
                            diag_reg_absolute_scale=True).mean

ax = plt.subplots(layout='constrained')[1]
errors = {}
for name, outputs, style in (('stopped at t', stopped, '-'),
                             ('ridge N / t, to the end', ridge, '--')):
    errors[name] = np.sqrt(np.mean((outputs - f(x_test)) ** 2, (1, 2)))
    ax.plot(times, errors[name], style, label=name)
ax.set(xscale='log', xlabel='time t', ylabel='test error, root mean square',
       ylim=(0, None))
ax.legend()
plt.show()

# %%
best = [found.min() for found in errors.values()]
for (name, found), least in zip(errors.items(), best):
    print(f'{name}: {least:.3f} at t = {times[found.argmin()]:.0f}, {found[-1]:.3f} at the end')
assert max(best) / min(best) < 1.1 and stopped.shape == ridge.shape == (60, 500, 1)
assert errors['stopped at t'][-1] > 1.5 * best[0]
