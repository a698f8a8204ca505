"""
A kernel is a table of who resembles whom
=========================================

The kernel of two images is how strongly the outputs of a random network for them go together.
Here are 100 handwritten digits, 0 to 4, sorted by class. Blocks on the diagonal are pairs of the
same class: one layer finds them more alike than others, before anything has been trained. Each
further layer

.. math:: K_+ = E_{(u, v) \\sim N(0, K)}\\; \\sigma_w^2\\, \\phi(u)\\, \\phi(v)

makes all pairs more alike, and the blocks fade.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import plot, stax

data = np.load('../../../validation/data/mnist.npz')
labels = data['labels'][:1000]
some = np.concatenate([np.flatnonzero(labels == c)[:20]
                       for c in range(5)])     # twenty of each
x = data['images'][some].reshape(100, 784) / 255
x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)

# %%
# The variance of all inputs is 1, and He's weights (``W_std=2 ** .5``) keep it, so that the
# entries are correlations.


def correlations(depth):
    net = stax.serial(*[stax.Dense(1, W_std=2 ** .5), stax.Relu()] * depth,
                      stax.Dense(1, 2 ** .5))
    k = net.kernel_fn(x, get='nngp')
    return k / k[0, 0]


figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
same = labels[some][:, None] == labels[some]
gaps = {}
for ax, depth in zip(axes, (1, 30)):
    k = correlations(depth)
    plot.heatmap(k, label='correlation', ax=ax)
    ax.images[0].set_clim(.2, 1)
    ax.set(title=f'hidden layers: {depth}', xlabel='digit', ylabel='digit',
           xticks=range(10, 100, 20),
           xticklabels=range(5), yticks=range(10, 100, 20), yticklabels=range(5))
    gaps[depth] = k[same].mean() - k[~same].mean()
    print(f'{depth} hidden: same class {k[same].mean():.3f}, others {k[~same].mean():.3f}')
plt.show()

# %%
# What separates the classes does not vanish, it shrinks: in thirty layers to less than a twentieth.

assert gaps[30] < gaps[1] / 20
