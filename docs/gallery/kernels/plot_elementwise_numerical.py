"""
Any activation, without a formula
=================================

Where no formula is known, ``ElementwiseNumerical`` computes :math:`E \\phi(u) \\phi(v)` by
Gauss-Hermite quadrature with ``deg`` nodes. How many does it take? For activations with a
formula we can see: smooth ones gain digits with every node, a kink leaves an error that falls
slowly, whatever one spends.
"""
import autograd.numpy as np
import matplotlib.pyplot as plt
from autograd.scipy.special import erf

from ntref import stax


def gelu(z):
    return z * (1 + erf(z / 2 ** .5)) / 2


def relu(z):
    return np.maximum(z, 0)


x = np.array([[1., 0.], [.6, .8], [-1., 1.]])


def kernel(activation):
    return stax.serial(stax.Dense(1, 1.5), activation,
                       stax.Dense(1)).kernel_fn(x, get='nngp')


# %%
degrees = np.array([4, 6, 8, 12, 16, 24, 32])
ax = plt.subplots(layout='constrained')[1]
errors = {}
pairs = ('Gelu', gelu, stax.Gelu(), 'o-'), ('Relu', relu, stax.Relu(), 's--')
for name, phi, exact, style in pairs:
    k = kernel(exact)
    errors[name] = [abs(kernel(stax.ElementwiseNumerical(phi, int(deg))) / k - 1).max()
                    for deg in degrees]
    ax.loglog(degrees, errors[name], style, label=name)
ax.set(xlabel='nodes, deg', ylabel='largest relative error of the kernel')
ax.set_xticks(degrees, degrees)
ax.minorticks_off()
ax.legend()
plt.show()

# %%
# Without ``deg`` the quadrature is adaptive: it finds the kink, at the price of time.

adaptive = abs(kernel(stax.ElementwiseNumerical(relu)) / kernel(stax.Relu()) - 1).max()
print(f'Gelu, 32 nodes: {errors["Gelu"][-1]:.0e}')
print(f'Relu, 32 nodes: {errors["Relu"][-1]:.0e}; adaptive: {adaptive:.0e}')
assert errors['Gelu'][-1] < 1e-5 and errors['Relu'][-1] > 1e-3 and adaptive < 1e-10
