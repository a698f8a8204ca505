"""Kernels for a GPU in CUDA's C++: their numbers, by a compiler for the CPU; and that NVRTC takes them."""
import ctypes
import os
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import mpmath
import numpy
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cupy_stand_in import ElementwiseKernel, installed

from ntref import duals, windows_on_device
from ntref.arrays import namespace
from ntref.duals import fast, on_device, written
from ntref.duals.geometry import Cov
from ntref.duals.pair import Pair
from ntref.duals.written import by_formula
from ntref.stax import (
    Cos, Erf, Exp, ExpNormalized, Gabor, Gelu, Hermite, Monomial, Polynomial, Rbf, RectifiedMonomial, Sigmoid_like,
    Sign, Sin)
from ntref.symbols import Symbol, lines

SLOPES = [(0., 1.), (.2, 1.), (1., .2), (.5, 2.), (-1., -.3)]
ANGLES = [0, 1e-9, 1e-5, .01, .3, .49, .51, 1., 1.57, 1.6, 2.4, 3., 3.1415]
LENGTHS = [(1., 1.), (2., .5), (1., 1 + 1e-7), (30., .1)]


def exact_pairs():
    """Pairs of vectors in the plane, of all ANGLES and LENGTHS, and zeros: q, q', K, lack, gap, area at 50 digits."""
    cases = [(a, b, t) for a, b in LENGTHS for t in ANGLES] + [(0, 1, 1), (1, 0, 1), (0, 0, 0)]
    a, b, t = (numpy.array([mpmath.mpf(x) for x in side], dtype=object) for side in zip(*cases))
    cos, sin, chord = (numpy.frompyfunc(f, 1, 1)(t) for f in (
        mpmath.cos, mpmath.sin, lambda t: 2 * mpmath.sin(t / 2) ** 2))
    return a * a, b * b, a * b * cos, a * b * chord, (a - b) ** 2 + 2 * a * b * chord, a * b * sin


def wanted(a, b):
    """The dual at 50 digits: K', slope, lack', gap', area'; the plain form, which is checked against integrals."""
    q1, q2, k, lack, gap, area = exact_pairs()
    cov, slope = duals.abrelu(Pair(q1, q2, Cov(k, gap, area)), mpmath.mpf(a), mpmath.mpf(b))
    c = (mpmath.mpf(a) ** 2 + mpmath.mpf(b) ** 2) / 2
    less = Pair(c * q1, c * q2, cov).minus
    return [x.astype(float) for x in (cov.k, slope, less, cov.gap, cov.area)]


def given(form, cupy, dtype='float64', spare=False):
    """The pairs on the device, with what the form carries."""
    q1, q2, k, lack, gap, area = (cupy.asarray(x.astype(float).astype(dtype)) for x in exact_pairs())
    carried = {'lack': dict(lack=lack), 'gap': dict(gap=gap), 'area': dict(gap=gap, area=area)}[form]
    return Pair(q1, q2, Cov(k, **carried), False, spare)


