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
x = patches[:, ::2, ::2] / 255.
x = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
is_flower = np.arange(64) >= 32                            # 32 of the temple, 32 of the flower

net = stax.serial(*[stax.Conv(1, (3, 3), W_std=2 ** .5, b_std=.1, padding='SAME'), stax.Relu()] * 2,
                  stax.GlobalAvgPool(), stax.Dense(1))
k = net.kernel_fn(x, get='nngp')

# %%
# Centre the kernel, and take two eigenvectors: principal components of what the network sees.

centre = np.eye(64) - 1 / 64
values, vectors = np.linalg.eigh(centre @ k @ centre)
where = vectors[:, [-1, -2]] * values[[-1, -2]] ** .5

ax = plt.subplots(figsize=(7, 6), layout='constrained')[1]
for place, patch, flower in zip(where, patches, is_flower):
    box = (place[0] - .06, place[0] + .06, place[1] - .06, place[1] + .06)
    ax.imshow(patch, extent=box, zorder=2)
ax.scatter(*where.T, s=500, marker='s', c=np.where(is_flower, 'C1', 'C0'), zorder=1)
ax.autoscale()
ax.set(aspect='auto', xlabel='first component [output]', ylabel='second component [output]',
       title='frames: temple (blue), flower (orange)')
plt.show()

# %%
# The nearest other patch, by the kernel's own distance, is nearly always of the same photograph.

q = np.diagonal(k)
distance = q[:, None] + q - 2 * k + 1e9 * np.eye(64)
same = (is_flower[distance.argmin(1)] == is_flower).mean()
print(f'{same:.0%} of 64')
assert same > .85
