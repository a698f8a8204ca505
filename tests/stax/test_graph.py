"""Graphs: Aggregate and its patterns, DotGeneral, and predictions on batches of padded graphs."""
import itertools

import brute
import mpmath
import numpy
import pytest
import scipy.sparse
from autograd import grad
from autograd.test_util import check_grads
from finite import LEVEL, chance, check_mean, draws, empirical_ntk, second_moment
from kinds import to_kind, to_numpy
from places import golden
from tolerances import assert_close

from ntref import batch, load_kernel, save_kernel, stax
from ntref.predict import ComputedKernel, gp_inference, gp_inference_iterative, gradient_descent_mse_ensemble
from ntref.stax import (
    Aggregate, AggregateImplementation, Conv, ConvLocal, Dense, DotGeneral, Dropout, Erf, FanInSum, FanOut, Flatten,
    GlobalAvgPool, GlobalSumPool, Identity, Index, LayerError, Relu, Slice, parallel, repeat, serial)
from ntref.stax.layers import graph

TABLES = golden('kernels_graph')
RTOL = 1e-14            # of the tables, relative to the largest entry; they differ by 5e-16

SPARSE = dict(implementation='SPARSE')
NTK = ('nngp', 'ntk')


def graphs(rng, n, nodes, axes=1):
    """Weights (n, nodes, ..., nodes, ...), some of them 0 and some negative."""
    shape = (n, *[nodes] * axes, *[nodes] * axes)
    return rng.standard_normal(shape) * (rng.random(shape) < .5)


def edges(rng, n, count, *sizes):
    """Edges (n, count, axes, 2) between nodes of these sizes, some of them twice and some left out."""
    e = numpy.stack([rng.integers(0, size, (n, count, 2)) for size in sizes], -2)
    e[:, 1] = e[:, 0]
    for left_out, (axis, side) in zip((2, 3, 4), itertools.cycle([(0, 0), (-1, 1)])):
        e[:, left_out, axis, side] = -left_out
    return e


# ------------------------------------------------------------------ tables of Neural Tangents

def table_networks():
    node = Dense(8, 1.2, .1), Relu(), Aggregate(1, 0, 2), Dense(8, 1.2, .1), Relu(), GlobalAvgPool(), Dense(1)
    mixed = DotGeneral(rhs=numpy.linspace(-1, 1, 18).reshape(6, 3), dimension_numbers=(((1,), (0,)), ((), ())))
    after = Dense(8, 1.1, .3, batch_axis=0, channel_axis=1), Relu(), Flatten(), Dense(1)
    return {'aggregate': (serial(*node), 'graph'),
            'dotgeneral': (serial(Dense(8, 1.2, .1), Relu(), mixed, *after), 'seq')}


@pytest.mark.parametrize('get', [NTK, None])
@pytest.mark.parametrize('inputs', ['12', '11'])
@pytest.mark.parametrize('name', ['aggregate', 'dotgeneral'])
def test_table(name, inputs, get):
    net, kind = table_networks()[name]
    x1, x2 = TABLES[f'inputs/{kind}/0'], TABLES[f'inputs/{kind}/1'] if inputs == '12' else None
    P1, P2 = (TABLES[f'inputs/graph_pattern/{i}'] for i in (0, 1))
    given = {} if kind == 'seq' else dict(pattern=P1 if x2 is None else (P1, P2))
    k = net.kernel_fn(x1, x2, get, **given)
    for name_of, table in (('nngp', f'{name}/{inputs}/nngp'), ('ntk', f'{name}/{inputs}/ntk')):
        ours = getattr(k, name_of)
        assert ours.shape == TABLES[table].shape and abs(ours - TABLES[table]).max() < RTOL * abs(TABLES[table]).max()


# ------------------------------------------------------------------ sums written literally

HIDDEN = Dense(6, 1.3, .4), Erf()

AGGREGATES = [
    serial(Aggregate(), Dense(6, 1.2, .3), Relu(), Dense(6, 1.1, .2), Aggregate(), Relu(), GlobalAvgPool()),
    serial(*HIDDEN, Aggregate(-2), Dense(6, 1.2, .3), Erf(), GlobalSumPool()),
    serial(*HIDDEN, FanOut(2), parallel(serial(Aggregate(), Dense(6)), Dense(6, .8, .2)), FanInSum(), Erf()),
    serial(Dense(6, 1.3, .4), repeat(serial(Aggregate(), Relu(), Dense(6, 1.2, .3)), 2), Flatten()),
    serial(*HIDDEN, Aggregate(), Index(Slice[:, ::-1]), Aggregate()),
]


@pytest.mark.parametrize('net', AGGREGATES, ids=repr)
def test_sums_over_neighbours(net, rng):
    x1, x2 = rng.standard_normal((3, 4, 5)), rng.standard_normal((2, 4, 5))
    P1, P2 = graphs(rng, 3, 4), graphs(rng, 2, 4)
    brute.check(net, x1, x2, pattern=(P1, P2), aligned=False)
    brute.check(net, x1, pattern=P1, aligned=False)


@pytest.mark.parametrize('net', AGGREGATES, ids=repr)
def test_edges(net, rng):
    spec = net.to_spec()

    def sparse(spec):
        if isinstance(spec, list):
            return list(map(sparse, spec))
        if not isinstance(spec, dict):
            return spec
        return {name: sparse(value) for name, value in spec.items()} | (
            SPARSE if spec.get('layer') == 'Aggregate' else {})
    net = stax.from_spec(sparse(spec))
    x1, x2 = rng.standard_normal((3, 4, 5)), rng.standard_normal((2, 4, 5))
    e1, e2 = edges(rng, 3, 9, 4), edges(rng, 2, 9, 4)
    brute.check(net, x1, x2, pattern=(e1, e2), aligned=False)
    assert (net.kernel_fn(x1, x2, 'ntk', pattern=(e1[:, :, 0], e2)) ==
            net.kernel_fn(x1, x2, 'ntk', pattern=(e1, e2))).all()


@pytest.mark.parametrize('axis, diagonal', [((), None), ((), True), (None, None)])
@pytest.mark.parametrize('implementation', ['DENSE', 'SPARSE'])
def test_graphs_of_one_node(axis, implementation, diagonal, rng):
    """No axis of nodes: weights of whole graphs, so many as there are edges from the node to itself."""
    shape = (4, 5) if axis == () else (5,)
    x1, x2 = rng.standard_normal((3, *shape)), rng.standard_normal((2, *shape))
    layer = Aggregate(axis, implementation=implementation)
    p1, p2 = pattern = rng.standard_normal(3), rng.standard_normal(2)
    if implementation == 'SPARSE':
        pattern = numpy.zeros((3, 7, 0, 2), int), numpy.zeros((2, 5, 0, 2), int)
        p1, p2 = [7.] * 3, [5.] * 2
    assert_close(layer.apply_fn((), x1, pattern=pattern[0]), numpy.einsum('n...,n->n...', x1, p1), 'value', 40.)
    net, plain = (serial(Dense(6, 1.3, .4), Relu(), link, Dense(6, 1.2)) for link in (layer, Identity()))
    readout = Dense(6, 1.2), Relu(), Dense(6)
    for get in NTK, None:
        k = net.kernel_fn(x1, x2, get, pattern=pattern, diagonal_spatial=diagonal)
        expected = plain.kernel_fn(x1, x2, get, diagonal_spatial=diagonal)
        for name in NTK:
            wanted = numpy.einsum('nm...,n,m->nm...', getattr(expected, name), p1, p2)
            assert_close(getattr(k, name), wanted, 'value', abs(wanted).max())
    # sizes of one number: with positive weights, the ReLU behind lets them through
    if implementation == 'SPARSE':
        k, expected = (serial(a, *readout).kernel_fn(x1, None, 'ntk', **given) for a, given in (
            (net, dict(pattern=pattern[0])), (plain, {})))
        assert_close(k, 49 * expected, 'value', abs(k).max())


