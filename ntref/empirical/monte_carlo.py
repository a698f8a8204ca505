"""Kernels of finite networks, averaged over draws of their parameters, with standard errors."""
import warnings
from collections.abc import Callable, Iterable
from inspect import getfullargspec
from math import ceil, inf, isfinite, log10
from typing import Any, NamedTuple

import numpy

from ..arguments import as_axes, as_flag, as_number, as_part, as_whole, is_whole
from ..arrays import is_on_device, namespace
from ..engine.batch import batch, number_of_inputs, threads_of
from ..engine.device import there
from ..engine.run import in_threads, shown
from ..on_either import as_array, check_together, largest
from ..trees import leaves, rebuilt, tree_map
from ..types import Seed
from . import Differentiable, NtkImplementation, empirical_kernel_fn
from .side import are_equal, check_second
from .trees import check_leaves

__all__ = ['Estimate', 'monte_carlo_kernel_fn']

MIN_SAMPLES = 10               # samples before the standard error is trusted enough to stop
MAX_WAITING = 64               # samples that are drawn before they are added, if they are small
MAX_WAITING_ENTRIES = 2 ** 20  # of all samples that wait, if that is more than one for each thread


class Estimate(NamedTuple):
    """The mean over n samples, and the standard error of each of its entries."""
    mean: Any
    error: Any
    n: int


