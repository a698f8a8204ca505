"""Error of every kernel against 50 digits; writes docs/accuracy.md.

    python validation/accuracy.py                    measure everything, write the page
    python validation/accuracy.py --parallel         measure one feature and parallel inputs, write their section
    python validation/accuracy.py --convolutions     measure convolutional networks, write their section
    python validation/accuracy.py --check            measure a part, compare with the page
"""
import argparse
import re
import sys
from datetime import date

import mpmath as mp
import numpy
from measuring import DTYPES, FLOOR, PAGE, ROOT, SLACK, cell, relative, table      # first: says where the next ones are

import accuracy_conv
import accuracy_parallel
import reference
from ntref.stax import (
    ABRelu, Abs, Cos, Dense, Erf, Exp, ExpNormalized, FanInSum, FanOut, Gabor, Gaussian, Gelu, Hermite, Identity,
    LayerNorm, LeakyRelu, Monomial, Polynomial, Rbf, RectifiedMonomial, Relu, Sigmoid_like, Sign, Sin, parallel,
    serial)

SEPARATIONS = 1., 1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 0.
DEPTHS = 1, 3, 30
WIDTH = 7               # of the inputs
READOUT = Dense(1, 1.3, .2)


# ------------------------------------------------------------------ what is measured

def he(activation):
    """W_std that keeps the variance."""
    a, b = activation.slopes
    return float(2 / (a * a + b * b)) ** .5


def dense(activation, w=1.3, b=.2):
    return [Dense(8, w, b), activation]


def normalized(activation, b=.2):
    return [Dense(8, 1.3, b), LayerNorm(), activation]


RELU_FAMILY = {f'{activation!r}{text}': dense(activation, he(activation), b)
               for activation in (Relu(), LeakyRelu(.3), ABRelu(-.5, 1.7), Abs())
               for text, b in (('', None), (', bias', .1))}

OTHERS = {
    'Sign()': dense(Sign()),
    'RectifiedMonomial(0)': dense(RectifiedMonomial(0)),
    'LayerNorm, Relu()': normalized(Relu()),
    'residual Relu()': [Dense(8, 1., .2), FanOut(2), parallel(serial(Relu(), Dense(8, 1.1, .2)), Identity()),
                        FanInSum(), Relu()],
    **{repr(a): dense(a) for a in (
        Erf(), Erf(1.2, .7, .3), Sigmoid_like(), Gelu(), Sin(), Sin(.8, 1.4, .5), Cos(1.1, .9, -.2), Rbf(.7),
        Gaussian(1., -.6), Gabor())},
    'Exp(0.9, 0.4)': dense(Exp(.9, .4), 1.),
    'ExpNormalized()': dense(ExpNormalized(), 1.),
    'LayerNorm, Hermite(3)': normalized(Hermite(3), None),
    'LayerNorm, Monomial(2)': normalized(Monomial(2)),
    'LayerNorm, Monomial(3)': normalized(Monomial(3)),
    'LayerNorm, Polynomial': normalized(Polynomial((.3, -.5, .2, .1))),
    'LayerNorm, RectifiedMonomial(2)': normalized(RectifiedMonomial(2)),
    'Erf(), W_std=4': dense(Erf(), 4.),
    'Sin(), W_std=2.5': dense(Sin(), 2.5),
}

NETWORKS = RELU_FAMILY | OTHERS
"""Name -> the layers that are repeated `depth` times, before READOUT (before the same Dense in the ReLU family)."""

BEFORE_A_KINK = {repr(a): dense(a, w) + dense(Relu(), 2 ** .5, .1) for a, w in (
    (Relu(), 1.3), (Erf(), 1.3), (Sigmoid_like(), 1.3), (Gelu(), 1.3), (Sin(), 1.3), (Cos(), 1.3), (Rbf(), 1.3),
    (Gaussian(), 1.3), (Gabor(), 1.3), (Exp(), .5), (ExpNormalized(), 1.3), (Monomial(3), .7),
    (RectifiedMonomial(2), .7), (Sign(), 1.3))}


def readout(name):
    return NETWORKS[name][0] if name in RELU_FAMILY else READOUT


# ------------------------------------------------------------------ how

def inputs(dtype, sign, separations=SEPARATIONS, pairs=3):
    """x1, x2 (len(separations) * pairs, WIDTH) with x2 = sign * x1 + separation * direction, in `dtype`."""
    rng = numpy.random.default_rng(7)
    x, d = rng.standard_normal((2, pairs, WIDTH)).astype(dtype)
    x2 = numpy.concatenate([sign * x + numpy.dtype(dtype).type(h) * d for h in separations])
    return numpy.concatenate([x] * len(separations)), x2


def truth(block, last, depths, x1, x2):
    """{depth: State} of one pair."""
    states, block, last = {}, [layer.to_spec() for layer in block], last.to_spec()
    with mp.workdps(reference.DIGITS):
        z = reference.inputs(x1, x2)
        for depth in range(1, max(depths) + 1):
            z = reference.serial(z, block)
            if depth in depths:
                states[depth] = reference.layer(last, z)
    return states


