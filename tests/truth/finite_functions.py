"""Functions f(params, x) for tests of empirical kernels, each with parameters, and their kernels by the definition."""
import autograd.numpy as np
import numpy
from autograd import jacobian
from autograd.scipy.signal import convolve

from ntref.arrays import KINDS

where = KINDS['autograd']().where          # autograd's own forgets that arrays are broadcast


def mlp(params, x):
    for W, b in params[:-1]:
        x = np.tanh(np.dot(x, W) / W.shape[0] ** .5 + b)
    W, b = params[-1]
    return np.dot(x, W) + b


def dictionary(params, x):
    h = np.maximum(x @ params['in']['W'].T, 0)
    return -(np.einsum('nj,jk->nk', h, params['out'])) - params['b']


def recurrent(params, x):
    """One matrix, transposed now and then, used in each step."""
    W, V = params
    for _ in range(3):
        x = np.tanh(x @ W + .3 * x @ np.transpose(W))
    return x @ V


def steps(params, x):
    """The same matrix in the same way, three times."""
    W, V = params
    for _ in range(3):
        x = np.sin(np.dot(x, W / 2))
    return x @ V


def multiplied(params, x):
    scale, shift, V = params
    x = (x * scale - shift) / 2
    return np.sum(x[:, :, None] * V, 1) + where(x[:, :1] > 0, scale[:3], shift[:, :3])


def mixed(params, x):
    """A parameter without a rule, one beside it, and one in both."""
    W, gate, V = params
    return np.tanh(x @ np.cumsum(W, 0) * gate) @ V


def low_rank(params, x):
    A, B = params
    return np.cos(x @ (A @ B))


def normed(params, x):
    """Weight normalization: columns of length one; the same once more, with rows in another order."""
    W, scale, V = params
    W = W / np.sqrt(np.sum(W ** 2, 0))
    return np.tanh(x @ (W * scale)) @ V + np.sum(x @ W[::-1], 1, keepdims=True)


def filtered(params, x):
    """A convolution of signals, and a product with a parameter on all sides."""
    W, v, V = params
    h = convolve(x[:, None, :], W, axes=([2], [2]), dot_axes=([1], [0]), mode='same')
    return np.reshape(np.tanh(h), (len(x), -1)) @ V + np.outer(x[:, 0], v) * W[0, 0]


def token(params, x):
    """A parameter put beside the activations."""
    cls, V = params
    beside = np.concatenate([np.broadcast_to(cls, (len(x), 1, 5)), x[:, None, :] * x[:, :1, None]], 1)
    return np.tensordot(np.tanh(beside), V, ([1, 2], [0, 1]))


def blocks(params, x):
    """One matrix out of several parameters, one of them twice, and a row of a parameter."""
    A, B, rows = params
    W = np.concatenate([A, B, A], 1) * numpy.arange(1., 6.)[:, None]
    return np.sin(x @ W)[:, :3] * rows[1] + np.stack([rows[0], rows[0]])[1]


def positions(params, x):
    """Weights that positions share, and those they do not share, and channels in front."""
    W, own, V = params
    h = np.reshape(np.stack([x, x[:, ::-1], x * x], 1), (-1, 5))                        # (3 N, 5)
    h = np.reshape(np.tanh(np.matmul(h, W)), (len(x), 3, 4))
    h = np.moveaxis(np.matmul(np.moveaxis(h, 1, 0), own), 0, 1)
    return np.einsum('npc,pck->nk', h, V)


def columns(params, x):
    """Examples along the last axis inside."""
    W, b, V = params
    h = np.tanh(W @ x.T + b[:, None])
    return np.inner(V, h.T).T


def interleaved(params, x):
    """Examples as the faster index of an axis."""
    W, V = params
    h = np.reshape(np.tanh(np.dot(W, np.reshape(np.transpose(np.stack([x, x * x]), (2, 0, 1)), (5, -1)))), (4, 2, -1))
    return np.tensordot(V, h, (0, 0)).T


def embedding(params, x):
    table, V = params
    index = (numpy.argsort(numpy.argsort(x, 1), 1)).astype(int)
    return np.sum(table[index] * x[:, :, None], 1) @ V + table[1, :3]


def straight(params, x):
    """A parameter that is added to the output, broadcast, and one that is the output."""
    W, b, c = params
    return np.dot(x, W) * c + b


