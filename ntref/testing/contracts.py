"""Contracts of kernels, each compared with the same kernel found another way; and of the arguments of a layer.

A contract is a function of a network and of inputs (n, ...), n >= 5. It raises AssertionError if it is broken, and
returns the reason if there is nothing to check.
"""
import json
import warnings
from math import ceil, isqrt, prod
from typing import Any

import numpy
from autograd import grad

from ..engine.cover import ENTRIES
from ..recursion.kernel import Kernel
from ..stax import Dense, Layer, from_spec, serial
from ..types import Shape
from .comparing import (
    after_dense, applied, assert_close, axes_of, compare, ntk_scale, output, scale, taken,
    variances)

__all__ = ['blocks', 'coincidences', 'compose', 'derivatives', 'diagonal', 'float32', 'gaps', 'get',
           'read_only', 'same', 'shapes', 'swap', 'text', 'tiles']


def shapes(net: Layer, x: numpy.ndarray) -> None:
    """init_fn, apply_fn and kernel_fn agree on the shape of the outputs, for x1 and x2 and for x1 alone."""
    shape, params = net.init_fn(1, x.shape)
    signal = output(net, x.shape)
    n = signal.inputs
    k = net.kernel_fn(x, taken(net, x, slice(3)))
    one = net.kernel_fn(x)
    assert k.shape1 == signal.shape == shape, f'kernel_fn says {k.shape1}, init_fn {shape}'
    assert k.shape2 == tuple(3 if i == k.batch_axis else m for i, m in enumerate(shape))
    assert k.batch_axis != k.channel_axis
    assert shape[k.batch_axis] == x.shape[axes_of(net)[0]]
    pairs: Shape = ()                                 # lengths of the positions, each once or twice
    for axis in signal.layout[1:]:
        pairs += (shape[axis],) if k.diagonal_spatial else (shape[axis], shape[axis])
    expected = dict(nngp=(n, 3, *pairs), ntk=(n, 3, *pairs), cov1=(n, *pairs), cov2=(3, *pairs))
    actual = {name: getattr(k, name).shape for name in expected}
    assert actual == expected, f'{actual} for outputs of shape {shape}'
    assert one.nngp.shape == one.ntk.shape == (n, n, *pairs)
    assert one.cov1.shape == (n, *pairs) and one.cov2 is None
    assert one.x1_is_x2 and not k.x1_is_x2
    z = applied(net, params, x)
    assert z is None or z.shape == shape, f'apply_fn gives {z.shape}, init_fn says {shape}'


def swap(net: Layer, x: numpy.ndarray) -> None:
    """k(y, x) is the transpose of k(x, y)."""
    y = taken(net, x, slice(2))
    x = taken(net, x, slice(2, None))
    k = net.kernel_fn(x, y)
    swapped = net.kernel_fn(y, x)
    positions = range(2, k.nngp.ndim)
    order = [1, 0, *(i if k.diagonal_spatial else i ^ 1 for i in positions)]
    assert_close(k.nngp, swapped.nngp.transpose(order), 'swap', scale(k))
    assert_close(k.ntk, swapped.ntk.transpose(order), 'swap', ntk_scale(k))
    assert_close(k.cov1, swapped.cov2, 'swap', abs(k.cov1).max())
    assert k.shape1 == swapped.shape2


def same(net: Layer, x: numpy.ndarray) -> None:
    """One argument means that argument twice: k(x) = k(x, x)."""
    one = net.kernel_fn(x)
    two = net.kernel_fn(x, x.copy())
    assert one.cov2 is None and one.x1_is_x2 and two.x1_is_x2
    compare(one, two, 'same')
    assert_close(one.cov1, two.cov2, 'same', abs(one.cov1).max())


def diagonal(net: Layer, x: numpy.ndarray) -> None:
    """cov1 is the diagonal of nngp: to rounding as the layers leave it, to the last bit as kernel_fn returns it."""
    state = Dense(5, 1.2, .3, *axes_of(net)).kernel_fn(x)
    k = net.propagate(net.laid_out(state, None))
    i = numpy.arange(len(k.nngp))
    assert_close(k.cov1, k.nngp[i, i], 'diagonal', abs(k.cov1).max())
    k = net.kernel_fn(x)
    assert (k.cov1 == k.nngp[i, i]).all(), 'the diagonal of nngp is not cov1'


