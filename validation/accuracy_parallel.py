"""Error of every kernel at inputs of one feature, and at parallel inputs: the section of docs/accuracy.md on these.

`python validation/accuracy.py --parallel` writes it.
"""
import re
from dataclasses import replace
from datetime import date
from functools import cache
from typing import NamedTuple

import mpmath as mp
import numpy
from measuring import DTYPES, SLACK, cell, relative, table

import reference
from ntref.stax import (
    ABRelu, Abs, Cos, Dense, Elu, Erf, Exp, ExpNormalized, Gabor, Gaussian, Gelu, HardTanh, Hermite, LeakyRelu, Mish,
    Monomial, Polynomial, Rbf, RectifiedMonomial, Relu, Relu6, Selu, Sigmoid, Sigmoid_like, Sign, Sin, Softplus, Swish,
    Tanh, serial)

LENGTHS = 1.37e-3, .0241, .43237417429325614, 30.7
SOME = 1.37e-3, .43237417429325614, 30.7             # of networks with two nonlinearities
LARGEST = 1e40          # variance, for which 120 digits of the reference suffice
NEAR = {'float64': 1e-12, 'float32': 1e-6}
COLUMNS = ('one: same', 'one: near', 'one: longer', 'one: -same', 'one: -longer',
           'several: near', 'several: 2 x', 'several: 30 x', 'several: -x', 'several: -2 x, -30 x')
ONE = 5                                                 # columns of one feature
BAR = {'float64': 1e-12, 'float32': 2. ** -11}          # of all closed forms, in float32 as many eps
RELU_BAR = {'float64': 1e-14, 'float32': 3e-6}


# ------------------------------------------------------------------ what is measured

class Pairs(NamedTuple):
    """Inputs x1, x2 (pairs, features), pair by pair, and the column of each pair."""
    x1: numpy.ndarray
    x2: numpy.ndarray
    column: numpy.ndarray


def inputs(dtype, lengths=LENGTHS):
    """Of one feature, and of several: two tuples `Pairs`."""
    near, number = 1 + NEAR[dtype], numpy.dtype(dtype).type
    x = [l * (-1) ** i for i, l in enumerate(lengths)]
    others = [(a, numpy.sign(a) * abs(b)) if i % 2 else (numpy.sign(a) * abs(b), a)
              for i, a in enumerate(x) for b in x[i + 1:]]
    columns = [[(a, a) for a in x], [(a, number(a) * number(near)) for a in x], others, [(a, -a) for a in x],
               [(a, -b) for a, b in others]]
    one = _pairs([[((a,), (b,)) for a, b in column] for column in columns], dtype)
    rng = numpy.random.default_rng(7)
    vectors = numpy.array([[.25, -.5, .75, .125], .03 * rng.standard_normal(4)]).astype(dtype)
    factors = (near,), (2,), (30,), (-1, -near), (-2, -30)
    several = _pairs([[(v, number(f) * v) for v in vectors for f in column] for column in factors], dtype)
    return one, several._replace(column=several.column + ONE)


def _pairs(columns, dtype):
    x1, x2 = (numpy.array([pair[i] for column in columns for pair in column], dtype) for i in (0, 1))
    return Pairs(x1, x2, numpy.repeat(range(len(columns)), [len(column) for column in columns]))


# ------------------------------------------------------------------ how

def start(pairs):
    with mp.workdps(reference.DIGITS):
        return [reference.inputs(*pair) for pair in zip(pairs.x1, pairs.x2)]


def follow(block, states, dtype):
    """The states after `block`; None where a variance leaves the range of `dtype` with its last digits."""
    info = numpy.finfo(dtype)
    least, most = float(info.tiny / info.eps), min(float(info.max * info.eps), LARGEST)
    with mp.workdps(reference.DIGITS):
        for spec in (layer.to_spec() for layer in block):
            states = [z and layer(spec, z) for z in states]
            states = [z if isinstance(z, list) or z and all(least < q < most for q in z[:2]) else None
                      for z in states]
    return states


