"""The stand-in for CuPy refuses what CuPy refuses, and CuPy has what the suite used on the stand-in."""
import os
import subprocess
import sys

import cupy_stand_in
import numpy
import pytest
from cupy_stand_in import installed, offered, unknown_to_cupy

from ntref import arrays

REFUSED = [
    ('numpy.asarray(x)', TypeError, 'Implicit conversion to a NumPy array is not allowed'),
    ('numpy.array([x, x])', TypeError, 'Implicit conversion'),
    ('numpy.zeros(3).__setitem__(slice(None), x)', TypeError, 'Implicit conversion'),
    ('x.__array_interface__', AttributeError, '__array_interface__'),
    ('memoryview(x)', TypeError, 'bytes-like'),
    ('range(cupy.asarray(3))', TypeError, 'integer'),
    ('hash(x)', TypeError, 'unhashable'),
    ('x + host', TypeError, 'Unsupported type'),
    ('host + x', TypeError, 'Unsupported type'),
    ('x @ host', TypeError, 'incorrect type'),
    ('numpy.eye(3) @ x', TypeError, 'incorrect type'),
    ('x == host', TypeError, 'Unsupported type'),
    ('x.__iadd__(host)', TypeError, 'Unsupported type'),
    ('x + [1., 2., 3.]', TypeError, None),
    ('x + "1"', TypeError, None),
    ('x == None', TypeError, None),
    ('x + numpy.array(1.)', TypeError, 'Unsupported type'),
    ('cupy.maximum(x, host)', TypeError, 'Unsupported type'),
    ('numpy.maximum(host, x)', TypeError, 'Unsupported type'),
    ('cupy.sqrt([1., 2.])', TypeError, 'Unsupported type'),
    ('cupy.sqrt(x, where=True)', TypeError, 'unexpected keyword'),
    ('cupy.sqrt(x, out=host)', TypeError, 'Unsupported type'),
    ('numpy.add.reduce(x)', TypeError, None),
    ('numpy.logaddexp(x, x)', TypeError, None),
    ('numpy.piecewise(x, [x > 0], [0.])', TypeError, None),
    ('numpy.concatenate([x, host])', TypeError, 'incorrect type'),
    ('numpy.dot(x, host)', TypeError, None),
    ('cupy.concatenate([x, host])', TypeError, 'incorrect type'),
    ('cupy.stack([host, x])', TypeError, 'incorrect type'),
    ('cupy.tensordot(x, host, 1)', TypeError, 'incorrect type'),
    ('cupy.einsum("i,i", x, host)', TypeError, 'incorrect type'),
    ('cupy.broadcast_to(host, (2, 3))', TypeError, 'incorrect type'),
    ('cupy.sum(host)', TypeError, 'incorrect type'),
    ('cupy.all(True)', TypeError, 'incorrect type'),
    ('cupy.sum(x, where=x > 0)', TypeError, 'unexpected keyword'),
    ('x.sum(where=x > 0)', TypeError, 'unexpected keyword'),
    ('x.sum(0, None, None, False, 0)', TypeError, 'positional'),
    ('cupy.linalg.cholesky(cupy.eye(3), upper=True)', TypeError, 'unexpected keyword'),
    ('cupy.linalg.cholesky(numpy.eye(3))', numpy.linalg.LinAlgError, None),
    ('cupyx.scipy.linalg.solve_triangular(cupy.eye(3), host)', numpy.linalg.LinAlgError, None),
    ('cupyx.scipy.linalg.solve_triangular(cupy.eye(3), cupy.eye(2))', ValueError, 'incompatible dimensions'),
    ('cupy.linalg.eigh(cupy.eye(3)).eigenvalues', AttributeError, 'eigenvalues'),
    ('cupy.where([True, False, True], x, 0.)', AttributeError, 'astype'),
    ('cupy.where(x > 0, x, host)', TypeError, 'Unsupported type'),
    ('x.__setitem__(0, host[:1])', TypeError, 'Unsupported type'),
    ('x.__setitem__([0, 1], [1., 2.])', TypeError, 'Unsupported type'),
    ('x.dot(host)', TypeError, 'incorrect type'),
    ('x.fill(host)', TypeError, 'Unsupported type'),
    ('x[1.5]', IndexError, None),
    ('bool(x)', ValueError, 'ambiguous'),
    ('float(x)', TypeError, None),
    ('iter(x.sum())', TypeError, '0-d'),
    ('len(x.sum())', TypeError, None),
    ('cupy.asarray(numpy.array([None]))', ValueError, 'Unsupported dtype'),
    ('cupy.fft', AttributeError, 'fft'),
    ('cupy.linalg.eig', AttributeError, 'eig'),
    ('cupyx.scipy.linalg.eigh', AttributeError, 'eigh'),
    ('cupyx.scipy.special.owens_t', AttributeError, 'owens_t'),
    ('x.argpartition', AttributeError, 'argpartition'),
]

