"""`net.explain`: its numbers are those of kernel_fn, its formulas give them, each layer has one."""
import json
import re
from dataclasses import asdict, dataclass
from math import cos, pi, sin, sqrt

import mpmath
import numpy
import pytest
from examples import NETWORKS, NOT_LAYERS, POSITIONS, draw
from kinds import to_kind
from scipy.special import erf, ndtr

from ntref import stax
from ntref.stax import (
    ABRelu, Abs, Aggregate, AvgPool, Conv, Cos, Dense, Dropout, Erf, Exp, ExpNormalized, FanInSum, FanOut, Flatten,
    Gaussian, GlobalAvgPool, Identity, LayerNorm, LeakyRelu, Rbf, Relu, Sign, Sin, Tanh, parallel, repeat, serial)
from ntref.stax.formulas import as_unicode
from ntref.stax.watched import watched

FIELDS = dict(nngp='k', ntk='ntk', gap='gap', area='area', cov1='q1', cov2='q2')
BRANCHES = serial(
    Dense(8, 1.4, .2), FanOut(2), parallel(serial(Relu(), Dense(8, 1.2)), repeat(serial(Erf(), Dense(8, 1.1, .3)), 2)),
    FanInSum(), Relu(), Dense(1))


def entries(k, row, i=0, j=0):
    """{field: entry of the Kernel} at the position of the row."""
    twice = tuple(n for n in row.after.position for _ in range(1 if k.diagonal_spatial else 2))
    cov2 = k.cov1 if k.cov2 is None else k.cov2
    own = {'cov1': k.cov1[(i, *twice)], 'cov2': cov2[(j, *twice)]}
    both = {name: getattr(k, name) for name in ('nngp', 'ntk', 'gap', 'area')}
    found = {name: a[(i, j, *twice)] for name, a in both.items() if a is not None}
    return {FIELDS[name]: value for name, value in (found | own).items()}


def one(x, i, net):
    """The i-th input alone."""
    axis = net.asked(None)
    axis = axis[0] if isinstance(axis, list) else axis
    return numpy.take(x, [i], axis.axes.batch if axis.axes else 0)


# ------------------------------------------------------------------ numbers

@pytest.mark.parametrize('name, net', NETWORKS, ids=[f'{name}: {net!r}' for name, net in NETWORKS])
def test_the_last_row_is_the_kernel(name, net, rng):
    x = draw(rng, net, 3, POSITIONS)
    row = net.explain(x, pair=(2, 0)).rows[-1]
    assert row.after.position == () or 0 < max(row.after.position) < max(POSITIONS) + 3
    mixes = not net.tileable(net.signals(x.shape, x.shape, net.kernel_fn.layer.asked(None))[0])
    k = net.kernel_fn(x) if mixes else net.kernel_fn(one(x, 2, net), one(x, 0, net))
    for field, value in entries(k, row, *((2, 0) if mixes else (0, 0))).items():
        assert getattr(row.after, field) == value, field
    assert row.after.shape[net.kernel_fn(x).batch_axis] == (3 if mixes else 1)


@pytest.mark.parametrize('net', [
    serial(Dense(8, 1.5, .3), Relu(), Dense(8, 1.5, .3), Erf(), Dense(1, parameterization='standard')),
    serial(Conv(8, (3, 2), None, 'SAME', 1.3, .4), Relu(), Conv(8, (2, 2)), Tanh(), Flatten(), Dense(1))], ids=repr)
def test_each_row_is_the_kernel_of_the_layers_before(net, rng):
    x = rng.standard_normal((2, 4, 4, 3) if 'Conv' in repr(net) else (2, 3))
    rows = net.explain(x).rows
    for i, row in enumerate(rows[1:]):
        k = serial(*net.layers[:i + 1]).kernel_fn(x[:1], x[1:], diagonal_spatial=True)        # as Flatten needs them
        found = entries(k, row)
        assert {field: getattr(row.after, field) for field in found} == found and len(found) >= 5
        assert row.place == str(i) and row.sources == (i,) and row.before == (rows[i].after,)