def blocks(net: Layer, x: numpy.ndarray) -> str | None:
    """The kernel of some inputs, in any order, is that part of the kernel of all; or `tileable` says it is not."""
    if not net.kernel_fn.of_blocks(x):
        return 'mixes the batch'
    whole = net.kernel_fn(x)
    sizes = {'nngp': scale(whole), 'ntk': ntk_scale(whole)}
    order = numpy.random.default_rng(0).permutation(len(whole.nngp))
    last = len(order) - 1
    cases: list[tuple[Any, Any]] = [
        (slice(3), slice(3, None)), (slice(1, 2), [last, 0]), (slice(2), None), (order, None)]
    for rows, columns in cases:
        y = None if columns is None else taken(net, x, columns)
        part = net.kernel_fn(taken(net, x, rows), y)
        columns = rows if columns is None else columns
        for name, size in sizes.items():
            expected = getattr(whole, name)[rows][:, columns]
            assert_close(expected, getattr(part, name), 'slice', size[rows][:, columns])
    return None


def gaps(net: Layer, x: numpy.ndarray) -> None:
    """gap is q + q' - 2 K, area sqrt(q q' - K^2), or None; both are exactly 0 between a position and itself."""
    k = net.kernel_fn(x, taken(net, x, slice(1, 4)))
    own = net.kernel_fn(x)
    q1, q2 = variances(k)
    if k.gap is not None:
        assert_close(k.gap, q1 + q2 - 2 * k.nngp, 'gap', q1 + q2)
        assert (k.gap >= 0).all()
    if k.area is not None:
        assert_close(k.area ** 2, q1 * q2 - k.nngp ** 2, 'area', q1 * q2)
        assert (k.area >= 0).all()
    i = numpy.arange(len(own.nngp))
    left = len(own.shape1) - 2
    for name in ('gap', 'area'):
        one = getattr(own, name + '1')
        mutual = getattr(own, name)
        if one is None:
            may_be_none = not left or own.diagonal_spatial or mutual is None
            assert may_be_none, f'{name}1 is None and {name} is not'
            continue
        assert one.shape == own.cov1.shape
        if mutual is not None:
            power = 1 if name == 'gap' else 2
            size = (scale(own)[i, i] ** power).max() or 1.
            assert_close(one ** power, mutual[i, i] ** power, name, size)
        axes = [0, *(axis for n in range(1, left + 1) for axis in (n, n))]
        here = numpy.einsum(one, axes, range(left + 1))
        assert (here == 0).all(), f'{name}1 of a position with itself: {here.max():.3g}'


def get(net: Layer, x: numpy.ndarray) -> None:
    """`get` names what is returned, with the numbers that the whole Kernel has."""
    y = taken(net, x, slice(2))
    x = taken(net, x, slice(2, None))
    k = net.kernel_fn(x, y)
    assert type(k) is Kernel
    both = net.kernel_fn(x, y, get=('ntk', 'NNGP', 'shape1'))
    assert type(both).__name__ == 'AnalyticKernel'
    assert both._fields == ('ntk', 'nngp', 'shape1')
    assert both[0] is both.ntk and (both.ntk == k.ntk).all()
    assert (both.nngp == k.nngp).all() and both.shape1 == k.shape1
    for name in ('nngp', 'ntk', 'cov1', 'cov2'):
        alone = net.kernel_fn(x, y, get=name)
        assert type(alone) is numpy.ndarray
        if x.ndim > 2 and name in ('nngp', 'ntk'):                              # in tiles
            assert_close(alone, getattr(k, name), 'slice', abs(alone).max(initial=0.))
        else:
            assert (alone == getattr(k, name)).all()


def compose(net: Layer, x: numpy.ndarray) -> None:
    """The result of kernel_fn can be fed to the next layer, as in `serial`; nngp is the same without ntk."""
    calls: list[Any] = [(x,), (x, taken(net, x, slice(2)))]
    for arguments in calls:
        state = net.kernel_fn(*arguments)
        head = Dense(5, 1.2, .3, batch_axis=state.batch_axis, channel_axis=state.channel_axis)
        after = head.kernel_fn(state)
        compare(after, serial(net, head).kernel_fn(*arguments), 'compose')
        assert (head.kernel_fn(state, get='ntk') == after.ntk).all()
    without = net.kernel_fn(x, get=('nngp', 'cov1', 'gap', 'area', 'shape1', 'shape2'))
    assert (without.nngp == net.kernel_fn(x).nngp).all(), 'nngp is another one without ntk'