def errors(net, states, pairs, itself=(False, False)):
    """Of K and Theta of each pair (pairs, 2), the worse of `kernel_fn(x1, x2)` and `kernel_fn(x)`; NaN: left out."""
    kept = [i for i, z in enumerate(states) if z is not None]
    found = numpy.full((len(states), 2), numpy.nan)
    if kept:
        x1, x2, n, get = pairs.x1[kept], pairs.x2[kept], len(kept), ('nngp', 'ntk')
        apart, together = net.kernel_fn(x1, x2, get), net.kernel_fn(numpy.concatenate([x1, x2]), None, get)
        assert apart.nngp.dtype == together.ntk.dtype == x1.dtype
        for j, i in enumerate(kept):
            z = states[i]
            found[i] = [max(relative(float(v), (z.k, z.t)[m], z.scales[m], itself[m])
                            for v in (apart[m][j, j], together[m][j, n + j])) for m in (0, 1)]
    return found


def by_column(found, column):
    """The worst of each column, (columns, 2); NaN where there is none."""
    worst = numpy.full((len(COLUMNS), 2), numpy.nan)
    for i, error in zip(column, found):
        worst[i] = numpy.fmax(worst[i], error)
    return worst


def measure(block, last, dtype, depths, itself=(False, False), lengths=LENGTHS):
    """{depth: errors (columns, 2)}."""
    found = {depth: [] for depth in depths}
    both = inputs(dtype, lengths)
    for pairs in both:
        states = start(pairs)
        for depth in range(1, max(depths) + 1):
            states = follow(block, states, dtype)
            if depth in depths:
                net = serial(*block * depth, last)
                found[depth].append(errors(net, follow([last], states, dtype), pairs, itself))
    column = numpy.concatenate([pairs.column for pairs in both])
    return {depth: by_column(numpy.concatenate(e), column) for depth, e in found.items()}


def without_bias(layers):
    return [replace(layer, b_std=None) if isinstance(layer, Dense) else layer for layer in layers]


# ------------------------------------------------------------------ every activation behind every other

ACTIVATIONS = (
    Relu(), LeakyRelu(.3), ABRelu(-.5, 1.7), Abs(), Sign(), RectifiedMonomial(0), RectifiedMonomial(2), Erf(),
    Erf(1.2, .7, .3), Sigmoid_like(), Gelu(), Sin(), Sin(.8, 1.4, .5), Cos(1.1, .9, -.2), Rbf(.7), Gaussian(1., -.6),
    Gabor(), Exp(.9, .4), ExpNormalized(), Hermite(3), Monomial(2), Monomial(3), Polynomial((.3, -.5, .2, .1)))


def behind(dtype, b_std, lengths=SOME, activations=ACTIVATIONS):
    """Errors (in front, behind, columns, 2) of Dense, activation, Dense, activation, Dense."""
    dense, both = Dense(8, 1.3, b_std), inputs(dtype, lengths)
    column = numpy.concatenate([pairs.column for pairs in both])
    firsts = [[follow([dense, a], start(pairs), dtype) for pairs in both] for a in activations]

    def of(front, states, back):
        net, found = serial(dense, front, dense, back, dense), []
        for pairs, first in zip(both, states):
            found.append(errors(net, follow([dense, back, dense], first, dtype), pairs))
        return by_column(numpy.concatenate(found), column)
    return numpy.array([[of(front, states, back) for back in activations]
                        for front, states in zip(activations, firsts)])


# ------------------------------------------------------------------ what has no closed form, on a line

def _logistic(z):
    return 1 / (1 + mp.exp(-z))


def _mish(z):
    e = mp.exp(z)
    t = ((1 + e) ** 2 - 1) / ((1 + e) ** 2 + 1)                           # tanh(log(1 + e))
    return z * t, t + z * (1 - t * t) * e / (1 + e)


