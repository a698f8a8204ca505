"""The accuracy that is promised, measured against 50 digits: near and far, near opposite, shallow and deep.

`validation/accuracy.py` measures; this file holds the bounds, on a part of what docs/accuracy.md has in full.
"""

import accuracy
import accuracy_parallel
import numpy
import pytest

BAR = {'float64': 1e-14, 'float32': 3e-6}               # the ReLU family: both kernels, every separation and depth
FEW = 1., 1e-4, 1e-8, 0.

EPS = {'float64': 2. ** -52, 'float32': 2. ** -23}

BOUNDS = {
    # Multiples of eps for depths 1, 3 and 30: four times the worst of docs/accuracy.md (both dtypes, all separations),
    # rounded up to a power of two, relative to the largest value possible.
    'Sign()': (8, 8, 8),
    'RectifiedMonomial(0)': (8, 8, 8),
    'LayerNorm, Relu()': (8, 8, 16),
    'residual Relu()': (8, 8, 16),
    'Erf()': (8, 8, 64),                                # W_std=1.3 is at the edge of chaos: errors add up
    'Erf(1.2, 0.7, 0.3)': (8, 16, 32),
    'Sigmoid_like()': (8, 8, 8),
    'Gelu()': (8, 16, 16),
    'Sin()': (8, 16, 32),
    'Sin(0.8, 1.4, 0.5)': (8, 32, 128),                 # Theta at coincidence: a slope of w chi = 1 to the 30th power
    'Cos(1.1, 0.9, -0.2)': (8, 8, 16),
    'Rbf(0.7)': (8, 16, 64),
    'Gaussian(b=-0.6)': (8, 16, 16),
    'Gabor()': (16, 32, 256),                           # the same
    'Exp(0.9, 0.4)': (8, 16, 16),
    'ExpNormalized()': (8, 32, 128),                    # homogeneous: relative errors of each layer add up
    'LayerNorm, Hermite(3)': (32, 32, 128),             # chaotic, see below
    'LayerNorm, Monomial(2)': (16, 16, 64),
    'LayerNorm, Monomial(3)': (16, 64, 128),
    'LayerNorm, Polynomial': (8, 16, 64),
    'LayerNorm, RectifiedMonomial(2)': (8, 64, 2 ** 18),    # multiplies distances by 2 a layer
    'Erf(), W_std=4': (8, 16, 2 ** 17),                 # chaotic: by 3 a layer; what is lost is in (sqrt q - sqrt q')^2
    'Sin(), W_std=2.5': (16, 32, 2 ** 20),              # the same
}


def test_the_grid_is_the_one_that_is_promised():
    assert accuracy.SEPARATIONS == (1., 1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 0.) and accuracy.DEPTHS == (1, 3, 30)
    assert set(BOUNDS) == set(accuracy.OTHERS) and len(accuracy.RELU_FAMILY) == 8


@pytest.mark.parametrize('dtype', BAR)
@pytest.mark.parametrize('name', accuracy.RELU_FAMILY)
def test_relu_family(name, dtype):
    """K and Theta relative to themselves (where they change sign: to no less than a tenth of their largest)."""
    layers, last = accuracy.NETWORKS[name], accuracy.readout(name)
    errors = accuracy.measure(layers, last, dtype, itself=accuracy.itself(name), pairs=2)
    assert len(errors) == 6
    for (depth, sign), error in errors.items():
        assert error.shape == (2, 7, 2) and (error <= BAR[dtype]).all(), (depth, sign, error.max(-1))


@pytest.mark.slow
@pytest.mark.parametrize('dtype', BAR)
@pytest.mark.parametrize('name', accuracy.RELU_FAMILY)
def test_relu_family_on_many_pairs(name, dtype):
    layers, last = accuracy.NETWORKS[name], accuracy.readout(name)
    bar = 3.2e-6 if (name, dtype) == ('ABRelu(-0.5, 1.7)', 'float32') else BAR[dtype]
    for (depth, sign), error in accuracy.measure(layers, last, dtype, itself=accuracy.itself(name), pairs=40).items():
        assert (error <= bar).all(), (depth, sign, error.max(-1))


