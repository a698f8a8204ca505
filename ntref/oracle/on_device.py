"""Checks of the GPU of this machine, against what is certified and against float64 on the CPU; and times of both.

Each is a `Check`: a number that was measured, the bound it has to stay below, and what went wrong.
"""
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from importlib import import_module
from typing import Any

import numpy

from .. import stax
from ..arrays import is_array, is_on_device
from ..engine import device
from ..engine.batch import batch
from ..engine.device import there, to_host
from ..trees import tree_map
from . import answers, beside_kernels
from .cases import Case, conformance_cases
from .mistakes import cast
from .worker import prepared

__all__ = ['Check', 'Time', 'checks', 'device_name', 'of_case', 'times']

INPUTS = 300                 # of a kernel in several tiles
TILE = 2 ** 12               # numbers in each of them
CALLS = 200                  # after which memory may not have grown
LIMIT = 2 ** 28              # bytes that CuPy may take, for a kernel larger than that


@dataclass(frozen=True)
class Check:
    """What was checked.

    Attributes
    ----------
    group, name : str        'suite float64', and a case; or 'tiles float32', and a network; or 'memory'.
    verdict : str            'pass', 'fail' or 'error'.
    measured, bound : float  the measured number, and the largest that passes; None if nothing was measured.
    reason : str             what is wrong.
    seconds : float          what it took.
    """
    group: str
    name: str
    verdict: str
    measured: float | None = None
    bound: float | None = None
    reason: str = ''
    seconds: float = 0.

    @property
    def has_failed(self) -> bool:
        return self.verdict in ('fail', 'error')


def device_name() -> str | None:
    """Return the name of the device and the versions of CUDA and CuPy; None where there is none."""
    try:
        cupy = import_module('cupy')
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception:                                       # CuPy has an error of its own for each reason
        return None
    if not count:
        return None
    name = cupy.cuda.runtime.getDeviceProperties(0)['name'].decode()
    version = cupy.cuda.runtime.runtimeGetVersion()
    more = f' ({count} of them)' if count > 1 else ''
    return f'{name}{more}, CUDA {version // 1000}.{version % 1000 // 10}, CuPy {cupy.__version__}'


def checks(select: str = '*') -> Iterator[Check]:
    """Yield each Check as soon as it is done; `select` is of cases of the suite."""
    for dtype in 'float64', 'float32':
        for case in conformance_cases(select, dtype=dtype):
            yield of_case(case, dtype)
    for dtype in 'float64', 'float32':
        for name, (net, shape) in NETWORKS.items():
            yield _timed(partial(_of_tiles, net, shape, dtype), f'tiles {dtype}', name)
    for dtype in 'float64', 'float32':
        for (group, name), f in beside_kernels.FUNCTIONS.items():
            yield _timed(partial(beside_kernels.error, f, dtype), f'{group} {dtype}', name)
    yield _timed(_larger_than_the_device, 'memory', 'a kernel larger than what CuPy may take')
    yield _timed(_after_many_calls, 'memory', f'bytes after {CALLS} calls, over those after 20')


def _timed(f, group, name):
    """Return the Check of what f returns, measured and bound; an error is one of its verdicts."""
    start = time.monotonic()
    check = Check(group, name, 'error')
    try:
        measured, bound = f()
        verdict = 'pass' if measured <= bound else 'fail'            # and NaN fails
        reason = '' if verdict == 'pass' else f'expected at most {bound:.3g}, got {measured:.3g}'
        check = replace(check, verdict=verdict, measured=measured, bound=bound, reason=reason)
    except Exception as e:                                  # whatever it is, the other checks go on
        check = replace(check, reason=f'{type(e).__name__}: {e}')
    return replace(check, seconds=time.monotonic() - start)


# ------------------------------------------------------------------ the suite

def of_case(case: Case, dtype: str) -> Check:
    """Return the Check of a case of the suite, computed on the device."""
    start = time.monotonic()
    check = Check(f'suite {dtype}', case.name, 'error', bound=10 ** -case.wanted(dtype))
    spec = None if case.spec is None else stax.from_spec(case.spec)
    inputs = tree_map(there, cast(case.inputs, dtype))
    try:
        found = prepared(getattr(answers, case.kind), case.kind, spec, inputs, case.options)()
        strays = [name for name, a in found.items() if is_array(a) and a.ndim and not is_on_device(a)]
        found = {name: None if a is None else numpy.asarray(to_host(a)) for name, a in found.items()}
        agreed, faults = zip(*(case.compared(found[name], name, dtype) for name in case.expected))
        reason = '; '.join([*filter(None, faults), *(f'{name} is on the host' for name in strays)])
        check = replace(check, verdict='fail' if reason else 'pass', measured=10 ** -min(agreed), reason=reason)
    except Exception as e:
        check = replace(check, reason=f'{type(e).__name__}: {e}')
    return replace(check, seconds=time.monotonic() - start)


# ------------------------------------------------------------------ kernels in tiles, and memory

def _dense(*activations: Any, library: Any = stax) -> Any:
    layers = [layer for a in activations for layer in (library.Dense(1, 1.4, .2), a)]
    return library.serial(*layers, library.Dense(1))


def _conv(end: Any, library: Any = stax) -> Any:
    def conv():
        return library.Conv(1, (3, 3), padding='SAME', W_std=1.3, b_std=.1)
    return library.serial(conv(), library.Relu(), conv(), library.Relu(), end, library.Dense(1))


