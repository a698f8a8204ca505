"""A CPU stand-in for CuPy, as strict as CuPy is and in places stricter, so that GPU code can be tested without a GPU.

    with installed() as cupy:
        x = cupy.asarray(numpy.eye(3))          # `ntref.arrays.kind(x)` is 'cupy'

What CuPy refuses is refused: conversion to NumPy behind one's back, NumPy arrays next to device arrays, functions,
keywords and attributes CuPy does not have. Python and NumPy scalars may meet device arrays; indices may be lists
and NumPy arrays; every result is a device array, also that of a sum; cuSOLVER and cuBLAS report no failure, a
Cholesky factor of an indefinite matrix is NaN.

Stricter than CuPy: NumPy arrays as operands of `einsum`, as `reshape`'s array and as values of an indexed assignment
are refused (CuPy copies them to the device or works on the host), and indices out of bounds (CuPy wraps around).

All that is used is recorded in USED; `unknown_to_cupy` asks the real CuPy, which imports without a device, whether it
has it. Source of the rules: cupy 14.2, `cupy/_core/core.pyx`, `_kernel.pyx`, `_routines_indexing.pyx` and
`cupyx/scipy/linalg/_solve_triangular.py`.
"""
import ctypes
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import types
from contextlib import contextmanager
from functools import lru_cache
from unittest import mock

import numpy
import pytest
import scipy.linalg
import scipy.special

from ntref import arrays

# ------------------------------------------------------------------ what is offered, with CuPy's own argument names

UFUNCS = dict.fromkeys("""
    sqrt exp expm1 log log1p sin cos sinh cosh tanh abs absolute sign isfinite isnan negative positive invert floor
    frexp logical_not square conjugate
""".split(), 1) | dict.fromkeys("""
    arctan2 hypot maximum minimum add subtract multiply divide true_divide floor_divide remainder power
    less less_equal equal not_equal greater greater_equal bitwise_and bitwise_or bitwise_xor
    logical_and logical_or
""".split(), 2)
UFUNC_KEYWORDS = 'out dtype casting'
SPECIAL = 'erf', 'erfcx'

FUNCTIONS = {
    'cupy.asarray': 'a dtype order copy',
    'cupy.array': 'obj dtype copy order',
    'cupy.asnumpy': 'a stream order out blocking',
    'cupy.zeros': 'shape dtype order',
    'cupy.empty_like': 'prototype dtype order subok shape',
    'cupy.eye': 'N M k dtype order',
    'cupy.where': 'condition x y',
    'cupy.matmul': '*args out dtype casting',
    'cupy.tensordot': 'a b axes',
    'cupy.einsum': '*operands dtype optimize',
    'cupy.sum': 'a axis dtype out keepdims',
    'cupy.mean': 'a axis dtype out keepdims',
    'cupy.all': 'a axis out keepdims',
    'cupy.any': 'a axis out keepdims',
    'cupy.reshape': 'a newshape order',
    'cupy.moveaxis': 'a source destination',
    'cupy.expand_dims': 'a axis',
    'cupy.broadcast_to': 'array shape',
    'cupy.concatenate': 'tup axis out dtype casting',
    'cupy.stack': 'tup axis out dtype casting',
    'cupy.nonzero': 'a',
    'cupy.unique': 'ar return_index return_inverse return_counts axis',
    'cupy.shape': 'a',
    'cupy.ndim': 'a',
    'cupy.size': 'a axis',
    'cupy.result_type': '*arrays_and_dtypes',
    'cupy.iscomplexobj': 'x',
    'cupy.real': 'val',
    'cupy.transpose': 'a axes',
    'cupy.swapaxes': 'a axis1 axis2',
    'cupy.squeeze': 'a axis',
    'cupy.ravel': 'a order',
    'cupy.repeat': 'a repeats axis',
    'cupy.zeros_like': 'a dtype order subok shape',
    'cupy.ones_like': 'a dtype order subok shape',
    'cupy.astype': 'x dtype copy',
    'cupy.dot': 'a b out',
    'cupy.max': 'a axis out keepdims',
    'cupy.min': 'a axis out keepdims',
    'cupy.prod': 'a axis dtype out keepdims',
    'cupy.tril': 'm k',
    'cupy.diagonal': 'a offset axis1 axis2',
    'cupy.argmax': 'a axis dtype out keepdims',
    'cupy.linalg.qr': 'a mode',
    'cupy.linalg.svd': 'a full_matrices compute_uv',
    'cupy.triu': 'm k',
    'cupyx.scatter_add': 'a slices value',
    'cupy.linalg.cholesky': 'a',
    'cupy.linalg.eigh': 'a UPLO',
    'cupyx.scipy.linalg.solve_triangular': 'a b trans lower unit_diagonal overwrite_b check_finite',
}
METHODS = {
    'astype': 'dtype order casting subok copy', 'copy': 'order', 'view': 'dtype',
    'reshape': '*shape order', 'transpose': '*axes', 'swapaxes': 'axis1 axis2', 'ravel': 'order', 'flatten': 'order',
    'squeeze': 'axis', 'diagonal': 'offset axis1 axis2', 'trace': 'offset axis1 axis2 dtype out',
    'sum': 'axis dtype out keepdims', 'mean': 'axis dtype out keepdims', 'prod': 'axis dtype out keepdims',
    'var': 'axis dtype out ddof keepdims', 'std': 'axis dtype out ddof keepdims', 'cumsum': 'axis dtype out',
    'max': 'axis out keepdims', 'min': 'axis out keepdims', 'all': 'axis out keepdims', 'any': 'axis out keepdims',
    'argmax': 'axis dtype out keepdims', 'argmin': 'axis dtype out keepdims', 'nonzero': '',
    'dot': 'b out', 'take': 'indices axis out', 'fill': 'value', 'item': '', 'tolist': '',
}
ATTRIBUTES = 'shape ndim size dtype itemsize nbytes strides flags T mT real imag'.split()
OPERATORS = {
    'add': 'add', 'sub': 'subtract', 'mul': 'multiply', 'truediv': 'true_divide', 'floordiv': 'floor_divide',
    'mod': 'remainder', 'pow': 'power', 'matmul': 'matmul', 'and': 'bitwise_and', 'or': 'bitwise_or',
    'xor': 'bitwise_xor',
}
COMPARISONS = dict(lt='less', le='less_equal', eq='equal', ne='not_equal', gt='greater', ge='greater_equal')
UNARY = dict(neg='negative', pos='positive', abs='absolute', invert='invert')

