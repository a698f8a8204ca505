"""Which inputs are the same is a matter of place, not of value: Dropout tells them apart, on every path alike.

The whole call is the truth, and it is checked by hand: K of an input with itself is K / rate, of equal ones K.
"""
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import numpy
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tolerances import assert_close

from ntref import batch, stax
from ntref.oracle import certify
from ntref.predict import log_marginal_likelihood_gradient
from ntref.predict.out_of_core import ComputedKernel
from ntref.recursion import tiled
from ntref.stax import Aggregate, Conv, Dense, Dropout, FanInSum, Flatten, GlobalAvgPool, Relu, parallel, serial

NTK = 'nngp', 'ntk'
NETWORKS = {                                                       # with the shape of an input
    'flat': (serial(Dense(8, 1.4, .2), Relu(), Dropout(.5), Dense(8), Relu(), Dropout(.7), Dense(1)), (3,)),
    'pooled': (serial(Conv(8, (2,)), Relu(), Dropout(.5), Conv(8, (2,)), Relu(), GlobalAvgPool()), (4, 2)),
    'flattened': (serial(Conv(8, (2,), b_std=.1), Relu(), Dropout(.5), Flatten(), Dense(1)), (4, 2)),
    'positions': (serial(Conv(8, (2,)), Relu(), Dropout(.5), Conv(8, (1,))), (3, 2)),
    'test mode': (serial(Dense(8), Relu(), Dropout(.5, 'test'), Dense(1)), (3,))}
SECOND = {                                                         # of x1
    'None': lambda x: None, 'a copy': numpy.copy, 'itself': lambda x: x, 'the first rows': lambda x: x[:3].copy(),
    'shared rows': lambda x: numpy.concatenate([x[:2], -x[2:4], x[4:]]), 'another order': lambda x: x[::-1].copy()}
INPUTS = {
    'different': lambda rng, shape: rng.standard_normal((6, *shape)),
    'repeated': lambda rng, shape: rng.standard_normal((3, *shape))[[0, 1, 0, 1, 0, 2]],
    'equal': lambda rng, shape: numpy.repeat(rng.standard_normal((1, *shape)), 6, 0)}


def drawn(rng, name, inputs, second):
    net, shape = NETWORKS[name]
    x = INPUTS[inputs](rng, shape)
    return net, x, SECOND[second](x)


def in_threads(f, size):
    def batched(*arguments, **options):
        with ThreadPoolExecutor(2) as executor:
            return batch(f, size, executor=executor)(*arguments, **options)
    return batched


PATHS = {**{f'batch {size}': lambda f, size=size: batch(f, size) for size in (1, 4)},
         'executor 2': lambda f: in_threads(f, 2)}


@pytest.mark.parametrize('second', SECOND)
@pytest.mark.parametrize('name, inputs', [*((name, 'repeated') for name in NETWORKS), ('flat', 'different'),
                                          ('flat', 'equal')])
def test_tiles_are_the_whole(name, inputs, second, rng):
    net, x, y = drawn(rng, name, inputs, second)
    whole = net.kernel_fn(x, y, NTK)
    for path in PATHS.values():
        for found, k in zip(path(net.kernel_fn)(x, y, NTK), whole):
            assert_close(found, k, 'slice', abs(k).max())


@pytest.mark.parametrize('second', SECOND)
@pytest.mark.parametrize('inputs', INPUTS)
def test_by_hand(inputs, second, rng):
    """K / rate where an input meets itself, and nowhere else."""
    net, x, y = drawn(rng, 'flat', inputs, second)
    before = serial(*net.layers[:2])
    is_one = second in ('None', 'a copy', 'itself') or inputs == 'equal' and second == 'another order'
    k = before.kernel_fn(x, y, 'nngp')
    found = serial(before, Dropout(.5)).kernel_fn(x, y, 'nngp')
    assert_allclose(found, k * (1 + numpy.eye(6)) if is_one else k, rtol=1e-14)


@pytest.mark.parametrize('second', ['None', 'a copy', 'the first rows'])
@pytest.mark.parametrize('name', ['flat', 'positions'])
def test_a_store(name, second, rng, tmp_path):
    pytest.importorskip('zarr')
    net, x, y = drawn(rng, name, 'repeated', second)
    whole = net.kernel_fn(x, y, 'ntk')
    found = batch(net.kernel_fn, 2, out=tmp_path / 'k.zarr')(x, y, 'ntk')
    assert_close(numpy.asarray(found), whole, 'slice', abs(whole).max())