@pytest.mark.parametrize('axis, nodes', [(None, (3, 2)), ((2, 1), (3, 2)), (1, (3,)), (2, (2,)), ((-2,), (2,)),
                                         ((1, -2), (3, 2))])
@pytest.mark.parametrize('implementation', ['DENSE', 'sparse', AggregateImplementation.SPARSE])
def test_several_axes(axis, nodes, implementation, rng):
    """Also behind a convolution, whose axes Neural Tangents has in reverse order."""
    conv = Conv(6, (2, 1), None, 'SAME', 1.3, .4)
    net = serial(conv, Relu(), Aggregate(axis, implementation=implementation), Conv(6, (1, 2), b_std=.3), Relu())
    x1, x2 = rng.standard_normal((3, 3, 2, 4)), rng.standard_normal((2, 3, 2, 4))
    if implementation == 'DENSE':
        pattern = tuple(rng.standard_normal((n, *nodes, *nodes)) for n in (3, 2))
    else:
        pattern = tuple(edges(rng, n, 6, *nodes) for n in (3, 2))
    brute.check(net, x1, x2, pattern=pattern, aligned=False)


def test_other_axes(rng):
    """Channels and batch anywhere."""
    axes = dict(batch_axis=2, channel_axis=0)
    net = serial(Dense(6, 1.3, .4, **axes), Erf(), Aggregate(-1, **axes), Dense(6, **axes), Relu(),
                 Aggregate(1, **axes))
    x1, x2 = rng.standard_normal((5, 3, 4, 3)), rng.standard_normal((5, 3, 2, 3))
    P1, P2 = graphs(rng, 4, 3), graphs(rng, 2, 3)
    brute.check(net, x1, x2, 2, 0, pattern=(P1, P2), aligned=False)
    h = Aggregate(-1, **axes).apply_fn((), x1, pattern=P1)
    assert_close(h, numpy.einsum('cpni,nij->cpnj', x1, P1), 'value', abs(h).max())


def constants(rng):
    c = {shape: rng.standard_normal(shape) for shape in [(3,), (2,), (3, 4), (5, 2), (4, 3), (3, 2, 4)]}
    return {
        'a number': dict(rhs=-1.7), 'a number to the left': dict(lhs=numpy.float32(.3)), 'nothing': {},
        'contracted': dict(rhs=c[3, 4], dimension_numbers=(((1,), (0,)), ((), ()))),
        'contracted, to the left': dict(lhs=c[4, 3], dimension_numbers=(((1,), (1,)), ((), ()))),
        'both contracted': dict(rhs=c[3, 2, 4], dimension_numbers=(((2, 1), (1, 0)), ((), ()))),
        'all contracted': dict(rhs=c[3, 2, 4][..., 0], dimension_numbers=(((1, 2), (0, 1)), ((), ()))),
        'in common': dict(rhs=c[3,], dimension_numbers=(((), ()), ((1,), (0,)))),
        'in common, others new': dict(lhs=c[5, 2], dimension_numbers=(((), ()), ((1,), (2,)))),
        'one contracted, one in common': dict(rhs=c[3, 2, 4], dimension_numbers=(((2,), (1,)), ((1,), (0,)))),
        'new': dict(rhs=c[2,]), 'new, to the left': dict(lhs=c[3, 4]),
    }


@pytest.mark.parametrize('name', constants(numpy.random.default_rng(0)))
def test_products(name, rng):
    layer = DotGeneral(**constants(rng)[name])
    shape, _ = layer.init_fn(0, (-1, 3, 2, 5))
    assert shape.count(-1) == 1
    k = layer.kernel_fn(numpy.zeros((1, 3, 2, 5)))
    axes = dict(batch_axis=k.batch_axis, channel_axis=k.channel_axis)
    net = serial(Dense(6, 1.3, .4), Relu(), layer, Dense(6, 1.2, .3, **axes), Erf())
    x1, x2 = rng.standard_normal((3, 3, 2, 5)), rng.standard_normal((2, 3, 2, 5))
    brute.check(net, x1, x2, aligned=layer.picks)
    brute.check(net, x1, aligned=layer.picks)


def products_of(positions, lengths=(3, 2), new=(2, 3)):
    """All products with inputs (n, *positions, channels): what becomes of each position, new positions, the side."""
    for fates in itertools.product(['kept', 'summed', 'common'], repeat=positions):
        summed, common = ([1 + a for a, fate in enumerate(fates) if fate == name] for name in ('summed', 'common'))
        for count, side in itertools.product(range(2 if positions == 2 else 3), ('lhs', 'rhs')):
            fixed = len(summed) + len(common)
            theirs = tuple(range(fixed - 1, -1, -1))                       # of the constant, in another order
            pairs = [(tuple(ours), of) for ours, of in ((summed, theirs[:len(summed)]), (common, theirs[len(summed):]))]
            sizes = [lengths[a - 1] for a in summed + common][::-1]
            constant = numpy.random.default_rng(1).standard_normal((*sizes, *new[:count]))
            numbers = tuple(pair if side == 'rhs' else pair[::-1] for pair in pairs)
            yield DotGeneral(**{side: constant}, dimension_numbers=numbers)


@pytest.mark.parametrize('positions', [0, 1, 2])
def test_all_products(positions, rng):
    """Also of inputs that have no positions, with what needs all pairs of the new ones behind them, or equal ones."""
    lengths = (3, 2)[:positions]
    x1, x2 = rng.standard_normal((3, *lengths, 5)), rng.standard_normal((2, *lengths, 5))
    x1[1], x2[1] = 2 * x1[0], x1[2]
    for i, layer in enumerate(products_of(positions)):
        state = layer.kernel_fn(x1)
        axes = dict(batch_axis=state.batch_axis, channel_axis=state.channel_axis)
        read = Dense(6, 1.2, .3, **axes), Erf()
        brute.check(layer, x1, x2, aligned=layer.picks)
        brute.check(serial(layer, *read, Flatten(axes['batch_axis'])), x1, aligned=layer.picks)
        pool = (GlobalAvgPool, GlobalSumPool)[i % 2]
        brute.check(serial(layer, *read, pool(**axes)), x1, aligned=False)


