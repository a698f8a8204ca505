"""`classic.ntk`: the kernel of all pairs of outputs, whole and in batches."""
import tracemalloc

import autograd.numpy as np
import numpy
import pytest
from finite_functions import FUNCTIONS, definition

from ntref import classic, stax


def flat(k):
    """(n1, n2, o, o) -> (n1 o, n2 o): the outputs of an input side by side."""
    return k.transpose(0, 2, 1, 3).reshape(k.shape[0] * k.shape[2], -1)


@pytest.mark.parametrize('batch_size', [None, 1, 2, 3, 4, 9])
@pytest.mark.parametrize('name', ['mlp', 'recurrent', 'mixed', 'positions'])
def test_is_the_definition(name, batch_size, rng):
    f, make = FUNCTIONS[name]
    params, x1, x2 = make(rng), rng.standard_normal((4, 5)), rng.standard_normal((3, 5))
    ntk_fn = classic.ntk(f, batch_size)
    for other in None, x2:
        expected = definition(f, params, x1, x1 if other is None else other)
        ntk = ntk_fn(params, x1, other)
        assert expected.shape == (4, len(x1 if other is None else other), 3, 3)
        expected = flat(expected)
        assert ntk.shape == expected.shape and abs(ntk - expected).max() < 1e-12 * abs(expected).max()


def test_by_hand():
    """x W: x . x' for equal outputs, exactly; one input and none, float32."""
    x = numpy.array([[1., 2.], [0., -1.], [0., 0.]])
    for batch_size in None, 1, 2:
        ntk_fn = classic.ntk(lambda params, x: x @ params, batch_size=batch_size)
        k = ntk_fn(numpy.ones((2, 2)), x)
        assert numpy.array_equal(k, numpy.kron(x @ x.T, numpy.eye(2)))
        assert numpy.array_equal(ntk_fn(numpy.ones((2, 2)), x[:1], x), k[:2])
        assert ntk_fn(numpy.ones((2, 2), 'f4'), x.astype('f4')).dtype == 'float32'
    assert classic.ntk(lambda params, x: x @ params)(numpy.ones((2, 2)), x[:0], x).shape == (0, 6)


@pytest.mark.parametrize('batch_size', [1, 2, 3])
def test_mixing_is_noticed_in_batches(batch_size, rng):
    """And is taken as it is without: the mean over the batch is a part of f."""
    def f(params, x):
        return x @ params - np.mean(x @ params, 0)
    x, W = rng.standard_normal((6, 5)), rng.standard_normal((5, 2))
    for x1, x2 in (x, None), (x[:1], x):
        with pytest.raises(ValueError, match='one by one'):
            classic.ntk(f, batch_size)(W, x1, x2)
        expected = flat(definition(f, W, x1, x1 if x2 is None else x2))
        assert abs(classic.ntk(f)(W, x1, x2) - expected).max() < 1e-12 * max(abs(expected).max(), 1)


@pytest.mark.slow
def test_batches_save_memory(rng):
    """Of 100 inputs, 10 outputs: less than a third beyond the result."""
    init_fn, f, _ = stax.serial(stax.Dense(128), stax.Relu(), stax.Dense(10))
    x = rng.standard_normal((100, 20))
    _, params = init_fn(rng, x.shape)
    peaks = []
    for batch_size in None, 10:
        tracemalloc.start()
        try:
            ntk = classic.ntk(f, batch_size)(params, x)
            peaks.append(tracemalloc.get_traced_memory()[1] - ntk.nbytes)
        finally:
            tracemalloc.stop()
    assert ntk.shape == (1000, 1000) and peaks[1] < peaks[0] / 3


@pytest.mark.parametrize('batch_size', [0, -1, 1.5, True])
def test_bad_batches(batch_size):
    with pytest.raises(ValueError, match='ntk: batch_size'):
        classic.ntk(lambda params, x: x @ params, batch_size)
