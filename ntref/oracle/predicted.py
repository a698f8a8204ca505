"""What functions of `ntref.predict` return for kernels, by name; and which arguments each of them has."""
import warnings
from types import SimpleNamespace
from typing import Any

import numpy

from .. import predict
from ..arguments import as_flag, suggestion
from ..predict.factor import SingularKernelWarning
from ..predict.gaussian import names_in
from ..predict.layout import field

__all__ = ['asked_for', 'predicted']

FIT = {'diag_reg': 0., 'diag_reg_absolute_scale': False, 'trace_axes': (-1,)}
TRAINED = FIT | {'learning_rate': 1., 't': None}
STARTED = {'fx_train_0': 0., 'fx_test_0': None}
STEPS = {'steps': ..., 'learning_rate': ..., 'momentum': 0., 'nesterov': False}
GAUSSIAN = {'get': None, 'compute_cov': False}
PRIOR = FIT | {'get': 'nngp'}
ARGUMENTS: dict[str, dict[str, Any]] = {
    'gradient_descent_mse': TRAINED | STARTED,
    'gradient_descent_mse_steps': STEPS | FIT | STARTED,
    'gradient_descent_mse_ensemble': TRAINED | GAUSSIAN,
    'gp_inference': FIT | GAUSSIAN,
    'log_marginal_likelihood': PRIOR,
    'leave_one_out': PRIOR,
    'max_learning_rate': {'y_train_size': None, 'momentum': 0., 'eps': 1e-12, 'nesterov': False},
}
"""{function: {argument: default}}, but for kernels, inputs and targets; `...`: there is none."""


def asked_for(function: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a function with defaults in place of those that are not given.

    Raises
    ------
    ValueError : an unknown function. TypeError : an argument that the function does not have.
    """
    if function not in ARGUMENTS:
        raise ValueError(f'certify_predict: expected a function out of {", ".join(ARGUMENTS)}; got {function!r:.100}.'
                         f'{suggestion(function, ARGUMENTS)}')
    known = ARGUMENTS[function]
    for name in options:
        if name not in known:
            raise TypeError(f'certify_predict: expected arguments of {function} out of {", ".join(known)}; got '
                            f'{name}.{suggestion(name, known)}')
    o = known | options
    if missing := [name for name, value in o.items() if value is ...]:
        raise TypeError(f'certify_predict: expected {" and ".join(missing)} for {function}, got none.')
    if 'compute_cov' not in o:
        return o
    return o | {'get': names_in(o['get']), 'compute_cov': as_flag(o['compute_cov'], 'compute_cov')}


def predicted(function: str, kernels: Any, y: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return arrays by name.

    `kernels` has train, cross and test, each {'nngp': array, 'ntk': array}, or None.
    """
    train, cross, test = (k and SimpleNamespace(**k) for k in kernels)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', SingularKernelWarning)
        return RESULTS[function](train, cross, test, y, **options)


def gradient_descent_mse(train, cross, test, y, t, **options):
    return _moved(predict.gradient_descent_mse, train, cross, y, t, **options)


def gradient_descent_mse_steps(train, cross, test, y, steps, **options):
    return _moved(predict.gradient_descent_mse_steps, train, cross, y, steps, **options)


def _moved(f, train, cross, y, when, fx_train_0, fx_test_0, **fit):
    k_test_train = cross and field(cross, 'ntk', 'k_test_train')
    results = f(field(train, 'ntk', 'k_train_train'), y, **fit)(when, fx_train_0, fx_test_0, k_test_train)
    names = [name for name, start in (('fx_train', fx_train_0), ('fx_test', fx_test_0)) if start is not None]
    return dict(zip(names, results if len(names) > 1 else [results]))


def gradient_descent_mse_ensemble(train, cross, test, y, t, get, compute_cov, **fit):
    """Inputs are numbers that stand for those of the kernels."""
    of_train = numpy.arange(len(y))[:, None]
    of_test = None if cross is None else len(y) + of_train[:1]

    def kernel_fn(x1, x2, get):
        k = cross if x2 is not None else train if x1 is of_train else test
        return getattr(k, get) if isinstance(get, str) else k
    predict_fn = predict.gradient_descent_mse_ensemble(kernel_fn, of_train, y, **fit)
    return _by_name(predict_fn(t, of_test, get, compute_cov), compute_cov)


def gp_inference(train, cross, test, y, get, compute_cov, **fit):
    has_covariance = (test or True) if compute_cov else None
    return _by_name(predict.gp_inference(train, y, **fit)(get, cross, has_covariance), compute_cov)


def _by_name(results, compute_cov):
    found = {}
    for get in results._fields:
        result = getattr(results, get)
        found |= {f'mean_{get}': result.mean, f'covariance_{get}': result.covariance} if compute_cov else {
            f'mean_{get}': result}
    return found


def log_marginal_likelihood(train, cross, test, y, **fit):
    return {'log_marginal_likelihood': predict.log_marginal_likelihood(train, y, **fit)}


def leave_one_out(train, cross, test, y, **fit):
    return predict.leave_one_out(train, y, **fit)._asdict()


def max_learning_rate(train, cross, test, y, **options):
    return {'max_learning_rate': predict.max_learning_rate(field(train, 'ntk', 'k_train_train'), **options)}


RESULTS = {f.__name__: f for f in (
    gradient_descent_mse, gradient_descent_mse_steps, gradient_descent_mse_ensemble, gp_inference,
    log_marginal_likelihood, leave_one_out, max_learning_rate)}