@pytest.mark.parametrize('get', ['nngp', NTK, None])
def test_new_positions_behind_a_layer_that_takes_them(get, rng):
    """At equal positions alone, where these are asked for: those of one input have nothing to do with it."""
    x = rng.standard_normal((3, 2, 5))
    for n in 2, 300:                                                        # also in tiles
        x = rng.standard_normal((n, 2, 5))
        net = serial(Flatten(), Dense(6, 1.3, .4), DotGeneral(rhs=(1., -2., .5)), Dense(6, 1.2, .3, channel_axis=1))
        k, whole = (net.kernel_fn(x, None, get, diagonal_spatial=diagonal) for diagonal in (True, None))
        for name in ('nngp',) if get == 'nngp' else NTK:
            some, all_ = (a if get == 'nngp' else getattr(a, name) for a in (k, whole))
            assert some.shape == (n, n, 3) and all_.shape == (n, n, 3, 3)
            assert_close(some, numpy.einsum('nmpp->nmp', all_), 'value', abs(all_).max())


def test_products_in_common_with_the_batch(rng):
    """A constant for each input: x1 and x2 have as many, and x2 is not x1 where constants differ."""
    c = rng.standard_normal((4, 3, 5))
    layer = DotGeneral(rhs=c, dimension_numbers=(((1,), (1,)), ((0,), (0,))))
    x1, x2 = rng.standard_normal((2, 4, 3, 6))
    K = numpy.einsum('npc,mqc->nmpq', x1, x2) / 6
    wanted = numpy.einsum('npi,nmpq,mqj->nmij', c, K, c)
    k = layer.kernel_fn(x1, x2)
    assert_close(k.nngp, wanted, 'value', abs(wanted).max())
    assert_close(k.cov2, layer.kernel_fn(x2).nngp[range(4), range(4)], 'value', abs(k.cov2).max())
    assert_close(layer.kernel_fn(x1, x2, 'nngp'), wanted, 'value', abs(wanted).max())
    assert_close(layer.apply_fn((), x1), numpy.einsum('npc,npj->ncj', x1, c), 'value', 10.)
    assert (k.batch_axis, k.channel_axis, k.shape1) == (0, 1, (4, 6, 5))


@pytest.mark.parametrize('name', constants(numpy.random.default_rng(0)))
def test_products_of_finite_networks(name, rng):
    """numpy.tensordot, with axes in common as diagonals of it."""
    arguments = constants(rng)[name]
    x = rng.standard_normal((3, 3, 2, 5))
    c = numpy.asarray(arguments.get('lhs', arguments.get('rhs', 1.)))
    (summed, in_sum), (common, in_common) = (
        pair[::-1] if 'lhs' in arguments else pair for pair in arguments.get('dimension_numbers', (((), ()), ((), ()))))
    ours = [a for a in range(4) if a not in summed]
    theirs = [a for a in range(c.ndim) if a not in in_sum]
    t = numpy.tensordot(x, c, (summed, in_sum))
    names = [('x', a) for a in ours] + [('c', a) for a in theirs]
    for a, b in zip(common, in_common):
        i, j = names.index(('x', a)), names.index(('c', b))
        t = numpy.moveaxis(numpy.diagonal(t, 0, i, j), -1, 0)
        names = [('x', a)] + [name for name in names if name not in (('x', a), ('c', b))]
    assert len(common) < 2
    if 'lhs' in arguments:
        first = len(common)
        t = t.transpose(*range(first), *sorted(range(first, t.ndim), key=lambda i: names[i][0] == 'x'))
    assert_close(DotGeneral(**arguments).apply_fn((), x), t, 'value', abs(t).max())


def test_area_and_gap_are_carried_by_a_number(rng):
    """Between an input and twice this input: with the area lost, the angle would be good to 1e-8."""
    x = rng.standard_normal((4, 7))
    near = numpy.concatenate([2 * x, x + 1e-9])
    nets = [serial(Dense(8, 1.3), layer, Relu(), Dense(8)) for layer in (DotGeneral(rhs=-3.), Identity())]
    k, plain = (net.kernel_fn(x, near, 'ntk') for net in nets)
    assert_close(k, 9 * plain, 'value', abs(k).max())


MULTIPLES = {'new': dict(rhs=(.3, -2., 5.)), 'in common': dict(rhs=(.3, -2., 5., 0.), dimension_numbers=(
    ((), ()), ((1,), (0,)))), 'number': dict(rhs=-.7)}


@pytest.mark.parametrize('get', [NTK, None])
@pytest.mark.parametrize('bias', [None, .2])
@pytest.mark.parametrize('name', [*MULTIPLES, 'all new'])
def test_area_and_gap_are_carried_where_nothing_is_contracted(name, bias, get, rng):
    """Positions that become multiples of each other, and inputs that nearly coincide: all digits."""
    x = rng.standard_normal((4, 4, 5))
    x[:, 1], x[:, 2], x[3] = 2 * x[:, 0], x[:, 0] + 1e-7 * rng.standard_normal((4, 5)), 3 * x[0]
    if name == 'all new':
        x = x[:, 0]
    layer = DotGeneral(**MULTIPLES[name.removeprefix('all ')])
    state = layer.kernel_fn(x[:1])
    axes = dict(batch_axis=state.batch_axis, channel_axis=state.channel_axis)
    net = serial(Dense(8, 1.3, bias), layer, Dense(8, 1.2, bias, **axes), Relu(), Dense(8, 1.1, **axes))
    k = net.kernel_fn(x, get=get)
    with mpmath.workdps(40):
        exact = net.kernel_fn(to_kind('mpmath', x))
        for name in NTK:
            wanted = getattr(exact, name).astype(float)
            assert_close(getattr(k, name), wanted, 'value', wanted.max())


# ------------------------------------------------------------------ finite networks

def test_apply_is_the_sum_over_neighbours(rng):
    x, P = rng.standard_normal((3, 4, 2, 5)), rng.standard_normal((3, 4, 2, 4, 2))
    z = numpy.einsum('nijc,nijkl->nklc', x, P)
    assert_close(Aggregate().apply_fn((), x, pattern=P), z, 'value', abs(z).max())
    z = numpy.einsum('njic,nik->njkc', numpy.moveaxis(x, 1, 2), P[:, :, 0, :, 0]).transpose(0, 2, 1, 3)
    assert_close(Aggregate(1).apply_fn((), x, pattern=P[:, :, 0, :, 0]), z, 'value', abs(z).max())
    e, wanted = edges(rng, 3, 8, 4), numpy.zeros((3, 4, 2, 5))
    for n, edge in numpy.ndindex(3, 8):
        i, j = e[n, edge, 0]
        if i >= 0 and j >= 0:
            wanted[n, j] += x[n, i]
    assert_close(Aggregate(1, **SPARSE).apply_fn((), x, pattern=e), wanted, 'value', 10.)


SUMS = ((.5, -1., 2.), (.3, .2, 0.), (-.7, .4, .1), (1., 1., 0.))

