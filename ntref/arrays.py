"""Choice of the library that computes: one namespace per kind of array, found from the arguments.

    xp = namespace(k12)          # that of NumPy, CuPy, autograd, mpmath or flint, whichever made k12
    s = xp.sqrt(k12)

Every namespace has the same NumPy names, ALPHABET, and no others; tests call each name on each kind. The rest
of the package computes with these names, operators, indexing, `.shape` and `.T`, and never asks which kind it
got. A library is imported only when an array of its kind arrives.

=========  ============================================================================================
kind       arrays
=========  ============================================================================================
numpy      `numpy.ndarray` (or memmap) and NumPy scalars, float32 or float64; no other subclass
cupy       `cupy.ndarray`: the same names on a GPU
autograd   boxes inside `autograd.grad` and the like; they may be mixed with NumPy arrays, which they wrap; boxes of
           CuPy's arrays are the kind autograd.cupy, which may be mixed with CuPy's
mpmath     object arrays of `mpmath.mpf`: the same recursion at any precision, `mpmath.mp.dps` digits
flint      object arrays of `ntref.balls.Ball`: balls that contain the exact numbers (python-flint)
=========  ============================================================================================
"""
from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy
from numpy.random.bit_generator import ISpawnableSeedSequence

from .no_arrays import PLAIN, no_array
from .types import Array, Number

__all__ = ['ALPHABET', 'EXACT', 'KINDS', 'TRACED', 'Namespace', 'as_floats', 'as_like', 'exact', 'generator',
           'is_array', 'is_on_device', 'kind', 'load', 'namespace', 'patched', 'plain', 'register', 'root_like',
           'unbroadcast', 'untraced']

ALPHABET = tuple("""
    pi eps add multiply subtract
    sqrt exp expm1 log log1p sin cos sinh tanh arctan2 hypot erf erfcx abs sign maximum minimum where isfinite
    asarray zeros empty_like eye matmul tensordot einsum sum mean all any
    reshape moveaxis expand_dims broadcast_to concatenate stack nonzero patch distinct
    cholesky solve_triangular eigh
""".split())


class Namespace:
    """Functions of ALPHABET for one kind of array."""

    def __init__(self, kind: str, *modules: Any, **functions: Any):
        self.kind = kind
        for name in ALPHABET:
            found = (getattr(m, name) for m in modules if hasattr(m, name))
            setattr(self, name, functions[name] if name in functions else next(found))

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...            # the functions of ALPHABET

    def __repr__(self):
        return f'<ntref namespace: {self.kind}>'


# ------------------------------------------------------------------ the kinds

def _numpy_like(kind, root, special, linalg, **functions):
    root = import_module(root)
    special = import_module(special)
    linalg = import_module(linalg)
    own = {'eps': _eps, 'patch': patched, 'distinct': lambda a: root.unique(a, return_inverse=True),
           'solve_triangular': partial(linalg.solve_triangular, check_finite=False)}
    return Namespace(kind, root, root.linalg, special, **own | functions)


def _eps(a):
    """Return the machine epsilon of the numbers in `a`, a Python float."""
    return _eps_of_type(a.dtype)


@lru_cache(maxsize=8)
def _eps_of_type(dtype):
    return float(numpy.finfo(dtype).eps)


def patched(a: Any, index: Any, values: Any) -> Any:
    """Return a copy of `a` with `values` at `index`, which has no repeats."""
    out = a.copy()
    out[index] = values
    return out


def _all_of(a):
    """Return all numbers of `a` and their indices, in place of the distinct ones: each has its own derivative."""
    return a, numpy.arange(len(a))