def memory(params, x):
    """Rows of a parameter beside those of the inputs, which are mixed."""
    rows, W, V = params
    seen = np.concatenate([np.tanh(x @ W), rows, x @ W])
    return np.tanh(x @ seen.T @ seen / 5) @ V + rows[0, :3]


def looped(params, x):
    """Each example by itself in Python."""
    W, V = params
    return np.stack([np.dot(np.tanh(np.dot(row, W)), V) for row in x])


def shapes(rng, *shapes):
    return tuple(rng.standard_normal(shape) for shape in shapes)


FUNCTIONS = {
    'mlp': (mlp, lambda r: [shapes(r, (5, 7), (7,)), shapes(r, (7, 6), (6,)), shapes(r, (6, 3), (3,))]),
    'dictionary': (dictionary, lambda r: {'in': {'W': r.standard_normal((6, 5))}, 'out': r.standard_normal((6, 3)),
                                          'b': r.standard_normal(()), 'none': None, 'empty': ()}),
    'recurrent': (recurrent, lambda r: shapes(r, (5, 5), (5, 3))),
    'steps': (steps, lambda r: shapes(r, (5, 5), (5, 3))),
    'multiplied': (multiplied, lambda r: shapes(r, (5,), (1, 5), (5, 3))),
    'mixed': (mixed, lambda r: shapes(r, (5, 4), (4,), (4, 3))),
    'low rank': (low_rank, lambda r: shapes(r, (5, 2), (2, 3))),
    'normed': (normed, lambda r: shapes(r, (5, 4), (4,), (4, 3))),
    'filtered': (filtered, lambda r: shapes(r, (1, 2, 3), (3,), (10, 3))),
    'token': (token, lambda r: shapes(r, (1, 1, 5), (2, 5, 3))),
    'blocks': (blocks, lambda r: shapes(r, (5, 2), (5, 1), (3, 3))),
    'positions': (positions, lambda r: shapes(r, (5, 4), (3, 4, 2), (3, 2, 3))),
    'columns': (columns, lambda r: shapes(r, (4, 5), (4,), (3, 4))),
    'interleaved': (interleaved, lambda r: shapes(r, (4, 5), (4,))),
    'embedding': (embedding, lambda r: shapes(r, (5, 4), (4, 3))),
    'straight': (straight, lambda r: shapes(r, (5, 3), (1, 3), ())),
    'memory': (memory, lambda r: shapes(r, (2, 5), (5, 5), (5, 3))),
    'looped': (looped, lambda r: shapes(r, (5, 4), (4, 3))),
}

MIXING = {'memory'}


def definition(f, params, x1, x2, trace=(), diagonal=()):
    """sum over all parameters of J J', with autograd's jacobian, index by index."""
    leaves, rebuilt = [], []

    def flat(tree):
        if tree is None:
            return lambda values: None
        if isinstance(tree, dict):
            parts = {key: flat(branch) for key, branch in tree.items()}
            return lambda values: {key: part(values) for key, part in parts.items()}
        if isinstance(tree, (tuple, list)):
            parts = [flat(branch) for branch in tree]
            return lambda values: type(tree)(part(values) for part in parts)
        leaves.append(tree)
        i = len(leaves) - 1
        return lambda values: values[i]
    rebuilt = flat(params)
    total = 0
    for i, leaf in enumerate(leaves):
        def of_leaf(value, x):
            return f(rebuilt([value if i == j else other for j, other in enumerate(leaves)]), x)
        size = max(numpy.size(leaf), 1)
        J1, J2 = (jacobian(of_leaf)(leaf, x) for x in (x1, x2))
        J1, J2 = (J.reshape(*J.shape[:J.ndim - numpy.ndim(leaf)], size) for J in (J1, J2))
        total = total + numpy.tensordot(J1, J2, ([-1], [-1]))
    return picked(total, trace, diagonal)


def picked(full, trace=(), diagonal=()):
    """Out of all pairs (d1, d2, ..., d1', d2', ...): the mean over trace axes, diagonals, the rest interleaved."""
    m = full.ndim // 2
    trace, diagonal = ([axis % m for axis in axes] for axes in (trace, diagonal))
    left, right = 'abcdef'[:m], ''.join('abcdef'[i] if i in trace + diagonal else 'ABCDEF'[i] for i in range(m))
    out = ''.join(left[i] + (right[i] if i not in diagonal else '') for i in range(m) if i not in trace)
    scale = numpy.prod([full.shape[axis] for axis in trace]) if trace else 1
    return numpy.einsum(f'{left}{right}->{out}', full) / scale
