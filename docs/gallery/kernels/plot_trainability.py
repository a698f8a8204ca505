"""
How deep may it be?
===================

A network far from the critical line forgets its inputs within a few layers: differences shrink by
:math:`\\chi` in each, and reach :math:`\\xi = -1 / \\log\\chi` layers (:cite:t:`schoenholz2017`).
What is left of them decides whether a deep network can learn. Here Gaussian processes of 1 to 64
layers of Erf learn from 60 digits, with little noise.
"""
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from ntref import predict, stax

x, labels = load_digits(return_X_y=True)
x, labels = ((x - x.mean()) / x.std())[:160], labels[:160]
y = np.eye(10)[labels[:60]] - .1

W_std, b_std, depths = np.linspace(.6, 2.2, 13), .1, (1, 2, 4, 8, 16, 32, 64)


def accuracy_of(sigma, depth):
    dense = stax.Dense(64, sigma, b_std)
    net = stax.serial(dense, stax.repeat(stax.serial(stax.Erf(), dense), depth))
    k = net.kernel_fn(x, get='nngp')
    predict_fn = predict.gp_inference(k[:60, :60], y, diag_reg=1e-6)
    return (predict_fn('nngp', k[60:, :60]).argmax(1) == labels[60:]).mean()


accuracy = np.array([[accuracy_of(sigma, depth) for sigma in W_std]
                     for depth in depths])

# %%
ax = plt.subplots(layout='constrained')[1]
shown = ax.pcolormesh(W_std, range(len(depths)), accuracy, cmap='cividis', vmin=0,
                      vmax=1)
ax.figure.colorbar(shown, ax=ax, label='accuracy on 100 others (chance: 0.1)')
ax.axvline(1.056, color='black', ls='--')
ax.text(1.08, 0., 'critical: χ = 1', va='center')
ax.set(xlabel='W_std, with b_std = 0.1', ylabel='layers', yticks=range(len(depths)),
       yticklabels=depths)
plt.show()

# %%
critical, ordered, chaotic = (accuracy[-1, abs(W_std - w).argmin()]
                              for w in (1.1, .6, 2.2))
print(f'64 layers: {critical:.0%} near the line, {ordered:.0%} in order, {chaotic:.0%} in chaos')
assert critical > .6 and max(ordered, chaotic) < critical - .3
