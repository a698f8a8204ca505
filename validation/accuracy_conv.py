"""Error of convolutional networks against 120 digits: the section of docs/accuracy.md on convolutions.

`python validation/accuracy.py --convolutions` writes it.
"""
import re
from datetime import date
from textwrap import fill
from typing import NamedTuple

import mpmath as mp
import numpy
from measuring import DTYPES, FLOOR, SLACK, cell, relative, table

import reference_conv
from ntref.stax import AvgPool, Conv, Dense, Erf, Flatten, Gelu, GlobalAvgPool, Relu, serial

PAIRS = 2               # of images; from two on `kernel_fn` works in tiles
NEAR = 1e-4, 1e-8, 0.
COLUMNS = {**{f'{h:g}': (1, (h,)) for h in (1., .3, *NEAR)}, '2 x': (2, NEAR), '-x': (-1, NEAR)}
"""Column -> factor and separations: x' = factor * x + separation * direction."""

ENDS = {'Flatten': Flatten(), 'GlobalAvgPool': GlobalAvgPool()}
PATHS = {'tiles': ('nngp', 'ntk'), 'whole': None}
BAR = {'float64': 1e-14, 'float32': 3e-6}
HE = 2 ** .5            # W_std before Relu that keeps the variance


# ------------------------------------------------------------------ what is measured

class Network(NamedTuple):
    """Layers, repeated; one of ENDS; Dense. `lost`: columns in which digits of Theta are; `size`: of the images."""
    layers: list
    lost: tuple = ()
    shape: tuple = (3, 3, 2)
    size: float = 1.
    depths: tuple = ()          # a row for each and for each end; none: the layers once, and the worst of both ends

    @property
    def readout(self):
        return Dense(1, 1.1, self.layers[0].to_spec().get('b_std'))


def conv(size=(3, 3), padding='SAME', strides=None, W_std=HE, b_std=.1):
    return Conv(8, size, strides, padding, W_std, b_std)


def smooth(b_std=.2):
    return conv(W_std=1.3, b_std=b_std)


def with_and_without(networks, **fields):
    """`networks`: name -> function of b_std to layers. Without a bias multiples lose their area, and digits."""
    return {f'{name}{text}': Network(layers(b), lost, **fields) for name, layers in networks.items()
            for text, b, lost in ((', bias', .1, ()), (', no bias', None, ('2 x', '-x')))}


STACKS = {
    **with_and_without({'n x (Conv, Relu)': lambda b: [conv(b_std=b), Relu()]}, depths=(1, 3, 10, 20)),
    '3 x (Conv, Relu), bias, images times 100': Network([conv(), Relu()] * 3, ('2 x', '-x'), size=100.)}

WINDOWS = {
    **with_and_without({'CIRCULAR': lambda b: [conv(padding='CIRCULAR', b_std=b), Relu()] * 3}),
    **with_and_without({
        'VALID, 2 x 2': lambda b: [conv((2, 2), 'VALID', b_std=b), Relu()] * 3,
        'VALID, 2 x 2, strides 2, 1': lambda b: [conv((2, 2), 'VALID', (2, 1), b_std=b), Relu()] * 2,
        'SAME, strides 2, 2': lambda b: [conv((3, 3), 'SAME', (2, 2), b_std=b), Relu()] * 2,
        'CIRCULAR, strides 2, 2': lambda b: [conv((3, 3), 'CIRCULAR', (2, 2), b_std=b), Relu()] * 2,
    }, shape=(5, 5, 2))}

SMOOTH = {
    **{f'3 x (Conv, {name}){text}': Network([smooth(b), a] * 3)
       for name, a in (('Erf', Erf()), ('Gelu', Gelu())) for text, b in ((', bias', .2), (', no bias', None))},
    **{f'Conv, {name}, AvgPool, Conv, {name}, bias': Network([smooth(), a, AvgPool((2, 2)), smooth(), a])
       for name, a in (('Erf', Erf()), ('Gelu', Gelu()))},
    **{f'Conv, {name}, Conv, Relu, bias': Network([smooth(), a, conv(), Relu()])
       for name, a in (('Erf', Erf()), ('Gelu', Gelu()))},
    'Conv, Relu, Conv, Relu, AvgPool, bias': Network([conv(), Relu(), conv(), Relu(), AvgPool((2, 2))])}


def behind_a_pool(n, b, lost=()):
    layers = [conv(b_std=b), Relu(), AvgPool((2, 2), (2, 2)), *[conv(b_std=b), Relu()] * n]
    return Network(layers, ('0.0001', '1e-08', *lost), (4, 4, 2))


LOSSES = {
    **{f'Conv, Relu, AvgPool, {n} x (Conv, Relu){text}': behind_a_pool(n, b, lost) for n in (1, 3)
       for text, b, lost in ((', bias', .1, ()), (', no bias', None, ('2 x', '-x')))}}