RANDOM = {
    'Aggregate': serial(Dense(1000, 1.2, .3), Relu(), Aggregate()),
    'Aggregate, sparse': serial(Dense(1000, 1.2, .3), Relu(), Aggregate(**SPARSE)),
    'Aggregate of the input': serial(Aggregate(), Dense(1000, 1.2, .3), Relu()),
    'DotGeneral': serial(Dense(1000, 1.2, .3), Relu(),
                         DotGeneral(rhs=SUMS, dimension_numbers=(((1,), (0,)), ((), ())))),
    'DotGeneral, in common': serial(Dense(1000, 1.2, .3), Relu(),
                                    DotGeneral(lhs=SUMS, dimension_numbers=(((), ()), ((0,), (1,))))),
}


def given_to(name, rng):
    return {} if 'Dot' in name else dict(pattern=edges(rng, 2, 9, 4) if 'sparse' in name else graphs(rng, 2, 4))


@pytest.mark.parametrize('name', RANDOM)
def test_covariance_of_finite_networks(name, rng):
    net, x, given = RANDOM[name], rng.standard_normal((2, 4, 3)), given_to(name, rng)
    samples = draws(second_moment, net, x, rng, 100, **given)
    check_mean(samples, net.kernel_fn(x, get='nngp', **given), .05)
    if 'pattern' in given and 'sparse' not in name:
        other = given['pattern'].swapaxes(1, 2)                            # edges in the other direction do not pass
        assert chance(samples, net.kernel_fn(x, get='nngp', pattern=other)) < LEVEL


@pytest.mark.parametrize('name', RANDOM)
def test_tangent_kernel_of_finite_networks(name, rng):
    layers, given = list(RANDOM[name].layers), given_to(name, rng)
    layers = [Dense(192, 1.2, .3) if isinstance(layer, Dense) else layer for layer in layers]
    x = rng.standard_normal((2, 4, 3))
    k = serial(*layers).kernel_fn(x, **given)
    axes = dict(batch_axis=k.batch_axis, channel_axis=k.channel_axis)
    net = serial(*layers, Dense(1, 1.1, .2, **axes), GlobalSumPool(**axes))
    samples = draws(empirical_ntk, net, x, rng, 60, **given)
    check_mean(samples, net.kernel_fn(x, get='ntk', **given), .1)


# ------------------------------------------------------------------ what patterns are

def test_without_a_pattern_it_is_the_identity(rng):
    x, y = rng.standard_normal((3, 4, 5)), rng.standard_normal((2, 4, 5))
    nets = [serial(*HIDDEN, layer, Dense(6), Relu(), GlobalAvgPool()) for layer in (Aggregate(), Identity())]
    for given in {}, dict(pattern=None), dict(pattern=(None, None)):
        a, b = nets[0].kernel_fn(x, y, 'ntk', **given), nets[1].kernel_fn(x, y, 'ntk')
        assert_close(a, b, 'value', abs(b).max())
    assert Aggregate().apply_fn((), x) is x and Aggregate(**SPARSE).apply_fn((), x, pattern=None) is x


def test_one_pattern_for_one_set_of_inputs(rng):
    net, x, P = AGGREGATES[0], rng.standard_normal((3, 4, 5)), graphs(rng, 3, 4)
    one = net.kernel_fn(x, pattern=P)
    assert one.cov2 is None and one.x1_is_x2 and one.pattern1 is one.pattern2 is P
    tiles = net.kernel_fn(x, None, 'ntk', pattern=P)
    assert_close(tiles, one.ntk, 'slice', abs(one.ntk).max())
    for pattern in (P, P), (P, None), [P, P.copy()]:
        assert (net.kernel_fn(x, None, 'ntk', pattern=pattern) == tiles).all()
    two = net.kernel_fn(x, x.copy(), pattern=(P, P.copy()))
    assert two.x1_is_x2
    assert_close(two.ntk, one.ntk, 'same', abs(one.ntk).max())


def test_the_same_inputs_on_other_graphs_are_other_inputs(rng):
    net, x, P = serial(Dense(6), Dropout(.5), Aggregate()), rng.standard_normal((3, 4, 5)), graphs(rng, 3, 4)
    assert not net.kernel_fn(x, x, pattern=(P, 2 * P)).x1_is_x2
    K, same = net.layers[0].kernel_fn(x).nngp, numpy.einsum('nm,pq->nmpq', numpy.eye(3), numpy.eye(4))
    for Q, k in ((P, K * (1 + same)), (2 * P, K)):
        wanted = numpy.einsum('npi,nmpq,mqj->nmij', P, k, Q)
        assert_close(net.kernel_fn(x, x, pattern=(P, Q)).nngp, wanted, 'value', abs(wanted).max())


def test_layer_by_layer(rng):
    """The state has the patterns; those that are given again take their place."""
    first, last = serial(*HIDDEN), serial(Aggregate(), Dense(6, 1.2, .3), Relu(), GlobalAvgPool())
    x, y, P, Q = rng.standard_normal((3, 4, 5)), rng.standard_normal((2, 4, 5)), graphs(rng, 3, 4), graphs(rng, 2, 4)
    whole = serial(first, last).kernel_fn(x, y, pattern=(P, Q))
    state = first.kernel_fn(x, y, pattern=(P, Q))
    for k in last.kernel_fn(state), last.kernel_fn(first.kernel_fn(x, y), pattern=(P, Q)), \
            last.kernel_fn(first.kernel_fn(x, y, pattern=(2 * P, Q)), pattern=(P, Q)):
        assert (k.ntk == whole.ntk).all() and k.pattern1 is P and k.pattern2 is Q
    one = last.kernel_fn(first.kernel_fn(x), pattern=P)
    assert (one.ntk == serial(first, last).kernel_fn(x, pattern=P).ntk).all()


def test_lists_of_inputs_have_the_pattern_in_common(rng):
    net = serial(parallel(serial(Dense(6), Aggregate()), Dense(6, 1.3)), FanInSum(), Relu(), Aggregate())
    xs, ys = list(rng.standard_normal((2, 3, 4, 5))), list(rng.standard_normal((2, 2, 4, 5)))
    P, Q = graphs(rng, 3, 4), graphs(rng, 2, 4)
    K = [numpy.einsum('npc,mqc->nmpq', x, y) / 5 for x, y in zip(xs, ys)]
    own = [[numpy.einsum('npc,nqc->npq', a, a) / 5 for a in zs] for zs in (xs, ys)]
    z = net.kernel_fn(xs, ys, pattern=(P, Q))
    summed = numpy.einsum('npi,nmpq,mqj->nmij', P, K[0], Q) + 1.69 * K[1]
    q = [numpy.einsum('npi,npq,nqi->ni', R, k[0], R) + 1.69 * numpy.einsum('npp->np', k[1])
         for R, k in zip((P, Q), own)]
    s = (q[0][:, None, :, None] * q[1][None, :, None, :]) ** .5
    angle = numpy.arccos(summed / s)
    relu = (s * numpy.sin(angle) + (numpy.pi - angle) * summed) / (2 * numpy.pi)
    wanted = numpy.einsum('npi,nmpq,mqj->nmij', P, relu, Q)
    assert_close(z.nngp, wanted, 'value', abs(wanted).max())
    assert net.apply_fn(net.init_fn(0, [x.shape for x in xs])[1], xs, pattern=P).shape == (3, 4, 6)