@pytest.mark.parametrize('second', ['None', 'a copy', 'the first rows'])
@pytest.mark.parametrize('name', ['flat', 'positions'])
def test_certificates(name, second, rng, monkeypatch):
    """Certified values are those of float64, to its digits; in tiles whose rows equal their columns."""
    monkeypatch.setattr(import_module('ntref.oracle.certify'), 'SIDE', 2)
    net, x, y = drawn(rng, name, 'repeated', second)
    found = certify(net, x, y, 'nngp', 16)
    assert found.digits == 16 and found.ulps64.max() < 64
    assert_close(found.float64, net.kernel_fn(x, y, 'nngp'), 'slice', abs(found.got64).max())


@pytest.mark.parametrize('second', ['None', 'a copy', 'the first rows'])
@pytest.mark.parametrize('name', ['pooled', 'flattened'])
def test_masks(name, second, rng):
    """Padded inputs in tiles; of equal values with other masks they are others."""
    net, shape = NETWORKS[name]
    x = INPUTS['repeated'](rng, shape)
    x[[1, 3, 4], -1] = numpy.nan
    x[4] = x[1]
    y = SECOND[second](x)
    whole = net.kernel_fn(x, y, NTK, mask_constant=numpy.nan)
    for path in PATHS.values():
        for found, k in zip(path(net.kernel_fn)(x, y, NTK, mask_constant=numpy.nan), whole):
            assert_close(found, k, 'slice', abs(k).max())
    zeros = numpy.nan_to_num(x)
    others = net.kernel_fn(x, zeros, 'nngp', mask_constant=numpy.nan)
    assert_close(batch(net.kernel_fn, 2)(x, zeros, 'nngp', mask_constant=numpy.nan), others, 'slice', abs(others).max())
    assert not net.kernel_fn(x, zeros, mask_constant=numpy.nan).x1_is_x2


@pytest.mark.parametrize('second', ['None', 'a copy', 'the first rows'])
@pytest.mark.parametrize('is_other', [False, True])
def test_graphs(second, is_other, rng):
    """Equal inputs on other graphs are others, also where some of the graphs agree."""
    net = serial(Dense(6), Relu(), Dropout(.5), Aggregate(), Dense(6), GlobalAvgPool())
    x = rng.standard_normal((3, 4, 2))[[0, 1, 0, 1, 2]]
    P = rng.random((3, 4, 4))[[0, 1, 0, 1, 2]]
    y = SECOND[second](x)
    Q = P[:len(x if y is None else y)].copy()
    if is_other and y is not None:
        Q[0] = Q[0] + 1.
    pattern = P if y is None else (P, Q)
    whole = net.kernel_fn(x, y, NTK, pattern=pattern)
    for path in PATHS.values():
        for found, k in zip(path(net.kernel_fn)(x, y, NTK, pattern=pattern), whole):
            assert_close(found, k, 'slice', abs(k).max())


@pytest.mark.parametrize('part', [0, 1])
def test_inputs_of_several_parts(part, rng):
    """An input is all that is given: with another second part it is another one."""
    branch = serial(Dense(8), Relu(), Dropout(.5), Dense(8))
    net = serial(parallel(branch, branch), FanInSum())
    x = [rng.standard_normal((4, d)) for d in (2, 3)]
    y = [a.copy() for a in x]
    same = net.kernel_fn(x, y, 'nngp')
    assert_array_equal(same, net.kernel_fn(x, None, 'nngp'))
    y[part][3] += 1.
    other = net.kernel_fn(x, y, 'nngp')
    assert numpy.diagonal(other)[:3] == pytest.approx(numpy.diagonal(net.kernel_fn(x, None, 'nngp'))[:3] / 2, rel=.5)
    assert (numpy.diagonal(other)[:3] < .9 * numpy.diagonal(same)[:3]).all()
    for size in 1, 2, 3, 4:
        assert_close(batch(net.kernel_fn, size)(x, y, 'nngp'), other, 'slice', abs(other).max())
        assert_close(batch(net.kernel_fn, size)(x, [a.copy() for a in x], 'nngp'), same, 'slice', abs(same).max())


