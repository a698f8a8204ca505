"""Predictions with a proved bound: what functions of `ntref.predict` must return, by balls, beside what they return."""
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from ..arguments import as_whole
from ..arrays import is_array
from ..balls import ball, flint
from ..no_arrays import no_array
from ..predict.factor import NegativeVarianceError, RoundingError
from ..predict.layout import refuse_function
from ..stax import Layer
from ..trees import tree_map
from ..tuples import named_tuple
from ..types import Array, Tree
from .certified import Certified
from .digits import MAX_BITS, exactly, in_doubles, proved_digits, rounded
from .precision import alone
from .predicted import asked_for, predicted
from .proved import exact_balls, in_balls, unproved
from .proved_predictions import PROVED, Kernels
from .variants import changed

__all__ = ['certify_predict']

NAMES = 'nngp', 'ntk'


def certify_predict(
        function: str, y_train: Array | None = None, *, net: Layer | None = None, x_train: Tree = None,
        x_test: Tree = None, k_train_train: Any = None, k_test_train: Any = None, k_test_test: Any = None,
        digits: int = 30, **options: Any) -> Any:
    """Return what a function of `ntref.predict` must return, to a given number of digits, each with a proved bound.

    Parameters
    ----------
    function : str                  'gradient_descent_mse', 'gradient_descent_mse_steps',
                                    'gradient_descent_mse_ensemble', 'gp_inference', 'log_marginal_likelihood',
                                    'leave_one_out' or 'max_learning_rate'.
    y_train : array (n, ..., o)     targets; none for max_learning_rate.
    net : Layer                     its kernels are proved too: all layers of docs/oracle.md#what-is-proved.
    x_train, x_test : array         inputs of `net`. Without x_test predictions are those of the training inputs.
    k_train_train, k_test_train, k_test_test : arrays, or objects with arrays `nngp` and `ntk`
                                    kernels in place of net and inputs, taken exactly as they are. An array is used for
                                    either.
    digits : int                    digits of each entry, relative to the entry.
    options                         arguments of the function, and of the predict_fn that it returns, by name:
                                    docs/oracle.md#predictions. compute_cov=True: covariances too.

    Returns
    -------
    named tuple of Certified: fx_train, fx_test; or mean_ntk, covariance_ntk and others of `get`; or
    log_marginal_likelihood; or mean, variance, log_density; or max_learning_rate.
    `got64` and `got32` are what the function returns; NaN where it refuses a kernel that is singular to rounding, and
    got32 where numbers are out of range.

    Raises
    ------
    ValueError : what the function raises; k_train_train + diag_reg is not positive definite, where it is inverted.
    TypeError : an argument that the function does not have; a layer whose kernel is not proved.
    ArithmeticError : more than 8192 bits would be needed, as where a kernel is singular.
    ImportError : python-flint or mpmath is not installed.

    Accuracy
    --------
    Values are within the bound: docs/oracle.md#predictions.

    Source
    ------
    docs/theory/dynamics.md, docs/theory/bayes.md

    Examples
    --------
    >>> import numpy
    >>> k, y = numpy.array([[2., 1.], [1., 2.]]), numpy.array([3., 1.])
    >>> certify_predict('gp_inference', y, k_train_train=k, k_test_train=numpy.array([[1., .5]]), get='ntk', digits=20)
    CertifiedPrediction(mean_ntk=mean_ntk (1,): 20 digits are proved of 20, |error| <= ...; float64 within ...
      0  1.5  +- ...)
    """
    asked = as_whole(digits, 'certify_predict: digits', 1)
    flint()
    o = asked_for(function, options)
    if (y_train is None) != (function == 'max_learning_rate'):
        raise TypeError('certify_predict: expected y_train for all functions but max_learning_rate, which takes '
                        f'y_train_size; got {function} {"without" if y_train is None else "with"} y_train.')
    kernels = k_train_train, k_test_train, k_test_test
    with alone():
        if net is None:
            source, o = _given(kernels, (x_train, x_test), o)
        else:
            source = _computed(net, x_train, x_test, kernels, o.get('compute_cov', False))
        return _certified(function, source, exactly(y_train), o, asked)


def _certified(function, source, y, o, asked):
    exact = {name: _exact_option(name, value) for name, value in o.items()}
    got = {dtype: _in_floats(function, source, y, exact, dtype) for dtype in ('float64', 'float32')}
    options = {name: _on_balls(name, value) for name, value in exact.items()}
    found = proved_digits(
        lambda: PROVED[function](source.balls(), exact_balls(y), options), asked,
        f'certify_predict: expected predictions that balls of {MAX_BITS} bits can prove to {asked} digits, got wider '
        'ones. A singular kernel has no inverse: pass a diag_reg, or a finite time where there is one.')

    def in_floats(name, shape):
        for dtype, results in got.items():
            yield numpy.full(shape, numpy.nan, dtype) if results is None else numpy.asarray(results[name], dtype)
    return named_tuple('CertifiedPrediction', {
        name: Certified(name, values, bounds, sure, asked, *in_floats(name, values.shape), True)
        for name, (values, bounds, sure) in found.items()})