MODULES = ('cupy', 'cupy.cuda', 'cupy.linalg', 'cupyx', 'cupyx.scipy', 'cupyx.scipy.special', 'cupyx.scipy.linalg')

USED = set()
"""(qualified name, names of the keywords) of everything used since the interpreter started."""

SCALARS = (bool, int, float, complex, numpy.generic)


def offered():
    """(qualified name, keywords) of everything the stand-in has, in the form of USED."""
    ufuncs = [(f'cupy.{name}', UFUNC_KEYWORDS) for name in UFUNCS]
    ufuncs += [(f'cupyx.scipy.special.{name}', UFUNC_KEYWORDS) for name in SPECIAL]
    methods = [(f'cupy.ndarray.{name}', keywords) for name, keywords in METHODS.items()]
    methods.append(('cupy.ndarray.get', 'stream order out blocking'))
    bare = [*ATTRIBUTES, *(name for name in vars(ndarray) if callable(getattr(ndarray, name)) and name not in METHODS)]
    host = {'__new__', '__init__', '__module__', '__doc__', 'get'}
    found = [*ufuncs, *FUNCTIONS.items(), *methods, ('cupy.pi', ''),
             *((f'cupy.ndarray.{name}', '') for name in bare if name not in host)]
    return {(name, tuple(k for k in keywords.split() if not k.startswith('*'))) for name, keywords in found}


# ------------------------------------------------------------------ calling NumPy, as CuPy would

def wrap(a):
    if isinstance(a, (numpy.ndarray, numpy.generic)):
        return ndarray(numpy.asarray(a))
    return tuple(map(wrap, a)) if isinstance(a, tuple) else a


def unwrap(a):
    if isinstance(a, ndarray):
        return a._host
    return type(a)(map(unwrap, a)) if type(a) in (tuple, list) else a


def indices(index):
    if isinstance(index, tuple):
        return tuple(i if isinstance(i, list) else unwrap(i) for i in index)
    return index if isinstance(index, list) else unwrap(index)


def check_scalars(*operands):
    for a in operands:
        if not isinstance(a, (ndarray, SCALARS)):
            raise TypeError(f'Unsupported type {type(a)}')