def test_branches_are_the_kernels_of_their_layers(rng):
    x = rng.standard_normal((2, 3))
    rows = {row.place: row for row in BRANCHES.explain(x).rows}
    first, _, branches, *_ = BRANCHES.layers
    for place, layers in {
            '1': [first], '2.0.1': [first, branches.layers[0]], '2.1.0.0': [first, Erf()],
            '2.1.1.1': [first, branches.layers[1]], '3': BRANCHES.layers[:4], '5': BRANCHES.layers}.items():
        found = serial(*layers).kernel_fn(x[:1], x[1:])
        assert rows[place].after.k == found.nngp and rows[place].after.ntk == found.ntk
    order = list(rows)
    assert [order[i] for i in rows['3'].sources] == ['2.0.1', '2.1.1.1']
    assert [order[i] for i in rows['2.1.0.0'].sources] == [order[i] for i in rows['2.0.0'].sources] == ['1']
    assert rows['3'].before[0].k + rows['3'].before[1].k == rows['3'].after.k


@pytest.mark.parametrize('x, angle', [
    ([[1., 2.], [3., 6.]], 0), ([[1., 2.], [1., 2.]], 0), ([[1., 2.], [-1., -2.]], pi), ([[1.], [-3.]], pi),
    ([[0., 0.], [1., 2.]], pi / 2), ([[1., 0.], [0., 2.]], pi / 2)], ids=str)
def test_special_geometry(x, angle):
    """The angle at the input, and the numbers of the kernel behind a kink."""
    net = serial(Dense(8, 1.5), Relu(), Dense(1))
    x = numpy.array(x)
    first, *_, last = net.explain(x).rows
    k = net.kernel_fn(x[:1], x[1:])
    assert first.after.angle == pytest.approx(angle, abs=1e-15)
    assert last.after.k == k.nngp and last.after.ntk == k.ntk and last.after.gap == k.gap


def test_angle_gap_and_area_are_those_of_the_variances(rng):
    for row in BRANCHES.explain(rng.standard_normal((2, 3))).rows:
        v = row.after
        assert sqrt(v.q1 * v.q2) * cos(v.angle) == pytest.approx(v.k, rel=1e-14)
        assert sqrt(v.q1 * v.q2) * sin(v.angle) == pytest.approx(v.area, rel=1e-14)
        assert v.q1 + v.q2 - 2 * v.k == pytest.approx(v.gap, rel=1e-13)


# ------------------------------------------------------------------ which inputs, where

def test_which_pair(rng):
    x1, x2 = rng.standard_normal((3, 4)), rng.standard_normal((2, 4))
    net = serial(Dense(8), Relu(), Dense(1))
    for given, i, j in [({}, 0, 0), ({'pair': (2, 1)}, 2, 1)]:
        found = net.explain(x1, x2, **given)
        assert found.rows[-1].after.k == net.kernel_fn(x1[i:i + 1], x2[j:j + 1]).nngp and found.pair == (i, j)
    assert net.explain(x1).pair == (0, 1) and net.explain(x1[:1]).pair == (0, 0)
    own = net.explain(x1, pair=(1, 1)).rows[-1].after
    assert own.k == own.q1 == own.q2 == net.kernel_fn(x1[1:2]).nngp and own.gap == own.angle == 0


def test_an_input_with_itself_is_no_other_input_with_the_same_values():
    x = numpy.ones((2, 3))
    net = serial(Dense(8), Relu(), Dropout(.5), Dense(1))
    itself, other, again = (net.explain(x, *x2, pair=pair).rows[-1].after.k
                            for x2, pair in [((), (0, 0)), ((), (0, 1)), ((x,), (1, 1))])
    k = net.kernel_fn(x).nngp
    assert itself == again == k[0, 0] == 2 * other and other == k[0, 1]


def test_a_pair_of_many_inputs():
    """Of 300,000, whose kernel no memory holds."""
    x = numpy.arange(900_000.).reshape(-1, 3) / 1e5
    net = serial(Dense(8), Relu(), Dense(1))
    found = net.explain(x, x[::-1], pair=(7, 250_000)).rows[-1].after
    assert found.k == net.kernel_fn(x[7:8], x[::-1][250_000:250_001]).nngp
    with pytest.raises(MemoryError, match='in one piece'):
        serial(Dense(8), LayerNorm((0, -1))).explain(x)