ALLOWED = [
    ('x + 1', [2., 3., 4.]), ('1 - x', [0., -1., -2.]), ('numpy.float64(2) * x', [2., 4., 6.]),
    ('x ** 2', [1., 4., 9.]), ('2. ** x', [2., 4., 8.]), ('x / numpy.float32(2)', [.5, 1., 1.5]),
    ('-x', [-1., -2., -3.]),
    ('abs(-x)', [1., 2., 3.]), ('x > 1.5', [False, True, True]), ('(x > 1) & (x < 3)', [False, True, False]),
    ('~(x > 1)', [True, False, False]), ('x @ cupy.eye(3)', [1., 2., 3.]), ('x.__iadd__(1)', [2., 3., 4.]),
    ('numpy.sqrt(x * x)', [1., 2., 3.]), ('numpy.sum(x)', 6.), ('numpy.linalg.cholesky(cupy.eye(1))', [[1.]]),
    ('cupy.sqrt(4.)', 2.), ('x[[2, 0]]', [3., 1.]), ('x[numpy.array([2, 0])]', [3., 1.]), ('x[::-1]', [3., 2., 1.]),
    ('x[x > 1.5]', [2., 3.]), ('x[None, 1]', [2.]), ('x[cupy.asarray([0, 0])]', [1., 1.]), ('x[1]', 2.),
    ('x.sum()', 6.), ('x.mean()', 2.), ('x.max()', 3.), ('cupy.all(x > 0)', True),
    ('cupy.asarray([[1, 2]]).T', [[1], [2]]),
    ('cupy.einsum("i,i", x, x)', 14.), ('cupy.einsum("i,j,ij", x, x, cupy.eye(3), optimize=True)', 14.),
    ('cupy.concatenate([x, x], axis=0)', [1., 2., 3., 1., 2., 3.]), ('cupy.where(x > 1, x, 0.)', [0., 2., 3.]),
    ('cupyx.scipy.linalg.solve_triangular(2 * cupy.eye(3), x, lower=True)', [.5, 1., 1.5]),
    ('cupyx.scipy.linalg.solve_triangular(cupy.asarray([[[2.]], [[4.]]]), cupy.asarray([[1.], [1.]]))', [[.5], [.25]]),
    ('cupy.linalg.cholesky(-cupy.eye(2))', [[numpy.nan] * 2] * 2),
    ('cupyx.scipy.linalg.solve_triangular(cupy.zeros((2, 2)), cupy.zeros(2))', [numpy.nan] * 2),
]


@pytest.fixture
def names(cupy):
    return dict(cupy=cupy, cupyx=sys.modules['cupyx'], numpy=numpy, host=numpy.array([1., 2., 3.]),
                x=cupy.asarray([1., 2., 3.]))


@pytest.mark.parametrize('expression, error, message', REFUSED)
def test_refuses(names, expression, error, message):
    with pytest.raises(error, match=message):
        eval(expression, names)


@pytest.mark.parametrize('expression, value', ALLOWED)
def test_allows(names, expression, value):
    found = eval(expression, names)
    assert type(found) is names['cupy'].ndarray
    assert found.shape == numpy.shape(value) and found.dtype == numpy.asarray(value).dtype
    numpy.testing.assert_array_equal(found.get(), value)


def test_precision_follows_nep_50(cupy):
    x = cupy.asarray(numpy.ones(2, 'float32'))
    assert (x * 2.).dtype == (x * numpy.float32(2)).dtype == x.sum().dtype == 'float32'
    assert (x * numpy.float64(2)).dtype == (x * cupy.asarray(2.)).dtype == 'float64'


def test_conversions_that_wait_for_the_device(cupy):
    x = cupy.asarray([3.])
    assert [type(a) for a in (float(x[0]), int(x[0]), complex(x[0]), bool(x > 2))] == [float, int, complex, bool]
    assert float(x[0]) == int(x[0]) == complex(x[0]) == x.item() == x.tolist()[0] == 3 and bool(x > 2)
    assert type(x.get()) is numpy.ndarray and type(cupy.asnumpy(x)) is numpy.ndarray


def test_no_memory_is_shared_with_the_host(cupy):
    host = numpy.zeros(2)
    x = cupy.asarray(host)
    x[0] = 1.
    x.get()[1] = 5.
    assert host.tolist() == [0., 0.] and x.tolist() == [1., 0.]