# ------------------------------------------------------------------ how

def images(dtype, shape, size):
    """x (PAIRS, *shape), and for each column a list of x'."""
    rng = numpy.random.default_rng(7)
    x, d = (size * rng.standard_normal((2, PAIRS, *shape))).astype(dtype)
    number = x.dtype.type
    return x, [[number(factor) * x + number(h) * d for h in separations] for factor, separations in COLUMNS.values()]


def truth(network, depths, *images):
    """{(depth, end): Field} of these images, which are numbered from 0."""
    fields, block = {}, serial(*network.layers).to_spec()
    with mp.workdps(reference_conv.DIGITS):
        z = reference_conv.inputs(*images)
        for depth in range(1, max(depths) + 1):
            z = reference_conv.layer(block, z)
            for end in ENDS if depth in depths else ():
                fields[depth, end] = reference_conv.layer(serial(ENDS[end], network.readout).to_spec(), z)
    return fields


def error(values, field, m):
    """Of K and Theta of image 0 and image m."""
    with mp.workdps(reference_conv.DIGITS):
        exact = [(f(0, (), m, ()), mp.sqrt(f(0, (), 0, ()) * f(m, (), m, ()))) for f in (field.k, field.t)]
    return [relative(float(v), *e, FLOOR) for v, e in zip(values, exact)]


def measure(network, dtype):
    """Errors of K and Theta, {(depth, end): array (paths, columns, 2)}, the worst of the pairs and of each column."""
    x, columns = images(dtype, network.shape, network.size)
    others, depths, errors = sum(columns, []), network.depths or (1,), {}
    starts = numpy.cumsum([0, *map(len, columns[:-1])])
    fields = [truth(network, depths, x[p], *(y[p] for y in others)) for p in range(PAIRS)]
    for depth, end in fields[0]:
        net, found = serial(*network.layers * depth, ENDS[end], network.readout), []
        for get in PATHS.values():
            kernels = [net.kernel_fn(x, y, get) for y in others]
            assert all(k.nngp.dtype == k.ntk.dtype == x.dtype for k in kernels)
            found.append([[error((k.nngp[p, p], k.ntk[p, p]), fields[p][depth, end], m) for p in range(PAIRS)]
                          for m, k in enumerate(kernels, 1)])
        errors[depth, end] = numpy.maximum.reduceat(numpy.max(found, 2), starts, 1)
    return errors


def rows(networks, dtype):
    """{row of the table: (errors (paths, columns, 2), where K and Theta are promised to rounding (columns, 2))}."""
    found = {}
    for name, network in networks.items():
        kept = numpy.array([(True, column not in network.lost) for column in COLUMNS])
        errors = measure(network, dtype)
        if network.depths:
            found |= {f'{name.replace("n x", f"{depth} x")}, {end}': (e, kept) for (depth, end), e in errors.items()}
        else:
            found[name] = numpy.max([*errors.values()], 0), kept
        print(dtype, name, flush=True)
    return found


# ------------------------------------------------------------------ the page

TITLE = '## Convolutions'

INTRO = TITLE + """

`kernel_fn` of small convolutional networks against the recursion on paper (`tests/truth/reference_conv.py`: position by
position, K alone, 120 digits of which more than 50 remain). Measured on {date}, NumPy {numpy}, mpmath {mpmath};
`python validation/accuracy.py --convolutions` rewrites this section.

- **Images** are normal random numbers, 3 x 3 to 5 x 5 pixels with 2 channels; x' = x + separation * direction. Columns
  `2 x` and `-x`: x' = 2 x and x' = -x, exactly, and with 1e-8 and 1e-4 times the direction added; the worst of these.
- **Networks** end in Flatten or GlobalAvgPool, and Dense: the worst of the two, where the row does not name one.
  Windows are 3 x 3, 'SAME', without strides, where it says nothing else; pools 2 x 2. `W_std` is sqrt 2 before Relu,
  1.3 before others; `b_std` is .1 and .2.
- **Cells** are NNGP / NTK, relative to the value itself, but to no less than a tenth of the largest it could be. They
  are the worst of {pairs} pairs of images and of both paths: *tiles*, `kernel_fn(x1, x2, ('nngp', 'ntk'))`, which is
  faster, and *whole*, `kernel_fn(x1, x2)`, the state with everything in it; a single pair of images always takes it.

**In short**: K is right to rounding everywhere, but for steps behind other layers (`Sign`, `RectifiedMonomial(0)`),
whose K loses what Theta of kinks does. Theta is right to rounding but for two kinds of networks, in which a kink does
not know the angle between nearly parallel patches: without a bias, at images that are multiples of each other; and with
a Relu behind a pool, at images that nearly coincide. There about half of the digits are sure.
"""