NETWORKS: dict[str, tuple[stax.Layer, tuple[int, ...]]] = {
    'ReLU, 3 layers': (_dense(stax.Relu(), stax.Relu(), stax.Relu()), (784,)),
    'ReLU of one feature': (_dense(stax.Relu(), stax.LeakyRelu(.1)), (1,)),
    'Erf and Gelu': (_dense(stax.Erf(), stax.Gelu()), (20,)),
    'Sin and Rbf': (_dense(stax.Sin(), stax.Rbf()), (20,)),
    'Tanh': (_dense(stax.Tanh()), (20,)),
    'convolutions, flatten': (_conv(stax.Flatten()), (6, 6, 3)),
    'convolutions, pool': (_conv(stax.GlobalAvgPool()), (6, 6, 3)),
}


def _inputs(n, shape, dtype):
    """Inputs of which some coincide, some nearly, some are opposite, and one is zero."""
    x = numpy.random.default_rng(0).standard_normal((n, *shape))
    x[1:5] = x[0], x[0] * (1 + 1e-6), -x[0], 0 * x[0]
    return x.astype(dtype)


def _of_tiles(net, shape, dtype):
    """The largest error of K and Theta on the device in several tiles, over the largest entry, against float64 here."""
    x = _inputs(INPUTS if len(shape) == 1 else 12, shape, dtype)
    wanted = net.kernel_fn(x.astype('float64'), None, ('nngp', 'ntk'))
    before = device.ENTRIES_ON_DEVICE
    device.ENTRIES_ON_DEVICE = TILE
    try:
        found = net.kernel_fn(there(x), None, ('nngp', 'ntk'))
    finally:
        device.ENTRIES_ON_DEVICE = before
    errors = [abs(to_host(k) - w).max() / abs(w).max() for k, w in zip(found, wanted)]
    return float(max(errors)), {'float64': 1e-13, 'float32': 1e-5}[dtype]


def _larger_than_the_device():
    """The largest error of a kernel of twice as many bytes as CuPy may take, in tiles, against some of its rows."""
    net, _ = NETWORKS['ReLU, 3 layers']
    pool = import_module('cupy').get_default_memory_pool()
    before = pool.get_limit()
    n = int((2 * LIMIT / 8) ** .5)
    x = _inputs(n, (20,), 'float64')
    pool.free_all_blocks()
    pool.set_limit(LIMIT)
    try:
        k = batch(net.kernel_fn, n // 16)(there(x), None, 'ntk')
    finally:
        pool.set_limit(before)
    rows = slice(0, n, n // 20)
    wanted = net.kernel_fn(x[rows], x, 'ntk')
    return float(abs(k[rows] - wanted).max() / abs(wanted).max()), 1e-13


def _after_many_calls():
    """The bytes that CuPy holds after CALLS calls, over those after some."""
    net, shape = NETWORKS['convolutions, pool']
    pool = import_module('cupy').get_default_memory_pool()
    x = there(_inputs(8, shape, 'float64'))
    held = []
    for _ in range(CALLS):
        net.kernel_fn(x, None, 'ntk')
        held.append(pool.total_bytes())
    return held[-1] / max(held[19], 1), 1.


# ------------------------------------------------------------------ times

ROWS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    f'{depth} ReLU layers, {n} inputs of 784': (
        lambda library, depth=depth: _dense(*[library.Relu()] * depth, library=library), (n, 784))
    for depth in (3, 10) for n in (4000, 16000, 60000)} | {
    '2 convolutions, flatten, 128 images': (lambda library: _conv(library.Flatten(), library), (128, 32, 32, 3)),
    '2 convolutions, pool, 8 images': (lambda library: _conv(library.GlobalAvgPool(), library), (8, 32, 32, 3))}
"""A network, of the layers of a library, and the shape of its inputs."""


@dataclass(frozen=True)
class Time:
    """Seconds that a kernel takes: on the device, on the CPU, by Neural Tangents on the device; NaN if not measured."""
    name: str
    dtype: str
    device: float
    host: float
    theirs: float


def times(select: str = '*', patience: float = 60.) -> Iterator[Time]:
    """Yield the Time of each of the ROWS; on the CPU only what takes less than `patience` seconds there."""
    for name, (network, shape) in ROWS.items():
        if not fnmatchcase(name, select):
            continue
        for dtype in 'float64', 'float32':
            x = numpy.random.default_rng(0).standard_normal(shape).astype(dtype)
            net = network(stax)
            is_short = net.kernel_fn.cost(shape, None, 'ntk', dtype).seconds < patience
            yield Time(
                name, dtype, _seconds(partial(net.kernel_fn, there(x), None, 'ntk')),
                _seconds(partial(net.kernel_fn, x, None, 'ntk')) if is_short else numpy.nan,
                _seconds_of_theirs(network, x))


def _seconds_of_theirs(network, x):
    """Return what Neural Tangents takes on its device, compiled; NaN where it cannot be imported."""
    try:
        jax = import_module('jax')
        library = import_module('neural_tangents.stax')
    except Exception:                                       # on a current JAX its import fails in many ways
        return numpy.nan
    jax.config.update('jax_enable_x64', True)
    kernel_fn = jax.jit(partial(network(library)[2], get='ntk'))
    x = jax.numpy.asarray(x)
    return _seconds(lambda: kernel_fn(x, None).block_until_ready())


def _seconds(f: Callable[[], Any]) -> float:
    """Return the least that three calls of f take; a result on the device is waited for. NaN if it does not fit."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        try:
            result = f()
        except MemoryError:
            return numpy.nan
        if is_on_device(result):
            import_module('cupy').cuda.Device().synchronize()
        taken.append(time.perf_counter() - start)
        del result
    return min(taken)
