"""
A kernel by drawing networks
============================

Where there is no formula, as for max pooling, the kernel can be drawn: the mean over random
networks, with the standard error of each entry. ``monte_carlo_kernel_fn`` takes any ``init_fn``
and ``apply_fn``. Is the error right? A network with a formula tells.
"""
import autograd.numpy as np
import matplotlib.pyplot as plt

from ntref import monte_carlo_kernel_fn, stax

x = np.random.default_rng(0).standard_normal((6, 8, 3))
conv = stax.Conv(32, (3,), W_std=2 ** .5), stax.Relu()
init_fn, apply_fn, kernel_fn = stax.serial(*conv, stax.GlobalAvgPool(), stax.Dense(1))
exact = kernel_fn(x, get='nngp')

samples = (10, 40, 160)
draws = monte_carlo_kernel_fn(init_fn, apply_fn, 0, samples,
                              return_error=True)(x, None, 'nngp')
found = [(np.mean((k.mean - exact) ** 2) ** .5, np.mean(k.error ** 2) ** .5)
         for k in draws]

# %%
ax = plt.subplots(layout='constrained')[1]
true, said = np.transpose(found)
ax.loglog(samples, true, 'o-', label='distance from the formula')
ax.loglog(samples, said, 's--', label='standard error that is given')
ax.set(xlabel='networks', ylabel='root mean square over entries [output²]')
ax.set_xticks(samples, samples)
ax.minorticks_off()
ax.legend()
plt.show()
print(f'{samples[-1]} networks: off by {true[-1]:.4f}, error {said[-1]:.4f}')
assert true[-1] < 2 * said[-1] and said[-1] < said[0] / 2

# %%
# Now with a maximum in the place of the average, which has no formula.

features = stax.serial(*conv)
last = stax.Dense(1)


def init_with_max(rng, shape):
    shape, params = features.init_fn(rng, shape)
    shape, weights = last.init_fn(rng, (shape[0], shape[2]))
    return shape, (params, weights)


def apply_with_max(params, x, **kwargs):
    return last.apply_fn(params[1], np.max(features.apply_fn(params[0], x), axis=1))


k = monte_carlo_kernel_fn(init_with_max, apply_with_max, 0, 100,
                          return_error=True)(x, None, 'nngp')
print(f'K(x, x) = {k.mean[0, 0]:.2f} ± {k.error[0, 0]:.2f}; with the average {exact[0, 0]:.2f}')
assert k.mean[0, 0] > exact[0, 0]
