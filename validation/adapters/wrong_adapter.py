"""ntref with a classic mistake, which the conformance suite must find:

    ntref conform validation/adapters/wrong_adapter.py:MISTAKE

MISTAKE is one of those below; none is ntref as it is. A mistake changes the request (`spec`, inputs, options), the
result, or a formula of ntref, which is patched in this process.
"""
import sys
from dataclasses import replace
from math import prod

import ntref_adapter as right
import numpy

from ntref import duals
from ntref.duals.geometry import Cov
from ntref.stax import Dense, Erf, FanInSum, Relu, from_spec
from ntref.stax.layers.weighted import Weighted

about, affine = right.about, Weighted._affine


class Right:
    """No mistake: what each of the others changes."""

    def prepare(self):
        """Patches formulas."""

    def layer(self, spec):
        """Another layer in place of one, of which the parts have been changed."""
        return spec

    def inputs(self, x1, x2):
        return x1, x2

    def kernel(self, name, k):
        return k

    def empirical(self, k, net, x1, trace_axes=(-1,), **options):
        return k

    def predict(self, inputs, options):
        return options


# ------------------------------------------------------------------ layers with weights

class OutputWidth(Right):
    """Dense divides by the number of its outputs."""

    def prepare(self):
        def wrong(self, k, *sums, **more):
            change = (k.signals[0].channels / self.out_dim) ** .5 if isinstance(self, Dense) else 1.
            return affine(replace(self, W_std=self.W_std * change), k, *sums, **more)
        Weighted._affine = wrong


class WeightNotSquared(Right):
    """W_std in the kernel in place of its square."""

    def prepare(self):
        def wrong(self, *given, **more):
            return affine(replace(self, W_std=abs(self.W_std) ** .5), *given, **more)
        Weighted._affine = wrong


class BiasForgotten(Right):
    """Theta' = K' - sigma_b^2 + sigma_w^2 Theta."""

    def prepare(self):
        def wrong(self, k, *sums, **more):
            new = affine(self, k, *sums, **more)
            return new if new.ntk is None else new.but(ntk=new.ntk - (self.b_std or 0.) ** 2)
        Weighted._affine = wrong


class OnlyThroughInput(Right):
    """Theta' = sigma_w^2 Theta: the layer's own weights are forgotten, but of the first."""

    def prepare(self):
        def wrong(self, k, *sums, **more):
            new = affine(self, k, *sums, **more)
            return new if new.ntk is None or isinstance(k.ntk, int) else new.but(ntk=new.ntk - new.nngp)
        Weighted._affine = wrong


class StandardAsNtk(Right):
    """The parameterization is ignored."""

    def layer(self, spec):
        return {key: value for key, value in spec.items() if key not in ('parameterization', 's')}


# ------------------------------------------------------------------ nonlinearities

class ReluSlope(Right):
    """E[relu' relu'] = (pi - theta) / pi, without the half."""

    def prepare(self):
        def dual(self, p):
            cov, slope = duals.abrelu(p, 0, 1)
            return cov, 2 * slope
        _patch(Relu, dual)


class ErfConstant(Right):
    """erf' = exp(-z^2), without 2 / sqrt(pi)."""

    def prepare(self):
        def dual(self, p):
            cov, slope = duals.erf(p, self.a, self.b, self.c)
            return cov, slope * numpy.pi / 4
        _patch(Erf, dual)


class Arccos(Right):
    """theta = arccos(K / sqrt(q q')) without clipping: NaN where rounding has made that 1 + 2e-16."""

    def prepare(self):
        def dual(self, p):
            with numpy.errstate(all='ignore'):
                size = numpy.sqrt(p.q1 * p.q2)
                cosine = p.k / size
                theta = numpy.arccos(cosine)
                slope = (numpy.pi - theta) / (2 * numpy.pi)
                return Cov(size * numpy.sqrt(1 - cosine ** 2) / (2 * numpy.pi) + slope * p.k), slope
        _patch(Relu, dual)


# ------------------------------------------------------------------ inputs and results

class Float32Inside(Right):
    """Computed in float32, returned in float64."""

    def inputs(self, x1, x2):
        return _float32(x1), _float32(x2)

    def kernel(self, name, k):
        return k.astype('float64')


class SecondIgnored(Right):
    """Rows of x1 in place of those of x2."""

    def inputs(self, x1, x2):
        if isinstance(x1, list) or x2 is None:
            return x1, x2
        return x1, numpy.resize(x1, x2.shape)