def test_to_dense(rng):
    """Matrices of SciPy, one a graph."""
    x, P = rng.standard_normal((3, 4, 5)), graphs(rng, 3, 4)
    matrices = [scipy.sparse.csr_array(p) for p in P]

    def dense(matrices):
        return numpy.stack([m.toarray() for m in matrices])
    layers = *HIDDEN, Aggregate(to_dense=dense), Dense(6, 1.2), Relu(), GlobalAvgPool()
    net, plain = serial(*layers), serial(*HIDDEN, Aggregate(), *layers[3:])
    k = net.kernel_fn(x, x[:2], 'ntk', pattern=(matrices, matrices[:2]))
    wanted = plain.kernel_fn(x, x[:2], 'ntk', pattern=(P, P[:2]))
    assert_close(k, wanted, 'value', abs(wanted).max())
    assert (Aggregate(to_dense=dense).apply_fn((), x, pattern=matrices) == Aggregate().apply_fn((), x, pattern=P)).all()


def test_padding_changes_nothing(rng):
    """Without a bias nodes without edges and features stay 0: the sum over all nodes is that over those there are."""
    net = serial(Aggregate(), Dense(6, 1.4), Relu(), Dense(6, 1.4), Relu(), Aggregate(), Dense(6, 1.4), Relu(),
                 GlobalSumPool())
    sizes = 3, 5, 1
    xs = [rng.standard_normal((n, 4)) for n in sizes]
    Ps = [graphs(rng, 1, n)[0] + numpy.eye(n) for n in sizes]
    x, P = numpy.zeros((3, 6, 4)), numpy.zeros((3, 6, 6))
    for n, (a, p) in enumerate(zip(xs, Ps)):
        x[n, :len(a)], P[n, :len(a), :len(a)] = a, p
    k = net.kernel_fn(x, get=NTK, pattern=P)
    assert numpy.isfinite(k.ntk).all()
    for n in range(3):
        own = net.kernel_fn(xs[n][None], get=NTK, pattern=Ps[n][None])
        for name in NTK:
            assert_close(getattr(own, name), getattr(k, name)[n:n + 1, n:n + 1], 'value', getattr(own, name).max())


# ------------------------------------------------------------------ tiles

@pytest.mark.parametrize('implementation', ['DENSE', 'SPARSE'])
@pytest.mark.parametrize('entries', [2 ** 18, 60])
def test_tiles_have_the_patterns_of_their_rows(implementation, entries, rng, monkeypatch):
    monkeypatch.setattr('ntref.recursion.tiled.ENTRIES', entries)
    monkeypatch.setattr('ntref.recursion.tile.BLOCK', entries)
    net = serial(*HIDDEN, Aggregate(implementation=implementation), Dense(6, 1.2, .2), Relu(),
                 Aggregate(implementation=implementation), Dense(6, 1.2, .2), Relu(), GlobalAvgPool(), Dense(1))
    x, y = rng.standard_normal((13, 4, 3)), rng.standard_normal((9, 4, 3))
    if implementation == 'DENSE':
        P, Q = graphs(rng, 13, 4), graphs(rng, 9, 4)
    else:
        P, Q = edges(rng, 13, 8, 4), edges(rng, 9, 6, 4)
    for arguments, pattern in (((x, None), P), ((x, y), (P, Q))):
        tiles, whole = (net.kernel_fn(*arguments, get, pattern=pattern) for get in (NTK, None))
        for name in NTK:
            assert_close(getattr(tiles, name), getattr(whole, name), 'slice', abs(getattr(whole, name)).max())


@pytest.mark.parametrize('implementation', ['DENSE', 'SPARSE'])
def test_batch_and_files(implementation, rng, tmp_path):
    net = serial(*HIDDEN, Aggregate(implementation=implementation), Dense(6, 1.2, .2), Relu(), GlobalAvgPool())
    x, y = rng.standard_normal((5, 4, 3)), rng.standard_normal((4, 4, 3))
    P, Q = (edges(rng, 5, 8, 4), edges(rng, 4, 6, 4)) if implementation == 'SPARSE' else (
        graphs(rng, 5, 4), graphs(rng, 4, 4))
    for arguments, pattern in (((x, None), P), ((x, y), (P, Q))):
        whole = net.kernel_fn(*arguments, pattern=pattern)
        cut = batch(net.kernel_fn, 2)(*arguments, NTK, pattern=pattern)
        for name in NTK:
            assert_close(getattr(cut, name), getattr(whole, name), 'slice', abs(getattr(whole, name)).max())
        save_kernel(tmp_path / 'k.npz', whole)
        again = load_kernel(tmp_path / 'k.npz')
        assert (again.pattern1 == P).all() and (again.pattern2 == (P if arguments[1] is None else Q)).all()


@pytest.mark.parametrize('dtype', ['int8', 'uint8', 'uint64', 'int32'])
def test_edges_of_any_whole_numbers(dtype, rng, monkeypatch):
    """With more nodes than int8 has; also some graphs at a time, and no edges at all."""
    e, x = rng.integers(0, 16, (3, 9, 2, 2)).astype(dtype), rng.standard_normal((3, 16, 16, 2))
    if 'u' not in dtype:
        e[0, 1, 1, 0] = -1
    P = numpy.zeros((3, 16, 16, 16, 16))
    for n, edge in itertools.product(range(3), range(9)):
        (i, j), (k, m) = e[n, edge]
        if i >= 0 and j >= 0 and k >= 0 and m >= 0:
            P[n, i, k, j, m] += 1
    layer, wanted = Aggregate(**SPARSE), Aggregate().apply_fn((), x, pattern=P)
    for chunk in graph.CHUNK, 1:
        monkeypatch.setattr(graph, 'CHUNK', chunk)
        assert_close(layer.apply_fn((), x, pattern=e), wanted, 'value', 10.)
    assert (layer.apply_fn((), x, pattern=e[:, :0]) == 0).all()
    assert (layer.kernel_fn(to_kind('mpmath', x[:, :2, :2]), get='nngp', pattern=e[:, :0]) == 0).all()


def test_large_inputs_without_positions_ignore_patterns(rng):
    net, x = serial(Dense(8), Relu(), Dense(1)), rng.standard_normal((600, 3))
    assert (net.kernel_fn(x, get='ntk', pattern=rng.random((600, 2, 2))) == net.kernel_fn(x, get='ntk')).all()


@pytest.mark.parametrize('n1, n2', [(0, 2), (2, 0), (0, 0), (1, 1)])
@pytest.mark.parametrize('implementation', ['DENSE', 'SPARSE'])
def test_few_graphs(n1, n2, implementation, rng):
    net = serial(Dense(6), Relu(), Aggregate(implementation=implementation), GlobalAvgPool())
    x, y = rng.standard_normal((n1, 4, 5)), rng.standard_normal((n2, 4, 5))
    pattern = (edges(rng, n1, 5, 4), edges(rng, n2, 5, 4)) if implementation == 'SPARSE' else (
        graphs(rng, n1, 4), graphs(rng, n2, 4))
    for get in NTK, None:
        assert net.kernel_fn(x, y, get, pattern=pattern).ntk.shape == (n1, n2)
        assert net.kernel_fn(x, None, get, pattern=pattern[0]).ntk.shape == (n1, n1)
    assert net.apply_fn(net.init_fn(0, x.shape)[1], x, pattern=pattern[0]).shape == (n1, 6)