def monte_carlo_kernel_fn(
        init_fn: Callable, apply_fn: Callable, seed: Seed | None = None,
        n_samples: int | Iterable[int] | None = None, batch_size: int = 0, device_count: int = -1,
        store_on_device: bool = True, trace_axes: int | tuple[int, ...] = (-1,),
        diagonal_axes: int | tuple[int, ...] = (), vmap_axes: Any = None,
        implementation: int = NtkImplementation.JACOBIAN_CONTRACTION, *, return_error: bool = False,
        tol: float | None = None, key: Seed | None = None) -> Callable[..., Any]:
    r"""Return the function that computes the kernels of a finite network, averaged over draws of its parameters.

    .. math::
        \bar K = \frac1n \sum_{i \le n} K_i, \qquad
        \mathrm{error}^2 = \frac1{n (n - 1)} \sum_{i \le n} (K_i - \bar K)^2

    Parameters
    ----------
    init_fn : function              init_fn(rng, input_shape) -> (output_shape, params), such as that of `stax`; rng is
        a `numpy.random.Generator`, and input_shape the shape of x1, or a tree of shapes if x1 is a tree.
    apply_fn : function             apply_fn(params, x, **kwargs), as for `empirical_kernel_fn`. If it takes `rng`, it
        is given a seed (a whole number below 2^32), another for each sample, so that random layers draw anew. With
        `mask_constant` pass stax.unmask_fn(apply_fn).
    seed : int                      parameters and rng of sample i depend on (seed, i) alone. It is also accepted as
        `key`, its name in Neural Tangents.
    n_samples : int or iterable     the number of samples. Several numbers give a generator of as many estimates, in
        growing order and each number once: each is the mean over the first n samples, computed when it is asked for.
    batch_size : int                inputs on either side of a tile, see `batch`; it bounds the memory that Jacobians
        take. It is not for functions that mix their batch; arrays in keyword arguments are cut like the inputs. With 0
        all inputs are taken in one piece.
    device_count : int              threads that draw samples; -1: NTREF_NUM_THREADS, or as many as there are cores;
        0: one, as always on a GPU. init_fn and apply_fn are called on these threads.
    store_on_device : bool          accepted for old scripts; results are where the inputs are, from tiles on the host.
    trace_axes, diagonal_axes, vmap_axes, implementation        see `empirical_kernel_fn`.
    return_error : bool             return an `Estimate` (mean, error, n) in place of each kernel.
    tol : float, optional           stop when the largest standard error is at most tol times the largest absolute entry
        of the mean, for each kernel asked for, but not before 10 samples; n_samples is the largest number. `Estimate`s
        are returned, whose n is the number of samples drawn. A generator ends with the estimate that reaches tol.

    Returns
    -------
    function : kernel_fn(x1, x2=None, get=None, **apply_fn_kwargs)
        Its arguments and kernels are those of `empirical_kernel_fn`, without params; with an iterable n_samples it
        returns a generator of such kernels.

    Raises
    ------
    TypeError  : init_fn or apply_fn is not a function; init_fn returns something else; inputs are not arrays; n_samples
        is neither a whole number nor iterable; return_error is neither True nor False; the keyword rng is given.
    ValueError : seed < 0; n_samples < 1, or not whole; fewer than 2 samples with return_error or tol; tol <= 0;
        batch_size is given and the axis of the inputs is in trace_axes or diagonal_axes; and what `empirical_kernel_fn`
        and `batch` raise.

    Warns
    -----
    UserWarning : tol is not reached. The warning says what is reached, and how many samples would be enough.

    Accuracy
    --------
    The standard error, with respect to the mean over finite networks, falls like 1/sqrt(n). That mean differs from the
    kernel of infinite width by a bias of order 1/width, which no number of samples removes; with one hidden layer there
    is no bias. Samples are added in their order, so the same seed gives the same numbers to the last bit for any number
    of threads. Results for different batch_size agree to rounding, except with random layers, whose masks are drawn for
    each block of inputs. Stopping at the first n that looks good enough makes errors slightly too small, the more so
    the smaller n is.

    Source
    ------
    Novak et al. 2019 (arXiv:1810.05148) section 4; Welford 1962, Technometrics 4(3), for the sums;
    docs/theory/empirical.md#monte-carlo.

    Examples
    --------
    >>> import numpy
    >>> from ntref import monte_carlo_kernel_fn, stax
    >>> init_fn, apply_fn, kernel_fn = stax.serial(stax.Dense(64), stax.Relu(), stax.Dense(1))
    >>> x = numpy.array([[1., 0.], [1., 1.]])
    >>> estimate = monte_carlo_kernel_fn(init_fn, apply_fn, 0, 400, return_error=True)(x, None, 'nngp')
    >>> bool((abs(estimate.mean - kernel_fn(x, get='nngp')) < 4 * estimate.error).all())
    True
    >>> growing = monte_carlo_kernel_fn(init_fn, apply_fn, 0, [1, 10, 100])
    >>> [kernels.ntk.shape for kernels in growing(x)]
    [(2, 2), (2, 2), (2, 2)]
    >>> mean, error, n = monte_carlo_kernel_fn(init_fn, apply_fn, 0, 4000, tol=.1)(x, None, 'ntk')
    >>> n < 4000, bool(error.max() <= .1 * mean.max())
    (True, True)
    """
    as_flag(store_on_device, 'monte_carlo_kernel_fn: store_on_device')
    with_error = as_flag(return_error, 'monte_carlo_kernel_fn: return_error') or tol is not None
    if key is not None and seed is not None:
        raise TypeError(
            f'monte_carlo_kernel_fn: expected one of seed and key, got {seed!r} and {key!r}.')
    seed = as_whole(seed if key is None else key, 'monte_carlo_kernel_fn: seed', 0, inf)
    counts, is_one = _counts(n_samples, with_error)
    batch_size = as_whole(batch_size, 'monte_carlo_kernel_fn: batch_size', 0)
    apply_fn = as_part(apply_fn, 'apply_fn', 'f')
    axes = as_axes(trace_axes, 'trace_axes') + as_axes(diagonal_axes, 'diagonal_axes')
    of_one = empirical_kernel_fn(
        _in_tiles(apply_fn, batch_size, axes), trace_axes, diagonal_axes, vmap_axes, implementation)
    networks = _Networks(init_fn, apply_fn, seed, batch_size, of_one)
    threads = threads_of(device_count, 'monte_carlo_kernel_fn')
    tol = None if tol is None else _positive(tol, 'monte_carlo_kernel_fn: tol')

    def kernel_fn(x1, x2=None, get=None, **apply_fn_kwargs):
        _check_call(x1, x2, apply_fn_kwargs)
        x2 = x2 if leaves(x2) else None

        def sample(i):
            return networks.kernel(i, x1, x2, get, apply_fn_kwargs)
        found = _means(sample, counts, 1 if is_on_device(leaves(x1)[0]) else threads, tol)
        estimates = (means.estimate(with_error) for means in found)
        return next(estimates) if is_one else estimates
    return kernel_fn


