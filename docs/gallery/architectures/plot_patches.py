"""
Which patches of a photograph belong together?
==============================================

A network that has learnt nothing sorts patches of two photographs, a temple and a flower: its
kernel is a measure of likeness, and the leading eigenvectors of the kernel are the directions in
which patches differ most. Convolutions with a pool see texture and colour and not where they are.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import stax

patches = np.load('../../../validation/data/photographs.npz')['images']
x = patches.reshape(64, 8, 4, 8, 4, 3).mean((2, 4)) / 255   # 8 x 8 means
x = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
is_flower = np.arange(64) >= 32     # 32 of the temple, 32 of the flower

net = stax.serial(*[stax.Conv(1, (3, 3), W_std=2 ** .5, b_std=.1, padding='SAME'),
                    stax.Relu()] * 2,
                  stax.GlobalAvgPool(), stax.Dense(1))
k = net.kernel_fn(x, get='nngp')

# %%
# Centre the kernel, and take two eigenvectors: principal components of what the network sees.

centre = np.eye(64) - 1 / 64
values, vectors = np.linalg.eigh(centre @ k @ centre)
components = vectors[:, [-1, -2]].argsort(0).argsort(0)     # places 0 to 63

ax = plt.subplots(figsize=(7, 6), layout='constrained')[1]
for (i, j), patch, flower in zip(components, patches, is_flower):
    ax.imshow(patch, extent=(i - 2, i + 2, j - 2, j + 2))
    color = 'C1' if flower else 'C0'
    ax.add_patch(plt.Rectangle((i - 2, j - 2), 4, 4, fill=False, lw=2, color=color))
ax.set(xlim=(-3, 67), ylim=(-3, 67), aspect='auto',
       xlabel='place along the first component',
       ylabel='place along the second component',
       title='frames: temple (blue), flower (orange)')
plt.show()

# %%
# The nearest other patch, by the kernel's own distance, is nearly always of the same photograph.

q = np.diagonal(k)
distance = q[:, None] + q - 2 * k + 1e9 * np.eye(64)
same = (is_flower[distance.argmin(1)] == is_flower).mean()
print(f'{same:.0%} of 64')
assert same > .85