# ------------------------------------------------------------------ coincidences

@pytest.mark.parametrize('get', [NTK, None])
def test_equal_graphs_and_nodes(get, rng):
    """All digits of the NTK behind a kink, against 40 digits; also of a graph without edges."""
    x, P = rng.standard_normal((6, 4, 3)), rng.standard_normal((6, 4, 4))
    x[1], P[1] = x[0], P[0]
    P[4], P[5, :, 1] = 0, P[5, :, 0]
    net = serial(Dense(8, 1.2), Erf(), Aggregate(), Dense(8, 1.2), Relu(), GlobalAvgPool(), Dense(1))
    k = net.kernel_fn(x, get=get, pattern=P)
    with mpmath.workdps(40):
        exact = net.kernel_fn(to_kind('mpmath', x), pattern=P)
        for name in NTK:
            wanted = getattr(exact, name).astype(float)
            assert_close(getattr(k, name), wanted, 'value', wanted.max())


def test_nodes_that_are_multiples_of_each_other(rng):
    """What the missing area costs: half the digits of the angles 0 and pi, and none in K; docs/theory/graphs.md#gap"""
    x, P = rng.standard_normal((3, 4, 3)), numpy.array([numpy.diag(d) for d in ([1., 2., 3., 1.7],) * 3])
    x[:, 1:] = x[:, :1]
    x[1] = -x[0]
    net = serial(Dense(8, 1.2), Erf(), Aggregate(), Dense(8, 1.2), Relu(), GlobalAvgPool(), Dense(1))
    k = net.kernel_fn(x, get=NTK, pattern=P)
    with mpmath.workdps(40):
        exact = net.kernel_fn(to_kind('mpmath', x), pattern=P)
        assert_close(k.nngp, exact.nngp.astype(float), 'value', k.nngp.max())
        assert abs(k.ntk - exact.ntk.astype(float)).max() < 2 ** -26 * k.ntk.max()


# ------------------------------------------------------------------ kinds of arrays, derivatives

@pytest.mark.parametrize('implementation', ['DENSE', 'SPARSE'])
def test_kinds(implementation, kind, rng):
    net = serial(*HIDDEN, Aggregate(implementation=implementation), Dense(6, 1.2, .2), Relu(), GlobalAvgPool())
    x, y = (rng.standard_normal((n, 4, 3)).astype('float32').astype('float64') for n in (3, 2))
    pattern = (edges(rng, 3, 8, 4), edges(rng, 2, 6, 4)) if implementation == 'SPARSE' else tuple(
        graphs(rng, n, 4).astype('float32').astype('float64') for n in (3, 2))
    a, b = to_kind(kind, x), to_kind(kind, y)
    for get in 'ntk', None:
        expected = net.kernel_fn(x, y, 'ntk', pattern=pattern)
        for given in [tuple(to_kind(kind, p) for p in pattern)] + [pattern] * (kind != 'cupy'):
            ntk = net.kernel_fn(a, b, get, pattern=given)
            ntk = ntk if get else ntk.ntk
            assert type(ntk) is type(a + 0) and ntk.dtype == a.dtype
            dtype = 'float32' if kind == 'float32' else 'float64'
            assert_close(to_numpy(ntk).astype('float64'), expected, 'kinds: ntk', abs(expected).max(), dtype)
    params = net.init_fn(0, x.shape)[1]
    wanted = net.apply_fn(params, x, pattern=pattern[0])
    if kind in ('numpy', 'readonly', 'autograd'):
        actual = net.apply_fn(params, a, pattern=pattern[0])
        assert_close(to_numpy(actual), wanted, 'kinds: apply', abs(wanted).max())


def test_a_pattern_of_another_kind(cupy, rng):
    x, P = rng.standard_normal((3, 4, 5)), graphs(rng, 3, 4)
    with pytest.raises(TypeError, match='arrays of one kind'):
        Aggregate().kernel_fn(to_kind('cupy', x), pattern=P)


def test_derivatives(rng):
    """Also with respect to weights of edges, and to the constant."""
    x, y, P, Q = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4)), graphs(rng, 2, 3), graphs(rng, 2, 3)
    net = serial(*HIDDEN, Aggregate(), Dense(6, 1.2, .2), Relu(), GlobalAvgPool())
    for get in NTK:
        check_grads(lambda x, g=get: net.kernel_fn(x, y, g, pattern=(P, Q)).sum(), modes=['rev'])(x)
        check_grads(lambda P, g=get: net.kernel_fn(x, y, g, pattern=(P, Q)).sum(), modes=['rev'])(P)
        check_grads(lambda P, g=get: net.kernel_fn(x, None, g, pattern=P).sum(), modes=['rev'])(P)
    c = rng.standard_normal((3, 2))

    def product(c, get='ntk'):
        layer = DotGeneral(rhs=c, dimension_numbers=(((1,), (0,)), ((), ())))
        return serial(*HIDDEN, layer, Dense(6, 1.2, .2, channel_axis=1), Relu()).kernel_fn(x, y, get).sum()
    check_grads(product, modes=['rev'])(c)
    check_grads(lambda c: product(c, 'nngp'), modes=['rev'])(c)
    number = grad(lambda c: serial(*HIDDEN, DotGeneral(lhs=c)).kernel_fn(x, y, 'nngp').sum())(1.5)
    assert_close(number, 3 * serial(*HIDDEN).kernel_fn(x, y, 'nngp').sum(), 'value', abs(number))
    assert 'rhs=' in repr(DotGeneral(rhs=to_kind('autograd', c)))


# ------------------------------------------------------------------ bad input

X, Y = numpy.ones((3, 4, 5)), numpy.ones((2, 4, 5))
P, Q = numpy.ones((3, 4, 4)), numpy.ones((2, 4, 4))
E = numpy.zeros((3, 6, 1, 2), int)


def placed(edge):
    e = E.copy()
    e[1, 2, 0] = edge
    return e