def _check_call(x1, x2, apply_fn_kwargs):
    """Raise TypeError if a call of the kernel function has other things than inputs and keywords of f."""
    if 'rng' in apply_fn_kwargs:
        raise TypeError(
            'expected no keyword rng: each sample has its own, from seed and the number of the sample.')
    for name, x in ('x1', x1), ('x2', x2):
        check_leaves(**{name: x})
        if not all(hasattr(a, 'shape') for a in leaves(x)) or not leaves(x1):
            raise TypeError(f'expected {name} to be an array, or a tree of arrays, got {x!r:.100}.')
    check_second(x2)
    check_together(x1=x1, x2=x2)


# ------------------------------------------------------------------ samples

class _Networks:
    """Networks with random parameters; kernel_fn computes the kernel of one network."""

    def __init__(self, init_fn, apply_fn, seed, batch_size, kernel_fn):
        self.init_fn = as_part(init_fn, 'init_fn', 'init_fn')
        self.kernel_fn = kernel_fn
        self.is_random = _takes_rng(apply_fn)
        self.seed = seed
        self.batch_size = batch_size

    def stream(self, *key):
        return numpy.random.SeedSequence(self.seed, spawn_key=key)

    def params(self, i, x):
        """Return the parameters of network i."""
        found = self.init_fn(numpy.random.default_rng(self.stream(i, 0)), tree_map(numpy.shape, x))
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise TypeError(
                'expected init_fn(rng, shape) to return (output shape, params), got '
                f'{found!r:.100}.')
        return tree_map(lambda a: there(a, is_on_device(leaves(x)[0])), found[1])

    def seed_of(self, i, side, block):
        """Return the seed of random layers for a block of the inputs of one side."""
        start = int(sum(block[:1]))
        return int(self.stream(i, side, start).generate_state(1)[0])

    def kernel(self, i, x1, x2, get, kwargs):
        """Return the kernel of network i.

        Random layers have the same masks for x1 and x2 if these are equal, and other masks for each block of inputs.
        """
        params = self.params(i, x1)
        side = 1 if x2 is None or are_equal(x1, x2) else 2
        whole = []

        def of_block(first, second, **kwargs):
            x1, rows = first
            x2, columns = (None, rows) if second is None else second
            if self.is_random:
                kwargs['rng'] = self.seed_of(i, 1, rows), self.seed_of(i, side, columns)
            return self.kernel_fn(x1, x2, get, params, **kwargs)

        def arrays_of_block(*args, **kwargs):
            whole[:] = [of_block(*args, **kwargs)]
            return dict(enumerate(leaves(whole[0])))
        if not self.batch_size:
            return of_block((x1, ()), None if x2 is None else (x2, ()), **kwargs)
        first, second = (None if x is None else (x, numpy.arange(number_of_inputs(x, name)))
                         for x, name in ((x1, 'x1'), (x2, 'x2')))
        found = batch(arrays_of_block, self.batch_size, 0, progress=False)(first, second, **kwargs)
        return rebuilt(whole[0], found.values())


def _positive(value, name):
    value = as_number(value, name)
    if value <= 0:
        raise ValueError(f'{name} is expected to be > 0, got {value}.')
    return value


def _takes_rng(apply_fn):
    try:
        given = getfullargspec(apply_fn.f if isinstance(apply_fn, Differentiable) else apply_fn)
    except TypeError:                                                # not callable, or written in C
        return False
    return 'rng' in given.args + given.kwonlyargs or given.varkw is not None


def _in_tiles(apply_fn, batch_size, axes):
    """Return apply_fn, which in tiles raises ValueError if the first axis of an output, of the inputs, is in `axes`."""
    def apply_to_tile(params, x, **kwargs):
        out = apply_fn(params, x, **kwargs)
        if any(axis in (0, -leaf.ndim) for leaf in leaves(out) for axis in axes):
            raise ValueError(
                'expected batch_size=0 with the axis of the inputs in trace_axes or diagonal_axes, '
                f'got {batch_size}: there are no tiles without pairs of inputs.')
        return out
    return apply_to_tile if batch_size else apply_fn


