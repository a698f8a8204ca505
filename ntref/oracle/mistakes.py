"""Known mistakes of implementations, and which of them a wrong answer to a case was made with.

A mistake is what changes on the way to an answer: layers, inputs, options, or the result. With it ntref computes the
numbers of the mistake, by the ordinary recursion, and they are compared with the answer. Rounding has no numbers of
its own; two mistakes of rounding are known by the entries that are wrong.
"""
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import pi, prod
from typing import Any

import numpy

from ..arrays import is_array
from ..duals.pair import Pair
from ..stax import (
    AvgPool, Dense, Erf, FanInSum, GlobalAvgPool, GlobalSumPool, Layer, LayerNorm, Relu, SumPool, from_spec)
from ..stax.layers.weighted import Weighted
from ..trees import tree_map
from . import answers
from .cases import Case, digits
from .variants import changed, variant

__all__ = ['MISTAKES', 'Mistake', 'cast', 'named']


def _same(value, *beside):
    return value


@dataclass(frozen=True)
class Mistake:
    """What an implementation with a mistake does otherwise. Each function returns what takes the place of its first.

    Attributes
    ----------
    numbers : str           what its numbers are of: 'W_std not squared'.
    layer : function        of a `Layer`.
    inputs : function       of an array, x1 or x2, or None for x2; and x1.
    options : function      of the options of a prediction, and its inputs.
    result : function       of {name: array}, the options, and the shape of the finite network's outputs, () if there
                            is none.
    """
    numbers: str
    layer: Callable[[Any], Any] = _same
    inputs: Callable[[Any, Any], Any] = _same
    options: Callable[[dict, dict], dict] = _same
    result: Callable[[dict, dict, tuple], dict] = _same

    def answer(self, case: Case, dtype: str) -> dict[str, Any]:
        """Return the numbers of the mistake for a case, {name: array}, computed from its inputs in this dtype.

        If the mistake changes nothing but the result, that of what is expected is returned.
        """
        inputs = cast(case.inputs, dtype)
        right = case.options.get('spec', case.spec)
        net = right and self._network(right)
        is_same = not right or net == from_spec(right)
        if case.spec is None:
            return self.result(self._predictions(case, inputs, is_same), case.options, ())
        x1 = inputs['x1']
        x2 = inputs['x2']
        changes = {'x1': self.inputs(x1, x1), 'x2': self.inputs(x2, x1)}
        is_same = is_same and changes['x1'] is x1 and changes['x2'] is x2
        is_finite = 'params' in inputs
        function = answers.empirical if is_finite else answers.kernel
        found = case.expected if is_same else function(net, **inputs | changes, **case.options)
        outputs = net.init_fn(0, x1.shape)[0] if is_finite else ()
        return self.result(found, case.options, outputs)

    def _predictions(self, case, inputs, is_same):
        options = self.options(case.options, inputs)
        if is_same and options == case.options:
            return case.expected
        given = {name: value for name, value in options.items() if name != 'function'}
        return answers.predict(options['function'], inputs, given, self._network)

    def _network(self, spec):
        return changed(from_spec(spec), lambda part: self.layer(part) if isinstance(part, Layer) else part)


def cast(inputs: dict, dtype: str) -> dict:
    """Return the inputs of a case with their floating-point arrays in this dtype."""
    return tree_map(lambda a: a.astype(dtype) if is_array(a) and a.dtype.kind == 'f' else a, inputs)


# ------------------------------------------------------------------ layers with weights

def _weighted(**changes):
    """Return a function that changes arguments of layers with weights; each is given by a function of the layer."""
    def layer(given):
        if not isinstance(given, Weighted):
            return given
        return replace(given, **{name: value(given) for name, value in changes.items()})
    return layer


def _affine(step):
    """Return a function that lets layers with weights do `step`(layer, state, ...) in place of `Weighted._affine`."""
    def layer(given):
        if not isinstance(given, Weighted):
            return given
        return variant(given, _affine=lambda self, k, *sums, **more: step(given, k, *sums, **more))
    return layer


def _root(number):
    return number and abs(number) ** .5


def _divided_by_outputs(layer, k, *sums, **more):
    if not isinstance(layer, Dense):
        return layer._affine(k, *sums, **more)
    change = (k.signals[0].channels / layer.out_dim) ** .5
    return replace(layer, W_std=layer.W_std * change)._affine(k, *sums, **more)


def _without_bias(layer, k, *sums, **more):
    """Theta' = K' - sigma_b^2 + sigma_w^2 Theta."""
    new = layer._affine(k, *sums, **more)
    return new if new.ntk is None else new.but(ntk=new.ntk - (layer.b_std or 0.) ** 2)