@pytest.mark.parametrize('form', on_device.FORMS)
@pytest.mark.parametrize('slopes', SLOPES)
def test_numbers(form, slopes, cupy, mp50):
    """Each is right to some eps of itself; beyond an angle of 2.7, and for unlike lengths without lack, by the area."""
    p = given(form, cupy)
    theta = cupy.asarray(numpy.full(p.k.shape, 3.))
    found, tangent = on_device.abrelu(p, theta, *slopes)
    k, slope, less, gap, area = wanted(*slopes)
    s = p.s.get()
    angles = numpy.array(ANGLES * len(LENGTHS) + [1, 1, 0])
    alike = abs(p.n1.get() - p.n2.get()) <= 1e-6 * p.n1.get()
    near = {'lack': angles < 2.7, 'gap': (angles < 2.7) & alike, 'area': angles < 9}[form]
    got = {name: x.get() for name, x in found.items()}
    assert list(got) == ['k', 'gap' if form == 'gap' else 'lack']
    assert_allclose(got['k'][near], k[near], rtol=4e-15, atol=4e-16 * s.max())
    assert_allclose(tangent.get()[near], 3 * slope[near], rtol=1e-14, atol=1e-15)
    if form == 'gap':
        assert_allclose(got['gap'][near], gap[near], rtol=1e-13, atol=1e-300)
    else:
        assert_allclose(got['lack'][near], less[near], rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize('form', on_device.FORMS)
def test_single_precision(form, cupy, mp50):
    p = given(form, cupy, 'float32')
    found, _ = on_device.abrelu(p, None, 0., 1.)
    k, _, _, _, _ = wanted(0., 1.)
    assert all(x.dtype == 'float32' for x in found.values())
    assert_allclose(found['k'].get(), k, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('form', on_device.FORMS)
@pytest.mark.parametrize('ntk', [None, 0, 'array'])
def test_in_place_or_not(form, ntk, cupy):
    """With `is_spare` results are written over what is given, else that is left as it was; the numbers are the same."""
    def run(spare):
        p = given(form, cupy, spare=spare)
        theta = cupy.asarray(numpy.linspace(1, 2, len(p.k))) if ntk == 'array' else ntk
        carried = p.k, getattr(p.cov, form)
        before = [x.get() for x in carried]
        found, tangent = on_device.abrelu(p, theta, .2, 1.)
        after = [x.get() for x in carried]
        return before, after, list(found.values()), tangent, theta
    before, after, new, tangent, theta = run(False)
    assert_array_equal(before, after)
    _, over, there, tangent_over, theta_over = run(True)
    assert_array_equal([x.get() for x in new], [x.get() for x in there])
    assert_array_equal(over, [x.get() for x in there])
    if ntk == 'array':
        assert_array_equal(tangent.get(), tangent_over.get())
        assert tangent_over is theta_over and tangent is not theta
    else:
        assert tangent is tangent_over is ntk


@pytest.mark.parametrize('form', ['lack', 'gap', 'area'])
@pytest.mark.parametrize('slopes', [(-1., 1.), (-.4, 1.), (.3, 1.)])
def test_slopes_of_two_signs_and_pairs_that_stay_opposite(form, slopes, cupy, mp50):
    """What no kernel written by hand has is the plain form, in one pass too: all of it is of the same numbers."""
    p = given(form, cupy)
    here = Pair(*(x.get() for x in (p.q1, p.q2)), Cov(*(None if c is None else c.get() for c in p.cov)))
    theta = numpy.linspace(1, 2, len(here.k))
    exact, slope = duals.abrelu(here, *slopes)
    found, tangent = fast.abrelu(p, cupy.asarray(theta), *slopes)
    is_kept = form != 'lack' or slopes[0] > 0
    assert [c is not None for c in found] == [True, is_kept, is_kept, not is_kept]
    assert_allclose(found.k.get(), exact.k, rtol=1e-14, atol=1e-15)
    assert_allclose(tangent.get(), theta * slope, rtol=1e-14, atol=1e-15)
    if is_kept:
        assert_allclose(found.gap.get(), exact.gap, rtol=1e-14, atol=1e-15)
        assert_allclose(found.area.get(), exact.area, rtol=1e-14, atol=1e-15)
    else:
        c = (slopes[0] ** 2 + slopes[1] ** 2) / 2
        assert_allclose(found.lack.get(), Pair(c * here.q1, c * here.q2, exact).minus, rtol=1e-14, atol=1e-15)


CARRIED = {'lack': ('k', 'lack'), 'gap': ('k', 'gap'), 'area': ('k', 'gap', 'area')}
AFFINE = [(1.7, .3, None), (1.7, 0, None), (1.7, .3, (1.5, True)), (.6, 0, (1., False))]


@pytest.mark.parametrize('w, b, own', AFFINE)
@pytest.mark.parametrize('ntk', [None, 0, 'array'])
@pytest.mark.parametrize('form', CARRIED)
def test_weights(form, ntk, w, b, own, cupy, mp50):
    """K' = w K + b and what is carried beside it are those of 50 digits, and so is Theta'; spare arrays are used."""
    q1, q2, k, lack, gap, area = (x[:4 * len(ANGLES)] for x in exact_pairs())
    theta = numpy.full(k.shape, mpmath.mpf(3)) if ntk == 'array' else 0 * k if ntk == 0 else None
    new_k = w * k + b
    other = None if ntk is None else w * theta + (own[0] * k + own[1] if own else new_k)
    new_gap = w * gap
    new_area = root(w * w * area * area + w * b * gap)
    wanted = {'k': new_k, 'gap': new_gap, 'area': new_area,
              'lack': root((w * q1 + b) * (w * q2 + b)) - new_k, 'ntk': other}
    lengths = [root(w * q) + root(w * q + b) for q in (q1, q2)]
    size = float(abs(new_k).max())
    sizes = {'k': size, 'ntk': size, 'lack': abs(lengths[0] - lengths[1]).astype(float)}
    for dtype, eps in ('float64', 2.3e-16), ('float32', 1.2e-7):
        for spare in False, True:
            p = given(form, cupy, dtype, spare).at(slice(4 * len(ANGLES)))
            p = replace(p, is_spare=spare)
            before = cupy.asarray(theta.astype(dtype)) if ntk == 'array' else ntk
            cov, after = written.affine(p, before, w, b, own)
            found = {name: c for name, c in cov._asdict().items() if c is not None} | (
                {} if ntk is None else {'ntk': after})
            assert set(found) == {*CARRIED[form]} | ({'ntk'} if ntk is not None else set())
            assert (after is before) == (ntk is None or ntk == 'array' and spare)
            assert (cov.k is p.k) == spare
            for name, x in found.items():
                error = abs(x.get() - wanted[name].astype(float))
                assert (error <= 20 * eps * abs(wanted[name]) + 4 * eps * sizes.get(name, 0)).all()


def root(x):
    return numpy.frompyfunc(mpmath.sqrt, 1, 1)(x)


# ------------------------------------------------------------------ formulas that are written out

FORMULAS = [Erf(1.1, .9, .2), Sigmoid_like(), Gelu(), Gabor(), Sin(1.2, .8, .2), Cos(), Rbf(.7), Exp(.5, .3),
            ExpNormalized(), Polynomial((1., .5, .2)), Monomial(3), Hermite(3), Sign(), RectifiedMonomial(2)]


def by(asarray, layer, form, spare=False):
    """K', what is carried beside it, and Theta' of the pairs of `exact_pairs` but those of length 30, by a layer."""
    own1, own2, k, lack, gap, area = (asarray(x[:3 * len(ANGLES)]) for x in exact_pairs())
    carried = {name: {'lack': lack, 'gap': gap, 'area': area}[name] for name in CARRIED[form][1:]}
    new1, new2 = (layer.dual(Pair.same(q))[0].k for q in (own1, own2))
    cov, ntk = by_formula(layer.dual, Pair(own1, own2, Cov(k, **carried), False, spare), 3 + 0 * k, new1, new2)
    return {name: c for name, c in cov._asdict().items() if c is not None} | {'ntk': ntk}


@pytest.mark.parametrize('form', CARRIED)
@pytest.mark.parametrize('layer', FORMULAS, ids=repr)
def test_the_kernel_has_the_numbers_of_the_formula(layer, form, cupy, mp50):
    """Those of NumPy's arrays, and of 50 digits; without area opposite ones have few, and by the gap unlike lengths."""
    exact = by(lambda x: x, layer, form)
    angle, length = numpy.array(3 * ANGLES), numpy.repeat([0, 1, 2], len(ANGLES))
    near = {'lack': angle < 3, 'gap': (angle < 3) & (length != 1), 'area': angle < 9}[form]
    for dtype, eps in ('float64', 2.3e-16), ('float32', 1.2e-7):
        plain = by(lambda x: x.astype(float).astype(dtype), layer, form)
        found = by(lambda x: cupy.asarray(x.astype(float).astype(dtype)), layer, form)
        spared = by(lambda x: cupy.asarray(x.astype(float).astype(dtype)), layer, form, spare=True)
        assert list(found) == list(plain) == list(exact)
        for name, x in found.items():
            size = abs(plain['k' if name in ('gap', 'area') else name]).max() + 1e-30
            assert x.dtype == dtype and isinstance(x, cupy.ndarray)
            assert_allclose(x.get()[near], plain[name][near], rtol=1e3 * eps, atol=50 * eps * size)
            assert_array_equal(x.get(), spared[name].get())
            if name in ('k', 'ntk'):
                assert_allclose(x.get()[near], exact[name].astype(float)[near], rtol=1e3 * eps, atol=50 * eps * size)


def test_a_formula_that_asks_for_values_is_refused():
    with pytest.raises(TypeError, match='powers are whole numbers >= 0, got 0.5'):
        Symbol('x') ** .5
    with pytest.raises(TypeError, match='decides on values by `where` alone'):
        bool(Symbol('x') > 0)
    with pytest.raises(TypeError, match='a formula for each pair by itself, got one that calls sum'):
        namespace(Symbol('x')).sum(Symbol('x'))


def test_symbols(rng):
    """Each function and operator in C++ is that of NumPy; one is computed once, and results may be written over."""
    x, y = numpy.array([[.3, -1.2, 2., 0.], [1.5, .7, -.4, 0.]])
    xp = namespace(x)

    def all_of(x, y, xp):
        return [x + y, x - y, 2 - x, x * y, y / (abs(x) + 1), 1 / (3 + x), -x, abs(x), x ** 3, y ** 2, x ** 1,
                xp.where(x > y, x, 1.), xp.where(x <= y, 0., y), xp.where((x >= 0) & ~(y < 0) | (x == y), x, y),
                xp.where(x != y, x, 5.), xp.maximum(x, y), xp.minimum(x, 0.), xp.sign(x), xp.sqrt(abs(x)),
                xp.exp(x), xp.expm1(x), xp.log(3 + x), xp.log1p(abs(x)), xp.sin(x), xp.cos(x), xp.sinh(x), xp.tanh(x),
                xp.erf(x), xp.arctan2(x, y), xp.hypot(x, y), xp.add(x, y), xp.multiply(x, y), xp.subtract(x, y),
                xp.patch(x, xp.nonzero(x > y), xp.asarray(7.) + 0 * x[xp.nonzero(x > y)])]
    symbols = Symbol('x'), Symbol('y')
    found = {f'out{i}': c for i, c in enumerate(all_of(*symbols, namespace(symbols[0])))}
    kernel = ElementwiseKernel('T x, T y', ', '.join(f'T {name}' for name in found), ' '.join(lines(found)), 'all')
    with installed() as cupy:
        outs = [cupy.asarray(0 * x) for _ in found]
        kernel(cupy.asarray(x), cupy.asarray(y), *outs)
        for out, expected in zip(outs, all_of(x, y, xp), strict=True):
            assert_allclose(out.get(), expected, rtol=1e-15, atol=1e-300)
    one = symbols[0] * symbols[1]
    assert lines({'x': one + one, 'y': one}) == ['T v0 = x * y;', 'T v1 = v0 + v0;', 'x = v1;', 'y = v0;']


# ------------------------------------------------------------------ what a GPU's compiler says

TYPES = ElementwiseKernel.TYPES
ARCHITECTURES = 'sm_80', 'sm_90', 'sm_100'       # A100, H100 and H200, B200

GLOBAL = """
extern "C" __global__ void {name}(long count, {arguments})
{{
    long i = blockIdx.x * (long) blockDim.x + threadIdx.x;
    if (i >= count) return;
    {named}
    {operation}
}}
"""


def sources():
    """The source of all kernels, as CuPy makes them: inputs and outputs by reference, in both precisions."""
    found: list[str] = []

    class Recorded:
        def __init__(self, inputs, outputs, operation, name, preamble=''):
            parts = [part.split() for part in f'{inputs}, {outputs}'.split(', ')]
            arrays = ', '.join(f'{TYPES[kind]}* _{n}' for *_, kind, n in parts)
            named = ' '.join(f'{TYPES[kind]}{f"* {n} = _{n}" if is_raw else f"& {n} = _{n}[i]"};'
                             for *is_raw, kind, n in parts)
            for of_type in 'float', 'double':
                text = GLOBAL.format(name=f'k{len(found)}_{name}', operation=operation, arguments=arrays, named=named)
                found.append(f'namespace of_{len(found)} {{\ntypedef {of_type} T;\n{preamble}{text}}}\n')
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(on_device, 'import_module', lambda name: type('cupy', (), {'ElementwiseKernel': Recorded}))
        for form in on_device.FORMS:
            for has_tangent in False, True:
                on_device.kernel.__wrapped__(form, has_tangent)
        patched.setattr(written, 'import_module', on_device.import_module)
        for layer in FORMULAS:
            carried = 'k', 'gap', 'area', 'ntk'
            written._kernel.__wrapped__(written._settled, layer, carried, True, ('new1', 'new2'), False)
        for names in CARRIED.values():
            of = duals.abrelu if 'gap' in names else fast._plain, -.4, 1.
            written._kernel.__wrapped__(fast._with_tangent, of, (*names, 'ntk'), True, (), False)
            written._kernel.__wrapped__(written._affine, True, (*names, 'ntk'), True, ('w', 'b', 'n', 'c'), False)
            written._kernel.__wrapped__(written._affine, False, names, True, ('w', 'b'), True)
        patched.setattr(windows_on_device, 'import_module', on_device.import_module)
        for axes, integer in product((1, 2), ('int32', 'int64')):
            windows_on_device.kernel.__wrapped__(axes, integer)
    return found


def nvrtc():
    """CUDA's runtime compiler from its wheel, or a skip."""
    spec = find_spec('nvidia')
    places = [] if spec is None else [
        path for root in spec.submodule_search_locations for path in Path(root).rglob('libnvrtc.so.*')]
    if not places:
        if os.environ.get('NTREF_REQUIRE_CUPY') == '1':
            pytest.fail('NTREF_REQUIRE_CUPY=1, but there is no NVRTC: pip install .[dev]')
        pytest.skip('NVRTC is not installed: pip install .[dev]')
    return ctypes.CDLL(str(places[0]))


@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_nvrtc_compiles(architecture):
    """All in one program, since a program takes the compiler longer than a kernel."""
    compiler = nvrtc()
    source = ''.join(sources())
    program = ctypes.c_void_p()
    compiler.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b'kernels.cu', 0, None, None)
    options = (ctypes.c_char_p * 2)(f'--gpu-architecture={architecture}'.encode(), b'-std=c++17')
    failed = compiler.nvrtcCompileProgram(program, len(options), options)
    size = ctypes.c_size_t()
    compiler.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    compiler.nvrtcGetProgramLog(program, log)
    assert not failed and not log.value, log.value.decode()
    compiler.nvrtcGetCUBINSize(program, ctypes.byref(size))
    assert size.value > 1000 * source.count('namespace')
    compiler.nvrtcDestroyProgram(ctypes.byref(program))
