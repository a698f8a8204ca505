"""Structured derivatives, operation by operation: right without a Jacobian, and those that have no rule."""
import logging

import autograd.numpy as np
import numpy
import pytest
from autograd.scipy import signal, special
from finite_functions import definition

from ntref import empirical_ntk_fn, stax, windows

RTOL = 1e-12                # what is promised; seen are 6e-16


def cnn(params, x):
    """A convolution as `ops` has it, windows that slide, and one whose weights positions do not share."""
    W, b, V, U = params
    seen = windows.windows(x[:, :, None] * numpy.array([1., -.5]), 1, windows.Window.of(5, 3, 1, 'SAME'))
    h = np.tanh(np.reshape(seen, (-1, 6)) @ W + b)
    h = np.reshape(h, (len(x), 5, 4))
    return np.einsum('npc,pck->nk', h, V) + np.mean(h, 1) @ U


def attention(params, x):
    Q, K, V, E = params
    t = x[:, :, None] * E
    weights = np.exp(np.einsum('nsd,ntd->nst', t @ Q, t @ K) / 4)
    return np.einsum('nst,ntd->nd', weights / np.sum(weights, 2, keepdims=True), t @ V)


def lstm(params, x):
    """One matrix for four gates, cut out of the sum; two steps."""
    W, U, b, V = params
    h = c = np.zeros((len(x), 4))
    for t in 1, 2:
        z = t * x @ W + h @ U + b
        i, f, o, g = (z[:, 4 * k:4 * k + 4] for k in range(4))
        c = special.expit(f) * c + special.expit(i) * np.tanh(g)
        h = special.expit(o) * np.tanh(c)
    return h @ V


def normalized(params, x):
    """Weight and layer normalization."""
    W, scale, gain, shift, V = params
    h = x @ (scale * W / np.sqrt(np.sum(W ** 2, 0)))
    return ((h - np.mean(h, 1, keepdims=True)) / np.std(h, axis=1, keepdims=True) * gain + shift) @ V


def conv(mode, w_first=False, **axes):
    axes = axes or {'axes': ([2], [2]), 'dot_axes': ([1], [0])}

    def f(params, x):
        W, V = params
        image = x[:, None, :]
        if w_first:
            flipped = {key: pair[::-1] for key, pair in axes.items()}
            h = np.swapaxes(signal.convolve(W, image, mode=mode, **flipped), 0, 1)
        else:
            h = signal.convolve(image, W, mode=mode, **axes)
        return np.reshape(np.tanh(h), (len(x), -1)) @ V
    return f


def rows(params, x):
    table, pairs, V = params
    i, j = (x[:, :2] > 0).astype(int), (x[:, 2:4] > 0).astype(int)
    return (np.sum(table[i], 1) + pairs[i[:, 0], j[:, 0]]) @ V