SECTIONS = {
    'Stacks of convolutions': (STACKS, """
The plain network, up to 20 layers deep. Rely on rounding errors alone at every separation, about an eps for each layer:
at most {kept}. The exception is Theta of images that are multiples of each other, in networks without a bias, with
errors up to {lost}: the area between parallel patches is not carried through windows of several taps
([Gap](theory/conv.md#gap)). A bias that is small beside the images helps less: see the row of images a hundred times as
large, about as pixels from 0 to 255."""),
    'Strides and paddings': (WINDOWS, """
Three convolutions, two if strided, each with Relu. Windows that reach beyond the border, skip pixels or wrap around
change nothing: errors are at most {kept}, and up to {lost} for Theta of multiples without a bias, for the same reason
([Gap](theory/conv.md#gap))."""),
    'Smooth nonlinearities, and pools without a kink behind them': (SMOOTH, """
Rely on all digits, also at multiples and without a bias: errors are at most {kept}. A smooth function needs no angle;
Erf and Gelu hand their gap on to a Relu behind them; and what a pool drops nobody asks for."""),
    'A kink behind a pool': (LOSSES, """
Rely on all digits of K, and of Theta where images differ by a third or more: errors are at most {kept}. Nearer,
Theta has errors of about eps / separation, up to {lost}: pools do not state the gap, and Relu recovers it from K
([Gap](theory/conv.md#gap)). Equal images lose nothing."""),
}

PATHS_TEXT = """
The worst over all rows above, where Theta keeps its digits. At separations 1 and 0.3 tiles of Relu networks do without
a gap (unless 20 layers have brought images near) and know each angle to eps / angle only, which adds up over many
layers: Theta has up to {tiles} there, the whole state {whole}. At the other separations, and with Erf, tiles carry the
gap as the whole state does ([Layouts](theory/conv.md#layouts)), and are as exact."""


def stated_at(errors):
    """Errors {dtype: number} as text."""
    return ' and '.join(f'{error:.0e} in {dtype}' for dtype, error in errors.items())


def worst(results, wanted):
    """Of cells that are promised to rounding, or of the others, at each precision."""
    return stated_at({dtype: max(e[:, kept == wanted].max(initial=0) for e, kept in results[dtype].values())
                      for dtype in DTYPES})


def by_path(results):
    """Text and table."""
    errors = {dtype: numpy.max([e * kept for result in results for e, kept in result[dtype].values()], 0)
              for dtype in DTYPES}
    far = {path: stated_at({dtype: errors[dtype][i, :2, 1].max() for dtype in DTYPES}) for i, path in enumerate(PATHS)}
    lines = [[f'{path}, {dtype}', *(cell(*c) for c in e)] for dtype in DTYPES for path, e in zip(PATHS, errors[dtype])]
    return f'### By path\n\n{fill(PATHS_TEXT.format(**far).strip(), 120)}\n\n{table(["path", *COLUMNS], lines)}\n'


def section():
    """Text of the section; an error above the BAR where the text promises rounding is an error."""
    parts = [INTRO.format(date=date.today(), numpy=numpy.__version__, mpmath=mp.__version__, pairs=PAIRS)]
    results = []
    for title, (networks, text) in SECTIONS.items():
        result = {dtype: rows(networks, dtype) for dtype in DTYPES}
        assert all((e[:, kept] <= BAR[dtype]).all() for dtype in DTYPES for e, kept in result[dtype].values()), title
        kept, lost = worst(result, True), worst(result, False)
        lines = [[f'`{name}`', dtype, *(cell(*c) for c in e.max(0))]
                 for dtype in DTYPES for name, (e, _) in result[dtype].items()]
        parts += [f'### {title}\n\n{fill(text.format(kept=kept, lost=lost).strip(), 120)}\n',
                  table(['network', 'dtype', *COLUMNS], lines) + '\n']
        results.append(result)
    return '\n'.join([*parts, by_path(results)])


def replaced(text):
    """The page with this section measured anew."""
    return f'{text.split(TITLE)[0].rstrip()}\n\n{section()}'


def worse(text, titles=('Strides and paddings', 'A kink behind a pool')):
    """Lines like those of `accuracy.worse`, for some of the tables. Where digits are lost, up to half may be."""
    stated = re.findall(r'^\| `(.*)` \| (float\d\d) \| (.*) \|$', text.partition(TITLE)[2], re.M)
    stated = {(name, dtype): numpy.array(re.findall(r'[^ |/]+', cells), float).reshape(-1, 2)
              for name, dtype, cells in stated}
    lines = []
    for title in titles:
        for dtype in DTYPES:
            eps = float(numpy.finfo(dtype).eps)
            for name, (e, kept) in rows(SECTIONS[title][0], dtype).items():
                then = stated.get((name, dtype), numpy.full_like(e[0], -1))
                bad = e.max(0) > numpy.where(kept, SLACK * then + eps, numpy.maximum(SLACK * then, eps ** .5))
                lines += [f'{dtype}, {name}: {column}' for column, b in zip(COLUMNS, bad) if b.any()]
    return lines