def test_layers_that_mix_the_batch_see_all_inputs(rng):
    x = rng.standard_normal((3, 4))
    net = serial(Dense(8), LayerNorm((0, -1)), Relu(), Dense(1))
    assert net.explain(x, pair=(2, 1)).rows[-1].after.k == net.kernel_fn(x).nngp[2, 1]


def test_positions(rng):
    x = rng.standard_normal((2, 4, 6, 3))
    net = serial(Conv(8, (3, 3), None, 'SAME', 1.3, .4), Relu(), AvgPool((2, 2), (2, 2)), GlobalAvgPool(), Dense(1))
    k = serial(*net.layers[:2]).kernel_fn(x[:1], x[1:])
    middle, corner = (net.explain(x, position=p).rows for p in (None, (0, 1)))
    assert [row.after.position for row in middle] == [(2, 3)] * 3 + [(1, 1), (), ()]
    assert middle[2].after.k == k.nngp[0, 0, 2, 2, 3, 3] and corner[2].after.k == k.nngp[0, 0, 0, 0, 1, 1]
    assert corner[2].after.q2 == k.cov2[0, 0, 0, 1, 1] and corner[-1].after == middle[-1].after


def test_lists_masks_and_patterns(rng):
    x1, x2 = rng.standard_normal((2, 2, 3))
    net = serial(parallel(Dense(8), serial(Dense(8), Relu(), Dense(8))), FanInSum(), Relu(), Dense(1))
    rows = net.explain([x1, x2]).rows
    k = net.kernel_fn([x1[:1], x2[:1]], [x1[1:], x2[1:]])
    assert rows[-1].after.k == k.nngp and [row.layer for row in rows[:2]] == ['input'] * 2
    padded = rng.standard_normal((2, 5, 3))
    padded[0, 3:] = padded[1, 2:] = 7
    net = serial(Conv(8, (2,), None, 'SAME'), Relu(), GlobalAvgPool())
    found = net.explain(padded, mask_constant=7).rows[-1].after
    assert found.k == net.kernel_fn(padded[:1], padded[1:], mask_constant=7).nngp
    nodes, edges = rng.standard_normal((3, 4, 2)), rng.integers(0, 2, (3, 4, 4)).astype(float)
    net = serial(Aggregate(), Dense(8), Relu(), Aggregate(), GlobalAvgPool())
    found = net.explain(nodes, pair=(2, 1), pattern=edges).rows[-1].after
    assert found.k == net.kernel_fn(nodes[2:], nodes[1:2], pattern=(edges[2:], edges[1:2])).nngp


def test_kinds_of_arrays(kind, rng):
    x = rng.standard_normal((2, 3)).astype('float32').astype('float64')
    net = serial(Dense(8, 1.5), Relu(), Dense(1))
    found, expected = net.explain(to_kind(kind, x)).rows[-1].after, net.explain(x).rows[-1].after
    digits = 1e-6 if kind == 'float32' else 1e-14
    assert abs(found.ntk - expected.ntk) < digits * expected.q2 and found.shape == expected.shape


def test_digits_stay():
    net = serial(Dense(8, 1.5), Relu(), Dense(1))
    single = net.explain(numpy.float32([[1, 2], [2, .5]])).rows[-1].after
    double = net.explain(numpy.array([[1, 2], [2, .5]])).rows[-1].after
    with mpmath.workdps(30):
        exact = net.explain(numpy.array([[mpmath.mpf(1), 2], [2, mpmath.mpf(.5)]], dtype=object)).rows[-1].after.ntk
        assert isinstance(exact, mpmath.mpf) and 0 < abs(exact - double.ntk) < 1e-15 * exact
    assert isinstance(single.ntk, float) and 0 < abs(single.ntk - double.ntk) < 1e-6 * double.ntk


# ------------------------------------------------------------------ formulas