def _elu(z, alpha=1., scale=1.):
    alpha, scale = mp.mpf(alpha), mp.mpf(scale)
    return (scale * z, scale) if z > 0 else (scale * alpha * mp.expm1(z), scale * alpha * mp.exp(z))


def _swish(z):
    p = _logistic(z)
    return z * p, p + z * p * (1 - p)


def _sigmoid(z):
    p = _logistic(z)
    return p, p * (1 - p)


def _tanh(z):
    t = mp.tanh(z)
    return t, 1 - t * t


SERIES = {
    Tanh(): _tanh, Sigmoid(): _sigmoid, Softplus(): lambda z: (mp.log1p(mp.exp(z)), _logistic(z)), Swish(): _swish,
    Mish(): _mish, Elu(): _elu,
    Selu(): lambda z: _elu(z, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946),
    HardTanh(): lambda z: (max(-1, min(1, z)), mp.mpf(abs(z) < 1)),
    Relu6(): lambda z: (max(0, min(6, z)), mp.mpf(0 < z < 6))}
"""phi and phi'."""

KINKS = 0, 1, 6


@cache
def line(f, q1, q2, k):
    """E phi(u) phi(v), E phi'(u) phi'(v) of parallel u, v to 50 digits: integrals over one normal variable."""
    n1, n2 = mp.sqrt(q1), mp.sign(k) * mp.sqrt(q2)
    assert abs(abs(k) - abs(n1 * n2)) <= mp.mpf(10) ** -60 * abs(k)
    with mp.workdps(60):
        points = {mp.mpf(2) ** i / 64 for i in range(10)} | {c / abs(n) for n in (n1, n2) for c in KINKS}
        points = [-p for p in points] + [*points]
        total, (nodes, weights) = [mp.mpf(0), mp.mpf(0)], _gauss()
        ends = sorted({-mp.mpf(15), mp.mpf(15), *(p for p in points if abs(p) < 15)})
        for a, b in zip(ends, ends[1:]):
            for x, w in zip(nodes, weights):
                z = (a + b + (b - a) * x) / 2
                p = (b - a) / 2 * w * mp.npdf(z)
                total = [t + p * u * v for t, u, v in zip(total, f(+n1 * z), f(+n2 * z))]
        return total


@cache
def _gauss(n=40):
    """Nodes and weights of Gauss and Legendre on [-1, 1], at the working precision."""
    nodes = []
    for x in numpy.polynomial.legendre.leggauss(n)[0]:
        x = mp.mpf(float(x))
        for _ in range(4):                                                # Newton: 16, 32, 64, 128 digits
            before, p = mp.mpf(1), x
            for j in range(2, n + 1):
                before, p = p, ((2 * j - 1) * x * p - (j - 1) * before) / j
            slope = n * (x * p - before) / (x * x - 1)
            x -= p / slope
        nodes.append((x, 2 / ((1 - x * x) * slope * slope)))
    return tuple(zip(*nodes))


@cache
def expected(spec, *cov):
    """E phi(u) phi(v), E phi'(u) phi'(v) for q, q', K; `spec` as a tuple of items."""
    f = next((f for activation, f in SERIES.items() if tuple(activation.to_spec().items()) == spec), None)
    if f:
        return line(f, *cov)
    (_, name), *arguments = spec
    return [g(*cov) for g in reference.REFERENCE[name](**dict(arguments))]


def layer(spec, z):
    """As `reference.layer`, each variance once; and the SERIES, where u and v are parallel."""
    if spec['layer'] in reference.STRUCTURE:
        return reference.layer(spec, z)
    spec = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in spec.items())
    (k1, s1), (k2, s2), (k, s) = (expected(spec, *c) for c in ((z.q1,) * 3, (z.q2,) * 3, (z.q1, z.q2, z.k)))
    return reference.State(k1, k2, k, s1 * z.t1, s2 * z.t2, s * z.t, z.channels, z.same)