@pytest.mark.parametrize('dtype', EPS)
@pytest.mark.parametrize('name', BOUNDS)
def test_others(name, dtype):
    errors = accuracy.measure(accuracy.NETWORKS[name], accuracy.readout(name), dtype, pairs=1, separations=FEW)
    for (depth, sign), error in errors.items():
        bound = BOUNDS[name][accuracy.DEPTHS.index(depth)]
        assert bound is None or (error <= bound * EPS[dtype]).all(), (depth, sign, error.max(-1) / EPS[dtype])


@pytest.mark.parametrize('dtype', EPS)
@pytest.mark.parametrize('name', ['LayerNorm, Hermite(3)', 'LayerNorm, Monomial(3)', 'LayerNorm, Monomial(2)'])
def test_errors_of_k_do_not_grow_where_the_gap_is_known(name, dtype):
    """Each layer multiplies distances by 2 or 3: an error of K that went along would be all of K at depth 30."""
    layers = accuracy.NETWORKS[name]
    errors = accuracy.measure(layers, accuracy.READOUT, dtype, (30,), pairs=2, separations=(1e-8, 0.))
    assert (errors[30, 1] <= 128 * EPS[dtype]).all()


def test_x_alone_and_x_with_itself_agree():
    """The diagonal of k(x), whose gap is zero by position, and of k(x, x), whose gap is zero by subtraction."""
    x = numpy.random.default_rng(0).standard_normal((6, 5))
    for name, layers in accuracy.NETWORKS.items():
        net = accuracy.serial(*layers * 30, accuracy.readout(name))
        alone, pair = (net.kernel_fn(*a, ('nngp', 'ntk')) for a in ((x, None), (x, x.copy())))
        for a, b in zip(alone, pair):
            assert abs(numpy.diag(a - b)).max() <= 1e-13 * abs(a).max(), name


# ------------------------------------------------------------------ what a kink behind sees of the gap

@pytest.mark.parametrize('name', accuracy.BEFORE_A_KINK)
def test_relu_behind(name):
    """Theta to rounding: all of them state gap and area."""
    assert max(accuracy.before_a_kink(name, 'float64', pairs=2)) <= 1e-14


# ------------------------------------------------------------------ one feature, and parallel inputs

PARALLELS = accuracy.parallels()
LENGTHS = .43237417429325614, 30.7


def bar(name, dtype):
    return (accuracy_parallel.RELU_BAR if any(PARALLELS[name][2]) else accuracy_parallel.BAR)[dtype]


def test_the_inputs_are_parallel_and_of_all_kinds():
    """One feature: in every column, with both signs; several: within rounding. Both meet themselves elsewhere."""
    for dtype in EPS:
        one, several = accuracy_parallel.inputs(dtype)
        assert one.x1.shape[1] == one.x2.shape[1] == 1 and several.x1.shape[1] == 4
        assert {*one.column, *several.column} == {*range(len(accuracy_parallel.COLUMNS))}
        same, opposite = (one.x1 * one.x2 > 0)[:, 0], (one.x1 * one.x2 < 0)[:, 0]
        assert (same == (one.column < 3)).all() and (opposite == (one.column > 2)).all()
        assert (one.x1 < 0).any() and (one.x1 > 0).any()
        assert {1e-3 < abs(one.x1).min() < 2e-3, 30 < abs(one.x1).max() < 31} == {True}
        near = abs(one.x2 / one.x1 - 1)[one.column == 1]
        assert ((0 < near) & (near < 1e-5)).all()
        for a, b in zip(several.x1.astype(float), several.x2.astype(float)):
            assert abs(abs(a @ b) / (a @ a * (b @ b)) ** .5 - 1) <= EPS[dtype]


FAST = 'Relu()', 'Abs(), bias', 'Sign(), no bias', 'Erf(), no bias', 'Gelu()', 'LayerNorm, Monomial(3), no bias'


@pytest.mark.parametrize('dtype', EPS)
@pytest.mark.parametrize('name', [pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
                                  for name in PARALLELS])