def _without_own(layer, k, *sums, **more):
    """Theta' = sigma_w^2 Theta, behind other weights."""
    new = layer._affine(k, *sums, **more)
    return new if new.ntk is None or isinstance(k.ntk, int) else new.but(ntk=new.ntk - new.nngp)


# ------------------------------------------------------------------ other layers

def _slope(kind, factor):
    """Return a function that multiplies the slope of nonlinearities of this kind."""
    def layer(given):
        if not isinstance(given, kind):
            return given

        def dual(self, pair: Pair):
            cov, slope = given.dual(pair)
            return cov, factor * slope
        return variant(given, dual=dual, fused=None, fused_generic=None)
    return layer


def _circular(layer):
    is_same = str(getattr(layer, 'padding', '')).upper() == 'SAME'
    return replace(layer, padding='CIRCULAR') if is_same else layer


def _sums(layer):
    """Return a sum in place of an average."""
    given = layer.arguments()
    if isinstance(layer, AvgPool):
        given.pop('normalize_edges', None)
        return SumPool(**given)
    return GlobalSumPool(**given) if isinstance(layer, GlobalAvgPool) else layer


def _torch_eps(layer):
    return replace(layer, eps=1e-5) if isinstance(layer, LayerNorm) else layer


def _first_branch(layer):
    return variant(layer, _joint=lambda self, ks: ks[0]) if isinstance(layer, FanInSum) else layer


# ------------------------------------------------------------------ inputs, options and results

def _not_divided(x, x1):
    return x * x.shape[-1] ** .5 if is_array(x) else x


def _rows_of_first(x, x1):
    return numpy.resize(x1, x.shape) if is_array(x) and is_array(x1) else x


def _times(factor):
    """Return a function that multiplies times by factor(targets)."""
    def options(given, inputs):
        t = given.get('t')
        if t is None or 'y_train' not in inputs:
            return given
        c = factor(inputs['y_train'])
        return dict(given, t=[c * one for one in t] if isinstance(t, list) else c * t)
    return options


def _other_scale(options, inputs):
    is_absolute = options.get('diag_reg_absolute_scale', False)
    return dict(options, diag_reg_absolute_scale=not is_absolute) if 'diag_reg' in options else options


def _each(f, names=None):
    """Return a function that changes the arrays with these names (None: all)."""
    def result(found, options, outputs):
        return {name: f(a) if names is None or name in names else a for name, a in found.items()}
    return result


def _swapped(found, options, outputs):
    return dict(zip(found, reversed(found.values()))) if set(found) == {'nngp', 'ntk'} else found


def _traces(found, options, outputs):
    traced = options.get('trace_axes', (-1,)) if outputs else ()
    return {name: a * prod(outputs[axis] for axis in traced) for name, a in found.items()}


def _transposed(a):
    return a.swapaxes(0, 1) if a.ndim > 1 else a


MISTAKES = {
    'output-width': Mistake('weights divided by the number of outputs', _affine(_divided_by_outputs)),
    'weight-not-squared': Mistake('W_std not squared', _weighted(W_std=lambda layer: _root(layer.W_std))),
    'bias-not-squared': Mistake('b_std not squared', _weighted(b_std=lambda layer: _root(layer.b_std))),
    'no-weights': Mistake('W_std left out', _weighted(W_std=lambda layer: 1.)),
    'no-biases': Mistake('biases left out', _weighted(b_std=lambda layer: None)),
    'bias-forgotten': Mistake("a Theta without the layer's own biases", _affine(_without_bias)),
    'own-weights-forgotten': Mistake("a Theta without the layer's own weights and biases", _affine(_without_own)),
    'standard-as-ntk': Mistake("parameterization='ntk' in place of 'standard'",
                               _weighted(parameterization=lambda layer: 'ntk', s=lambda layer: (1, 1))),
    'ntk-as-standard': Mistake("parameterization='standard' in place of 'ntk'",
                               _weighted(parameterization=lambda layer: 'standard')),
    'relu-slope': Mistake('a slope of Relu without the half', _slope(Relu, 2)),
    'erf-constant': Mistake('a slope of Erf without 2 / sqrt(pi)', _slope(Erf, pi / 4)),
    'same-as-circular': Mistake('circular padding in place of zeros', _circular),
    'pool-sum': Mistake('sums in place of averages in pools', _sums),
    'layer-norm-eps': Mistake('LayerNorm with eps=1e-5', _torch_eps),
    'residual': Mistake('the first branch alone of a sum', _first_branch),
    'not-divided': Mistake('inputs not divided by the root of the number of features', inputs=_not_divided),
    'second-ignored': Mistake('rows of x1 in place of those of x2', inputs=_rows_of_first),
    'time': Mistake('a time not divided by the number of targets', options=_times(lambda y: y.size)),
    'twice-the-time': Mistake('a loss without the half', options=_times(lambda y: 2)),
    'diagonal-absolute': Mistake('diag_reg on the other scale: absolute, or relative to the mean variance',
                                 options=_other_scale),
    'trace-sum': Mistake('a sum over traced axes in place of the mean', result=_traces),
    'transposed': Mistake('x2 against x1', result=_each(_transposed)),
    'reversed': Mistake('the rows in reverse order', result=_each(lambda a: a[::-1] if a.ndim else a)),
    'swapped': Mistake('NNGP and NTK in exchange', result=_swapped),
    'doubled': Mistake('everything twice', result=_each(lambda a: 2 * a)),
    'halved': Mistake('everything half', result=_each(lambda a: a / 2)),
    'ntk-doubled': Mistake('Theta twice', result=_each(lambda a: 2 * a, ('ntk',))),
    'ntk-halved': Mistake('half of Theta', result=_each(lambda a: a / 2, ('ntk',))),
}
"""Those whose numbers can be computed."""