@pytest.mark.parametrize('layer, pattern, message', [
    (Aggregate(), P[:2, :3], r'\(DENSE\) of numbers of shape \(., 4, 4\) for . graphs with 4 nodes, got float64 of '),
    (Aggregate(), P[:, :3], 'got float64 of shape'),
    (Aggregate(), P[..., 0], 'Pad graphs to equal sizes'),
    (Aggregate(), numpy.where(P, numpy.nan, 0), 'finite weights, got NaN'),
    (Aggregate(), P.astype('complex128'), 'got complex128'),
    (Aggregate(), 'neighbours', 'got str'),
    (Aggregate(to_dense=lambda p: p[:, :3]), P, 'got float64 of shape'),
    (Aggregate(**SPARSE), P, r'whole numbers of shape \(., edges, 1, 2\) or \(., edges, 2\)'),
    (Aggregate(**SPARSE), E[..., :1], 'got int64 of shape'),
    (Aggregate(**SPARSE), E * 1., 'got float64'), (Aggregate(**SPARSE), E.repeat(2, 2), 'got int64 of shape'),
    (Aggregate(**SPARSE), placed((4, 0)), 'expected edges between nodes 0 to 3, got node 4'),
    (Aggregate(**SPARSE), placed((0, 9)), 'nodes 0 to 3, got node 9'),
    (Aggregate(()), P, r'numbers of shape \(.,\) for . graphs with one node, got float64 of shape'),
    (Aggregate((), **SPARSE), E, r'whole numbers of shape \(., edges, 0, 2\) for . graphs with one node'),
    (Aggregate(0), P, r'expected axes of nodes out of \[1\]'), (Aggregate(2), P, 'neither batch nor channels'),
    (Aggregate((1, -2)), P, 'expected axes of nodes'), (Aggregate(3), P, 'an axis between'),
])
def test_patterns_that_do_not_fit(layer, pattern, message):
    net = serial(Dense(6), layer, Dense(6), Relu())
    with pytest.raises(LayerError, match=rf'layer 1, Aggregate\(.*{message}'):
        net.kernel_fn(X, pattern=pattern)
    with pytest.raises(LayerError, match=rf'layer 1, Aggregate\(.*{message}'):
        net.kernel_fn(Y, X, 'ntk', pattern=(pattern[:2] if isinstance(pattern, numpy.ndarray) else pattern, pattern))
    with pytest.raises(LayerError, match=rf'layer 1, Aggregate\(.*{message}'):
        params = net.init_fn(0, X.shape)[1] if layer.aggregate_axis is None else [()] * 4
        net.apply_fn(params, X, pattern=pattern)


def test_patterns_of_the_wrong_inputs():
    net = serial(Dense(6), Aggregate(), GlobalAvgPool())
    for pattern in (P, None), (None, Q):
        with pytest.raises(LayerError, match=r'layer 1, Aggregate\(\): expected the patterns of both x1 and x2'):
            net.kernel_fn(X, Y, 'ntk', pattern=pattern)
    with pytest.raises(LayerError, match='for 2 graphs'):
        net.kernel_fn(X, Y, 'ntk', pattern=(P, P))
    with pytest.raises(LayerError, match='for 3 graphs'):
        net.kernel_fn(X, Y, pattern=(Q, P))
    with pytest.raises(LayerError, match='for 2 graphs'):
        net.kernel_fn(net.layers[0].kernel_fn(X, Y), pattern=(P, P))
    with pytest.raises(ValueError, match=r'expected pattern=\(that of x1, that of x2\), got a single one'):
        net.kernel_fn(X, Y, 'ntk', pattern=P)
    with pytest.raises(ValueError, match='got a single one'):
        serial(parallel(Aggregate()), FanInSum()).kernel_fn([X], [Y], pattern=P)
    with pytest.raises(ValueError, match='the same with x2=None; got 2 that differ'):
        net.kernel_fn(X, None, 'ntk', pattern=(P, 2 * P))
    with pytest.raises(ValueError, match='got 3 of them'):
        net.kernel_fn(X, pattern=(P, P, P))
    with pytest.raises(ValueError, match='that differ'):
        net.kernel_fn(X, pattern=(None, P))


def test_aggregates_that_do_not_exist():
    with pytest.raises(ValueError, match="Aggregate: expected implementation to be 'DENSE' or 'SPARSE', got 'CSR'"):
        Aggregate(implementation='CSR')
    with pytest.raises(ValueError, match='Aggregate: expected to_dense to be a function'):
        Aggregate(to_dense=P)
    with pytest.raises(ValueError, match='aggregate_axis is expected to be a whole number'):
        Aggregate(1.5)
    for net in Aggregate(), serial(Dense(6), ConvLocal(6, (1,)), Aggregate()):
        with pytest.raises(LayerError, match=r'Aggregate\(\): expected diagonal_spatial=None or False'):
            net.kernel_fn(X, pattern=P, diagonal_spatial=True)
    with pytest.raises(LayerError, match='got one with diagonal_spatial=True'):
        Aggregate().kernel_fn(Dense(6).kernel_fn(X, diagonal_spatial=True), pattern=P)
    with pytest.raises(LayerError, match=r'Aggregate\(channel_axis=1\): expected batch and channels on axes 0 and 1'):
        serial(Dense(6), Aggregate(channel_axis=1)).kernel_fn(X)


@pytest.mark.parametrize('arguments, error, message', [
    (dict(lhs=1., rhs=2.), ValueError, 'expected one constant, lhs or rhs, got both'),
    (dict(dimension_numbers=(((1,), (0,)), ((), ()))), ValueError, 'to go with dimension_numbers, got neither'),
    (dict(rhs=P, dimension_numbers=((1,), (0,))), ValueError, 'expected dimension_numbers like'),
    (dict(rhs=P, dimension_numbers=None), ValueError, 'expected dimension_numbers like'),
    (dict(rhs=P, dimension_numbers=(((1, 2), (0,)), ((), ()))), ValueError, 'as many axes of lhs as of rhs'),
    (dict(rhs=P, dimension_numbers=(((1,), (3,)), ((), ()))), ValueError, 'axes from 0 to 2 of the constant'),
    (dict(rhs=P, dimension_numbers=(((1, 0), (1, 1)), ((), ()))), ValueError, 'different axes'),
    (dict(rhs='P'), TypeError, 'rhs is expected to be a number'),
    (dict(lhs=1j), TypeError, 'lhs is expected to be a number'),
    (dict(rhs=[[1.], [1., 2.]]), TypeError, 'rhs is expected to be a number or an array'),
    (dict(rhs=numpy.nan), ValueError, 'rhs is expected to be finite'), (dict(rhs=[]), ValueError, 'to have entries'),
])
def test_products_that_do_not_exist(arguments, error, message):
    with pytest.raises(error, match=f'DotGeneral: .*{message}'):
        DotGeneral(**arguments)


def contraction(constant, axis, theirs=0, side='rhs', **others):
    pair = ((axis,), (theirs,)) if side == 'rhs' else ((theirs,), (axis,))
    return DotGeneral(**{side: constant}, dimension_numbers=(pair, ((), ())), **others)


@pytest.mark.parametrize('layer, message', [
    (contraction(numpy.ones(5), 2), 'expected a product along axes other than the channels, 2'),
    (contraction(numpy.ones(5), 2, side='lhs'), 'other than the channels, 2'),
    (DotGeneral(rhs=numpy.ones(5), dimension_numbers=(((), ()), ((2,), (0,)))), 'other than the channels, 2'),
    (contraction(numpy.ones(3), 0), 'sums along axes other than the batch, 0'),
    (contraction(numpy.ones((3, 2)), 1), 'expected axes of equal lengths, got 3 in the constant of shape'),
    (contraction(numpy.ones(4), 3), r'expected different axes from 0 to 2 of the input of shape'),
    (contraction(numpy.ones(4), 1, channel_axis=1), 'expected batch and channels on axes 0 and 1'),
])
def test_products_that_do_not_fit(layer, message):
    net = serial(Dense(6), Identity(), layer) if layer.channel_axis == 1 else serial(Identity(), layer)
    with pytest.raises(LayerError, match=rf'layer \d, DotGeneral\(.*{message}'):
        net.kernel_fn(X)
    with pytest.raises(LayerError, match='DotGeneral'):
        layer.kernel_fn(X, diagonal_spatial=True)
    if layer.channel_axis != 1:
        with pytest.raises(LayerError, match=rf'DotGeneral\(.*{message}'):
            layer.apply_fn((), X)


