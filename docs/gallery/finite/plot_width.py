"""
How wide is infinite?
=====================

Kernels of random networks come near the infinite one like :math:`1 / \\sqrt{\\text{width}}`. A
network a hundred times as wide is one digit better, no more; this is why the limit is better
computed than approached.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import plot, stax

x = np.random.default_rng(0).standard_normal((8, 10))


def hidden(width):
    dense = stax.Dense(width, 1.5, .1)
    return stax.serial(dense, stax.Relu(), dense, stax.Relu())


def whole(width):
    return stax.serial(hidden(width), stax.Dense(1))


# %%
# The covariance of hidden units is an average over them; the tangent kernel is one over weights.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout='constrained')
distance = {}
for ax, net, get in zip(axes, (hidden, whole), ('nngp', 'ntk')):
    plot.width_convergence(net, x, widths=(8, 32, 128, 512), get=get, samples=10, ax=ax)
    distance[get] = dict(zip(*ax.lines[0].get_data()))
plt.show()

# %%
# From 8 to 512 units the distance has to fall by :math:`\sqrt{64} = 8`.

for get, found in distance.items():
    share = found[8] / found[512]
    print(f'{get}: {found[8]:.2f} at width 8, {found[512]:.3f} at 512: by {share:.1f}')
    assert 5 < share < 13
