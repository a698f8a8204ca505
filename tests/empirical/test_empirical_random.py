"""Random networks: three implementations of the NTK against its definition."""
import autograd.numpy as np
import numpy
from autograd.scipy.signal import convolve
from finite_functions import definition
from hypothesis import given, settings
from hypothesis import strategies as st

from ntref import empirical_ntk_fn

WIDTH, RTOL = 4, 1e-12
SETTINGS = settings(derandomize=True, deadline=None, max_examples=100, database=None)

PARAMETERS = {              # what parameters can be made of, all (WIDTH, WIDTH), and the shapes of those
    'itself': (lambda W: W, (4, 4)), 'transposed': (lambda W: np.transpose(W), (4, 4)),
    'reshaped': (lambda W: np.reshape(W, (4, 4)) / 2, (2, 8)), 'scaled': (lambda W: -W * numpy.arange(4.), (4, 4)),
    'flipped': (lambda W: W[::-1], (4, 4)), 'twice': (lambda W: np.concatenate([W, 2 * W], 1), (4, 2)),
    'stacked': (lambda W: np.stack([W, W[::-1], W, -W]), (4,)), 'sine': (lambda W: np.sin(W), (4, 4)),
    'square': (lambda W: W @ W, (4, 4)), 'entrywise': (lambda W: W * np.transpose(W), (4, 4)),
    'normalized': (lambda W: W / np.sqrt(1 + np.sum(W ** 2, 0)), (4, 4)), 'padded': (
        lambda W: np.pad(W, ((1, 0), (0, 2)), 'constant'), (3, 2)),
    'summed': (lambda W: np.cumsum(W, 0), (4, 4)),          # no rule
}
LAYERS = {                  # of states (N, WIDTH), and a matrix
    'matmul': lambda x, W: x @ W, 'einsum': lambda x, W: np.einsum('ji,nj->ni', W, x),
    'tensordot': lambda x, W: np.tensordot(x, W, ([1], [0])), 'inner': lambda x, W: np.inner(x, W),
    'columns': lambda x, W: np.dot(W, x.T).T, 'shift': lambda x, W: W[1] - x, 'scale': lambda x, W: x * W[0],
    'divide': lambda x, W: x / (2 + W[2] ** 2), 'maximum': lambda x, W: np.maximum(x, W[3]),
    'residual': lambda x, W: x + np.sin(x @ W),
    'beside': lambda x, W: np.concatenate([x[:, :2], np.tanh(x @ W)], 1)[:, :4],
    'positions': lambda x, W: np.mean(np.tanh(np.matmul(x[:, None] * numpy.ones((3, 1)), W)), 1),
    'own positions': lambda x, W: np.einsum('npi,pi->np', x[:, None] * numpy.ones((4, 1)), W),
    'signal': lambda x, W: convolve(x, W[1, :3], axes=([1], [0]), mode='same'),
    'tanh': lambda x, W: np.tanh(x), 'gate': lambda x, W: x * np.tanh(x @ W),
}


@st.composite
def networks(draw):
    """f, its parameters, x1, x2: matrices that several layers may share, in any order."""
    kinds = draw(st.lists(st.sampled_from(sorted(PARAMETERS)), min_size=1, max_size=3))
    layers = draw(st.lists(st.tuples(st.sampled_from(sorted(LAYERS)), st.integers(0, len(kinds) - 1)), min_size=1,
                           max_size=4))
    rng = numpy.random.default_rng(draw(st.integers(0, 2 ** 16)))
    params = [rng.standard_normal(PARAMETERS[kind][1]) / 2 for kind in kinds]

    def f(params, x):
        for layer, i in layers:
            x = LAYERS[layer](x, PARAMETERS[kinds[i]][0](params[i]))
        unused = [W for i, W in enumerate(params) if all(layer == 'tanh' or i != j for layer, j in layers)]
        return x[:, :2] + sum(np.sum(W) for W in unused)
    n1, n2 = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return f, params, rng.standard_normal((n1, WIDTH)), rng.standard_normal((n2, WIDTH))


AXES = st.sampled_from([((), ()), ((1,), ()), ((), (-1,)), ((-1,), ())])


@SETTINGS
@given(networks(), AXES, st.sampled_from([None, 0]), st.booleans())
def test_all_agree(network, axes, vmap_axes, is_alone):
    f, params, x1, x2 = network
    x2 = None if is_alone else x2
    expected = definition(f, params, x1, x1 if is_alone else x2, *axes)
    for implementation in 0, 1, 2, 3:
        ntk = empirical_ntk_fn(f, *axes, vmap_axes, implementation, check=True)(x1, x2, params)
        assert ntk.shape == expected.shape
        assert abs(ntk - expected).max() <= RTOL * abs(expected).max(), implementation
