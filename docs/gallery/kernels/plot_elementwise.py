"""
An activation of your own, with its formula
===========================================

No library has a kernel for :math:`\\phi(z) = z \\cos z`. To add it takes one formula, the expected
value of :math:`\\phi(u) \\phi(v)` for Gaussian :math:`u, v` with variances :math:`q, q'` and
covariance :math:`K`:

.. math:: e^{-(q + q')/2} \\left( (q q' + K^2) \\sinh K + K (1 - q - q') \\cosh K \\right).

What the tangent kernel needs beside it, :math:`E \\phi'(u) \\phi'(v)`, is its derivative in
:math:`K` (Price's theorem), which ``Elementwise`` takes by itself.
"""
import autograd.numpy as np
import matplotlib.pyplot as plt

from ntref import empirical_ntk_fn, stax


def phi(z):
    return z * np.cos(z)


def covariance(k, q, q_):
    return np.exp(-(q + q_) / 2) * (
        (q * q_ + k ** 2) * np.sinh(k) + k * (1 - q - q_) * np.cosh(k))


net = stax.serial(stax.Dense(2000, 1.2), stax.Elementwise(phi, covariance),
                  stax.Dense(1))

# %%
# Is the formula right? Twenty networks of width 2,000 say so: the mean of their tangent kernels
# is on the line.

angles = np.linspace(0, np.pi, 91)
x = 2 ** .5 * np.stack([np.cos(angles), np.sin(angles)], -1)
k = net.kernel_fn(x[:1], x, 'ntk')[0]

ntk_fn = empirical_ntk_fn(net.apply_fn, vmap_axes=0, implementation=3)
some = slice(None, None, 6)
draws = np.array([ntk_fn(x[:1], x[some], net.init_fn(seed, x.shape)[1])[0]
                  for seed in range(20)])
mean, error = draws.mean(0), draws.std(0, ddof=1) / 20 ** .5

ax = plt.subplots(layout='constrained')[1]
ax.plot(np.degrees(angles), k, label='formula')
ax.errorbar(np.degrees(angles[some]), mean, 2 * error, fmt='o', ms=4, capsize=3,
            label='20 networks, mean ± 2 standard errors')
ax.set(xlabel='angle between the inputs [degrees]', ylabel='tangent kernel Θ [output²]',
       title='φ(z) = z cos z')
ax.legend()
plt.show()

# %%
far = abs(mean - k[some]) / error
print(f'farthest of 16 points: {far.max():.1f} standard errors')
assert far.max() < 4