def test_views_share_memory_on_the_device(cupy):
    x = cupy.zeros((2, 3))
    x.T[0] = 1.
    cupy.asarray(x)[1, 2] = 2.
    assert x.tolist() == [[1., 0., 0.], [1., 0., 2.]]


def test_a_foreign_operand_is_left_the_last_word(cupy):
    class Foreign:
        __array_ufunc__ = None

        def __radd__(self, other):
            return 'radd'

        def __rmatmul__(self, other):
            return 'rmatmul'

    x = cupy.asarray([1.])
    assert x + Foreign() == 'radd' and x @ Foreign() == 'rmatmul'


def test_kind_reads_cupy(cupy):
    x = cupy.zeros(2)
    assert arrays.kind(x) == 'cupy' and arrays.is_array(x) and repr(arrays.namespace(x)) == '<ntref namespace: cupy>'


def test_installed_restores_what_was_there():
    before = {name: module for name, module in sys.modules.items() if name.startswith('cupy')}
    loaded = arrays._loaded.get('cupy')
    with installed() as outer:
        arrays.namespace(outer.zeros(1))
        with installed() as inner:
            assert sys.modules['cupy'] is inner and 'cupy' not in arrays._loaded
        assert sys.modules['cupy'] is outer and arrays._loaded['cupy'].zeros is outer.zeros
    assert {name: module for name, module in sys.modules.items() if name.startswith('cupy')} == before
    assert arrays._loaded.get('cupy') is loaded


def test_installed_hides_a_real_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cupy', real := object())
    monkeypatch.setitem(sys.modules, 'cupy._core', core := object())
    with installed() as module:
        assert sys.modules['cupy'] is module and 'cupy._core' not in sys.modules
    assert sys.modules['cupy'] is real and sys.modules['cupy._core'] is core


# ------------------------------------------------------------------ against the real CuPy

def real_cupy_has(used):
    unknown = unknown_to_cupy(used)
    if unknown is None:
        if os.environ.get('NTREF_REQUIRE_CUPY') == '1':
            pytest.fail('NTREF_REQUIRE_CUPY=1, but CuPy cannot be imported: pip install .[cupy12]')
        pytest.skip('CuPy is not installed, so nothing can be asked of it')
    return unknown


def test_use_is_recorded(cupy, monkeypatch):
    monkeypatch.setattr(cupy_stand_in, 'USED', set())
    x = cupy.zeros((2, 2), dtype='float32')
    cupy.sum(x.T + 1, axis=0)
    x.astype(dtype='float64')
    assert cupy_stand_in.USED == {('cupy.zeros', ('dtype',)), ('cupy.sum', ('axis',)), ('cupy.ndarray.T', ()),
                                  ('cupy.ndarray.__add__', ()), ('cupy.add', ()), ('cupy.ndarray.astype', ('dtype',))}


@pytest.mark.parametrize('name, keywords, answer', [
    ('cupy.sqroot', [], 'CuPy has no cupy.sqroot'),
    ('cupy.linalg.eig_of_something', [], 'CuPy has no cupy.linalg.eig_of_something'),
    ('cupyx.scipy.nowhere.erf', [], 'CuPy has no cupyx.scipy.nowhere.erf'),
    ('cupy.ndarray.byte_order', [], 'CuPy has no cupy.ndarray.byte_order'),
    ('cupy.sum', ['axis', 'where'], "cupy.sum of CuPy takes no keyword 'where'"),
    ('cupy.sqrt', ['out', 'where'], "cupy.sqrt of CuPy takes no keyword 'where'"),
    ('cupy.einsum', ['optimize', 'order'], "cupy.einsum of CuPy takes no keyword 'order'"),
    ('cupy.matmul', ['out', 'where'], "cupy.matmul of CuPy takes no keyword 'where'"),
    ('cupy.ndarray.sum', ['axis', 'where'], "cupy.ndarray.sum of CuPy takes no keyword 'where'"),
    ('cupyx.scipy.linalg.solve_triangular', ['lower', 'upper'],
     "cupyx.scipy.linalg.solve_triangular of CuPy takes no keyword 'upper'"),
])
def test_what_cupy_lacks_is_reported(name, keywords, answer):
    assert real_cupy_has({(name, tuple(keywords)), ('cupy.sum', ('axis',))}) == [answer]


def test_cupy_has_all_that_the_stand_in_offers():
    assert real_cupy_has(offered()) == []


def test_the_alphabet_is_offered(cupy):
    xp = arrays.namespace(cupy.zeros(1))
    assert [name for name in arrays.ALPHABET if not hasattr(xp, name)] == []