def _counts(n_samples, with_error):
    """Return the numbers of samples in growing order, and whether a single number was asked for."""
    name = 'monte_carlo_kernel_fn: n_samples'
    is_one = is_whole(n_samples)
    try:
        counts = sorted({as_whole(n, name, 1) for n in ([n_samples] if is_one else n_samples)})
    except TypeError:
        raise TypeError(
            f'{name} is expected to be a whole number or several of them, got '
            f'{n_samples!r}.') from None
    if not counts:
        raise ValueError(f'{name} is expected to have numbers in it, got none.')
    if with_error and counts[0] < 2:
        raise ValueError(
            f'{name} is expected to be at least 2 for a standard error, got {counts[0]}. Draw at '
            'least 2 samples, or leave out return_error and tol.')
    return counts, is_one


# ------------------------------------------------------------------ means

class _Means:
    """Running means of kernels and sums of their squared deviations, in float64."""

    def __init__(self):
        self.n = 0
        self.tree = None

    def add(self, tree):
        kernels = [as_array(k) for k in leaves(tree)]
        if not self.n:
            self.tree = tree
            self.dtypes = [k.dtype for k in kernels]
            self.means = [namespace(k).zeros(k.shape) for k in kernels]
            self.squares = [namespace(k).zeros(k.shape) for k in kernels]
        self.n += 1
        for k, mean, square in zip(kernels, self.means, self.squares):
            deviation = k - mean
            mean += deviation / self.n
            square += deviation * (k - mean)

    @property
    def errors(self):
        return [numpy.sqrt(square / (self.n * (self.n - 1))) for square in self.squares]

    def worst(self):
        """Return the largest error in units of the largest entry of its kernel, over all kernels."""
        found = [0.]
        for mean, error in zip(self.means, self.errors):
            error = largest(error)
            scale = largest(mean)
            found.append(0. if error == 0 else error / scale if scale and isfinite(error) else inf)
        return max(found)

    def needed(self, tol):
        """Estimate the number of samples at which the largest relative error is `tol`."""
        return self.n * (self.worst() / tol) ** 2

    def ahead(self, threads, tol):
        """Return how many samples to draw before adding them: enough for all threads, few enough for memory and tol."""
        if self.n < 2:
            return threads
        entries = sum(mean.size for mean in self.means)
        most = min(MAX_WAITING, MAX_WAITING_ENTRIES // max(1, entries))
        if tol is not None:
            most = min(most, max(MIN_SAMPLES, self.needed(tol)) - self.n)
        return max(threads, ceil(most))

    def estimate(self, with_error):
        kernels = [mean.astype(dtype)[()] for mean, dtype in zip(self.means, self.dtypes)]
        if with_error:
            errors = (error.astype(dtype)[()] for error, dtype in zip(self.errors, self.dtypes))
            kernels = [Estimate(mean, error, self.n) for mean, error in zip(kernels, errors)]
        return rebuilt(self.tree, kernels)


def _means(sample, counts, threads, tol):
    """Yield the `_Means` of sample(0), ..., sample(n - 1) for n in counts; stop at a smaller n if it reaches tol."""
    means = _Means()

    def drawn(stop):
        while means.n < stop:
            numbers = range(means.n, min(stop, means.n + means.ahead(threads, tol)))
            yield from in_threads(sample, numbers, threads)
    for count in counts:
        kernels = drawn(count)
        for _ in shown(None, 'Monte Carlo', 'sample')(range(means.n, count)):
            means.add(next(kernels))
            if tol is not None and means.n >= min(MIN_SAMPLES, counts[-1]) and means.worst() <= tol:
                yield means
                return
        if tol is not None and count == counts[-1]:
            _warn(means, tol)
        yield means


def _warn(means, tol):
    worst = means.worst()
    needed = means.needed(tol)
    advice = '' if not isfinite(needed) else \
        f' About n_samples={round(needed, 1 - int(log10(needed))):.0f} would be enough.'
    warnings.warn(
        f'expected standard errors of at most tol={tol:g} times the largest entry, got {worst:.2g} '
        f'after {means.n} samples.{advice}', UserWarning, stacklevel=5)