def layers_of(net):
    return [seen.layer for seen in watched(net)[1]]


def test_every_layer_has_a_formula():
    stated = {name: cls.formula for name, cls in stax.Layer.registry.items() if cls.is_ours() and name in stax.__all__}
    assert set(stated) == set(stax.__all__) - NOT_LAYERS and all(stated.values())
    for layer in {layer for _, net in NETWORKS for layer in layers_of(net)}:
        assert re.search(r'[KΘ](ᵢ|₊)', text := as_unicode(layer.formula)) and not re.search(r'[\\{}$]', text), layer
        assert layer.formula.count('{') == layer.formula.count('}') and layer.formula.count('_+') != 1


def test_layers_of_others_need_no_formula(rng):
    @dataclass(frozen=True, repr=False)
    class Twice(stax.Layer):
        def kernel(self, k):
            return k.linear(lambda c: 4 * c, gap=True, area=True)
    stax.Layer.registry.pop('Twice')
    found = serial(Dense(8), Twice()).explain(rng.standard_normal((2, 3)))
    assert found.rows[2].formula == '' and found.rows[2].after.k == 4 * found.rows[1].after.k
    assert 'Twice:' not in str(found) and '<td' in found._repr_html_()


@pytest.mark.parametrize('latex, text', [
    (r'K_+ = \mathbb E', r'K₊ = \mathbb E'), ('K_', 'K'), (r'\frac{1', '1 / '), (r'x^{a b}_w', 'x^(a b)_w'),
    (r'-\frac{a + b}{2}', '-(a + b) / 2'), (r'\frac{1}{2 a} K', '(1 / (2 a)) K'), (r'\sqrt{f(a + b)}', '√(f(a + b))')])
def test_formulas_of_others(latex, text):
    """Commands that are not known stay; what is broken is written as far as it goes."""
    assert as_unicode(latex) == text.strip()


WORD = re.compile(
    r"√|κ̇|[KΘ]₊|(?:(?![⁰¹²³⁴-⁹ⁿ₀-₉])[^\W\d_])+(?:_[a-z]|[₀-₉])?'?"
    r'|[0-9.]+|[⁰¹²³⁴-⁹ⁿ]+|[-+*/(),^]')
POWERS = str.maketrans('⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ', '0123456789n')
NAMES = {'√': 'sqrt', "q'": 'p', 'K₊': 'K_', 'Θ₊': 'T_', 'κ̇': 'slope', 'σ_w': 'w', 'σ_b': 'b', 's₀': 's0',
         'e₁': 'e1', 'e₂': 'e2'}
FUNCTIONS = {'√': numpy.sqrt, 'max': numpy.maximum, 'min': numpy.minimum, 'sign': numpy.sign, 'erf': erf, 'Φ': ndtr,
             **{name: getattr(numpy, name) for name in ('exp', 'log', 'sin', 'cos', 'tanh', 'arcsin')}}


def as_python(text):
    """A formula in Unicode as Python: with * between factors, and functions of the next word in parentheses."""
    words, code = WORD.findall(text), ''
    while words:
        word = words.pop(0)
        if word[0] in '⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ':
            code += f'**{word.translate(POWERS)}'
        elif word in '+-*/),^':
            code += '**' if word == '^' else word
        else:
            is_factor = code and (code[-1].isalnum() or code[-1] in ')_') and not code.endswith('**')
            code += '*' * bool(is_factor) + NAMES.get(word, word)
            if word in FUNCTIONS and words[0] != '(':
                code += f'({NAMES.get(words[0], words.pop(0))})'
            elif word in FUNCTIONS:
                code += words.pop(0)
    return code


def stated(layer):
    """{left side: right side} of the statements of the formula."""
    parts = re.split(', (?=[^()]* = )', as_unicode(layer.formula))
    return {name: as_python(text) for name, text in (part.split(' = ', 1) for part in parts)}


@pytest.mark.parametrize('text, python', [
    ("(a² / 2) (e₁ - e₂ cos(2 c)) Θ", '(a**2/2)*(e1-e2*cos(2*c))*Θ'), ("√(q q') sin θ", 'sqrt(q*p)*sin(θ)'),
    ('√D D^(3/2) 4 b⁴', 'sqrt(D)*D**(3/2)*4*b**4'), ('max(z, 0)ⁿ', 'max(z,0)**n')])