def measure(block, last, dtype, depths=DEPTHS, itself=(False, False), **keywords):
    """Errors of K and Theta, {(depth, sign): array (2, separations, pairs)}, relative to their largest possible value.

    `itself`, for K and for Theta: True, relative to themselves; a number: to no less than that part of their largest.
    """
    errors = {}
    for sign in (1, -1):
        x1, x2 = inputs(dtype, sign, **keywords)
        states = [truth(block, last, depths, *pair) for pair in zip(x1, x2)]
        for depth in depths:
            got = serial(*block * depth, last).kernel_fn(x1, x2, ('nngp', 'ntk'))
            assert got.nngp.dtype == got.ntk.dtype == x1.dtype
            at = [state[depth] for state in states]
            table = [[relative(float(k[i, i]), (z.k, z.t)[n], z.scales[n], itself[n]) for i, z in enumerate(at)]
                     for n, k in enumerate(got)]
            errors[depth, sign] = numpy.array(table).reshape(2, len(keywords.get('separations', SEPARATIONS)), -1)
    return errors


def itself(name):
    """The ReLU family relative to its own value; Theta, and K of LeakyRelu, which change sign, with a FLOOR."""
    return (FLOOR if name.startswith('Leaky') else True, FLOOR) if name in RELU_FAMILY else (False, False)


def parallels():
    """For `accuracy_parallel` these networks, and without a bias: name -> layers, readout, relative to what."""
    networks = {name: (block, readout(name), itself(name)) for name, block in NETWORKS.items()}
    plain = {f'{name}, no bias': (accuracy_parallel.without_bias(block), accuracy_parallel.without_bias([READOUT])[0],
                                  (False, False)) for name, block in OTHERS.items() if not name.startswith('residual')}
    return networks | {name: new for name, new in plain.items() if repr(new[0]) != repr(OTHERS[name[:-9]])}


def row(name, dtype, **keywords):
    """{depth: [(K, Theta) worst at each separation, ..., and at the opposite inputs]}."""
    errors = measure(NETWORKS[name], readout(name), dtype, itself=itself(name), **keywords)
    return {depth: [*zip(*errors[depth, 1].max(-1)), tuple(errors[depth, -1].max((1, 2)))] for depth in DEPTHS}


# ------------------------------------------------------------------ the page

HEAD = """# Accuracy

Errors of `kernel_fn` against the same recursion at 50 digits and more (`tests/truth/reference.py`: other formulas,
K alone, no gap and no area), at the exact values of the floating-point inputs and parameters.

Written by `python validation/accuracy.py` on {date}, NumPy {numpy}, mpmath {mpmath}. Inputs are normal random vectors
x, x' = x + separation * direction, with {width} entries; the last column is the worst over x' = -x + separation *
direction at the same separations. Cells are NNGP / NTK, the worst of {pairs} pairs. Depth counts the hidden layers:
`Dense, activation` (or what the row says) so many times, and a `Dense`.

**Relative to what.** In the ReLU family, at weights that keep the variance: to the value itself. The NTK, and the NNGP
of `LeakyRelu`, change sign at inputs that point away from each other: there to no less than a tenth of the largest they
could be. Elsewhere to the largest the kernel could be at these variances, sqrt(K(x, x) K(x', x')), as most of these
kernels pass through zero.

**The bar** is 1e-14 in float64 and 3e-6 in float32 for the ReLU family, at every separation; `ABRelu(-0.5, 1.7)` at
depth 30 in float32 reaches 3.2e-6 on some processors, an eps for each layer.
`python validation/accuracy.py --check` compares a part of this page with a fresh measurement.
"""

TAIL = """## Which layers keep the digits of the gap

A kink feels the angle between two inputs, which K alone knows to half its digits where they nearly coincide. The gap
E(u - v)^2 and the area sqrt(q q' - K^2) are therefore carried beside K (docs/theory/duals.md#gap-and-area).

- Gap and area: `Relu`, `LeakyRelu`, `ABRelu`, `Abs`, `Sign`, `RectifiedMonomial`, `Erf`, `Sigmoid_like`, `Gelu`,
  `Gaussian`, `Gabor`, `Sin`, `Cos`, `Rbf`, `Exp`, `ExpNormalized`, `Polynomial`, `Monomial`, `Hermite`, and the layers
  `Dense`, `LayerNorm`, `RMSNorm`, `Dropout`, `FanInSum`, `FanInProd`, `FanInConcat`.
- Gap and area as sums of squares: `Tanh`, `Sigmoid`, `Softplus`, `Swish`, `Mish`, also where inputs are opposite.
- Neither: `Elementwise`, `ElementwiseNumerical`. These are as exact as the others in themselves, but a kinked layer
  behind them recovers the gap by subtraction and loses up to half the digits of its slope at nearly coincident inputs.
- The gap of inputs that coincide, which is 0: `Elu`, `Selu`, `HardTanh`, `Relu6`; else as the ones before.
- In tiles without positions s - K is carried in place of both, from which nearly equal lengths drop out: angles are
  known to eps, not to eps of themselves. A `Sign` between kinks makes 1e-12 of that at inputs 1e-9 apart.

`Tanh` and the others of `stax/layers/smooth.py` and `clipped.py` are not in the tables: there is no recursion at 50
digits for them. They are held to 1e-12 of `ntref.quadrature` (tests/stax/test_activations.py), for variances of 1e-8 to
1000 and angles of 0 to pi - 1e-7; K of `Elu` and `Selu` to 4e-16 / sqrt q where that is more.

The table has a `Relu` behind each: NTK of `Dense, activation, Dense, Relu, Dense`, the worst over all separations, near
coincident and near opposite inputs. All of them state gap and area, and it costs nothing.

{kinks}

**Chaotic networks.** Where a layer drives neighbours apart (`W_std=4`, `Hermite`, `Monomial`), errors are driven apart
with them: a depth of 30 multiplies by up to 1e9. K is taken from the gap where the gap is known and small, so that what
is amplified is the error of a small number; the rows show what remains. Odd functions drive nearly *opposite* inputs
apart as well: there K is taken from E(u + v)^2, which the area knows.
"""


