"""What implementations of the NTK are said to take: in the order of what they took, and what fits."""
import logging
import tracemalloc

import autograd.numpy as np
import numpy
import pytest
from finite_functions import FUNCTIONS, definition

from ntref import NtkImplementation, empirical_kernel_fn, empirical_ntk_fn
from ntref.empirical import kernels
from ntref.stax import Conv, Dense, Flatten, GlobalAvgPool, GlobalSelfAttention, Relu, serial


def mlp(width, depth, outputs, shape):
    return lambda rng: drawn(serial(*[Dense(width, 1.5, .1), Relu()] * depth, Dense(outputs)), shape, rng)


def cnn(channels, shape):
    layers = Conv(channels, (3, 3), padding='SAME'), Relu()
    return lambda rng: drawn(serial(*layers, *layers, GlobalAvgPool(), Dense(10)), shape, rng)


def drawn(network, shape, rng):
    init_fn, f, _ = network
    return f, init_fn(rng, shape)[1], rng.standard_normal(shape)


def function(name):
    f, make = FUNCTIONS[name]
    return lambda rng: (f, make(rng), rng.standard_normal((30, 5)))


def two(rng):
    return lambda p, x: x @ p[0] @ p[1], (rng.standard_normal((500, 800)), rng.standard_normal((800, 1))), \
        rng.standard_normal((3, 500))


MEASURED = {                # milliseconds of a processor by 1, 2, 3 with vmap_axes None, and 0
    'mlp 3 x 32': (mlp(32, 3, 10, (20, 10)), (53, 108, 43), (83, 143, 5.7)),
    'mlp 3 x 256': (mlp(256, 3, 10, (50, 100)), (2997, 1071, 2277), (1132, 882, 18)),
    'mlp 3 x 256, one output': (mlp(256, 3, 1, (200, 100)), (746, 1177, 1031), (523, 989, 11)),
    'mlp 1 x 512, 100 outputs': (mlp(512, 1, 100, (4, 100)), (426, 136, 100), (550, 178, 14)),
    'convolutions, 32 channels': (cnn(32, (8, 8, 8, 3)), (101, 208, 96), (60, 167, 20)),
    'attention': (lambda rng: drawn(serial(GlobalSelfAttention(16, 16, 16, 4, linear_scaling=False), Flatten(),
                                           Dense(2)), (6, 5, 4, 2), rng), (6.4, 13.8, 8.3), (8.7, 16.8, 3.2)),
    'recurrent': (function('recurrent'), (12.5, 25.9, 8.3), (25.9, 39.8, 2.2)),
    'looped': (function('looped'), (128, 192, 68), (10.2, 78.9, 13.7)),
    'positions': (function('positions'), (7.4, 16.0, 6.0), (14.0, 21.9, 1.3)),
    'many parameters': (two, (4.6, 2.9, 1.2), (7.7, 4.5, 1.2)),
}


@pytest.mark.parametrize('name', MEASURED)
def test_order(name, rng):
    """Those whose times differ by a factor of 3 are in their order; the least is at most twice as slow as the best."""
    make, *tables = MEASURED[name]
    f, params, x = make(rng)
    for vmap_axes, times in zip((None, 0), tables):
        cost = empirical_ntk_fn(f, (), (), vmap_axes).cost(x, None, params)
        assert list(cost) == list(NtkImplementation)[1:]
        operations = [c.operations for c in cost.values()]
        for i, j in numpy.ndindex(3, 3):
            assert times[i] < 3 * times[j] or operations[i] > operations[j], (vmap_axes, i + 1, j + 1)
        assert times[numpy.argmin(operations)] < 2 * min(times)


@pytest.mark.slow
@pytest.mark.parametrize('implementation', [1, 2, 3])
def test_memory(implementation, rng):
    """Within a factor of two of what is allocated: MB for the Jacobian, much less for the others."""
    f, params, x = mlp(256, 2, 5, (40, 100))(rng)
    ntk_fn = empirical_ntk_fn(f, (), (), 0, implementation)
    told = ntk_fn.cost(x, None, params)[implementation].bytes
    tracemalloc.start()
    try:
        ntk_fn(x, None, params)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert .5 < told / taken < 2 and (taken > 1e8 if implementation == 1 else taken < 1.5e7)


@pytest.mark.parametrize('free, best', [(None, 1), (1e12, 1), (8e6, 2)])
def test_auto_takes_the_least_that_fits(free, best, rng, monkeypatch, caplog):
    """Without room for the Jacobian (7 MB), which a parameter without a rule has: products."""
    caplog.set_level(logging.INFO, 'ntref.empirical')
    monkeypatch.setattr(kernels, 'free_beside', lambda a: free)
    x, params = rng.standard_normal((30, 50)), rng.standard_normal((50, 200)) / 50

    def f(params, x):
        return np.tanh(x @ np.cumsum(params, 0))[:, :3]
    ntk_fn = empirical_ntk_fn(f, (), (), 0, 0)
    ntk = ntk_fn(x, None, params)
    cost = ntk_fn.cost(x, None, params)
    assert [way for way in cost if 2 * cost[way].bytes <= 8e6] == [2] and min(c.bytes for c in cost.values()) > 1e4
    assert f'by {NtkImplementation(best).name}; ' in caplog.text
    told = f'{NtkImplementation(best).name} {cost[best].operations:.2g} operations, {cost[best].bytes:.2g} bytes'
    assert told in caplog.text
    assert abs(ntk - definition(f, params, x, x)).max() < 1e-12 * abs(ntk).max()


def test_by_hand():
    """x w, three examples and two outputs: Jacobians of 6 x 2 numbers; no operation is for nothing."""
    def f(params, x):
        return x * params
    for x2, sides in (None, 1), (numpy.ones((3, 2)), 2):
        cost = empirical_kernel_fn(f, ()).cost(numpy.ones((3, 2)), x2, numpy.ones(2))
        assert cost[1].bytes == sides * 6 * 2 * 8 + 2 * 6 * 6 * 8
        assert min(c.operations for c in cost.values()) > 6 * 6 * 2
    empty = empirical_ntk_fn(f).cost(numpy.ones((0, 2)), None, numpy.ones(2))
    assert [*map(tuple, empty.values())] == [(0, 0)] * 3
    float32 = empirical_ntk_fn(f, ()).cost(numpy.ones((3, 2), 'f4'), None, numpy.ones(2, 'f4'))
    assert float32[1].bytes == 6 * 2 * 4 + 2 * 6 * 6 * 4


def test_a_fallback_costs_its_jacobian(rng):
    """A parameter without a rule: structured derivatives take as long as the definition, and its memory."""
    x, W = rng.standard_normal((30, 50)), rng.standard_normal((50, 200))
    for f, ratio in (lambda p, x: np.tanh(x @ np.cumsum(p, 0)), (.9, 1.3)), (lambda p, x: np.tanh(x @ p), (0, .2)):
        cost = empirical_ntk_fn(f, vmap_axes=0).cost(x, None, W)
        assert ratio[0] <= cost[3].operations / cost[1].operations <= ratio[1]
        assert (cost[3].bytes >= cost[1].bytes) == (ratio[0] > 0)