# ------------------------------------------------------------------ which mistake it was

FLOAT32_DIGITS = 4      # that a computation in float32 has at least
HALF_DIGITS = 5         # that half of the digits are at least
NEARLY = 1e-3           # 1 - |cosine| of inputs that are nearly parallel or opposite
KINKS = 'Relu', 'LeakyRelu', 'ABRelu', 'Abs', 'Sign', 'RectifiedMonomial'


def named(case: Case, answer: Mapping[str, Any], dtype: str) -> tuple[str, ...]:
    """Return what a wrong answer is the numbers of, such as 'W_std not squared', if known mistakes have given it.

    All of several mistakes that give the same numbers are named; none if there is no such mistake.

    Parameters
    ----------
    case : the case that failed
    answer : {name: array}, or anything else for what is no array
    dtype : 'float64' or 'float32', that of the inputs
    """
    arrays = {name: answer[name] for name in case.expected if is_array(answer.get(name))}
    if all(_agree(a, case.expected[name], case, name, dtype) for name, a in arrays.items()):
        return ()
    with warnings.catch_warnings(), numpy.errstate(all='ignore'):
        warnings.simplefilter('ignore')
        found = [mistake.numbers for mistake in MISTAKES.values() if _is_made(mistake, case, arrays, dtype)]
        found += [numbers for numbers, is_it in ROUNDING.items() if is_it(case, arrays, dtype)]
    return tuple(found)


def _is_made(mistake, case, arrays, dtype):
    """True if the mistake gives these arrays, and changes one of them."""
    try:
        wrong = mistake.answer(case, dtype)
    except (ArithmeticError, NotImplementedError, TypeError, ValueError):
        return False                            # there are no such numbers for the case
    if not all(_agree(a, wrong.get(name), case, name, dtype) for name, a in arrays.items()):
        return False
    return not all(_agree(wrong[name], case.expected[name], case, name, dtype) for name in arrays)


def _agree(a, b, case, name, dtype):
    """True if all entries of two arrays agree to the tolerance of the case."""
    if not is_array(b) or a.shape != b.shape:
        return False
    size = numpy.maximum(abs(b), case.scale[name] if a.shape == case.expected[name].shape else 0)
    return bool(numpy.all(abs(a - b) <= case.tolerance[dtype] * size))


def _is_float32(case, arrays, dtype):
    """True if the answer, of type float64, has numbers of float32, with their digits."""
    if dtype != 'float64' or not _are_whole(case, arrays):
        return False
    are_short = all(numpy.array_equal(a, a.astype('float32')) for a in arrays.values())
    return are_short and all(digits(a, case, name).min(initial=17) > FLOAT32_DIGITS for name, a in arrays.items())


def _is_rounded_cosine(case, arrays, dtype):
    """True if there is NaN, or half of the digits, only between inputs that are nearly parallel or opposite."""
    x1 = case.inputs.get('x1')
    if not set(case.layers) & set(KINKS) or not is_array(x1) or x1.ndim != 2 or not _are_whole(case, arrays):
        return False
    x2 = x1 if case.inputs['x2'] is None else case.inputs['x2']
    cosine = (x1 @ x2.T) / numpy.linalg.norm(x1, axis=1)[:, None] / numpy.linalg.norm(x2, axis=1)
    near = abs(cosine) > 1 - NEARLY
    for name, a in arrays.items():
        agreed = digits(a, case, name)
        is_right = agreed >= case.wanted(dtype)
        is_half = numpy.isnan(a) | (agreed >= HALF_DIGITS)
        if not numpy.all(is_right | near & is_half):
            return False
    return True


def _are_whole(case, arrays):
    return all(a.shape == case.expected[name].shape for name, a in arrays.items())


ROUNDING = {
    'a computation in float32': _is_float32,
    'an angle from the arccos of a rounded cosine': _is_rounded_cosine,
}
"""What the numbers are of -> is it so?"""