def on_a_line(dtype, activations=SERIES, lengths=SOME):
    """Errors {(name, network): (columns, 2)} of one feature and without a bias, where all integrals are on a line."""
    pairs, dense, found = inputs(dtype, lengths)[0], Dense(8), {}
    for a in activations:
        for name, block in {'': [a], 'behind `Abs`': [Abs(), dense, a], 'before `Relu`': [a, dense, Relu()],
                            'before `Sign`': [a, dense, Sign()], 'before `Sin`': [a, dense, Sin()]}.items():
            block = [dense, *block, dense]
            states = follow(block, start(pairs), dtype)
            found[repr(a), name] = by_column(errors(serial(*block), states, pairs), pairs.column)
    return found


# ------------------------------------------------------------------ the page

TITLE = '## One feature, and parallel inputs'

INTRO = TITLE + """

The inputs above are never parallel. Measured on {date}, NumPy {numpy}, mpmath {mpmath};
`python validation/accuracy.py --parallel` rewrites this section.

- **One feature**: x of shape (n, 1), lengths {lengths} with both signs. Pairs: *same*, equal values in two rows;
  *near*, x (1 + 1e-12), in float32 x (1 + 1e-6); *longer*, two of these lengths with one sign; *-same*; *-longer*.
- **Several features**, four, two vectors of root mean square .47 and .03: *near*; *2 x*; *30 x*; *-x*, exactly and with
  the factor of *near*; *-2 x, -30 x*.
- **Cells** are NNGP / NTK, the worst of all these pairs and of `kernel_fn(x1, x2)` and `kernel_fn(x)`, relative to what
  the tables above are. *No bias*: `b_std=None` in all layers; there u and v stay parallel as long as layers are
  homogeneous, and the area between them is exactly 0. Variances beyond {largest:g} or the dtype are left out
  (nan, where that leaves none).

**The bar** is 1e-14 in float64 and 3e-6 in float32 for the ReLU family, 1e-12 and {bar:.0e} for the others.
{verdict}
"""

BEHIND = """### Every activation behind every other

`Dense, activation, Dense, activation, Dense`, `W_std` 1.3, no bias; lengths {lengths}. The
worst over all {n} that follow, and over all {n} before, relative to the largest possible value.

Above the bar: {above}. For near inputs the first layer enlarges how far lengths differ, which is known to eps only.
"""

WHY = {
    **dict.fromkeys([('LayerNorm, Hermite(3)', 30), ('Erf(), W_std=4', 30), ('Sin(), W_std=2.5', 30)],
                    'Chaotic, by 3 a layer, and how far the lengths differ is known to eps only.'),
    ('ABRelu(-0.5, 1.7)', 30): 'An eps for each of 30 layers.'}
"""(start of a network's name, depth) -> why it misses the bar."""

KINDS = {'one feature': slice(0, ONE), 'parallel': slice(ONE, None)}


def text_of(lengths):
    return ', '.join(f'{length:.3g}' for length in lengths)


def cells(found, kinds=KINDS):
    """The worst of the columns (columns, 2) of each kind."""
    return [cell(*numpy.fmax.reduce(found[kind])) for kind in (KINDS[name] for name in kinds)]


def network_rows(networks, dtype, depths):
    """{(name, depth): errors (columns, 2)}."""
    found = {}
    for name, (block, last, itself) in networks.items():
        found |= {(name, depth): e for depth, e in measure(block, last, dtype, depths, itself).items()}
        print(dtype, name, flush=True)
    return found