def test_one_feature_and_parallel_inputs(name, dtype):
    block, last, itself = PARALLELS[name]
    errors = accuracy_parallel.measure(block, last, dtype, (1, 3), itself, LENGTHS)
    for depth, error in errors.items():
        assert numpy.nanmax(error) <= bar(name, dtype), (depth, error)
        assert name.startswith('Exp(') or not numpy.isnan(error).any(), (depth, error)


SOME = [a for a in accuracy_parallel.ACTIVATIONS if repr(a) in (
    'Relu()', 'Sign()', 'Erf()', 'Gelu()', 'Monomial(3)')]


@pytest.mark.parametrize('b_std', [None, .2])
def test_every_activation_behind_every_other(b_std):
    assert len(SOME) == 5
    errors = accuracy_parallel.behind('float64', b_std, LENGTHS[:1], SOME)
    assert errors.shape == (5, 5, 10, 2) and numpy.nanmax(errors) <= 1e-12
    assert numpy.argwhere(numpy.isnan(errors))[:, 2].tolist() == [2, 2, 4, 4] * 25    # none is longer


@pytest.mark.slow
@pytest.mark.parametrize('b_std', [None, .2])
def test_every_activation_behind_every_other_in_full(b_std):
    assert numpy.nanmax(accuracy_parallel.behind('float64', b_std)) <= accuracy_parallel.BAR['float64']


@pytest.mark.parametrize('name', [*accuracy_parallel.SERIES][:1])
def test_no_closed_form_on_a_line(name):
    for network, error in accuracy_parallel.on_a_line('float64', [name], LENGTHS[:1]).items():
        assert (error[[0, 1, 3]] <= 1e-12).all(), network


@pytest.mark.slow
@pytest.mark.parametrize('dtype', EPS)
@pytest.mark.parametrize('name', accuracy_parallel.SERIES)
def test_no_closed_form_on_a_line_in_full(name, dtype):
    """The gap of HardTanh and the like is a difference where inputs are near: a kink behind keeps half the digits."""
    for network, error in accuracy_parallel.on_a_line(dtype, [name]).items():
        bar = numpy.full(accuracy_parallel.ONE, accuracy_parallel.BAR[dtype])
        is_clipped = repr(name) in ('Elu()', 'Selu()', 'HardTanh()', 'Relu6()')
        if is_clipped and network[1] in ('before `Relu`', 'before `Sign`'):
            bar[1] = bar[1] ** .5
        assert (error[:accuracy_parallel.ONE] <= bar[:, None]).all(), network


def test_odd_functions_of_opposite_inputs():
    """K(x, -x) = -K(x, x), by no layer however chaotic made another number: Hermite(3) multiplies errors by 3."""
    net = accuracy.serial(*accuracy.NETWORKS['LayerNorm, Hermite(3)'] * 30)
    for x in ([[.43237417429325614]], [[.3, -1.1, .7]]):
        x = numpy.array(x)
        same, opposite = net.kernel_fn(numpy.concatenate([x, x, -x]), None, 'nngp')[0, 1:]
        assert same == -opposite


# ------------------------------------------------------------------ the page

def test_the_page_holds():
    assert accuracy.worse() == []
    assert accuracy_parallel.worse(accuracy.PAGE.read_text(), PARALLELS, accuracy.DEPTHS, ['Erf()']) == []


def test_a_page_that_claims_too_much_is_found_out():
    """The check must be able to fail: numbers ten times better than those stated, a row that is missing."""
    text = accuracy.PAGE.read_text()
    assert accuracy.worse(['Relu()'], text) == []
    better = text.replace('e-16', 'e-18').replace('e-15', 'e-18')
    assert any('float64, Relu(), depth 30' in line for line in accuracy.worse(['Relu()'], better))
    parallel = accuracy_parallel.worse(better, PARALLELS, accuracy.DEPTHS, ['Erf()'])
    assert any('float64, Erf(), depth 30, one feature' in line for line in parallel)
    missing = '\n'.join(line for line in text.splitlines() if not line.startswith('| `Erf()` | 3 |'))
    assert any("'Erf()', 3" in line for line in accuracy.worse([], missing))