def check_arrays(error, **operands):
    for name, a in operands.items():
        if not isinstance(a, ndarray):
            raise error(f"Argument '{name}' has incorrect type (expected cupy.ndarray, got {type(a).__name__})")


def check_call(name, offered, positional, keywords):
    """Refuse arguments CuPy does not have, and host arrays given by keyword; record all other calls in USED."""
    if '*' not in offered and len(positional) > len(offered.split()):
        raise TypeError(f'{name.rpartition(".")[2]}() takes {len(offered.split())} positional arguments '
                        f'but {len(positional)} were given')
    for k, value in keywords.items():
        if k not in offered.split():
            raise TypeError(f'{name.rpartition(".")[2]}() got an unexpected keyword argument {k!r}')
        if isinstance(value, numpy.ndarray) or k == 'out' and not isinstance(value, (ndarray, type(None))):
            raise TypeError(f'Unsupported type {type(value)}')
    USED.add((name, tuple(sorted(keywords))))


def ufunc(name, numpy_ufunc):
    def call(*operands, **keywords):
        check_call(name, f'*args {UFUNC_KEYWORDS}', operands, keywords)
        check_scalars(*operands)
        return wrap(numpy_ufunc(*map(unwrap, operands), **{k: unwrap(v) for k, v in keywords.items()}))
    call.__name__ = name.rpartition('.')[2]
    return call


def function(name, keywords_offered):
    implementation = IMPLEMENTATIONS.get(name) or getattr(numpy, name.rpartition('.')[2], None)

    def call(*a, **keywords):
        check_call(name, keywords_offered, a, keywords)
        check_operands(name, a, keywords)
        return wrap(implementation(*map(unwrap, a), **{k: unwrap(v) for k, v in keywords.items()}))
    call.__name__ = name.rpartition('.')[2]
    return call