def read_only(net: Layer, x: numpy.ndarray) -> None:
    """Given inputs and states are not changed."""
    given = x.copy()
    state = Dense(5, 1.2, .3, *axes_of(net)).kernel_fn(given)
    assert (given == x).all(), 'the inputs were written into'
    before = {name: a.copy() for name, a in state.asdict().items() if hasattr(a, 'copy')}
    net.kernel_fn(state)
    changed = [name for name, a in before.items() if (getattr(state, name) != a).any()]
    assert not changed, f'{", ".join(changed)} of the given Kernel written into'


def coincidences(net: Layer, x: numpy.ndarray) -> None:
    """Zero, equal, opposite, parallel and tiny inputs give finite numbers, and equal inputs give equal numbers."""
    one = taken(net, x, slice(1))
    inputs = [0 * one, 0 * one, one, one, -one, 2 * one, 1e-9 * one]
    x = numpy.concatenate(inputs, axes_of(net)[0])
    k = net.kernel_fn(x)
    for name in ('nngp', 'ntk'):
        a = getattr(k, name)
        assert numpy.isfinite(a).all(), f'{name} has NaN or infinity'
        exchanged = a[[1, 3]][:, [1, 0, 3, 2, 4, 5, 6]]
        assert_close(a[[0, 2]], exchanged, 'same', abs(a).max())


def float32(net: Layer, x: numpy.ndarray) -> None:
    """float32 inputs give float32 kernels, which agree with those of float64 to the digits of float32."""
    x = x.astype('float32')
    y = taken(net, x, [1, 0])
    calls: list[Any] = [(x,), (x, y)]
    for arguments in calls:
        k = net.kernel_fn(*arguments)
        doubles: Any = [a.astype('float64') for a in arguments]
        exact = net.kernel_fn(*doubles)
        dtypes = {name: str(getattr(k, name).dtype) for name in ('nngp', 'ntk', 'cov1')}
        assert set(dtypes.values()) == {'float32'}, dtypes
        assert_close(k.nngp.astype('float64'), exact.nngp, 'kinds: nngp', scale(exact), 'float32')
        assert_close(k.ntk.astype('float64'), exact.ntk, 'kinds: ntk', ntk_scale(exact), 'float32')


def tiles(net: Layer, x: numpy.ndarray) -> None:
    """Kernels of many inputs, which are computed in tiles if asked for by name, equal those of the whole Kernel."""
    batch, channel = (axis % x.ndim for axis in axes_of(net))
    positions = prod(n for axis, n in enumerate(x.shape) if axis not in (batch, channel))
    shape = [*x.shape]
    shape[batch] = max(8, isqrt(ceil(1.5 * ENTRIES / positions ** 2)))
    x = numpy.random.default_rng(0).standard_normal(shape)
    parts = net.kernel_fn(x, get=('nngp', 'ntk'))
    whole = net.kernel_fn(x)
    assert_close(parts.nngp, whole.nngp, 'slice', scale(whole))
    assert_close(parts.ntk, whole.ntk, 'slice', ntk_scale(whole))


# ------------------------------------------------------------------ arguments

def text(layer: Layer, x: numpy.ndarray) -> str | None:
    """to_spec, if the arguments are plain, and from_spec give the layer again."""
    try:
        spec = json.dumps(layer.to_spec())
    except ValueError:
        return 'arguments that are not plain'
    again = from_spec(json.loads(spec))
    is_same = again == layer and type(again) is type(layer) and repr(again) == repr(layer)
    assert is_same, f'{again!r} out of {spec}'
    return None


def derivatives(layer: Layer, x: numpy.ndarray) -> None:
    """Derivatives of kernels in arguments that are floats, by autograd, agree with finite differences."""
    cls = type(layer)
    y = taken(layer, x, [1, 0]) * .7
    values = {**cls.parameters(), **layer.arguments()}
    for name in [name for name, value in values.items() if type(value) is float]:
        def total(value):
            net = after_dense(cls.of(values | {name: value}), x.shape)
            k = net.kernel_fn(x, y)
            weights = numpy.cos(numpy.arange(k.nngp.size)).reshape(k.nngp.shape)
            return numpy.sum(weights * (k.nngp + k.ntk))
        value = values[name]
        h = 1e-5 * (abs(value) or 1.)
        try:
            there, here, back = (float(total(v)) for v in (value + h, value, value - h))
        except ValueError:
            continue                                            # at the end of the allowed range
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'Output seems independent')
            exact = float(grad(total)(value))
        difference = (there - back) / (2 * h)
        allowed = 1e-6 * (abs(exact) + abs(here)) + 1e-13 * abs(here) / h
        assert abs(exact - difference) <= allowed, (
            f'{name}: {exact:.8g} by autograd, {difference:.8g} by differences')