class Transposed(Right):
    """x2 against x1, where both have as many rows; else the rows in reverse order."""

    def kernel(self, name, k):
        return numpy.swapaxes(k, 0, 1) if k.shape[0] == k.shape[1] else k[::-1]


# ------------------------------------------------------------------ other layers

class SameAsCircular(Right):
    """Padding with what is at the other end in place of zeros."""

    def layer(self, spec):
        is_same = str(spec.get('padding')).upper() == 'SAME'
        return dict(spec, padding='CIRCULAR') if is_same else spec


class PoolSum(Right):
    """Pools add up and do not divide."""

    def layer(self, spec):
        name = {'AvgPool': 'SumPool', 'GlobalAvgPool': 'GlobalSumPool'}.get(spec['layer'], spec['layer'])
        return {key: value for key, value in dict(spec, layer=name).items() if key != 'normalize_edges'}


class LayerNormEps(Right):
    """The eps of PyTorch, 1e-5, in place of the one given."""

    def layer(self, spec):
        return dict(spec, eps=1e-5) if spec['layer'] == 'LayerNorm' else spec


class Residual(Right):
    """Of a sum of branches the first alone."""

    def prepare(self):
        FanInSum._joint = lambda self, ks: ks[0]


# ------------------------------------------------------------------ predictions and finite networks

class Time(Right):
    """learning_rate t is not divided by the number of targets."""

    def predict(self, inputs, options):
        t, size = options.get('t'), inputs['y_train'].size if 'y_train' in inputs else 1
        longer = [one and one * size for one in t] if isinstance(t, list) else t and t * size
        return options if t is None else dict(options, t=longer)


class DiagonalAbsolute(Right):
    """diag_reg is added as it is, not times the mean of the diagonal; or the other way round."""

    def predict(self, inputs, options):
        is_absolute = options.get('diag_reg_absolute_scale', False)
        return dict(options, diag_reg_absolute_scale=not is_absolute) if 'diag_reg' in options else options


class TraceSum(Right):
    """The sum over traced axes in place of the mean."""

    def empirical(self, k, net, x1, trace_axes=(-1,), **options):
        shape = net.init_fn(0, x1.shape)[0]
        return k * prod(shape[axis] for axis in trace_axes)


MISTAKES = {
    'none': Right, 'output-width': OutputWidth, 'weight-not-squared': WeightNotSquared, 'bias-forgotten': BiasForgotten,
    'own-weights-forgotten': OnlyThroughInput, 'standard-as-ntk': StandardAsNtk, 'relu-slope': ReluSlope,
    'erf-constant': ErfConstant, 'arccos': Arccos, 'float32-inside': Float32Inside, 'second-ignored': SecondIgnored,
    'transposed': Transposed, 'same-as-circular': SameAsCircular, 'pool-sum': PoolSum, 'layer-norm-eps': LayerNormEps,
    'residual': Residual, 'time': Time, 'diagonal-absolute': DiagonalAbsolute, 'trace-sum': TraceSum}
asked = sys.argv[1] if len(sys.argv) > 1 else ''
if asked not in MISTAKES:
    raise SystemExit(f'expected wrong_adapter.py:MISTAKE, one of {", ".join(MISTAKES)}; got {asked!r}')
mistake = MISTAKES[asked]()


# ------------------------------------------------------------------ the adapter

def prepare():
    mistake.prepare()


def kernel(spec, x1, x2, get, **options):
    x1, x2 = mistake.inputs(x1, x2)
    return {name: mistake.kernel(name, k)
            for name, k in right.kernel(changed(spec), x1, x2, get, **options).items()}


def empirical(spec, params, x1, x2, get, **options):
    net = from_spec(spec)
    return {name: mistake.empirical(k, net, x1, **options)
            for name, k in right.empirical(spec, params, x1, x2, get, **options).items()}


def predict(function, inputs, options):
    return right.predict(function, inputs, mistake.predict(inputs, options))


def changed(spec):
    """The network with the mistake in each of its layers."""
    if isinstance(spec, list):
        return [changed(part) for part in spec]
    if not isinstance(spec, dict) or 'layer' not in spec:
        return spec
    return mistake.layer({key: changed(part) for key, part in spec.items()})


def _patch(layer, dual):
    """Another dual, also in the forms for large kernels."""
    layer.dual, layer.fused, layer.fused_generic = dual, None, None


def _float32(x):
    return [_float32(part) for part in x] if isinstance(x, list) else x if x is None else x.astype('float32')