OPERATIONS = {              # what the parameters enter: the function, the shapes of the parameters
    'matmul': (lambda p, x: np.tanh(x @ p[0]) @ p[1], (5, 4), (4, 3)),
    'matmul, from the left': (lambda p, x: (p[1] @ np.tanh(p[0] @ x.T + p[2])).T, (4, 5), (3, 4), (4, 1)),
    'matmul, vectors': (lambda p, x: np.stack([np.tanh(x @ p[0]), x @ p[1]], 1), (5,), (5,)),
    'matmul, many': (lambda p, x: np.sum(np.matmul(x[:, None, None, :], p[0])[:, :, 0], 1), (2, 5, 3)),
    'dot': (lambda p, x: np.dot(np.tanh(np.dot(x, p[0])), p[1]), (5, 4), (4, 3)),
    'tensordot': (lambda p, x: np.tensordot(np.tanh(np.tensordot(x, p[0], 1)), p[1], ([1, 2], [0, 1])),
                  (5, 2, 2), (2, 2, 3)),
    'einsum': (lambda p, x: np.einsum('...i,...i,ik->...k', np.einsum('...i,ij->...j', x, p[0]), p[1], p[2]),
               (5, 4), (4,), (4, 3)),
    'einsum, axes in lists': (lambda p, x: np.einsum(x, [0, 1], p[0], [1, 2], [0, 2]), (5, 4)),
    'einsum, one array as both operands': (lambda p, x: x @ np.einsum('ij,ik->jk', p[0], p[0]), (4, 5)),
    'outer': (lambda p, x: np.tanh(np.outer(x[:, 0], p[0])) @ p[1], (4,), (4, 3)),
    'addition, broadcast': (lambda p, x: (x @ p[0] + p[1] - p[2]) * (p[3] - x[:, :1]), (5, 3), (3,), (1, 1), ()),
    'multiplication, broadcast': (lambda p, x: (x * p[0] * p[1]) @ p[2] * p[3], (5,), (1, 1), (5, 3), ()),
    'division': (lambda p, x: np.sin(x / p[0]) @ (p[1] / 3) / p[2], (5,), (5, 3), ()),
    'power': (lambda p, x: (1 + x ** 2) ** p[0], (5,)),
    'maximum': (lambda p, x: np.maximum(x, p[0]) @ p[1] + np.minimum(0., p[2]), (5,), (5, 3), (3,)),
    'where': (lambda p, x: np.where(x > 0, x, x * p[0]) @ p[1], (5,), (5, 3)),
    'reshape, transpose': (lambda p, x: np.tanh(x @ p[0].reshape((4, 5)).T) @ p[1].T, (5, 4), (3, 4)),
    'parts': (lambda p, x: np.tanh(x @ p[0][::-1, :3] + p[0][0, 3:]) @ np.flipud(p[0][:3]), (5, 6)),
    'concatenate': (lambda p, x: np.tanh(x @ np.concatenate([p[0], p[1]], 1)) @ np.vstack([p[2], p[2]]),
                    (5, 2), (5, 2), (2, 3)),
    'concatenate, beside inputs': (lambda p, x: np.tanh(np.hstack([x, np.tile(p[0], (len(x), 1))]) @ p[1]),
                                   (1, 2), (7, 3)),
    'stack': (lambda p, x: np.einsum('ni,kio->no', x, np.stack([p[0], p[1]])), (5, 2), (5, 2)),
    'pad, triangle, diagonal': (lambda p, x: x @ np.pad(p[0], ((1, 1), (0, 0)), 'constant') @ np.tril(p[1])
                                @ np.diag(p[2]), (3, 4), (4, 4), (4,)),
    'signal, valid': (conv('valid'), (1, 2, 3), (6, 3)), 'signal, full': (conv('full'), (1, 2, 3), (14, 3)),
    'signal, same': (conv('same'), (1, 2, 4), (10, 3)), 'signal, longer': (conv('valid'), (1, 2, 8), (8, 3)),
    'signal, weights first': (conv('valid', True), (1, 2, 4), (4, 3)),
    'signal, same, weights first': (conv('same', True), (1, 2, 8), (16, 3)),
    'signal, two axes': (conv('full', axes=([2, 1], [1, 2])), (2, 3, 2), (2 * 7 * 2, 3)),
    'several times': (lambda p, x: np.tanh(np.tanh(x @ p[0]) @ p[0] * p[1]) @ p[0].T + p[1], (5, 5), (5,)),
    'tied': (lambda p, x: np.tanh(np.tanh(x @ p[0] + p[1]) @ p[0].T) @ p[0] + p[1], (5, 3), (3,)),
    'product of two': (lambda p, x: np.tanh(x @ (p[0] * p[1])) @ (p[2] @ p[3]), (5, 4), (5, 1), (4, 2), (2, 3)),
    'sum of two': (lambda p, x: np.tanh(x @ (p[0] + p[1] @ p[2])), (5, 4), (5, 2), (2, 4)),
    'outer of two': (lambda p, x: x @ np.outer(p[0], p[1]) @ np.outer(p[1], p[2]), (5,), (4,), (3,)),
    'a function of one': (lambda p, x: np.tanh(x @ np.exp(np.sin(p[0]) ** 2).T) * np.clip(p[1], -1, 1), (4, 5), (4,)),
    'itself and a function of it': (lambda p, x: np.tanh(x @ p[0]) + np.tanh(x @ np.exp(p[0])), (5, 4)),
    'a norm': (lambda p, x: np.tanh(x @ (p[0] / np.linalg.norm(p[0]))) * (p[1] - np.mean(p[1])), (5, 4), (4,)),
    'softmax': (lambda p, x: x @ (np.exp(p[0]) / np.sum(np.exp(p[0]), 0, keepdims=True)) * special.logsumexp(p[1]),
                (5, 3), (3,)),
    'moves of what is made': (lambda p, x: x @ np.concatenate([p[0] * p[1], np.exp(p[0])]).T[:5]
                              + np.full((3,), 2.)[0] * np.reshape(p[0] * p[1], (4, 5))[:, 2], (2, 10), (2, 10)),
    'full': (lambda p, x: x @ np.full((5, 3), p[0]) + np.full((len(x), 3), p[1]), (), ()),
    'rows': (rows, (2, 4), (2, 2, 4), (4, 3)),
    'ops': (cnn, (6, 4), (4,), (5, 4, 3), (4, 3)),
    'attention': (attention, (4, 3), (4, 3), (4, 3), (5, 4)), 'lstm': (lstm, (5, 16), (4, 16), (16,), (4, 3)),
    'normalization': (normalized, (5, 4), (4,), (4,), (4,), (4, 3)),
}