PARTS = [(slice(0, 2), slice(None)), (slice(1, 4), slice(2, 6)), ([0, 4, 2], [2, 2, 0, 5]), ([5], slice(None)),
         (slice(0, 6, 2), slice(0, 3)), (slice(0, 1), slice(2, 3)), (slice(3, 6), slice(3, 6))]


@pytest.mark.parametrize('second', ['None', 'a copy', 'the first rows'])
@pytest.mark.parametrize('name', ['flat', 'pooled', 'positions'])
def test_parts_that_are_computed_where_they_are_read(name, second, rng):
    net, x, y = drawn(rng, name, 'repeated', second)
    whole = net.kernel_fn(x, y, 'ntk')
    k = ComputedKernel(net.kernel_fn, x, y, 'ntk')
    for rows, columns in PARTS:
        if y is None or len(y) == len(x) or isinstance(columns, slice):
            expected = whole[rows][:, columns]
            assert_close(k[rows, columns], expected, 'slice', abs(whole).max())


def test_gradients_of_the_evidence(rng, monkeypatch):
    """Rows that are repeated, in blocks of a few, as in one piece."""
    from ntref.predict import network_evidence
    x, y = numpy.tile(rng.standard_normal((4, 3)), (2, 1)), rng.standard_normal((8, 1))

    def net_fn(W_std):
        return serial(Dense(1, W_std), Relu(), Dropout(.5), Dense(1))
    whole = log_marginal_likelihood_gradient(net_fn, x, y, {'W_std': 1.3}, diag_reg=.1)
    for side in 4, 5:
        monkeypatch.setattr(network_evidence, 'ENTRIES', 4 * side ** 2)
        value, gradient = log_marginal_likelihood_gradient(net_fn, x, y, {'W_std': 1.3}, diag_reg=.1)
        assert value == pytest.approx(whole[0], rel=1e-12)
        assert gradient['W_std'] == pytest.approx(whole[1]['W_std'], rel=1e-10)


def test_many_rows_repeated_once(rng):
    """As many as fill a block."""
    x, y = numpy.tile(rng.standard_normal((256, 2)), (2, 1)), rng.standard_normal((512, 1))

    def net_fn(W_std):
        return serial(Dense(1, W_std), Relu(), Dropout(.5), Dense(1))
    _, gradient = log_marginal_likelihood_gradient(net_fn, x, y, {'W_std': 1.3}, diag_reg=.1)
    values = [log_marginal_likelihood_gradient(net_fn, x, y, {'W_std': 1.3 + d}, diag_reg=.1)[0] for d in (1e-4, -1e-4)]
    assert gradient['W_std'] == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-6)


# ------------------------------------------------------------------ mirrored

@pytest.mark.parametrize('size', [7, 40, 0])
@pytest.mark.parametrize('dtype', ['float64', 'float32'])
def test_kernels_are_mirrored_to_the_last_bit(size, dtype, rng, tmp_path):
    """Within tiles of inputs with themselves, too."""
    net, x = serial(Dense(8, 1.3, .2), Relu(), Dense(1)), rng.standard_normal((40, 30)).astype(dtype)
    with ThreadPoolExecutor(2) as executor:
        for options in {}, {'executor': executor}, {'out': tmp_path / 'k.zarr'}:
            for y in x, None if 'out' not in options else x:
                for k in batch(net.kernel_fn, size, **options)(x, y, NTK):
                    k = numpy.asarray(k)
                    assert k.dtype == dtype
                    assert_array_equal(k, k.T)


def test_matrices_that_are_not_symmetric_are_mirrored(rng):
    """The upper half is that of the kernel function."""
    a = rng.standard_normal((5, 5))
    k = batch(lambda i, j=None: a[i[:, 0]][:, (i if j is None else j)[:, 0]], 2)(numpy.arange(5)[:, None])
    assert_array_equal(k, numpy.triu(a) + numpy.triu(a, 1).T)


def test_certificates_are_mirrored(rng):
    found = certify(serial(Dense(1, 1.3, .2), Relu(), Dense(1)), rng.standard_normal((6, 3)), None, 'ntk', 20)
    assert (found.values == found.values.T).all()


# ------------------------------------------------------------------ the diagonal