def test_the_reader_of_formulas(text, python):
    assert as_python(text) == python


CLOSED = [
    (Relu(), {}), (Abs(), {}), (Sign(), {}), (ABRelu(-.3, 1.2), dict(a=-.3, b=1.2)), (LeakyRelu(.2), dict(α=.2)),
    (Erf(.8, .6, .3), dict(a=.8, b=.6, c=.3)), (Gaussian(1.2, -.4), dict(a=1.2, b=-.4)),
    (Sin(.8, 1.3, .4), dict(a=.8, b=1.3, c=.4)), (Cos(.8, 1.3, .4), dict(a=.8, b=1.3, c=.4)), (Rbf(.3), dict(γ=.3)),
    (Exp(.5, .4), dict(a=.5, b=.4)), (ExpNormalized(.7, .2), dict(γ=.7, shift=.2)), (Identity(), {}),
    (Dense(9, 1.3, .4), dict(w=1.3, b=.4)), (Dense(9, 1.3), dict(w=1.3)), (LayerNorm(eps=.2), dict(ε=.2)),
    (Dense(9, 1.3, .4, parameterization='standard'), dict(w=1.3, b=.4, n=8)),
    (Dense(9, 1.3, parameterization='standard', s=(2, 1)), dict(w=1.3, n=16, s0=2))]
FIRST = 'a', 'b', 'κ̇', 'D', 'e', 'e₁', 'e₂', 'K₊', 'Θ₊'
"""In this order statements are computed."""


@pytest.mark.parametrize('layer, numbers', CLOSED, ids=[repr(layer) for layer, _ in CLOSED])
def test_formulas_give_the_numbers(layer, numbers, rng):
    """Each statement of the formula, computed as it is written."""
    first = Dense(8, 1.1, .3, **({'parameterization': 'standard', 's': (1, 2)} if 's0' in numbers else {}))
    rows = serial(first, layer).explain(rng.standard_normal((2, 3))).rows
    before, after = rows[1].after, rows[2].after
    known = dict(K=before.k, q=before.q1, p=before.q2, g=before.gap, A=before.area, θ=before.angle, Θ=before.ntk, π=pi,
                 sqrt=numpy.sqrt, **FUNCTIONS, **numbers)
    statements = stated(layer)
    for name in FIRST:
        if name in statements:
            known[NAMES.get(name, name)] = eval(statements[name], known)                 # text of this library
    for name, value in {'K_': after.k, 'T_': after.ntk}.items():
        assert known[name] == pytest.approx(value, rel=1e-13, abs=1e-15), statements


FUNCTIONS_STATED = [
    *((layer, numbers) for layer, numbers in CLOSED if layer.formula[:5] == r'\phi(' and layer.name != 'Abs'),
    *((layer, {}) for layer in (stax.Gelu(), stax.Gabor(), Tanh(), stax.Sigmoid(), stax.Softplus(), stax.Swish(),
                                stax.Mish(), stax.HardTanh(), stax.Relu6())),
    (stax.Elu(.3), dict(α=.3)), (stax.Monomial(3), dict(n=3)),
    (stax.RectifiedMonomial(2), dict(n=2)), (stax.Selu(), dict(λ=stax.Selu.scales[0], α=stax.Selu.scales[1])),
    (stax.Sigmoid_like(), dict(a=.5, c=.5, b=1 / 2.4020563531719796))]


@pytest.mark.parametrize('layer, numbers', FUNCTIONS_STATED, ids=[repr(layer) for layer, _ in FUNCTIONS_STATED])
def test_formulas_of_functions(layer, numbers):
    z = numpy.linspace(-2, 7, 19)
    statements = stated(layer)
    known = dict(z=z, π=pi, sqrt=numpy.sqrt, **FUNCTIONS, **numbers)
    for name in 'ab':
        if name in statements and name not in known:
            known[name] = eval(statements[name], known)
    numpy.testing.assert_allclose(eval(statements['φ(z)'], known), layer.apply_fn((), z), rtol=1e-14, atol=1e-15)


