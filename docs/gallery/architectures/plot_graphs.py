"""
Graphs: a chain from a ring
===========================

``Aggregate`` sums over the neighbours of each node, with a matrix of edges for each graph: the
graph neural tangent kernel of :cite:t:`du2019`. Graphs of different sizes are padded with zeros.
To be learnt from graphs of 4 to 7 nodes: how many ends has a graph? Asked are graphs that are
larger.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import predict, stax

NODES = 16


def padded(graphs):
    """Features (one neighbour or two), and edges with each node its own neighbour."""
    x, P = np.zeros((len(graphs), NODES, 2)), np.zeros((len(graphs), NODES, NODES))
    for n, edges in enumerate(graphs):
        for i, j in edges:
            P[n, i, j] = P[n, j, i] = 1
        x[n] = P[n].sum(0)[:, None] == [1, 2]
        there = np.unique(edges)
        P[n, there, there] = 1
    return x, P


def chain(m):
    return [(i, i + 1) for i in range(m - 1)]


def ring(m):
    return chain(m) + [(m - 1, 0)]


x_train, P_train = padded([shape(m) for m in range(4, 8) for shape in (chain, ring)])
y_train = np.array([[2.], [0.]] * 4)
sizes = np.arange(4, NODES + 1)

# %%
# Two blocks, then the sum of all nodes. Without biases nodes that were added stay zero.

block = stax.Aggregate(), stax.Dense(1, 2 ** .5), stax.Relu(), stax.Dense(1, 2 ** .5), stax.Relu()
net = stax.serial(*block, *block, stax.GlobalSumPool(), stax.Dense(1))
predict_fn = predict.gradient_descent_mse_ensemble(
    net.kernel_fn, x_train, y_train, diag_reg=1e-6, pattern=P_train)

ax = plt.subplots(layout='constrained')[1]
means = {}
for name, shape, style in (('chain', chain, 'o-'), ('ring', ring, 's--')):
    x, P = padded([shape(m) for m in sizes])
    means[name], covariance = predict_fn(x_test=x, get='ntk', compute_cov=True,
                                         pattern=P)
    sd = np.diagonal(covariance).clip(0) ** .5
    ax.errorbar(sizes, means[name][:, 0], 2 * sd, fmt=style, capsize=3,
                label=f'{name}, mean ± 2 sd')
ax.axvspan(3.8, 7.2, color='gray', alpha=.15, label='sizes to learn from')
ax.set(xlabel='nodes', ylabel='predicted number of ends', ylim=(-1.5, 3.5))
ax.legend()
plt.show()

# %%
off = max(abs(means['chain'] - 2).max(), abs(means['ring']).max())
print(f'off by {off:.1e} at most, up to {NODES} nodes')
assert off < .01
