"""
Order, chaos and the line between them
======================================

What a deep network does to two nearly equal inputs is decided by one number,
:math:`\\chi = \\sigma_w^2\\, E \\phi'(z)^2`: below 1 they become equal (order), above 1 they become
different (chaos). :cite:t:`schoenholz2017` have the map.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import plot, stax

# %%
# Three networks of 60 layers on that map, and the correlation of two inputs that begin at 0.9.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
plot.phase_diagram(stax.Erf(), ax=left)
x = np.array([[1., 0.], [.9, .19 ** .5]]) * 2 ** .5
markers = {'order': (1., .3, 'o'), 'critical': (1.234, .3, 's'),
           'chaos': (2.5, .3, 'D')}
ends = {}
for i, (name, (W_std, b_std, marker)) in enumerate(markers.items()):
    rows = stax.serial(*[stax.Dense(1, W_std, b_std), stax.Erf()] * 60).explain(x).rows
    c = [row.after.k / (row.after.q1 * row.after.q2) ** .5 for row in rows
         if 'Dense' in row.layer]
    left.plot(W_std, b_std, marker, color='white', mec='black', ms=9)
    right.plot(range(1, 61), c, marker, ls='-', ms=4, markevery=6,
               label=f'{name}: W_std = {W_std}')
    ends[name] = c[-1]
right.set(xlabel='layer', ylabel='correlation of the two inputs', ylim=(0, 1.05))
right.legend()
plt.show()

# %%
for name, c in ends.items():
    print(f'{name}: correlation {c:.4f} after 60 layers')
assert ends['order'] > 1 - 1e-4 and .5 < ends['critical'] < .99 and ends['chaos'] < .2