def main_table(dtype, pairs):
    rows = []
    for name in NETWORKS:
        for depth, cells in row(name, dtype, pairs=pairs).items():
            rows.append([f'`{name}`', depth, *(cell(*c) for c in cells)])
            print(*rows[-1], flush=True)
    return table(['network', 'depth', *(f'{h:g}' for h in SEPARATIONS), 'opposite'], rows)


def before_a_kink(name, dtype, **keywords):
    """Worst error of the NTK near coincident, and near opposite inputs."""
    errors = measure(BEFORE_A_KINK[name], READOUT, dtype, depths=(1,), **keywords)
    return [errors[1, sign][1].max() for sign in (1, -1)]


def page(pairs=3):
    head = HEAD.format(date=date.today(), numpy=numpy.__version__, mpmath=mp.__version__, width=WIDTH, pairs=pairs)
    tables = [f'## {dtype}\n\n{main_table(dtype, pairs)}\n' for dtype in DTYPES]
    kinks = {name: [e for dtype in DTYPES for e in before_a_kink(name, dtype, pairs=pairs)] for name in BEFORE_A_KINK}
    columns = [f'{dtype}, {where}' for dtype in DTYPES for where in ('near', 'opposite')]
    tail = TAIL.format(
        kinks=table(['before `Relu`', *columns], [[f'`{n}`', *(f'{e:.0e}' for e in es)] for n, es in kinks.items()]))
    return '\n'.join([head, *tables, tail, accuracy_parallel.section(parallels(), DEPTHS), accuracy_conv.section()])


def stated(text):
    """{(dtype, network, depth): [(K, Theta), ...]} on the page."""
    found = {}
    for dtype in DTYPES:
        section = text.split(f'## {dtype}\n')[1].split('\n## ')[0]
        for name, depth, cells in re.findall(r'^\| `(.*)` \| (\d+) \| (.*) \|$', section, re.M):
            found[dtype, name, int(depth)] = [tuple(map(float, c.split(' / '))) for c in cells.split(' | ')]
    return found


def worse(names=('Relu()', 'ABRelu(-0.5, 1.7), bias', 'Gelu()', 'Erf()'), text=None):
    """What is worse than on the page by more than SLACK (and an ulp), or not on it: lines, none if all is well."""
    found = stated(PAGE.read_text() if text is None else text)
    wanted = {(dtype, name, depth) for dtype in DTYPES for name in NETWORKS for depth in DEPTHS}
    lines = [f'{key}: on one side only' for key in wanted ^ set(found)]
    for dtype in DTYPES:
        ulp = float(numpy.finfo(dtype).eps)
        for name in names:
            for depth, cells in row(name, dtype, pairs=1).items():
                lines += [f'{dtype}, {name}, depth {depth}: {cell(*now)}, stated {cell(*then)}'
                          for now, then in zip(cells, found.get((dtype, name, depth), []), strict=False)
                          if any(a > SLACK * b + ulp for a, b in zip(now, then))]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='compare with the page instead of writing it')
    parser.add_argument('--parallel', action='store_true', help='write the section on one feature and parallel inputs')
    parser.add_argument('--convolutions', action='store_true', help='write the section on these alone')
    arguments = parser.parse_args()
    if arguments.check:
        lines = worse() + accuracy_parallel.worse(PAGE.read_text(), parallels(), DEPTHS, ['Relu()', 'Erf(), no bias'])
        lines += accuracy_conv.worse(PAGE.read_text())
        print('\n'.join(lines) or f'{PAGE.relative_to(ROOT)} holds')
        return bool(lines)
    if arguments.parallel:
        PAGE.write_text(accuracy_parallel.replaced(PAGE.read_text(), parallels(), DEPTHS))
    else:
        PAGE.write_text(accuracy_conv.replaced(PAGE.read_text()) if arguments.convolutions else page())
    return 0


if __name__ == '__main__':
    sys.exit(main())