def _autograd():
    """Return autograd's namespace; `sqrt`, `hypot`, `arctan2` have derivative 0 where theirs is infinite or undefined.

    A kernel has a cusp where two inputs coincide, like |x - x'| in the angle between them; 0 is the symmetric
    derivative there, and the true one along the diagonal, where both inputs move together.
    """
    def over(a, b):
        """Return a / b, and 0 where b is 0."""
        return where(b == 0, 0., a / where(b == 0, 1., b))

    def larger(ans, x, y):
        """Return 1 where x > y, 1/2 where x = y, else 0, in the precision of ans (autograd's own is double)."""
        return where(x > y, 1 + 0 * ans, where(x == y, .5 + 0 * ans, 0 * ans))

    def mean(a, axis=None, **options):
        """Return the sum over a Python number, since autograd's own mean divides derivatives by a double."""
        total = import_module('autograd.numpy').sum(a, axis, **options)
        return total / (a.size // max(total.size, 1))
    rules = _elementwise_rules()
    where = _where()
    special = import_module('scipy.special')
    exp = import_module('autograd.numpy').exp
    namespace = _numpy_like(
        'autograd', 'autograd.numpy', 'autograd.scipy.special', 'autograd.scipy.linalg',
        patch=_differentiable_patch(), distinct=_all_of, where=where, broadcast_to=_broadcast_to(),
        asarray=rules(numpy.asarray, lambda ans, a: 1.),
        tanh=rules(numpy.tanh, lambda ans, x: (1 - ans) * (1 + ans)),     # autograd's own overflows
        erf=rules(special.erf, lambda ans, x: 2 / numpy.pi ** .5 * exp(-x * x)),  # no forward mode there
        erfcx=rules(special.erfcx, lambda ans, x: 2 * x * ans - 2 / numpy.pi ** .5),
        mean=mean,
        maximum=rules(numpy.maximum, larger, lambda ans, x, y: larger(ans, y, x)),
        minimum=rules(numpy.minimum, lambda ans, x, y: larger(ans, y, x), larger),
        sqrt=rules(numpy.sqrt, lambda ans, x: over(.5, ans)),
        hypot=rules(numpy.hypot, lambda ans, x, y: over(x, ans), lambda ans, x, y: over(y, ans)),
        arctan2=rules(numpy.arctan2, lambda ans, y, x: over(x, y * y + x * x),
                      lambda ans, y, x: over(-y, y * y + x * x)))
    namespace.rules = rules
    return namespace


def unbroadcast(x: Any, f: Callable) -> Callable:
    """Return the pullback f followed by a sum over the axes along which x was broadcast."""
    return import_module('autograd.numpy.numpy_vjps').unbroadcast_f(x, f)


def _elementwise_rules():
    """Return rules(f, *partials), which makes f an autograd primitive with partial derivatives of (ans, *x)."""
    extend = import_module('autograd.extend')
    shape = numpy.shape
    broadcast_to = _broadcast_to()

    def rules(f, *partials):
        f = extend.primitive(f)

        def vjp(i, partial):
            return lambda ans, *x: unbroadcast(x[i], lambda g: g * partial(ans, *x))

        def jvp(partial):
            return lambda g, ans, *x: broadcast_to(g * partial(ans, *x), shape(ans))
        extend.defvjp(f, *(vjp(i, p) for i, p in enumerate(partials)))
        extend.defjvp(f, *(jvp(p) for p in partials))
        return f
    return rules


def _broadcast_to():
    extend = import_module('autograd.extend')
    broadcast_to = extend.primitive(numpy.broadcast_to)
    extend.defvjp(broadcast_to, lambda ans, a, shape: unbroadcast(a, lambda g: g), argnums=(0,))
    extend.defjvp(broadcast_to, lambda g, ans, a, shape: broadcast_to(g, shape), argnums=(0,))
    return broadcast_to


def _where():
    extend = import_module('autograd.extend')
    where = extend.primitive(numpy.where)
    extend.defvjp(where, lambda ans, c, x, y: unbroadcast(x, lambda g: where(c, g, 0.)),
                  lambda ans, c, x, y: unbroadcast(y, lambda g: where(c, 0., g)), argnums=(1, 2))
    extend.defjvp(where, lambda g, ans, c, x, y: where(c, g, 0.),
                  lambda g, ans, c, x, y: where(c, 0., g), argnums=(1, 2))
    return where


def _differentiable_patch():
    """Return `patch` as an autograd primitive; its derivatives are gather a[index] and its adjoint scatter."""
    extend = import_module('autograd.extend')

    def scattered(shape, index, g):
        out = namespace(g).zeros(shape).astype(g.dtype, copy=False)
        out[index] = g
        return out
    patch, gather, scatter = map(extend.primitive, (patched, lambda a, index: a[index], scattered))
    extend.defvjp(gather, lambda ans, a, index: lambda g: scatter(a.shape, index, g), argnums=(0,))
    extend.defvjp(scatter, lambda ans, shape, index, g: unbroadcast(g, lambda h: gather(h, index)), argnums=(2,))
    extend.defjvp(gather, lambda h, ans, a, index: gather(h, index), argnums=(0,))
    extend.defjvp(scatter, lambda h, ans, shape, index, g: scatter(shape, index, h), argnums=(2,))
    extend.defvjp(patch, lambda ans, a, index, v: lambda g: patch(g, index, 0.),
                  lambda ans, a, index, v: unbroadcast(v, lambda g: gather(g, index)), argnums=(0, 2))
    extend.defjvp(patch, lambda g, ans, a, index, v: patch(g, index, 0.),
                  lambda g, ans, a, index, v: scatter(ans.shape, index, g), argnums=(0, 2))
    return patch


def _cupy():
    import_module('.autograd_on_device', __package__).follow_on_device()
    return _numpy_like('cupy', 'cupy', 'cupyx.scipy.special', 'cupyx.scipy.linalg')


KINDS = {
    'numpy': lambda: _numpy_like('numpy', 'numpy', 'scipy.special', 'scipy.linalg'),
    'cupy': _cupy,
    'autograd': _autograd,
    'autograd.cupy': lambda: import_module('.autograd_on_device', __package__).device_namespace(),
    'mpmath': lambda: import_module('.of_mpmath', __package__).mpmath_namespace(),
    'flint': lambda: import_module('.balls', __package__).flint_namespace(),
}
_COMMON = {frozenset(kinds): common                           # kinds of arguments, and the one they share
           for common in KINDS for kinds in ({common}, {common, None})}
_COMMON |= {kinds | {of}: common for kinds, common in _COMMON.items()
            for traced, of in (('autograd', 'numpy'), ('autograd.cupy', 'cupy')) if common == traced}
_WITH_NUMBERS = {frozenset(kinds) for some in ((), (None,))   # on a device, beside boxes of numbers
                 for kinds in (('cupy', 'autograd', *some), ('autograd.cupy', 'autograd', *some),
                               ('cupy', 'autograd.cupy', 'autograd', *some))}
_loaded: dict[str, Namespace] = {}
EXACT = 'mpmath', 'flint'                                     # kinds whose numbers have any precision
TRACED = 'autograd', 'autograd.cupy'                          # kinds of boxes, in which autograd records
OFFERED = 'numpy, cupy, autograd, mpmath, flint'
OURS = {('ntref.balls', 'Ball'): 'flint', ('ntref.balls', '_Pi'): 'flint',
        ('ntref.autograd_on_device', 'DeviceBox'): 'autograd.cupy'}


def register(kind: str, namespace: Namespace) -> None:
    """Have `namespace` found for a further kind of array, which is none that a user gives (`is_array` is False)."""
    _loaded[kind] = namespace
    _COMMON.update({frozenset({kind}): kind, frozenset({kind, None}): kind})


def load(kind: str) -> Namespace:
    """Return the namespace of a kind, made when it is first asked for."""
    if kind not in _loaded:
        _loaded[kind] = KINDS[kind]()
    return _loaded[kind]


# ------------------------------------------------------------------ reading the kind off the arguments

def kind(a: Any) -> str | None:
    """Return the library `a` comes from, None for None and Python numbers; object arrays are 'mpmath' or 'flint'.

    For any other object it is the full name of its type, also for subclasses of NumPy's arrays, whose entries may have
    a meaning of their own.
    """
    of_type: Any = type(a)
    if of_type in PLAIN or issubclass(of_type, numpy.generic):
        return _kind_of_objects(a) if a.dtype.hasobject else 'numpy'
    return _kind_of_type(of_type)


def _kind_of_objects(a):
    """Return the kind of an array of objects, which its first entry tells."""
    return 'flint' if a.size and _kind_of_type(type(a.flat[0])) == 'flint' else 'mpmath'


@lru_cache(maxsize=256)
def _kind_of_type(of_type):
    """Return `kind` of objects of a type other than NumPy's."""
    if of_type in (type(None), bool, int, float):
        return None
    module = of_type.__module__.partition('.')[0]
    if module in KINDS and module != 'numpy':
        return module
    return OURS.get((of_type.__module__, of_type.__name__), f'{of_type.__module__}.{of_type.__qualname__}')


def is_array(a: Any) -> bool:
    """True if `a` is an array of one of the KINDS."""
    return kind(a) in KINDS and hasattr(a, 'shape')


def namespace(*arrays: Any) -> Namespace:
    """Return the namespace that all `arrays` share; None and Python numbers do not count.

    Raises
    ------
    TypeError : there is no array among them, or one of a kind not in KINDS, or two kinds together (but NumPy
        arrays may be mixed with autograd boxes: both are NumPy).

    Examples
    --------
    >>> namespace(numpy.eye(2), 1.5, None)
    <ntref namespace: numpy>
    """
    kinds = frozenset(map(kind, arrays))
    common = _COMMON.get(kinds)
    if common is not None:
        return load(common)
    if kinds in _WITH_NUMBERS and not any(a.shape for a in arrays if kind(a) == 'autograd'):
        return load('autograd.cupy')
    for a in arrays:
        if kind(a) not in (None, *KINDS):
            raise no_array(a, f'arrays of one kind out of {OFFERED}')
    found = sorted(str(kind) for kind in kinds if kind)
    objects = ' An array of objects counts as mpmath: of numbers take its astype(float).'
    beside = ' Take cupy.asarray of those of NumPy, or the get() of those of CuPy.'
    raise TypeError(
        f'expected arrays of one kind out of {OFFERED}; got '
        f'{" and ".join(found) or "no array"}. Convert them to one kind first.'
        f'{objects if "mpmath" in found else ""}{beside if {"cupy", "numpy"} <= {*found} else ""}')


def untraced(a: Any) -> Any:
    """Return the numbers of `a`, out of any boxes in which autograd records where they come from."""
    while kind(a) in TRACED:
        a = a._value
    return a


def is_on_device(a: Any) -> bool:
    """True if `a` is an array on a GPU."""
    return kind(a) == 'cupy'


def plain(a: Number) -> float:
    """Return a number of any kind as a Python float, for decisions and messages."""
    return float(untraced(a))


def exact(value: Any, like: Any) -> Any:
    """Return `value` exact in the kind of `like`, if that has any precision: Python squares floats in double precision.
    """
    found = kind(like)
    if found not in EXACT:
        return value
    if isinstance(value, tuple):
        return tuple(exact(v, like) for v in value)
    if found == 'flint':
        return import_module('.balls', __package__).ball(value) if kind(value) == 'mpmath' or isinstance(
            value, float) else value
    return import_module('mpmath').mpmathify(value) if isinstance(value, float) else value


def generator(rng: Any) -> numpy.random.Generator:
    """Return a `numpy.random.Generator` that can spawn, from a seed, a SeedSequence or a Generator.

    From a RandomState or a Generator that cannot spawn, a seed is drawn.

    Raises
    ------
    TypeError : `rng` is anything else, which may crash NumPy.
    """
    random = numpy.random
    bits = getattr(rng, 'bit_generator', rng)
    is_bits = isinstance(bits, random.BitGenerator)
    if is_bits and not isinstance(bits.seed_seq, ISpawnableSeedSequence):
        rng = random.RandomState(bits)
    if isinstance(rng, random.RandomState):
        rng = int(rng.randint(2 ** 32, dtype=numpy.uint64))
    sources = random.Generator, random.BitGenerator, random.SeedSequence
    if rng is None or isinstance(rng, sources) or _is_seed(rng):
        return random.default_rng(rng)
    raise TypeError(
        'expected rng to be a seed (a whole number >= 0), a numpy.random.Generator, SeedSequence '
        f'or RandomState, got {rng!r:.100} of type {type(rng).__name__}.')


def root_like(n: Number, like: Any) -> Any:
    """Return the square root of a number, exact in the kind of `like` if that has any precision."""
    if kind(like) not in EXACT:
        return n ** .5
    xp = namespace(like)
    return xp.sqrt(xp.asarray(n))


def _is_seed(rng):
    if isinstance(rng, (list, tuple)):
        return all(map(_is_seed, rng))
    if type(rng) is numpy.ndarray:
        return rng.dtype.kind in 'iu' and bool((rng >= 0).all())
    return isinstance(rng, (int, numpy.integer)) and not isinstance(rng, bool) and rng >= 0


def as_floats(*arrays: Any) -> tuple[Any, ...]:
    """Return the arrays in one floating-point precision: float32 if all are, else float64; object arrays stay.

    Raises
    ------
    TypeError : one is not an array (a list, a string, a masked array, a matrix), or the kinds are mixed, or the entries
        are not real numbers (complex, text, dates).
    """
    for a in arrays:
        if not is_array(a):
            raise no_array(a, f'an array (of {OFFERED})')
    xp = namespace(*arrays)
    if xp.kind in EXACT:
        for a in arrays:
            strange = [x for x in a.ravel()
                       if not isinstance(x, (int, float)) and kind(x) != xp.kind]
            if strange:
                raise TypeError(
                    f'expected an object array of mpmath.mpf, got {strange[0]!r} in it.')
        return tuple(map(xp.asarray, arrays))
    for a in arrays:
        if a.dtype.kind not in 'biuf':
            raise TypeError(
                f'expected real numbers, got an array of dtype {a.dtype} and shape {a.shape}.')
    is_single = all(a.dtype.newbyteorder('=') == 'float32' for a in arrays)
    dtype = 'float32' if is_single else 'float64'
    views = [a.view(numpy.ndarray) if isinstance(a, numpy.memmap) else a for a in arrays]
    return tuple(a if a.dtype == dtype else a.astype(dtype) for a in views)


def as_like(a: Any, like: Array) -> Any:
    """Return the real array `a` in the precision of `like`; a NumPy array also becomes one of mpmath's or of balls."""
    if kind(like) in EXACT:
        return namespace(like).asarray(a)
    namespace(a, like)                               # or a TypeError that names both kinds
    return a.astype(like.dtype)