def check_operands(name, a, keywords):
    if name in ('cupy.zeros', 'cupy.eye'):
        return
    names = [n for n in FUNCTIONS[name].split() if not n.startswith('*')]
    given = dict(zip(names, a)) | keywords
    if name == 'cupy.where':
        if not isinstance(given['condition'], ndarray):
            raise AttributeError(f'{type(given["condition"]).__name__!r} object has no attribute \'astype\'')
        return check_scalars(given['x'], given['y'])
    error = numpy.linalg.LinAlgError if 'linalg' in name else TypeError
    if name == 'cupy.einsum':
        operands = a[1:] if isinstance(a[0], str) else a[:len(a) // 2 * 2:2]
    elif name == 'cupy.matmul':
        operands = a
    elif 'tup' in given:
        operands = given['tup']
    else:
        operands = [given[n] for n in ('a', 'b', 'array', 'prototype') if n in given]
    check_arrays(error, **{f'x{i}': x for i, x in enumerate(operands)})


def _cholesky(a):
    try:
        return numpy.linalg.cholesky(a)
    except numpy.linalg.LinAlgError:
        if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
            raise
        return numpy.full_like(a, numpy.nan)


def _solve_triangular(a, b, trans=0, lower=False, unit_diagonal=False, overwrite_b=False, check_finite=False):
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError('expected one square matrix or a batch of square matrices')
    if b.ndim < a.ndim - 1 or a.shape[:-1] != b.shape[:a.ndim - 1]:
        raise ValueError('incompatible dimensions')
    if b.ndim > a.ndim:
        raise ValueError('too many values to unpack (expected 2)')
    dtype = a.dtype if a.dtype.char in 'fd' else numpy.promote_types(a.dtype.char, 'f')
    columns = b[..., None] if b.ndim == a.ndim - 1 else b
    try:
        x = scipy.linalg.solve_triangular(a.astype(dtype), columns.astype(dtype), trans=trans, lower=lower,
                                          unit_diagonal=unit_diagonal, check_finite=check_finite)
    except numpy.linalg.LinAlgError:
        x = numpy.full(columns.shape, numpy.nan, dtype)
    return x.reshape(b.shape)


def _reshape(a, newshape, order='C'):
    return numpy.reshape(a, newshape, order=order if len(order) else 'C')           # None has no length: TypeError


def _ravel(a, order='C'):
    return numpy.ravel(a, order=order if len(order) else 'C')


def _scatter_add(a, slices, value):
    numpy.add.at(a, slices, value)


def _concatenate(join):
    def call(tup, axis=0, out=None, *, dtype=None, casting='same_kind'):
        return join(tup, axis, out, dtype=dtype, casting=casting)
    return call


IMPLEMENTATIONS = {
    'cupy.reshape': _reshape,
    'cupy.ravel': _ravel,
    'cupyx.scatter_add': _scatter_add,
    'cupy.concatenate': _concatenate(numpy.concatenate),
    'cupy.stack': _concatenate(numpy.stack),
    'cupy.linalg.cholesky': _cholesky,
    'cupy.linalg.eigh': lambda a, UPLO='L': tuple(numpy.linalg.eigh(a, UPLO)),
    'cupy.linalg.qr': lambda a, mode='reduced': tuple(numpy.linalg.qr(a, mode)),
    'cupy.linalg.svd': lambda *a, **keywords: tuple(numpy.linalg.svd(*a, **keywords)),
    'cupyx.scipy.linalg.solve_triangular': _solve_triangular,
}


# ------------------------------------------------------------------ the array

class ndarray:
    """`cupy.ndarray` whose device is the CPU."""

    __slots__ = ('_host',)
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, host):
        self._host = host

    def get(self, **keywords):
        out = keywords.pop('out', None)                     # the only array of the host that is allowed
        check_call('cupy.ndarray.get', 'stream order out blocking', (), keywords)
        if out is None:
            return self._host.copy()
        if out.dtype != self.dtype or out.shape != self.shape or not out.flags.c_contiguous:
            raise ValueError('out must be of this dtype and shape, and contiguous')
        out[...] = self._host
        return out

    @property
    def data(self):
        """Where the array is in the memory of the device."""
        USED.add(('cupy.ndarray.data', ()))
        return types.SimpleNamespace(ptr=self._host.ctypes.data)

    @property
    def device(self):
        USED.add(('cupy.ndarray.device', ()))
        return Device()

    def __array__(self, dtype=None, copy=None):
        raise TypeError('Implicit conversion to a NumPy array is not allowed. '
                        'Please use `.get()` to construct a NumPy array explicitly.')

    def __array_ufunc__(self, numpy_ufunc, method, *operands, **keywords):
        found = getattr(STAND_IN['cupy'], numpy_ufunc.__name__, None)
        out = keywords.get('out', ())
        if found is None or method != '__call__':
            return NotImplemented
        if not all(isinstance(a, (ndarray, numpy.ndarray, SCALARS)) for a in (*operands, *out)):
            return NotImplemented
        return found(*operands, **keywords | ({'out': out[0]} if out else {}))

    def __array_function__(self, numpy_function, kinds, a, keywords):
        module = STAND_IN.get('cupy' + numpy_function.__module__.removeprefix('numpy'))
        found = getattr(module, numpy_function.__name__, None)
        if found is None or any(k not in (ndarray, numpy.ndarray) for k in kinds):
            return NotImplemented
        return found(*a, **keywords)

    def __getitem__(self, index):
        USED.add(('cupy.ndarray.__getitem__', ()))
        return wrap(self._host[indices(index)])

    def __setitem__(self, index, value):
        USED.add(('cupy.ndarray.__setitem__', ()))
        check_scalars(value)
        self._host[indices(index)] = unwrap(value)

    def __iter__(self):
        if not self._host.ndim:
            raise TypeError('iteration over a 0-d array')
        return (self[i] for i in range(len(self._host)))

    def __len__(self):
        return len(self._host)

    def __bool__(self):
        return bool(self._host)

    def __int__(self):
        return int(self._host)

    def __float__(self):
        return float(self._host)

    def __complex__(self):
        return complex(self._host)

    def __reduce__(self):
        return ndarray, (self._host.copy(),)                # CuPy goes through the host, to the device of the reader

    def __copy__(self):
        return ndarray(self._host.copy())

    def __deepcopy__(self, memo):
        return ndarray(self._host.copy())

    def __repr__(self):
        return repr(self._host)

    def __str__(self):
        return str(self._host)

    def __format__(self, spec):
        return format(self._host, spec)


ndarray.__module__ = 'cupy'


def _attribute(name):
    def get(self):
        USED.add((f'cupy.ndarray.{name}', ()))
        return wrap(getattr(self._host, name)) if name in ('T', 'mT', 'real', 'imag') else getattr(self._host, name)
    return property(get)