def _in_floats(function, source, y, options, dtype):
    """Return what `ntref.predict` gives in float32 or float64, by name.

    None where it refuses a kernel for its rounding; and in float32, where numbers are out of range too."""
    def to(value):
        return rounded(in_doubles(value), dtype)
    with numpy.errstate(over='ignore'):
        targets, inputs, given = tree_map(to, (y, source.inputs, options))
    if options.get('t') is not None:
        given = given | {'t': rounded(options['t'], 'float64')}
    try:
        return predicted(function, source.floats(inputs), targets, given)
    except (NegativeVarianceError, RoundingError):
        return None
    except ValueError:
        if dtype == 'float64':
            raise
        return None


def _exact_option(name, value):
    """Return an argument of a function of `ntref.predict`: times as an array, initial outputs as an array of mpf."""
    if name == 't' and value is not None:
        return numpy.asarray(value)
    if is_array(value) and value.shape == ():
        return value.item()
    return exactly(value) if name in ('fx_train_0', 'fx_test_0') else value


def _on_balls(name, value):
    """Return an argument with balls in place of numbers; of times, with None in place of infinity."""
    if value is None or isinstance(value, bool) or name in ('get', 'steps', 'trace_axes'):
        return value
    if name == 't':
        return numpy.frompyfunc(lambda t: None if t == numpy.inf else ball(t), 1, 1)(value)
    return exact_balls(value) if is_array(value) else ball(value)


# ------------------------------------------------------------------ where kernels come from

class _Source(NamedTuple):
    inputs: Any                             # exact numbers
    floats: Callable                        # Kernels of inputs in float32 or float64
    balls: Callable                         # Kernels of the exact inputs, at the working precision


def _given(kernels, inputs, o):
    """Return the source of kernels that are given, and options with covariances where k_test_test is given."""
    names = 'k_train_train', 'k_test_train', 'k_test_test'
    if any(x is not None for x in inputs) or kernels[0] is None:
        got = [name for name, x in zip((*names, 'x_train', 'x_test'), (*kernels, *inputs)) if x is not None]
        raise TypeError('certify_predict: expected k_train_train and other kernels, or net and x_train; got '
                        f'{" and ".join(got) or "neither"}.')
    exact = Kernels(*(None if k is None else _exact_kernel(k, name) for k, name in zip(kernels, names)))
    if 'compute_cov' in o:
        o = o | {'compute_cov': o['compute_cov'] or exact.test is not None}
        _check_covariances(exact, *(is_array(k) for k in (kernels[0], kernels[2])), o)
    return _Source(exact, lambda kernels: kernels, lambda: tree_map(exact_balls, exact)), o


def _exact_kernel(k, name):
    """Return {'nngp': array, 'ntk': array} of mpf."""
    if is_array(k):
        return dict.fromkeys(NAMES, exactly(k))
    refuse_function(k, name)
    found = {one: exactly(a) for one in NAMES if is_array(a := getattr(k, one, None))}
    if not found:
        raise no_array(k, f'{name} to be an array or to have attributes nngp and ntk')
    return found


def _check_covariances(exact, is_one, is_one_test, o):
    """Raise ValueError if a kernel is missing for the covariances, or may be another than the one needed."""
    if not o['compute_cov']:
        return
    if (exact.cross is None) != (exact.test is None):
        raise ValueError('certify_predict: expected k_test_train and k_test_test for covariances of test outputs, got '
                         'one of them.')
    for name, is_bare, what in ('ntk', is_one, 'k_train_train'), ('ntkgp', is_one_test, 'k_test_test'):
        if name in o['get'] and is_bare:
            raise ValueError(f'certify_predict: expected {what} with attributes nngp and ntk for the covariance of '
                             f'get={name!r}, got an array, which may be either.')


def _computed(net, x_train, x_test, kernels, has_covariance):
    """Return the source of kernels of a network: proved ones, and those of its kernel_fn."""
    if not isinstance(net, Layer) or x_train is None or any(k is not None for k in kernels):
        raise TypeError('certify_predict: expected net, a Layer such as serial(Dense(1), Relu()), with x_train and '
                        f'without kernels; got net={net!r:.200}.')
    if missing := unproved(net):
        raise TypeError(f'certify_predict: expected a network whose kernel can be proved, got {", ".join(missing)}: '
                        'docs/oracle.md#what-is-proved. Give k_train_train and so on, as numbers.')
    inputs = exactly(x_train), exactly(x_test)

    def kernels_of(net, x_train, x_test):
        pairs = (x_train, None), (x_test, x_train), (x_test, None)
        wanted = True, x_test is not None, x_test is not None and has_covariance
        return Kernels(*(net.kernel_fn(*pair, NAMES)._asdict() if is_wanted else None
                         for pair, is_wanted in zip(pairs, wanted)))
    return _Source(inputs, lambda inputs: kernels_of(changed(net, in_doubles), *inputs),
                   lambda: kernels_of(in_balls(net), *exact_balls(inputs)))