def missed(found, bars):
    """Lines on what is above the bar; each must have a reason in WHY."""
    lines = []
    for dtype in DTYPES:
        for (name, depth), e in found[dtype].items():
            bar = bars(name)[dtype]
            above = {column: f'{max(c):.0e}' for column, c in zip(COLUMNS, e) if (c > bar).any()}
            if above:
                why = next(why for (start, deep), why in WHY.items() if name.startswith(start) and deep == depth)
                worst = ', '.join(f'{column} {e}' for column, e in above.items())
                lines.append(f'- `{name}`, depth {depth}, {dtype}: {worst}. {why}')
    return lines


def section(networks, depths):
    """Text of the section; `networks`: name -> layers that are repeated, readout, what errors are relative to."""
    head = dict(date=date.today(), numpy=numpy.__version__, mpmath=mp.__version__, lengths=text_of(LENGTHS),
                largest=LARGEST, bar=BAR['float32'])
    found = {dtype: network_rows(networks, dtype, depths) for dtype in DTYPES}
    lines = missed(found, lambda name: RELU_BAR if any(networks[name][2]) else BAR)
    verdict = 'It holds in every cell.' if not lines else 'It holds but for these:\n\n' + '\n'.join(lines)
    columns = [f'{kind}, {dtype}' for dtype in DTYPES for kind in KINDS]
    rows = [[f'`{name}`', depth, *(c for dtype in DTYPES for c in cells(found[dtype][name, depth]))]
            for name, depth in found['float64']]
    return '\n'.join([INTRO.format(**head, verdict=verdict), table(['network', 'depth', *columns], rows), '',
                      behind_section()])


def behind_section():
    errors = {dtype: behind(dtype, None) for dtype in DTYPES}
    above = [f'`{ACTIVATIONS[i]!r}` before `{ACTIVATIONS[j]!r}`, {COLUMNS[c]}, {dtype}: {numpy.nanmax(e[i, j, c]):.0e}'
             for dtype, e in errors.items() for i, j, c in numpy.argwhere((e > BAR[dtype]).any(-1))]
    rows = [[f'`{a!r}`', *(c for dtype, e in errors.items() for side in (e[i], e[:, i])
                           for c in cells(numpy.fmax.reduce(side)))] for i, a in enumerate(ACTIVATIONS)]
    header = ['activation', *(f'{kind} {side}, {dtype}' for dtype in DTYPES for side in ('before', 'behind')
                              for kind in KINDS)]
    head = BEHIND.format(lengths=text_of(SOME), n=len(ACTIVATIONS), above='; '.join(above) or 'none')
    return head + '\n' + table(header, rows) + '\n'


def replaced(text, networks, depths):
    """The page with this section measured anew."""
    convolutions = '## Convolutions\n'
    before, after = text.partition(TITLE)[0].partition(convolutions)[0], text.partition(convolutions)[2]
    return f'{before}{section(networks, depths)}\n{convolutions}{after}'


def stated(text):
    """{(network, depth): [cell of each column of the table]}."""
    text = text.partition(TITLE)[2].partition('\n### ')[0]
    return {(name, int(depth)): [tuple(map(float, c.split(' / '))) for c in cells.split(' | ')]
            for name, depth, cells in re.findall(r'^\| `(.*)` \| (\d+) \| (.*) \|$', text, re.M)}


def worse(text, networks, depths, names):
    """Lines like those of `accuracy.worse`, for some of the networks."""
    then = stated(text)
    lines = [f'{key}: on one side only' for key in set(then) ^ {(name, depth) for name in networks for depth in depths}]
    for i, dtype in enumerate(DTYPES):
        ulp = float(numpy.finfo(dtype).eps)
        for (name, depth), e in network_rows({name: networks[name] for name in names}, dtype, depths).items():
            now = [numpy.fmax.reduce(e[kind]) for kind in KINDS.values()]
            lines += [f'{dtype}, {name}, depth {depth}, {kind}: {cell(*a)}, stated {cell(*b)}'
                      for kind, a, b in zip(KINDS, now, then.get((name, depth), [(-1, -1)] * 4)[2 * i:])
                      if (a > SLACK * numpy.array(b) + ulp).any()]
    return lines