def _method(name, keywords_offered):
    def call(self, *a, **keywords):
        check_call(f'cupy.ndarray.{name}', keywords_offered, a, keywords)
        if name == 'view' and a and isinstance(a[0], type) and issubclass(a[0], numpy.ndarray):
            raise TypeError('CuPy takes the numbers for addresses of objects')
        if name == 'dot':
            check_arrays(TypeError, b=a[0])
        if name == 'fill':
            check_scalars(*a)
        return wrap(getattr(self._host, name)(*map(unwrap, a), **{k: unwrap(v) for k, v in keywords.items()}))
    call.__name__ = name
    return call


def _operator(special, ufunc_name, reflected=False):
    def operate(self, other):
        USED.add((f'cupy.ndarray.{special}', ()))
        if not isinstance(other, ndarray):
            theirs = getattr(other, '__array_ufunc__', self)
            defer = theirs is None or theirs is self and getattr(other, '__array_priority__', 0) > 100
            if defer:
                return NotImplemented
        operands = (other, self) if reflected else (self, other)
        return (STAND_IN['cupy'].matmul if ufunc_name == 'matmul' else getattr(numpy, ufunc_name))(*operands)
    return operate


def _in_place(special, ufunc_name):
    def operate(self, other):
        USED.add((f'cupy.ndarray.{special}', ()))
        return getattr(STAND_IN['cupy'], ufunc_name)(self, other, out=self)
    return operate


def _unary(special, ufunc_name):
    def operate(self):
        USED.add((f'cupy.ndarray.{special}', ()))
        return getattr(STAND_IN['cupy'], ufunc_name)(self)
    return operate


def _complete():
    for name in ATTRIBUTES:
        setattr(ndarray, name, _attribute(name))
    for name, keywords in METHODS.items():
        setattr(ndarray, name, _method(name, keywords))
    for name, ufunc_name in OPERATORS.items():
        setattr(ndarray, f'__{name}__', _operator(f'__{name}__', ufunc_name))
        setattr(ndarray, f'__r{name}__', _operator(f'__r{name}__', ufunc_name, reflected=True))
        if name != 'matmul':
            setattr(ndarray, f'__i{name}__', _in_place(f'__i{name}__', ufunc_name))
    for name, ufunc_name in COMPARISONS.items():
        setattr(ndarray, f'__{name}__', _operator(f'__{name}__', ufunc_name))
    for name, ufunc_name in UNARY.items():
        setattr(ndarray, f'__{name}__', _unary(f'__{name}__', ufunc_name))


_complete()


# ------------------------------------------------------------------ the modules

def _modules():
    modules = {name: types.ModuleType(name, 'stand-in of the tests of ntref') for name in MODULES}
    for name in MODULES:
        parent, _, child = name.rpartition('.')
        if parent:
            setattr(modules[parent], child, modules[name])
    for name in UFUNCS:
        setattr(modules['cupy'], name, ufunc(f'cupy.{name}', getattr(numpy, name)))
    special = modules['cupyx.scipy.special']
    for name in SPECIAL:
        setattr(special, name, ufunc(f'{special.__name__}.{name}', getattr(scipy.special, name)))
    for name, keywords in FUNCTIONS.items():
        module, _, attribute = name.rpartition('.')
        setattr(modules[module], attribute, function(name, keywords))
    modules['cupy'].asarray, modules['cupy'].array = asarray('cupy.asarray', None), asarray('cupy.array', True)
    modules['cupy'].asnumpy = asnumpy
    modules['cupy'].ndarray = ndarray
    modules['cupy'].pi = numpy.pi
    modules['cupy.cuda'].Device, modules['cupy'].get_default_memory_pool = Device, MemoryPool
    modules['cupy.cuda'].Stream = Stream
    modules['cupyx'].empty_pinned = empty_pinned
    modules['cupy'].ElementwiseKernel = ElementwiseKernel
    return modules


class Device:
    """Of as many bytes, and with as many free of them, as `cupy.cuda.free` says; a terabyte if nothing is said."""

    id = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def synchronize(self):
        USED.add(('cupy.cuda.Device.synchronize', ()))

    @property
    def mem_info(self):
        USED.add(('cupy.cuda.Device.mem_info', ()))
        return getattr(STAND_IN['cupy.cuda'], 'free', 2 ** 40), 2 ** 40


