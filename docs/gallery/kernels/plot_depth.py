"""
What depth does to angles
=========================

Two inputs meet in a network of ReLUs at an angle :math:`\\theta`. Each layer maps it to

.. math:: \\cos\\theta_+ = \\frac{\\sin\\theta + (\\pi - \\theta) \\cos\\theta}{\\pi}

(:cite:t:`cho2009`), and the only fixed point is 0: in the end all inputs look alike, and what the
kernel can tell apart is decided close to the diagonal.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import plot, stax

layer = stax.serial(stax.Dense(2, 2 ** .5), stax.Relu())

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
plot.kernel_against_angle(layer, depths=(1, 4, 16, 64), get='nngp', ax=left)
plot.depth(stax.serial(*[layer] * 12), angles=(15, 45, 90, 180), ax=right)
plt.show()

# %%
# For small angles the formula is :math:`\theta_+ = \theta - \theta^2 / (3\pi)`. So angles go to
# zero only like :math:`3 \pi / \text{depth}`, wherever they began. Opposite inputs, after 1,000
# layers:

x = np.array([[1., 0.], [-1., 0.]])
k = stax.repeat(layer, 1000).kernel_fn(x, get='nngp')
angle = np.arccos(k[0, 1] / k[0, 0])
print(f'{angle:.5f} rad; 3 pi / 1000 is {3 * np.pi / 1000:.5f}')
assert abs(angle / (3 * np.pi / 1000) - 1) < .03