DIAGONALS = {
    'dense': (serial(Dense(8, 1.3, .2), Relu(), Dense(8, 1.1, .3), Relu(), Dense(1)), (30,)),
    'erf': (serial(Dense(8, 1.3, .2), stax.Erf(), Dense(8), stax.Erf(), Dense(1)), (30,)),
    'gelu': (serial(Dense(8, 1.3, .2), stax.Gelu(), Dense(8), Relu(), Dense(1)), (30,)),
    'norm': (serial(Dense(8, 1.3, .2), Relu(), Dense(8), stax.LayerNorm(), Relu()), (30,)),
    'dropout': (serial(Dense(8, 1.3, .2), Relu(), Dropout(.7), Dense(1)), (30,)),
    'input': (stax.Identity(), (30,)),
    'conv': (serial(Conv(8, (2,), padding='SAME', b_std=.2), Relu(), Conv(8, (2,)), Relu()), (4, 30)),
    'flat conv': (serial(Conv(8, (2,), b_std=.2), Relu(), Conv(8, (2,)), Relu(), Flatten(), Dense(1)), (4, 30)),
    'pooled': (serial(Conv(8, (2,), b_std=.2), Relu(), GlobalAvgPool(), Dense(1)), (4, 30))}


def own(k):
    return numpy.asarray(k)[range(len(k)), range(len(k))]


def set_sizes(monkeypatch, entries):
    monkeypatch.setattr(tiled, 'ENTRIES', entries)


DIAGONAL_PATHS = {
    'whole': lambda f, x, **o: f(x, **o).nngp, 'one name': lambda f, x, **o: f(x, None, 'nngp', **o),
    'two names': lambda f, x, **o: f(x, None, NTK, **o).nngp, **{
        f'batch {size}': lambda f, x, size=size, **o: batch(f, size)(x, None, 'nngp', **o) for size in (1, 3, 20)}}


@pytest.mark.parametrize('entries', [2 ** 18, 8])
@pytest.mark.parametrize('path', DIAGONAL_PATHS)
@pytest.mark.parametrize('name', DIAGONALS)
def test_the_diagonal_is_cov1(name, path, entries, rng, monkeypatch):
    """Bit by bit: an input is exactly itself. Tiles of images sum over channels and positions in another order."""
    net, shape = DIAGONALS[name]
    x = rng.standard_normal((7, *shape))
    set_sizes(monkeypatch, entries)
    found, cov1 = own(DIAGONAL_PATHS[path](net.kernel_fn, x)), net.kernel_fn(x).cov1
    assert_is_diagonal(found, cov1, len(shape) == 1 or path == 'whole')


def assert_is_diagonal(found, cov1, is_exact):
    if is_exact:
        assert_array_equal(found, cov1)
    else:
        assert_close(found, cov1, 'slice', abs(cov1).max())


@pytest.mark.parametrize('entries', [2 ** 18, 8])
@pytest.mark.parametrize('layer', [stax.Rbf(1.), stax.Sign()], ids=repr)
def test_variances_that_are_known(layer, entries, rng, monkeypatch):
    """K of an input with itself is exactly 1, on all paths, whatever it went through before."""
    conv = Conv(8, (2,), padding='SAME', W_std=1.48, b_std=.03)
    for hidden, shape in ((Dense(8, 1.48, .03), (30,)), (conv, (4, 30))):
        net = serial(hidden, Relu(), hidden, stax.Gelu(), hidden, layer)
        x = numpy.round(rng.uniform(0, 255, (7, *shape)))
        set_sizes(monkeypatch, entries)
        for path in DIAGONAL_PATHS.values():
            k = own(path(net.kernel_fn, x))
            here = k if k.ndim == 1 else k[:, range(shape[0]), range(shape[0])]
            assert (here == 1).all()


@pytest.mark.parametrize('path', DIAGONAL_PATHS)
@pytest.mark.parametrize('name', ['conv', 'flat conv', 'pooled'])
def test_the_diagonal_is_cov1_with_masks(name, path, rng, monkeypatch):
    net, shape = DIAGONALS[name]
    x = rng.standard_normal((7, *shape))
    x[[1, 4], -1] = 100.
    set_sizes(monkeypatch, 200)
    options = {'mask_constant': 100.}
    found, cov1 = own(DIAGONAL_PATHS[path](net.kernel_fn, x, **options)), net.kernel_fn(x, **options).cov1
    assert_is_diagonal(found, cov1, path == 'whole')
    assert (found[cov1 == 0] == 0).all()