class Stream:
    """A queue of the device; `used` counts how often each one that was made became a thread's own."""

    made: list['Stream'] = []

    def __init__(self):
        USED.add(('cupy.cuda.Stream', ()))
        self.used = 0
        Stream.made.append(self)

    def __enter__(self):
        self.used += 1
        return self

    def __exit__(self, *error):
        pass

    def synchronize(self):
        USED.add(('cupy.cuda.Stream.synchronize', ()))


def empty_pinned(shape, dtype=float, order='C'):
    USED.add(('cupyx.empty_pinned', ()))
    return numpy.full(shape, numpy.nan, dtype, order)


class ElementwiseKernel:
    """A kernel in CUDA's C++, compiled by g++ for the CPU: parameters of one type T, others of integers."""

    TYPES = {'T': 'T', 'int32': 'int', 'int64': 'long long'}
    CODE = """#include <cmath>
#include <algorithm>
#define __device__ inline
using namespace std;
{preamble}
template <typename T> void all(long count, void** given)
{{
    for (long i = 0; i < count; i++) {{
        {named}
        {operation}
    }}
}}
extern "C" void f4(long count, void** given) {{ all<float>(count, given); }}
extern "C" void f8(long count, void** given) {{ all<double>(count, given); }}
"""

    def __init__(self, in_params, out_params, operation, name, preamble=''):
        USED.add(('cupy.ElementwiseKernel', ('preamble',)))
        self.given, self.found = ([part.split() for part in params.split(',')] for params in (in_params, out_params))
        assert all(kind == 'T' for kind, _ in self.found)
        lines = []
        for i, (*is_raw, kind, name) in enumerate(self.given + self.found):
            array = f'(({self.TYPES[kind]}*) given[{i}])'
            const = 'const ' * (i < len(self.given))
            lines.append(f'{const}{self.TYPES[kind]}{f"* {name} = {array}" if is_raw else f"& {name} = {array}[i]"};')
        self.library = compiled(self.CODE.format(preamble=preamble, operation=operation, named=' '.join(lines)))

    def __call__(self, *operands):
        check_scalars(*operands)
        assert len(operands) == len(self.given) + len(self.found), 'results are given, in these tests'
        outs = [unwrap(a) for a in operands[len(self.given):]]
        dtype, = {a.dtype for a in operands if isinstance(a, ndarray) and a.dtype.kind == 'f'}
        once = {}                                            # a result may be written over what is given
        for a, (*is_raw, kind, _) in zip(operands, self.given + self.found):
            host = numpy.asarray(unwrap(a), dtype if kind == 'T' else kind)
            once[id(a), kind] = numpy.array(host if is_raw else numpy.broadcast_to(host, outs[0].shape), order='C')
        given = [once[id(a), kind] for a, (*_, kind, _) in zip(operands, self.given + self.found)]
        pointers = (ctypes.c_void_p * len(given))(*(a.ctypes.data for a in given))
        getattr(self.library, f'f{dtype.itemsize}')(ctypes.c_long(outs[0].size), pointers)
        for out, new in zip(outs, given[len(self.given):]):
            out[...] = new
        return tuple(map(wrap, outs)) if len(outs) > 1 else wrap(outs[0])


@lru_cache(maxsize=None)
def compiled(code):
    """The library that g++ makes of the code; tests of kernels are skipped where there is no g++."""
    compiler = shutil.which('g++')
    if compiler is None:
        pytest.skip('kernels for a GPU are tried on the CPU, which needs g++')
    with tempfile.TemporaryDirectory() as folder:
        source, library = (os.path.join(folder, name) for name in ('kernel.cpp', 'kernel.so'))
        with open(source, 'w') as f:
            f.write(code)
        subprocess.run([compiler, '-O1', '-shared', '-fPIC', '-Wall', '-Werror', '-o', library, source], check=True)
        return ctypes.CDLL(library)


class MemoryPool:
    """With as many bytes as `cupy.cuda.pooled` says, 0 if nothing is said."""

    def free_bytes(self):
        USED.update((('cupy.get_default_memory_pool', ()), ('cupy.cuda.MemoryPool.free_bytes', ())))
        return getattr(STAND_IN['cupy.cuda'], 'pooled', 0)

    def used_bytes(self):
        USED.add(('cupy.cuda.MemoryPool.used_bytes', ()))
        return 0

    def total_bytes(self):
        USED.add(('cupy.cuda.MemoryPool.total_bytes', ()))
        return 2 ** 20

    def free_all_blocks(self):
        USED.add(('cupy.cuda.MemoryPool.free_all_blocks', ()))

    def get_limit(self):
        USED.add(('cupy.cuda.MemoryPool.get_limit', ()))
        return getattr(STAND_IN['cupy.cuda'], 'limit', 0)

    def set_limit(self, size=None, fraction=None):
        USED.add(('cupy.cuda.MemoryPool.set_limit', ('size',)))
        STAND_IN['cupy.cuda'].limit = size