def test_without_cupy_the_comparison_skips_or_fails(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], 'unknown_to_cupy', {}.get)
    monkeypatch.delenv('NTREF_REQUIRE_CUPY', raising=False)
    with pytest.raises(pytest.skip.Exception):
        real_cupy_has('anything')
    monkeypatch.setenv('NTREF_REQUIRE_CUPY', '1')
    with pytest.raises(pytest.fail.Exception):
        real_cupy_has('anything')


@pytest.mark.last
def test_cupy_has_all_that_the_suite_used(cupy):
    assert len(cupy_stand_in.USED) > 20, 'hardly anything ran on the stand-in: is the record broken?'
    assert real_cupy_has(cupy_stand_in.USED) == []


FOLLOWED = """
import operator, sys
import cupy, cupy_stand_in, numpy
try:
    if cupy.cuda.runtime.getDeviceCount():
        sys.exit(cupy_stand_in.NO_CUPY)          # there a kernel would read memory of the host as its own
except cupy.cuda.runtime.CUDARuntimeError:
    pass
cupy_stand_in._without_cuda_libraries()
from autograd import numpy as np
from autograd.core import VJPNode
from autograd.tracer import new_box
from ntref.arrays import kind, namespace
from ntref.autograd_on_device import follow_on_device
follow_on_device()
host = numpy.arange(24.)
memory = cupy.cuda.UnownedMemory(host.ctypes.data, host.nbytes, host, 0)
a = cupy.ndarray((2, 3, 4), 'float64', cupy.cuda.MemoryPointer(memory, 0))
box = new_box(a, 0, VJPNode.new_root())
xp = namespace(box, a)
assert kind(box) == xp.kind == 'autograd.cupy'
assert (box.shape, box.ndim, box.size, box.dtype) == ((2, 3, 4), 3, 24, 'f8')
views = [lambda x: xp.reshape(x, (6, 4)), lambda x: x.reshape(-1, 3), lambda x: x.T, lambda x: x.swapaxes(0, 1)]
views += [lambda x: np.transpose(x, (2, 0, 1)), lambda x: xp.moveaxis(x, 0, 2), lambda x: xp.expand_dims(x, 1)]
views += [lambda x: xp.moveaxis(x, range(2), range(1, 3)), lambda x: x.ravel(), lambda x: x[1:, ..., ::2]]
views += [lambda x: np.squeeze(x[:1], 0)[None]]
for i, f in enumerate(views):
    there, here = f(box), f(new_box(host.reshape(2, 3, 4), 0, VJPNode.new_root()))
    assert there.shape == here.shape and type(there._value) is cupy.ndarray, i
    if there.size == 24:
        back, = there._node.vjp(there._value)
        assert type(back) is cupy.ndarray and back.size == 24, i
kernels = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.lt, operator.eq]
kernels = [lambda x, f=f, swap=swap: f(a, x) if swap else f(x, a) for f in kernels for swap in (True, False)]
kernels += [lambda x: a[0] @ x[1].T, lambda x: x[1] @ a[0].T, lambda x: x.sum()]
kernels += [lambda x: xp.sum(x, axis=1, keepdims=True)]
kernels += [lambda x: x.max(axis=0), lambda x: xp.exp(x), lambda x: abs(x), lambda x: -x, lambda x: 2 ** x]
kernels += [lambda x: xp.where(a > 0, x, 0.), lambda x: xp.concatenate([x, a]), lambda x: xp.stack([x, x])]
kernels += [lambda x: xp.einsum('ijk,ijl->kl', x, a), lambda x: xp.tensordot(x, a, 3), lambda x: x[[0, 0]]]
kernels += [lambda x: xp.erf(x), lambda x: xp.cholesky(x[0, :, :3])]
kernels += [lambda x: np.where(x._value > 0, x, 0.), lambda x: np.concatenate([x, x]), lambda x: x.astype('float32')]
for i, f in enumerate(kernels):
    try:
        f(box)
    except cupy.cuda.runtime.CUDARuntimeError:
        continue                                 # as far as one comes without a device
    raise AssertionError(f'kernel {i} was not reached')
"""


def test_autograd_follows_arrays_of_the_real_cupy():
    """As far as one comes without a device: views and their pullbacks are made, all else reaches a kernel of CuPy's."""
    run = subprocess.run([sys.executable, '-c', FOLLOWED], text=True, capture_output=True,
                         env=os.environ | {'PYTHONPATH': os.pathsep.join(map(os.path.abspath, sys.path))})
    if "No module named 'cupy'" in run.stderr or run.returncode == cupy_stand_in.NO_CUPY:
        pytest.skip('CuPy is not installed, or has a device')
    assert run.returncode == 0, run.stderr
