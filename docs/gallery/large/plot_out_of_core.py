"""
A kernel on disk, interrupted and continued
===========================================

With ``out=`` each tile of a kernel is written as soon as it is done. A computation that is killed
loses nothing: the same call again computes what is missing. Here a Ctrl-C after seven tiles is
played by the program itself.
"""
import os
import tempfile

import matplotlib.pyplot as plt
import numpy as np

from ntref import batch, predict, stax

x = np.random.default_rng(0).standard_normal((500, 20))
net = stax.serial(stax.Dense(1, 1.5, .1), stax.Relu(), stax.Dense(1))
tiles, interrupt_after = [], [7]


def kernel_fn(x1, x2, get):
    if len(tiles) == interrupt_after[0]:
        raise KeyboardInterrupt
    x2 = x1 if x2 is None else x2
    tiles.append([np.flatnonzero(x[:, 0] == rows[0, 0])[0] for rows in (x1, x2)])
    return net.kernel_fn(x1, x2, get)


folder = tempfile.TemporaryDirectory()
path = os.path.join(folder.name, 'kernel.zarr')
on_disk = batch(kernel_fn, batch_size=100, device_count=0, out=path)
try:
    on_disk(x, None, 'ntk')
except KeyboardInterrupt:
    print(f'interrupted after {len(tiles)} tiles')

# %%
# Once more. The kernel is symmetric, so that 15 of 25 tiles are all.

before, interrupt_after[0] = len(tiles), None
k = on_disk(x, None, 'ntk')
print(k)
print(f'{len(tiles) - before} tiles were missing')
assert len(tiles) == 15 and np.allclose(k[:, :], net.kernel_fn(x, None, 'ntk'), 1e-13)

# %%
# Nothing but tiles is in memory when it is used: conjugate gradients read them from the disk.

y = np.sin(x[:, 0])
solution = predict.cg(k, y, diag_reg=1e-2, rank=50)
print(f'{solution.steps} steps to a residual of {solution.residual:.0e}')
assert solution.residual <= 1e-8

# %%
ax = plt.subplots(layout='constrained')[1]
for i, (row, column) in enumerate(tiles):
    color = 'C0' if i < before else 'C1'
    ax.add_patch(plt.Rectangle((column, row), 100, 100, color=color, ec='white'))
    ax.text(column + 50, row + 50, i + 1, ha='center', va='center', color='white')
ax.set(xlim=(0, 500), ylim=(500, 0), aspect='equal', xlabel='input of x2',
       ylabel='input of x1',
       title='tiles in the order they were written: before (blue), after (orange)')
plt.show()
folder.cleanup()