def test_equal_positions_of_contracted_ones():
    with pytest.raises(LayerError, match='expected diagonal_spatial=None or False'):
        contraction(numpy.ones((4, 2)), 1).kernel_fn(X, diagonal_spatial=True)
    with pytest.raises(LayerError, match='got one with diagonal_spatial=True'):
        contraction(numpy.ones((4, 2)), 1).kernel_fn(Dense(3).kernel_fn(X, diagonal_spatial=True))


# ------------------------------------------------------------------ as text

def test_text(rng):
    c = rng.standard_normal((4, 2))
    layer = DotGeneral(rhs=c, dimension_numbers=(((1,), (0,)), ((), ())))
    assert stax.from_spec(layer.to_spec()) == layer == eval(repr(layer)) and hash(layer) == hash(eval(repr(layer)))
    assert layer.rhs == tuple(map(tuple, c.tolist())) and DotGeneral(rhs=numpy.int64(3)).rhs == 3
    assert stax.from_spec(DotGeneral().to_spec()) == DotGeneral()
    net = Aggregate((1, 2), to_dense=abs, implementation=AggregateImplementation.SPARSE)
    assert repr(net) == "Aggregate((1, 2), to_dense=abs, implementation='SPARSE')"
    with pytest.raises(ValueError, match='to_dense'):
        net.to_spec()


# ------------------------------------------------------------------ predictions

def regression(rng):
    """Padded graphs: 3 to 6 nodes out of 6; targets of 2 outputs."""
    def batch(n):
        x, P = rng.standard_normal((n, 6, 3)), numpy.zeros((n, 6, 6))
        for i in range(n):
            m = rng.integers(3, 7)
            A = rng.random((m, m)) < .4
            P[i, :m, :m] = A | A.T | numpy.eye(m, dtype=bool)
            x[i, m:] = 0
        return x, P
    net = serial(Aggregate(), Dense(8, 1.4), Relu(), Aggregate(), Dense(8, 1.4), Relu(), GlobalSumPool(), Dense(2))
    return net, *batch(7), rng.standard_normal((7, 2)), *batch(4)


@pytest.mark.parametrize('t', [None, 20.])
def test_ensemble(t, rng):
    """The mean and covariance written out, from matrices that are computed graph by graph."""
    net, x, P, y, x_test, P_test = regression(rng)
    predict_fn = gradient_descent_mse_ensemble(net.kernel_fn, x, y, diag_reg=1e-3, pattern=P)
    both, bothP = numpy.concatenate([x, x_test]), numpy.concatenate([P, P_test])
    K, T = numpy.zeros((2, 11, 11))
    for i, j in numpy.ndindex(11, 11):
        k = net.kernel_fn(both[i:i + 1], both[j:j + 1], NTK, pattern=(bothP[i:i + 1], bothP[j:j + 1]))
        K[i, j], T[i, j] = k.nngp.item(), k.ntk.item()
    for get, S in (('nngp', K), ('ntk', T)):
        A = S[:7, :7] + 1e-3 * numpy.trace(S[:7, :7]) / 7 * numpy.eye(7)
        w, V = numpy.linalg.eigh(A)
        decay = numpy.zeros(7) if t is None else numpy.exp(-w * t / y.size)
        B = S[7:, :7] @ V @ numpy.diag((1 - decay) / w) @ V.T
        mean, covariance = predict_fn(t, x_test, get, True, pattern=P_test)
        assert abs(mean - B @ y).max() < 1e-11 * abs(y).max()
        if get == 'ntk':
            wanted = K[7:, 7:] - B @ K[:7, 7:] - K[7:, :7] @ B.T + B @ K[:7, :7] @ B.T
            assert abs(covariance - wanted).max() < 1e-11 * abs(K).max()
    on_train = predict_fn(t, None, 'ntk', pattern=P)
    assert (on_train == predict_fn(t, None, 'ntk')).all() and on_train.shape == y.shape


def test_the_training_set_as_test_set(rng):
    """The same array of patterns twice."""
    net, x, P, y, *_ = regression(rng)
    predict_fn = gradient_descent_mse_ensemble(net.kernel_fn, x, y, diag_reg=1e-3, pattern=P)
    T = net.kernel_fn(x, get='ntk', pattern=P)
    wanted = T @ numpy.linalg.solve(T + 1e-3 * numpy.trace(T) / 7 * numpy.eye(7), y)
    assert abs(predict_fn(None, x, 'ntk', pattern=P) - wanted).max() < 1e-11


def test_a_pattern_for_the_training_set_alone(rng):
    net, x, P, y, x_test, P_test = regression(rng)
    with pytest.raises(ValueError, match='expected pattern for the test set, too'):
        gradient_descent_mse_ensemble(net.kernel_fn, x, y, pattern=P)(None, x_test, 'ntk')
    with pytest.raises(KeyError, match="'pattern' was given for the test set, not for the training set"):
        gradient_descent_mse_ensemble(net.kernel_fn, x, y)(None, x_test, 'ntk', pattern=P_test)
    with pytest.raises(LayerError, match='for 4 graphs'):
        gradient_descent_mse_ensemble(net.kernel_fn, x, y, pattern=P)(None, x_test, 'ntk', pattern=P)


@pytest.mark.parametrize('form', ['array', 'pair'])
def test_kernels_computed_where_they_are_read(form, rng):
    net, x, P, y, x_test, P_test = regression(rng)

    def computed(get):
        train = ComputedKernel(net.kernel_fn, x, None, get, pattern=P if form == 'array' else (P, P))
        return train, ComputedKernel(net.kernel_fn, x_test, x, get, pattern=(P_test, P))
    k_tt, k_st = computed('ntk')
    assert k_tt.shape == (7, 7) and k_st.shape == (4, 7)
    whole = net.kernel_fn(x, get='ntk', pattern=P), net.kernel_fn(x_test, x, 'ntk', pattern=(P_test, P))
    for rows, columns in [(slice(2, 5), slice(1, 4)), (slice(0, 3), slice(0, 3)), (slice(None), slice(6, 7))]:
        assert_close(k_tt[rows, columns], whole[0][rows, columns], 'slice', whole[0].max())
    assert_close(k_st[1:3, 2:], whole[1][1:3, 2:], 'slice', whole[1].max())
    mean = gp_inference_iterative(k_tt, y, diag_reg=1e-3, tol=1e-12)('ntk', k_st)
    assert abs(mean - gp_inference(whole[0], y, diag_reg=1e-3)('ntk', whole[1])).max() < 1e-9
    with pytest.raises(TypeError, match="expected pattern as a pair of arrays, for x1 and for x2, got one of shape"):
        ComputedKernel(net.kernel_fn, x_test, x, 'ntk', pattern=P_test)
    bare = ComputedKernel(serial(Aggregate(), GlobalSumPool()).kernel_fn, x_test, x, 'nngp', pattern=(None, None))
    assert bare[:2, :3].shape == (2, 3)
