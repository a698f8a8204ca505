"""
How many digits are right?
==========================

``certify`` computes a kernel to any number of digits and says how many are sure. With it as the
ruler: two inputs come closer and closer, and their distance in the kernel,
:math:`q + q' - 2K`, is computed in two ways in float64: by that subtraction, and by the
recursion of ``ntref``, which carries the gap.
"""
import matplotlib.pyplot as plt
import mpmath
import numpy as np

from ntref import stax
from ntref.oracle import certify

net = stax.serial(stax.Dense(1, 2 ** .5), stax.Relu(), stax.Dense(1, 2 ** .5),
                  stax.Relu())
separations = 10. ** -np.arange(1, 13)

# %%
errors = {'difference of kernels': [], 'gap, carried': []}
for h in separations:
    x = np.array([[1., 0.], [1., h]])
    exact = certify(net, x, get='nngp', digits=40).values
    with mpmath.workdps(40):
        exact = exact[0, 0] + exact[1, 1] - 2 * exact[0, 1]
    k = net.kernel_fn(x, get='nngp')
    gap = net.kernel_fn(x, get='gap')[0, 1]
    for name, value in zip(errors, (k[0, 0] + k[1, 1] - 2 * k[0, 1], gap)):
        errors[name].append(max(abs(float(value / exact - 1)), 1e-17))

ax = plt.subplots(layout='constrained')[1]
for (name, found), style in zip(errors.items(), ('s--', 'o-')):
    ax.loglog(separations, found, style, label=name)
ax.axhline(2.2e-16, color='gray', ls=':', label='eps of float64')
ax.set(xlabel='distance of the inputs',
       ylabel='relative error, against 40 certified digits')
ax.invert_xaxis()
ax.legend()
plt.show()

# %%
print({name: f'{max(found):.0e}' for name, found in errors.items()})
assert max(errors['gap, carried']) < 1e-14 and max(errors['difference of kernels']) > .1

# %%
# Any number of digits, as text:

c = certify(net, np.array([[1., 0.], [1., 1.]]), get='ntk', digits=50)
print(c.decimals[0, 1])