def agreement(f, params, x1, x2):
    """The largest difference of the three implementations to the definition, relative to its largest entry."""
    expected = definition(f, params, x1, x2)
    return max(abs(empirical_ntk_fn(f, (), (), vmap_axes, implementation)(x1, x2, params) - expected).max()
               for vmap_axes in (None, 0) for implementation in (1, 2, 3)) / abs(expected).max()


@pytest.mark.parametrize('name', OPERATIONS)
def test_operation(name, rng, caplog):
    """Right, and without a word of a Jacobian or of examples one by one."""
    caplog.set_level(logging.INFO, 'ntref.empirical')
    f, *shapes = OPERATIONS[name]
    params = [rng.standard_normal(shape) + 2. * (name in ('division', 'power')) for shape in shapes]
    assert agreement(f, params, rng.standard_normal((4, 5)), rng.standard_normal((3, 5))) < RTOL
    assert not caplog.records


WITHOUT = {                 # no rule: the function, the parameters that are named, shapes
    'fft': (lambda p, x: np.real(np.fft.ifft(np.fft.fft(x) * np.fft.fft(p[0]))) @ p[1], [0], (5,), (5, 3)),
    'kron': (lambda p, x: np.tanh(x @ np.kron(p[0], p[1])) @ p[2] + p[3], [0, 1], (5, 2), (1, 2), (4, 3), (3,)),
    'complex': (lambda p, x: np.abs(x @ (p[0] * 1j + p[1])) @ p[2], [0, 1], (5, 3), (5, 3), (3, 3)),
    'cumsum': (lambda p, x: x @ np.cumsum(p[0], 0) @ p[1], [0], (5, 4), (4, 3)),
    'beside one with a rule': (lambda p, x: np.sin(x @ (np.exp(p[0]) * np.cumsum(p[1], 0) + p[2])), [1], *[(5, 4)] * 3),
    'both': (lambda p, x: x @ (p[0] * p[1]) + x @ np.cumsum(p[1], 0), [0, 1], (5, 4), (5, 4)),
    'split': (lambda p, x: x @ np.split(p[0], 2, 1)[1] @ p[1], [0], (5, 4), (2, 3)),
}


@pytest.mark.parametrize('name', WITHOUT)
def test_no_rule(name, rng, caplog):
    """The Jacobian of these parameters alone, and it is said of which."""
    caplog.set_level(logging.INFO, 'ntref.empirical')
    f, named, *shapes = WITHOUT[name]
    params = [rng.standard_normal(shape) for shape in shapes]
    assert agreement(f, params, rng.standard_normal((4, 5)), rng.standard_normal((3, 5))) < RTOL
    found = {int(part[0]) for r in caplog.records for part in r.getMessage().split('params[')[1:]}
    reasons = 'there is no rule for argument', 'gives several arrays'
    assert found == set(named)
    assert any(reason in r.getMessage() for r in caplog.records for reason in reasons)


def test_fallback_takes_the_others_by_rules(rng, monkeypatch):
    """Of a network with one strange layer, only its parameter has a Jacobian."""
    taken = []
    module = empirical_ntk_fn.__globals__['structured_ntk'].__globals__
    original = module['jacobian_ntk']
    monkeypatch.setitem(module, 'jacobian_ntk', lambda *a: taken.append(a[3]) or original(*a))
    init_fn, f, _ = stax.serial(stax.Dense(6), stax.Relu(), stax.Dense(3))
    _, params = init_fn(rng, (3, 5))
    both = [params, rng.standard_normal((5, 5))]
    x = rng.standard_normal((3, 5))
    empirical_ntk_fn(lambda p, x: f(p[0], x @ np.cumsum(p[1], 1)), vmap_axes=0, implementation=3)(x, None, both)
    assert taken == [[2]]
