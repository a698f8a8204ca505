"""Predictions of a case by a library that has the names, arguments and meanings of `ntref.predict`.

It needs numpy, but not ntref, so that adapters of other libraries can load it.
"""
import typing
from collections import namedtuple

import numpy

__all__ = ['predict']

Kernels = namedtuple('Kernels', 'nngp ntk')


def predict(library: typing.Any, from_spec: typing.Any, function: str, inputs: dict, options: dict) -> dict:
    """Return the results of a function of `library.predict`, by name; `from_spec` makes its networks.

    `function`, `inputs` and `options` are those of a case of kind 'predict', docs/oracle.md#the-cases.

    Raises
    ------
    NotImplementedError : the library does not have it.
    """
    options, f = dict(options), getattr(library.predict, function, None)
    if function not in RESULTS or f is None:
        raise NotImplementedError(f'{library.__name__} has no {function}')
    return RESULTS[function](f, from_spec, inputs, options)


def gradient_descent_mse(f, from_spec, inputs, options):
    t, inputs = _times(options), dict(inputs)
    predict_fn = f(inputs.pop('k_train_train'), inputs.pop('y_train'), **_tuples(options))
    given = {'fx_train_0': 0.} | inputs
    results = predict_fn(t, **given)
    return dict(zip(('fx_train', 'fx_test'), results if isinstance(results, tuple) else [results]))


def gradient_descent(f, from_spec, inputs, options):
    if options.pop('loss') != 'mse':
        raise NotImplementedError('another loss than mse')
    t = _times(options)
    predict_fn = f(mean_square, inputs['k_train_train'], inputs['y_train'], **_tuples(options))
    return _moved(predict_fn, t, inputs)


def mean_square(f, y):
    return ((f - y) ** 2).mean() / 2


def gradient_descent_mse_steps(f, from_spec, inputs, options):
    steps = numpy.array(options.pop('steps'))
    return _moved(f(inputs['k_train_train'], inputs['y_train'], **_tuples(options)), steps, inputs)


def _moved(predict_fn, when, inputs):
    return dict(zip(('fx_train', 'fx_test'), predict_fn(when, *(
        inputs[name] for name in ('fx_train_0', 'fx_test_0', 'k_test_train')))))


def gp_inference(f, from_spec, inputs, options):
    get, has_covariance = tuple(options.pop('get')), options.pop('compute_cov', False)
    train, cross, test = (Kernels(*(inputs[f'{name}_{pair}'] for name in Kernels._fields))
                          for pair in ('train_train', 'test_train', 'test_test'))
    predict_fn = f(train, inputs['y_train'], **_tuples(options))
    return _by_name(predict_fn(get, cross, test if has_covariance else None), has_covariance)


def gradient_descent_mse_ensemble(f, from_spec, inputs, options):
    get, has_covariance, t = tuple(options.pop('get')), options.pop('compute_cov', False), _times(options)
    kernel_fn = from_spec(options.pop('spec'))[2]
    predict_fn = f(kernel_fn, inputs['x_train'], inputs['y_train'], **_tuples(options))
    return _by_name(predict_fn(t, inputs['x_test'], get, compute_cov=has_covariance), has_covariance)


def max_learning_rate(f, from_spec, inputs, options):
    k = inputs['ntk_train_train']
    return {'max_learning_rate': numpy.asarray(f(k, **options), k.dtype)}


RESULTS = {f.__name__: f for f in (
    gradient_descent_mse, gradient_descent, gradient_descent_mse_steps, gp_inference, gradient_descent_mse_ensemble,
    max_learning_rate)}


def _times(options):
    t = options.pop('t', None)
    return numpy.array(t) if isinstance(t, list) else t


def _tuples(options):
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def _by_name(results, has_covariance):
    found = {}
    for name in results._fields:
        result = getattr(results, name)
        found |= {f'mean_{name}': result.mean, f'covariance_{name}': result.covariance} if has_covariance else {
            f'mean_{name}': result}
    return found