def asarray(name, copy):
    def call(a, dtype=None, **keywords):
        check_call(name, FUNCTIONS[name], (), keywords)
        host = numpy.asarray(unwrap(a))
        if host.dtype.kind not in 'biufc':
            raise ValueError(f'Unsupported dtype {host.dtype}')
        return wrap(numpy.array(host, dtype, **dict(copy=copy if isinstance(a, ndarray) else True) | keywords))
    return call


def asnumpy(a, **keywords):
    check_call('cupy.asnumpy', FUNCTIONS['cupy.asnumpy'], (), keywords)
    return a.get() if isinstance(a, ndarray) else numpy.asarray(a)


STAND_IN = _modules()


@contextmanager
def installed():
    """The stand-in in place of CuPy, in `sys.modules` and in `ntref.arrays`; afterwards what was there before."""
    def drop():
        names = [name for name in sys.modules if name.partition('.')[0] in ('cupy', 'cupyx')]
        return {name: sys.modules.pop(name) for name in names}, arrays._loaded.pop('cupy', None)

    modules, namespace = drop()
    sys.modules.update(STAND_IN)
    try:
        yield STAND_IN['cupy']
    finally:
        drop()
        sys.modules.update(modules)
        if namespace is not None:
            arrays._loaded['cupy'] = namespace


# ------------------------------------------------------------------ the real CuPy, in a process of its own

NO_CUPY = 3


def unknown_to_cupy(used):
    """What in `used` the real CuPy does not have, as sentences; None where CuPy is not installed."""
    run = subprocess.run([sys.executable, __file__], input=json.dumps(sorted(used)), text=True, capture_output=True,
                         env=os.environ | {'PYTHONPATH': os.pathsep.join(map(os.path.abspath, sys.path))})
    if run.returncode == NO_CUPY:
        return None
    if run.returncode:
        raise RuntimeError(f'asking the real CuPy failed:\n{run.stderr}')
    return json.loads(run.stdout)


def _without_cuda_libraries():
    """Make the CUDA libraries that are not installed importable: `cupyx.scipy.linalg` asks for them when imported."""
    libraries = importlib.import_module('cupy_backends.cuda.libs')
    for name in ('cublas', 'cusolver', 'cusparse', 'curand'):
        try:
            importlib.import_module(f'{libraries.__name__}.{name}')
        except ImportError:
            stub = mock.MagicMock(name=name)
            sys.modules[f'{libraries.__name__}.{name}'] = stub
            setattr(libraries, name, stub)


def _look_up(name):
    parts = name.split('.')
    for i in reversed(range(1, len(parts))):
        try:
            found = importlib.import_module('.'.join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            found = getattr(found, part)
        return found
    raise AttributeError(name)


def _accepts(f, keyword):
    cupy = importlib.import_module('cupy')
    if isinstance(f, cupy.ufunc):
        try:
            f(*[1.] * f.nin, **{keyword: None})
        except Exception as e:          # whatever else is wrong, no device to begin with, comes after the keywords
            return 'Wrong arguments' not in str(e)
        return True
    try:
        parameters = inspect.signature(f).parameters
    except (TypeError, ValueError):     # Cython: the signature is the first line of the docstring
        return re.search(rf'[(, *]{keyword}[,=)]', (f.__doc__ or '').partition('\n')[0]) is not None
    if keyword in parameters:
        return True
    caught = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return caught and re.search(rf"kwargs\.pop\('{keyword}'", inspect.getsource(f)) is not None


def main():
    try:
        importlib.import_module('cupy')
    except ImportError:
        return NO_CUPY
    _without_cuda_libraries()
    unknown = []
    for name, keywords in json.load(sys.stdin):
        try:
            found = _look_up(name)
        except AttributeError:
            unknown.append(f'CuPy has no {name}')
            continue
        unknown += [f'{name} of CuPy takes no keyword {k!r}' for k in keywords if not _accepts(found, k)]
    print(json.dumps(unknown))
    return 0


if __name__ == '__main__':
    sys.exit(main())