# ------------------------------------------------------------------ what is shown

def test_text_and_html(rng):
    x = rng.standard_normal((2, 3))
    found = BRANCHES.explain(x)
    lines = str(found).splitlines()
    places = [row.place for row in found.rows]
    assert lines[2].split() == ['layer', 'q', "q'", 'K', 'angle', 'gap', 'Θ'] and repr(found) == str(found)
    table = lines[3:3 + len(places)]
    assert [line.split()[-1] for line in table] == [f'{row.after.ntk:.6g}' for row in found.rows]
    assert [line.split(' ')[0] for line in table] == places and '2.0.0, 4  Relu: φ(z) = max(z, 0)' in str(found)
    html = found._repr_html_()
    assert html.count('<tr>') == len(places) + 1 and html.count(f'${Relu().formula}$'.replace("'", '&#x27;')) == 2
    assert json.loads(json.dumps([asdict(row) for row in found.rows]))[-1]['after']['k'] == found.rows[-1].after.k


def test_the_picture_has_the_angles(rng, pyplot):
    found = BRANCHES.explain(rng.standard_normal((2, 3)))
    ax = found.plot(label='pair')
    marks, *joins = ax.lines
    assert [*marks.get_ydata()] == [row.after.angle for row in found.rows] and joins[0].get_label() == 'pair'
    depths = [*marks.get_xdata()]
    assert depths == [0, 1, 2, 3, 4, 3, 4, 5, 6, 7, 8, 9] == found.depths()
    assert [tuple(line.get_xdata()) for line in joins] == [
        (depths[source], depths[i]) for i, row in enumerate(found.rows) for source in row.sources]
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names[:4] == ['input', 'Dense', 'FanOut', 'Relu | Erf']
    assert len({line.get_color() for line in ax.lines}) == 1
    assert found.plot(ax, color='C3') is ax and ax.lines[-1].get_color() == 'C3' == ax.lines[len(joins) + 1].get_color()


def test_deep_networks_are_shown_briefly(rng, pyplot):
    found = serial(repeat(serial(Dense(8, 1.4), Relu()), 50), Dense(1)).explain(rng.standard_normal((2, 8)))
    assert str(found).splitlines()[-2].startswith('0.0.0, 0.1.0, …, 1  Dense: ') and len(found.rows) == 102
    ticks = found.plot().get_xticks()
    assert [*ticks] == [*range(0, 102, 3)]


def test_networks_say_what_they_are():
    net = serial(Dense(8), Relu())
    assert repr(net.kernel_fn) == 'serial(Dense(8), Relu()).kernel_fn'
    assert eval(repr(net.kernel_fn), vars(stax)) == net.kernel_fn


# ------------------------------------------------------------------ what is refused

@pytest.mark.parametrize('given, message', [
    (dict(pair=(0, 2)), r'one index below 2 and one below 2, the numbers of inputs, got \(0, 2\)'),
    (dict(pair=(0,)), 'expected pair to be one index'),
    (dict(pair=(0, -1)), 'pair is expected to be a whole number >= 0'),
    (dict(position=(0, 9)), r'position that every layer has, got \(0, 9\), and \(4, 4\)'),
    (dict(position=(0,)), 'position that every layer has'),
    (dict(diagonal_spatial=True), 'layer 1, GlobalAvgPool')], ids=str)
def test_refused(given, message, rng):
    net = serial(Conv(8, (3, 3), None, 'SAME'), GlobalAvgPool())
    with pytest.raises(ValueError, match=message):
        net.explain(rng.standard_normal((2, 4, 4, 3)), **given)


def test_inputs_are_refused_as_by_the_kernel():
    net = serial(Dense(8), Relu())
    for x, error in [(None, TypeError), ([[1.]], ValueError), (net.kernel_fn(numpy.eye(2)), TypeError),
                     (numpy.array([[numpy.nan]]), ValueError)]:
        with pytest.raises(error):
            net.explain(x)
