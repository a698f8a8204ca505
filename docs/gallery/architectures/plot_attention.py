"""
Attention: averages that look at the content
============================================

Infinitely wide self-attention (:cite:t:`hron2020`) mixes positions with weights from their own
covariances: positions that resemble each other attend to each other. Here is one sequence of
three kinds of tokens before and after, as the matrix of covariances of its positions.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import plot, stax

rng = np.random.default_rng(0)
kinds = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1])
x = (np.eye(3)[kinds] * 3 + .6 * rng.standard_normal((12, 3)))[None]

# %%
# Left: the input. Middle: weights are the softmax of covariances. Right: they are the covariances
# themselves.


def covariances(*layers):
    k = stax.serial(stax.Dense(1), *layers).kernel_fn(x, get='nngp')[0, 0]
    sd = np.diagonal(k) ** .5
    return k / np.outer(sd, sd)


def attention(mechanism):
    return stax.GlobalSelfAttention(1, 1, 1, 1, linear_scaling=True,
                                    attention_mechanism=mechanism)


shown = {'input': covariances(), 'softmax': covariances(attention('SOFTMAX')),
         'identity': covariances(attention('IDENTITY'))}
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout='constrained')
same = (kinds[:, None] == kinds) & ~np.eye(12, dtype=bool)
alike, others = {}, {}
for ax, (name, c) in zip(axes, shown.items()):
    plot.heatmap(c, label='correlation', ax=ax)
    ax.set(title=name, xlabel='position', ylabel='position', xticks=range(12),
           xticklabels=kinds,
           yticks=range(12), yticklabels=kinds)
    alike[name], others[name] = c[same].mean(), abs(c[kinds[:, None] != kinds]).mean()
figure.suptitle('correlation of positions; the numbers at the axes are the kinds of tokens')
plt.show()

# %%
# Softmax makes tokens of a kind more alike, and tells others apart.

for name in shown:
    print(f'{name}: same kind {alike[name]:.3f}, other kinds {others[name]:.2f} (mean size)')
assert alike['softmax'] > alike['input'] and others['softmax'] < others['input']
