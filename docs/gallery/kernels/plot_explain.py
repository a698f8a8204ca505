"""
Where a number of the kernel comes from
=======================================

``net.explain`` follows one pair of inputs through the network and writes down, layer by layer,
the formula (:math:`K_+ = \\sigma_w^2 K` of a dense one) and the numbers after it. These are the
numbers of ``kernel_fn`` to the last bit: it is the same computation, watched. Who has an
implementation of their own finds here the first layer at which it differs.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import stax

block = stax.serial(stax.Dense(64, 2 ** .5), stax.Relu(), stax.Dense(64))
residual = stax.serial(
    stax.FanOut(2), stax.parallel(block, stax.Identity()), stax.FanInSum(),
    stax.LayerNorm())
net = stax.serial(stax.Dense(64), residual, residual, stax.Dense(1))
x = np.array([[1., 2.], [-2., 1.]])

explanation = net.explain(x)
explanation

# %%
# The same as a picture: the angle between the two inputs after each layer. Steps down are ReLUs;
# where a branch ends, sum and skip connection take part of the step back.

ax = explanation.plot()
plt.show()

# %%
# The last row is the kernel itself.

last = explanation.rows[-1]
print(f'tangent kernel: {last.after.ntk:.6f}')
assert last.after.ntk == net.kernel_fn(x[:1], x[1:], 'ntk')[0, 0]
