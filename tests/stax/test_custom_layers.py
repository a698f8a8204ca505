"""Layers of three functions: what scripts for Neural Tangents write, against the layers here that do the same."""
import json
import pickle
from dataclasses import field, fields, make_dataclass
from itertools import product

import numpy
import pytest
import annotated_as_text
from kinds import to_kind
from numpy.testing import assert_allclose
from tolerances import assert_close

import ntref as nt
from ntref import batch, predict, stax
from ntref.stax import (
    AvgPool, Bool, Conv, ConvTranspose, Dense, Diagonal, Erf, Flatten, GlobalAvgPool, Identity, LayerError, Padding,
    Relu, SumPool, from_spec, layer, parallel, repeat, requires, serial, supports_masking)
from ntref.testing import check_layer

YES, MAYBE, NO = Bool.YES, Bool.MAYBE, Bool.NO
KERNELS = 'nngp', 'ntk', 'cov1', 'cov2'


def replaced(k, f, **changes):
    """k with f of its arrays, as scripts write it."""
    return k.replace(**{name: None if (a := getattr(k, name)) is None else f(a) for name in KERNELS}, **changes)


# ------------------------------------------------------------------ layers in the manner of Neural Tangents

@layer
def Times(c, *, twice=False):
    """c h."""
    c = c * c if twice else c

    def init_fn(rng, input_shape):
        return input_shape, ()

    def apply_fn(params, inputs, **kwargs):
        return c * inputs

    def kernel_fn(k, **kwargs):
        return replaced(k, lambda a: c ** 2 * a)
    return init_fn, apply_fn, kernel_fn


@layer
def Linear(out_dim, W_std=1., b_std=0.):
    def init_fn(rng, input_shape):
        shapes = (input_shape[-1], out_dim), (out_dim,)
        return (*input_shape[:-1], out_dim), tuple(rng.standard_normal(s) for s in shapes)

    def apply_fn(params, inputs, **kwargs):
        W, b = params
        return W_std * (inputs @ W) / inputs.shape[-1] ** .5 + b_std * b

    @requires(batch_axis=0, channel_axis=-1, diagonal_spatial=Diagonal())
    def kernel_fn(k, **kwargs):
        new = replaced(k, lambda a: W_std ** 2 * a + b_std ** 2)
        return new.replace(is_gaussian=True, ntk=None if k.ntk is None else new.nngp + W_std ** 2 * k.ntk)
    return init_fn, apply_fn, kernel_fn


@layer
def WithoutNTK(error=NotImplementedError):
    """2 h, of a script that has no tangent kernel."""
    def init_fn(rng, input_shape):
        return input_shape, ()

    def apply_fn(params, inputs, **kwargs):
        return 2 * inputs

    def kernel_fn(k, **kwargs):
        if k.ntk is not None:
            raise error('the tangent kernel is not implemented')
        return replaced(k, lambda a: 4 * a)
    return init_fn, apply_fn, kernel_fn


@layer
def Sinus():
    """Without a kernel where the input is not Gaussian."""
    def init_fn(rng, input_shape):
        return input_shape, ()

    def apply_fn(params, inputs, **kwargs):
        return numpy.sin(inputs) if isinstance(inputs, numpy.ndarray) else stax.Sin().apply((), inputs)

    def kernel_fn(k, **kwargs):
        if not k.is_gaussian:
            raise NotImplementedError('Sinus of inputs that are not Gaussian.')

        def dual(c, q1, q2, sign):
            return numpy.exp(-(q1 + q2) / 2) * (numpy.exp(c) + sign * numpy.exp(-c)) / 2
        q1, q2 = k.cov1, k.cov1 if k.cov2 is None else k.cov2
        slope = dual(k.nngp, q1[:, None], q2, 1)
        return k.replace(nngp=dual(k.nngp, q1[:, None], q2, -1), cov1=dual(q1, q1, q1, -1), is_gaussian=False,
                         cov2=None if k.cov2 is None else dual(q2, q2, q2, -1),
                         ntk=None if k.ntk is None else slope * k.ntk)
    return init_fn, apply_fn, kernel_fn


@layer
def Mean(batch_axis=0, channel_axis=-1):
    """Over all positions, for a channel axis that is the last one."""
    def init_fn(rng, input_shape):
        return (input_shape[0], input_shape[-1]), ()

    def apply_fn(params, inputs, **kwargs):
        return inputs.mean(tuple(range(1, inputs.ndim - 1)))

    @requires(batch_axis=batch_axis, channel_axis=channel_axis, diagonal_spatial=Diagonal(input=MAYBE, output=YES))
    def kernel_fn(k, **kwargs):
        def mean(a):
            left = 1 if a is k.cov1 or a is k.cov2 else 2
            return a.mean(tuple(range(left, a.ndim)))
        return replaced(k, mean, channel_axis=1)
    return init_fn, apply_fn, kernel_fn


@layer
def Columns():
    """Positions become channels; equal ones are all that is needed."""
    def init_fn(rng, input_shape):
        return (input_shape[0], int(numpy.prod(input_shape[1:]))), ()

    def apply_fn(params, inputs, **kwargs):
        return inputs.reshape(inputs.shape[0], -1)

    @requires(batch_axis=0, channel_axis=None, diagonal_spatial=Diagonal(input=YES, output=YES))
    def kernel_fn(k, **kwargs):
        def mean(a):
            a_own = a is k.cov1 or a is k.cov2
            if not k.diagonal_spatial:
                for _ in range((a.ndim - (1 if a_own else 2)) // 2):
                    a = numpy.diagonal(a, axis1=-2, axis2=-1).mean(-1)
                return a
            return a.mean(tuple(range(1 if a_own else 2, a.ndim)))
        return replaced(k, mean, is_gaussian=False, channel_axis=1)
    return init_fn, apply_fn, kernel_fn


def of(*functions):
    """A layer of these functions, those left out as in Times(1)."""
    given = dict(zip(('init_fn', 'apply_fn', 'kernel_fn'), (lambda rng, shape: (shape, ()), lambda params, x, **kw: x,
                                                            lambda k, **kw: k)))
    given |= {f.__name__: f for f in functions}

    @layer
    def Example():
        return tuple(given.values())
    return Example()


# ------------------------------------------------------------------ the same as the layers here

SAME = [
    (Times(1.5), Dense(4, 1.5), 'nngp'), (Linear(4, 1.5, .3), Dense(4, 1.5, .3), 'both'),
    (serial(Linear(4, 1.5, .3), Relu(), Linear(4)), serial(Dense(4, 1.5, .3), Relu(), Dense(4)), 'both'),
    (serial(Dense(4, 1.5), Sinus(), Dense(2)), serial(Dense(4, 1.5), stax.Sin(), Dense(2)), 'both'),
    (serial(stax.FanOut(2), stax.parallel(Linear(3), Linear(3, 2.)), stax.FanInSum()), Dense(3, 5 ** .5), 'both')]
POSITIONS = [
    (serial(Conv(4, (2,)), Relu(), Mean()), serial(Conv(4, (2,)), Relu(), GlobalAvgPool())),
    (serial(Conv(4, (2,)), Relu(), Columns(), Linear(3)), serial(Conv(4, (2,)), Relu(), Flatten(), Dense(3))),
    (serial(Linear(4, .5, 1.), Relu(), AvgPool((2,))), serial(Dense(4, .5, 1.), Relu(), AvgPool((2,)))),
    (serial(Conv(3, (2,)), Times(2.), Mean()), serial(Conv(3, (2,), None, 'VALID', 2.), GlobalAvgPool()))]


def compare(net, expected, x, y, names=('nngp', 'ntk')):
    for arguments in [(x,), (x, y), (x[:1],), (x[:0], y)]:
        k, wanted = net.kernel_fn(*arguments), expected.kernel_fn(*arguments)
        for name in names:
            # 1e-7: angles without gap and area have half the digits, where inputs meet themselves
            numpy.testing.assert_allclose(getattr(k, name), getattr(wanted, name), rtol=1e-7, atol=1e-12)
        assert (k.shape1, k.shape2, k.is_gaussian) == (wanted.shape1, wanted.shape2, wanted.is_gaussian)
        assert (k.batch_axis, k.channel_axis) == (wanted.batch_axis, wanted.channel_axis)
    assert net.kernel_fn(x, y, get='nngp').tolist() == net.kernel_fn(x, y).nngp.tolist()
    assert net.kernel_fn(x, get=('cov1', 'nngp'))._fields == ('cov1', 'nngp')


@pytest.mark.parametrize('net, expected, names', SAME, ids=repr)
def test_same_kernels(net, expected, names, rng):
    x, y = rng.standard_normal((4, 5)), rng.standard_normal((3, 5))
    if names == 'nngp':
        assert_close(net.kernel_fn(x, y).nngp, expected.kernel_fn(x, y).nngp, 'value')
    else:
        compare(net, expected, x, y)


@pytest.mark.parametrize('net, expected', POSITIONS, ids=repr)
def test_same_kernels_of_positions(net, expected, rng):
    compare(net, expected, rng.standard_normal((4, 5, 3)), rng.standard_normal((3, 5, 3)))


def test_away_from_coincidences_all_digits(rng):
    """Duplicates, opposite and zero inputs are where half of them go."""
    x, y = rng.standard_normal((4, 5)), rng.standard_normal((3, 5))
    (net, expected, _) = SAME[2]
    k, wanted = (n.kernel_fn(x, y, ('nngp', 'ntk')) for n in (net, expected))
    assert_close(k.nngp, wanted.nngp, 'value', abs(wanted.nngp).max())
    assert_close(k.ntk, wanted.ntk, 'value', abs(wanted.ntk).max())
    odd = numpy.concatenate([x, x[:1], -x[:1], 0 * x[:1]])
    k, wanted = (n.kernel_fn(odd, get=('nngp', 'ntk')) for n in (net, expected))
    assert abs(k.nngp - wanted.nngp).max() < 1e-12 and abs(k.ntk - wanted.ntk).max() < 1e-7


@pytest.mark.parametrize('net, shape', [
    (Times(1.5), (6, 5)), (Times(1.5), (6, 2, 3)), (lambda n: Linear(n, 1.3, .4), (6, 5)), (Mean(), (6, 3, 4)),
    (Columns(), (6, 2, 2, 3)), (Sinus(), (6, 5))], ids=lambda v: 'of a width' if type(v) is type(lambda: 0) else str(v))
def test_contracts(net, shape):
    kept = check_layer(net, shape)
    assert set(kept.values()) == {'kept'} and len(kept) == 16


# ------------------------------------------------------------------ what a layer is

def test_is_printed_compared_and_written():
    net = serial(Dense(4), Times(1.5), Times(2, twice=True), Linear(8, b_std=.3))
    assert repr(net) == 'serial(Dense(4), Times(1.5), Times(2, twice=True), Linear(8, b_std=0.3))'
    again = from_spec(json.loads(json.dumps(net.to_spec())))
    assert again == net and repr(again) == repr(net) and hash(again) == hash(net) and isinstance(Times(2), stax.Layer)
    assert pickle.loads(pickle.dumps(net)) == net
    assert Times(c=2) == Times(2) != Times(3) and Linear(3) == Linear(3, 1.) and Linear(3).arguments() == {'out_dim': 3}
    assert Times.__name__ == 'Times' and Times.__doc__ == 'c h.' and len(list(Times(2))) == 3


def test_specs_that_do_not_fit():
    for spec, text in [({'layer': 'Times'}, "missing .'c'"), ({'layer': 'Times', 'd': 3}, "out of .'c', 'twice'")]:
        with pytest.raises(ValueError, match=text):
            from_spec(spec)


def test_variadic_arguments():
    @layer
    def Sum(*numbers, start=0, **more):
        return Times(sum(numbers) + start + sum(more.values()))

    @layer
    def Kept(*numbers, **more):
        return of()[:2] + (lambda k, **kw: k,)
    assert Sum(1, 2, start=3, a=4) == Times(10)
    assert repr(Kept(1, 2, a=3)) == 'Kept(1, 2, a=3)' and Kept(1, 2) == Kept(1, 2) != Kept(1)
    assert from_spec(json.loads(json.dumps(Kept(1, 2).to_spec()))) == Kept(1, 2)


def test_names_of_layers_here_are_not_taken(rng):
    @layer
    def Dense(out_dim):
        return of().functions
    with pytest.raises(LayerError, match='a name of its own'):
        Dense(3).to_spec()
    assert type(from_spec({'layer': 'Dense', 'out_dim': 3})) is stax.Dense


def test_a_network_is_itself(rng):
    """A function that gives a network, or its three parts, gives that network; in tiles too."""
    net = serial(Dense(4, 1.5), Relu(), Dense(2))

    @layer
    def Block():
        return net

    @layer
    def Parts():
        init_fn, apply_fn, kernel_fn = net
        return init_fn, apply_fn, kernel_fn

    @layer
    def Doubled():
        init_fn, apply_fn, kernel_fn = net

        def twice(k, **kwargs):
            return replaced(kernel_fn(k, **kwargs), lambda a: 4 * a)
        return init_fn, lambda params, x, **kw: 2 * apply_fn(params, x, **kw), twice
    x = rng.standard_normal((3, 4))
    assert Block() is net and Parts() is net
    assert_close(Doubled().kernel_fn(x).ntk, 4 * net.kernel_fn(x).ntk, 'compose', 10.)
    assert (Doubled().apply_fn(net.init_fn(1, (3, 4))[1], x) == 2 * net.apply_fn(net.init_fn(1, (3, 4))[1], x)).all()


# ------------------------------------------------------------------ kinds of arrays, derivatives

def test_mpmath_has_its_digits(mp50):
    """1.1^2 of the 1.1 that is given, at 50 digits: not the double next to it."""
    x = numpy.array([[mp50.mpf(1) / 3]], dtype=object)
    k = Times(1.1).kernel_fn(x, get='nngp').item()
    assert abs(k - mp50.mpf(1.1) ** 2 / 9) < mp50.mpf(10) ** -49 and abs(k - 1.1 ** 2 / mp50.mpf(9)) > 1e-19


def test_float32_stays(rng):
    k = serial(Times(1.5), Linear(4), Relu()).kernel_fn(rng.standard_normal((3, 4)).astype('float32'))
    assert {str(a.dtype) for a in (k.nngp, k.ntk, k.cov1)} == {'float32'}


def test_cupy(cupy, rng):
    x = rng.standard_normal((3, 4))
    k = serial(Linear(4, 1.5), Relu()).kernel_fn(to_kind('cupy', x), get='nngp')
    assert type(k) is cupy.ndarray
    assert_close(k.get(), serial(Linear(4, 1.5), Relu()).kernel_fn(x, get='nngp'), 'kinds: nngp')


def test_derivative_in_an_argument(rng):
    from autograd import grad
    x = rng.standard_normal((3, 4))

    def total(c):
        return serial(Dense(4), Times(c), Relu()).kernel_fn(x, get='nngp').sum()
    assert abs(grad(total)(1.5) - 2 * total(1.5) / 1.5) < 1e-7       # of degree two in c


# ------------------------------------------------------------------ what the functions are given

def test_what_is_given(rng):
    seen = []

    def apply_fn(params, inputs, **kwargs):
        seen.append(kwargs)
        return inputs

    def kernel_fn(k, **kwargs):
        seen.append(kwargs)
        return k
    net, x, p = of(apply_fn, kernel_fn), rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 3))
    net.apply_fn((), x)
    net.apply_fn((), x, rng=3, pattern=p)
    assert seen[:1] == [{}] and seen[-1]['rng'] == 3 and seen[-1]['pattern'] is p
    net.kernel_fn(x)
    assert seen[-1] == {}
    net.kernel_fn(x, x + 1, pattern=(p, 2 * p))
    assert [a.tolist() for a in seen[-1]['pattern']] == [p.tolist(), (2 * p).tolist()]


@pytest.mark.parametrize('needs, asked, diagonal', [
    ({}, {}, False), ({}, dict(diagonal_spatial=True), True), ({}, dict(diagonal_spatial=False), False),
    (dict(diagonal_spatial=Diagonal()), {}, False), (dict(diagonal_spatial=Diagonal(YES, YES)), {}, True),
    (dict(diagonal_spatial=Diagonal(YES, YES)), dict(diagonal_spatial=False), False),
    (dict(diagonal_spatial=Diagonal(MAYBE)), {}, False), (dict(diagonal_spatial=Diagonal(NO, YES)), {}, False)])
def test_which_positions_come(needs, asked, diagonal, rng):
    """And what the output has, that of `Flatten` behind it included."""
    seen = []

    @requires(**needs)
    def kernel_fn(k, **kwargs):
        seen.append(k.diagonal_spatial)
        return k
    x, net = rng.standard_normal((2, 3, 4)), of(kernel_fn)
    k = net.kernel_fn(x, **asked)
    assert seen[-1] == k.diagonal_spatial == diagonal
    serial(net, Flatten()).kernel_fn(x)
    input_kind = needs.get('diagonal_spatial', Diagonal()).input
    assert seen[-1] is (input_kind == YES)


def test_positions_that_are_needed_and_not_there(rng):
    x = rng.standard_normal((2, 3, 4))
    with pytest.raises(LayerError, match='got diagonal_spatial=True'):
        Mean().kernel_fn(x, diagonal_spatial=True)
    with pytest.raises(LayerError, match='Compute it with diagonal_spatial=False'):
        Mean().kernel_fn(Conv(2, (1,)).kernel_fn(x, diagonal_spatial=True))


def test_axes_that_are_required(rng):
    x, net = rng.standard_normal((4, 3)), of(requires(batch_axis=1, channel_axis=0)(lambda k, **kw: k))
    assert of().kernel_fn(x).nngp.shape == (4, 4)
    named = requires(batch_axis=1, channel_axis=0)

    def kernel_fn(k, **kw):
        return k
    net = of(named(kernel_fn))
    assert net.kernel_fn(x).nngp.shape == (3, 3) and (net.kernel_fn(x).batch_axis, net.axes.channel) == (1, 0)
    with pytest.raises(LayerError, match='expected batch and channels on axes 1 and 0'):
        serial(Dense(3, batch_axis=0), net).kernel_fn(x)


def test_pairs_of_positions_are_not_tried_where_equal_ones_do(rng):
    """With those of 300 x 300 positions there would be 65 GB of them."""
    x = rng.standard_normal((2, 300, 300, 1))
    net = serial(Times(2.), Flatten())
    assert_close(net.kernel_fn(x, get='nngp'), Dense(1, 2.).kernel_fn(x.reshape(2, -1), get='nngp'), 'value', 4.)


def test_pairs_that_are_needed_without_a_word(rng):
    """Of a mean over positions that has no `requires`: behind it all pairs are there anyway."""
    def init_fn(rng, input_shape):
        return (input_shape[0], input_shape[-1]), ()

    def kernel_fn(k, **kwargs):
        return k.replace(nngp=k.nngp.mean((2, 3)), cov1=k.cov1.mean((1, 2)), ntk=k.ntk.mean((2, 3)), channel_axis=1)
    x = rng.standard_normal((3, 4, 5))
    k = serial(Dense(2), of(init_fn, kernel_fn), Dense(2)).kernel_fn(x)
    assert_close(k.ntk, serial(Dense(2), GlobalAvgPool(), Dense(2)).kernel_fn(x).ntk, 'value')


def test_in_blocks(rng):
    """`batch` calls it with some inputs after others."""
    x, net = rng.standard_normal((7, 3)), serial(Dense(4, 1.5), Times(1.1), Relu(), Linear(2))
    k = batch(net.kernel_fn, batch_size=3)(x, get='ntk')
    assert abs(k - net.kernel_fn(x, get='ntk')).max() < 1e-7
    assert abs(k - net.kernel_fn(x, get='ntk'))[~numpy.eye(7, dtype=bool)].max() < 1e-14


def test_lists_of_inputs_are_for_classes(rng):
    with pytest.raises(LayerError, match='expected one input, got a list of 2'):
        serial(stax.FanOut(2), of()).kernel_fn(rng.standard_normal((3, 4)))


def test_init_fn_is_asked_for_a_shape_once():
    asked = []

    def init_fn(rng, input_shape):
        asked.append(input_shape)
        return input_shape, rng.standard_normal(3)
    net = of(init_fn)
    for _ in range(3):
        net.kernel_fn(numpy.ones((4, 2)))
    assert sorted(asked) == [(1, 2), (4, 2)]
    assert net.init_fn(5, (4, 2))[1].tolist() == numpy.random.default_rng(5).standard_normal(3).tolist()


# ------------------------------------------------------------------ what is refused

def gives(result):
    def kernel_fn(k, **kwargs):
        return result(k)
    return of(kernel_fn)


@pytest.mark.parametrize('result, error, text', [
    (lambda k: 2 * k, TypeError, r'unsupported operand.*`replace` and `asdict` here, no arithmetic'),
    (lambda k: k.slice(0, 1), TypeError, 'AttributeError.*slice.*coming-from-neural-tangents'),
    (lambda k: k.nngp, TypeError, 'to give a Kernel, got ndarray'),
    (lambda k: k.replace(nngp=k.nngp[..., None]), ValueError, r'nngp of shape \(1, 1\) .* got \(1, 1, 1\)'),
    (lambda k: k.replace(ntk=None), ValueError, r'ntk of shape \(4, 4\) .* got None'),
    (lambda k: k.replace(cov1=None), ValueError, r'cov1 of shape \(1,\) .* got None'),
    (lambda k: k.replace(cov2=k.cov1), ValueError, r'cov2 of shape None .* got \(1,\)'),
    (lambda k: k.replace(gap=k.nngp[0]), ValueError, r'gap of shape \(1, 1\) .* got \(1,\)'),
    (lambda k: k.replace(is_reversed=True), ValueError, 'Positions stay in their natural order'),
    (lambda k: k.replace(diagonal_batch=False), ValueError, 'diagonal_batch=True')])
def test_kernels_that_are_none(result, error, text, rng):
    """Before anything is computed but for what is said of a tangent kernel; and after Dense as well."""
    x = rng.standard_normal((4, 3))
    for net in (gives(result), serial(Dense(2), gives(result))):
        with pytest.raises(error, match=text) as caught:
            net.kernel_fn(x)
        assert 'Example()' in str(caught.value)


def test_not_gaussian_is_known_before_anything_is_computed(rng):
    asked, x = [], rng.standard_normal((4, 3))

    def kernel_fn(k, **kwargs):
        asked.append(len(k.nngp))
        return k.replace(is_gaussian=False)
    with pytest.raises(LayerError, match=r'layer 2, Relu\(\): expected a Gaussian input'):
        serial(Dense(3), of(kernel_fn), Relu()).kernel_fn(x)
    assert asked == [1]
    with pytest.raises(NotImplementedError, match='not Gaussian'):
        Sinus().kernel_fn(x)
    assert Sinus().apply_fn((), x).tolist() == numpy.sin(x).tolist()             # which has a finite network
    assert serial(Linear(3), Relu(), Linear(3), Erf()).kernel_fn(x).is_gaussian is False


def test_without_a_kernel_there_is_the_finite_network(rng):
    x = rng.standard_normal((4, 3))
    for error in (NotImplementedError, ZeroDivisionError, KeyError):
        def kernel_fn(k, **kwargs):
            raise error('none')
        net = serial(of(kernel_fn), Dense(2), Relu())
        assert net.apply_fn(net.init_fn(1, (4, 3))[1], x).shape == (4, 2)
        with pytest.raises(error, match='none'):
            net.kernel_fn(x)


@pytest.mark.parametrize('function, text', [
    (lambda: (1, 2, 3), r'expected init_fn, apply_fn, kernel_fn, got \(1, 2, 3\)'), (lambda: None, 'got None'),
    (lambda: tuple(of())[:2], 'expected init_fn'), (lambda: Relu, 'got <class')])
def test_functions_that_are_none(function, text):
    with pytest.raises(TypeError, match=text):
        layer(function)()


@pytest.mark.parametrize('error', [NotImplementedError, ValueError, KeyError])
@pytest.mark.parametrize('shape', [(4, 3), (3, 4, 5)])
def test_without_a_tangent_kernel_there_is_the_nngp(shape, error, rng):
    """The layer is tried with what is asked for."""
    x = rng.standard_normal(shape)
    net, plain = (serial(Dense(3), layer, Relu(), Dense(2, 1.2)) for layer in (WithoutNTK(error), Times(2)))
    for get in 'nngp', 'cov1', ('nngp', 'cov1'):
        k, wanted = (numpy.ravel(a.kernel_fn(x, None, get)[0]) for a in (net, plain))
        assert_close(k, wanted, 'value', abs(wanted).max())
    assert_close(batch(net.kernel_fn, 2)(x, None, 'nngp'), net.kernel_fn(x, None, 'nngp'), 'value', 10.)
    for get in 'ntk', None:
        with pytest.raises((error, LayerError), match='the tangent kernel is not implemented'):
            net.kernel_fn(x, None, get)


# ------------------------------------------------------------------ triples without `layer`

def Bare(c):
    """Three functions, as `Times`."""
    return tuple(Times(c).functions)[:3]


def bare_init(rng, input_shape):
    return input_shape, ()


def bare_apply(params, inputs, **kwargs):
    return 3 * inputs


def bare_kernel(k, **kwargs):
    return replaced(k, lambda a: 9 * a)


BARE = bare_init, bare_apply, bare_kernel


@pytest.mark.parametrize('net, plain', [
    (serial(Dense(3), Bare(3), Relu(), Dense(2)), serial(Dense(3), Times(3), Relu(), Dense(2))),
    (serial(Dense(3), BARE, Relu(), Dense(2)), serial(Dense(3), Times(3), Relu(), Dense(2))),
    (serial(Dense(3), serial(BARE, BARE)), serial(Dense(3), Times(9))),
    (serial(BARE, Dense(2)), serial(Times(3), Dense(2))),
    (serial(Dense(3), repeat(BARE, 2)), serial(Dense(3), Times(9))),
    (serial(stax.FanOut(2), parallel(serial(Dense(3), BARE), Dense(3)), stax.FanInSum()),
     serial(stax.FanOut(2), parallel(serial(Dense(3), Times(3)), Dense(3)), stax.FanInSum())),
    (serial(tuple(Dense(3)), tuple(serial(Relu(), Dense(2)))), serial(Dense(3), serial(Relu(), Dense(2)))),
    (serial(Dense(3), (Relu()[0], lambda params, x, **given: Relu().apply_fn(params, x), Relu()[2]), Dense(2)),
     serial(Dense(3), Relu(), Dense(2)))])
@pytest.mark.parametrize('shape', [(4, 3), (3, 2, 5)])
def test_triples_are_layers(net, plain, shape, rng):
    x = rng.standard_normal(shape)
    for get in 'ntk', None:
        k, wanted = (a.kernel_fn(x, x[:2], get) for a in (net, plain))
        k, wanted = (k, wanted) if get else (k.ntk, wanted.ntk)
        assert_close(k, wanted, 'value', abs(wanted).max())
    assert net.init_fn(0, x.shape)[0] == net.apply_fn(net.init_fn(0, x.shape)[1], x).shape


def test_triples_as_text():
    net = serial(Dense(3), BARE, Relu())
    assert repr(net) == 'serial(Dense(3), bare_apply(...), Relu())' and net == net
    assert repr(pickle.loads(pickle.dumps(net))) == repr(net)
    assert serial(tuple(Dense(3)), Relu()) == serial(Dense(3), Relu())
    assert 'bare_apply' not in stax.Layer.registry
    with pytest.raises(ValueError, match=r'bare_apply\(...\). Put @stax.layer above the function that gives them'):
        net.to_spec()


@pytest.mark.parametrize('bad', [(1, 2, 3), Relu, Bare, BARE[:2], [*BARE], None, 'Relu'])
def test_what_is_no_layer(bad):
    for build in lambda: serial(Dense(3), bad), lambda: parallel(Dense(3), bad):
        with pytest.raises(TypeError, match=r'expected layers such as Relu\(\), got .* as number 1. A triple'):
            build()


# ------------------------------------------------------------------ axes, and several outputs

@layer
def First(**said):
    """The first position; the layer says, or does not, on which axes batch and channels are then."""
    def init_fn(rng, input_shape):
        return (input_shape[0], *input_shape[2:]), ()

    def apply_fn(params, inputs, **kwargs):
        return inputs[:, 0]

    @requires(diagonal_spatial=Diagonal(NO))
    def kernel_fn(k, **kwargs):
        return replaced(k, lambda a: a[(slice(None),) * (a.ndim - 2 * (len(k.shape1) - 2)) + (0, 0)], **said['said'])
    return init_fn, apply_fn, kernel_fn


@pytest.mark.parametrize('said', [dict(channel_axis=-1), 'number'])
@pytest.mark.parametrize('shape', [(3, 4, 5), (3, 4, 2, 5)])
def test_a_position_that_is_dropped(said, shape, rng):
    x = rng.standard_normal(shape)
    said = dict(channel_axis=len(shape) - 2) if said == 'number' else said
    net, plain = (serial(Dense(3, 1.2), first, Relu(), Dense(2)) for first in (
        First(said=said), stax.Index(stax.Slice[:, 0])))
    k, wanted = net.kernel_fn(x), plain.kernel_fn(x)
    assert_allclose(k.ntk, wanted.ntk, rtol=1e-7)
    assert (k.shape1, k.batch_axis, k.channel_axis) == (wanted.shape1, wanted.batch_axis, wanted.channel_axis)


@pytest.mark.parametrize('said', [{}, dict(batch_axis=0), dict(channel_axis=7), dict(channel_axis=0)])
def test_a_position_that_is_dropped_without_a_word(said, rng):
    with pytest.raises(LayerError, match=r'layer 1, First\(.*expected kernel_fn to say which axes of its outputs are '
                       r'batch and channels.*\(1, 4, 3\) become outputs of shape \(1, 3\); got .*channel_axis=1\)'):
        serial(Dense(3), First(said=said), Relu()).kernel_fn(rng.standard_normal((3, 4, 5)))


def test_several_outputs():
    """What has several outputs is not told to put FanOut behind it, but how such a layer is written."""
    x = numpy.eye(3)

    @layer
    def Thrice():
        def init_fn(rng, input_shape):
            return [input_shape] * 3, ()
        return init_fn, lambda params, x, **kwargs: [x] * 3, lambda k, **kwargs: [k] * 3

    class Branching(Identity):
        """Without a `demand`."""
        def out(self, signal):
            return [signal] * 3
    behind = parallel(Dense(2), Dense(2), Dense(2)), stax.FanInSum()
    with pytest.raises(LayerError, match=r'layer 0, Thrice\(\).* three functions have one output.* subclass of Layer'):
        serial(Thrice(), *behind).kernel_fn(x)
    with pytest.raises(LayerError, match='layer 0, Branching.* if it has as many outputs, .* `demand`, as FanOut does'):
        serial(Branching(), *behind).kernel_fn(x)
    with pytest.raises(LayerError, match=r'layer 0, Dense\(2\).* put FanOut\(3\) between them'):
        serial(Dense(2), *behind).kernel_fn(x)


def test_not_a_function():
    with pytest.raises(TypeError, match='a function that gives init_fn'):
        layer(tuple(of()))


@pytest.mark.parametrize('needs, error, text', [
    (dict(diagonal=Diagonal()), TypeError, 'keywords out of batch_axis, .*, got diagonal'),
    (dict(diagonal_spatial=True), TypeError, r'diagonal_spatial=Diagonal\(.*, got True'),
    (dict(diagonal_batch=False), ValueError, 'diagonal_batch=True, got False'),
    (dict(diagonal_batch=Diagonal(NO)), ValueError, 'diagonal_batch=True, got Diagonal')])
def test_requirements_that_are_none(needs, error, text):
    with pytest.raises(error, match=text):
        requires(**needs)


def test_requirements_that_are_met():
    given = dict(diagonal_batch=True, use_dropout=True, batch_axis=0)
    assert requires(**given)(lambda k: k).input_req == given
    assert requires(diagonal_batch=Diagonal(YES))(lambda k: k + 1)(2) == 3


def doubled(mask_fn=None, seen=None):
    """z = 2 h, in three functions, and what it says on masks."""
    def init_fn(rng, input_shape):
        return input_shape, ()

    def apply_fn(params, inputs, mask=None, **kwargs):
        if seen is not None and mask is not None:
            seen.append(mask)
        return 2 * inputs + 1                                              # 1 where masked, if it were left there

    def kernel_fn(k, **kwargs):
        covs = {name: 4 * c for name in ('nngp', 'cov1', 'cov2') if (c := getattr(k, name)) is not None}
        return k.replace(**covs, ntk=None if k.ntk is None else 4 * k.ntk)
    return (init_fn, apply_fn, kernel_fn) + (() if mask_fn is None else (mask_fn,))


@pytest.mark.parametrize('remask', [False, True])
def test_masks(rng, remask):
    """As they are, or as mask_fn says; the same as Dense layers and masks do elsewhere."""
    x, seen = rng.standard_normal((4, 3, 2)), []
    x[1, 2], x[3, 1:] = 9., 9.
    kept = layer(supports_masking(remask)(lambda: doubled(seen=seen)))()
    later = (numpy.arange(3) > 0)[:, None]
    first = layer(supports_masking(remask)(lambda: doubled(lambda mask, shape: mask | later)))()
    there = (x != 9).all(-1)
    pairs = there[:, None, :, None] & there[None, :, None, :]
    k = kept.kernel_fn(x, mask_constant=9.)
    assert_allclose(k.nngp, numpy.where(pairs, 4 * numpy.einsum('iac,jbc->ijab', x, x) / 2, 0), rtol=1e-14)
    assert (k.mask1 == ~there).all()
    out = kept.apply_fn((), x, mask_constant=9.)
    assert (out.masked_value == numpy.where(there[..., None], 2 * x + 1, 0)).all()
    assert (out.mask[..., 0] == ~there).all()
    assert [mask.shape for mask in seen] == [(4, 3, 1)] and (seen[0][..., 0] == ~there).all()
    net = serial(Dense(8), first, GlobalAvgPool(), Dense(1))
    expected = serial(Dense(8, 2.), GlobalAvgPool(), Dense(1)).kernel_fn(x[:, :1], get='nngp')
    assert_allclose(net.kernel_fn(x, get='nngp', mask_constant=9.), expected, rtol=1e-13)


def test_masks_that_are_refused(rng):
    x = rng.standard_normal((4, 3, 2))
    x[1, 2] = 9.
    without = layer(doubled)()
    wrong = layer(supports_masking(True)(lambda: doubled(lambda mask, shape: mask[:, :2])))()
    for net, message in ((without, 'or a function under `supports_masking`'),
                         (wrong, 'mask of shape .4, 3, 1. or .*4, 2')):
        for call in net.kernel_fn, lambda x, mask_constant: net.apply_fn((), x, mask_constant=mask_constant):
            with pytest.raises(LayerError, match=message):
                call(x, mask_constant=9.)
    with pytest.raises(TypeError, match='remask_kernel=True or False'):
        supports_masking(Times)


# ------------------------------------------------------------------ Bool, Diagonal, Padding

# ------------------------------------------------------------------ arguments of classes

def evaluated(annotation):
    """The type that the text stands for; object where it stands for none."""
    try:
        return eval(annotation, vars(annotated_as_text))
    except (NameError, SyntaxError):
        return object


Textual = annotated_as_text.Textual
Typed = make_dataclass(                                              # as `Textual`, whose annotations are text
    'Typed', [(f.name, evaluated(f.type), field(default=f.default)) for f in fields(Textual)],
    bases=(Identity,), frozen=True, repr=False)


NUMBERS, WHOLES, FLAGS = (1.5, numpy.float32(2), -3.), (2, numpy.int64(-3)), (True, numpy.False_, numpy.array(True))
OTHERS = 'loud', 'False', [1.], {}
TAKEN = {'number': (*NUMBERS, *WHOLES), 'real': (*NUMBERS, *WHOLES), 'whole': WHOLES, 'flag': FLAGS,
         **dict.fromkeys(('maybe', 'perhaps', 'either'), (None, *NUMBERS, *WHOLES)), 'few': (None, *WHOLES),
         'switch': (None, *FLAGS)}


@pytest.mark.parametrize('cls', [Typed, Textual])
@pytest.mark.parametrize('name', TAKEN)
def test_arguments_are_of_their_types(name, cls):
    """Also those under `from __future__ import annotations`."""
    for value in TAKEN[name]:
        got = getattr(cls(**{name: value}), name)
        assert got is None if value is None else type(got) in (bool, int, float) and got == value
    for value in {repr(v): v for v in (None, *NUMBERS, *FLAGS, *OTHERS)}.values():
        if not any(value is v or type(value) is type(v) and value == v for v in TAKEN[name]):
            with pytest.raises((TypeError, ValueError), match=f'{cls.name}: {name} is expected to be '):
                cls(**{name: value})
            if type(value) in (bool, int, float, str, list, type(None)):
                with pytest.raises(ValueError, match=f'{cls.name}: .*{name}'):
                    from_spec({'layer': cls.name, name: value})


@pytest.mark.parametrize('cls', [Typed, Textual])
def test_arguments_of_other_types_are_as_they_are(cls):
    given = dict(text=1, several='x', numbers=(1.5,), anything=len, elsewhere='there', said=2)
    assert {name: getattr(cls(**given), name) for name in given} == given


@pytest.mark.parametrize('build, message', [
    (lambda: Flatten('0'), 'Flatten: batch_axis'), (lambda: Dense(3, batch_axis=None), 'Dense: batch_axis'),
    (lambda: Dense(3, channel_axis=1.), 'Dense: channel_axis'), (lambda: stax.Index(0, True), 'Index: batch_axis'),
    (lambda: stax.FanInConcat('1'), 'FanInConcat: axis'), (lambda: GlobalAvgPool([0]), 'GlobalAvgPool: batch_axis'),
    (lambda: stax.LayerNorm(1.), 'LayerNorm: axis'), (lambda: stax.LayerNorm('C'), 'LayerNorm: axis'),
    *((lambda cls=cls, args=args, flag=flag, value=value: getattr(stax, cls)(*args, **{flag: value}), f'{cls}: {flag}')
      for cls, args, flag in (
          ('Relu', (), 'do_stabilize'), ('LeakyRelu', (.1,), 'do_stabilize'), ('ABRelu', (0, 1), 'do_stabilize'),
          ('Abs', (), 'do_stabilize'), ('Gelu', (), 'approximate'), ('ExpNormalized', (), 'do_clip'),
          ('AvgPool', ((2,),), 'normalize_edges'), ('ImageResize', ((-1, 2, -1), 'linear'), 'antialias'),
          ('GlobalSelfAttention', (1, 1, 1, 1), 'linear_scaling'), ('GlobalSelfAttention', (1, 1, 1, 1), 'val_pos_emb'))
      for value in ('False', 0, 1, None))])
def test_axes_and_flags_of_layers_here(build, message):
    with pytest.raises((TypeError, ValueError), match=f'{message}.*to be (True or False|a whole number)'):
        build()


def test_axes_of_numpy(rng):
    x = rng.standard_normal((3, 4, 5))
    layers = [serial(Dense(5), stax.LayerNorm(axis)) for axis in (numpy.int64(-1), -1, (2,), [-1], numpy.array([-1]))]
    assert len({repr(layer.kernel_fn(x).nngp) for layer in layers}) == 1
    assert layers[0] == layers[1] and hash(layers[3]) == hash(layers[4])


def test_all_flags_are_true_or_false():
    """Every argument that is a flag by its default or by name, of all public functions and of what they give."""
    x, y = numpy.eye(3), numpy.ones((3, 1))
    net = serial(Dense(1), Erf(), Dense(1))
    init_fn, apply_fn, kernel_fn = net
    K = kernel_fn(x, get='nngp') + numpy.eye(3)
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, x, y)
    flow = predict.gradient_descent(lambda f, y: .5 * ((f - y) ** 2).sum(), K, y)
    absolute = 'diag_reg_absolute_scale'
    for function, arguments, flags in [
            (batch, (kernel_fn,), ['store_on_device']),
            (lambda progress: batch(kernel_fn, 1, progress=progress)(x, None, 'nngp'), (), ['progress']),
            (nt.empirical_ntk_fn, (apply_fn,), ['check']), (nt.empirical_kernel_fn, (apply_fn,), ['check']),
            (nt.monte_carlo_kernel_fn, (init_fn, apply_fn, 0, 3), ['store_on_device', 'return_error']),
            (kernel_fn, (x,), ['diagonal_spatial']), (ensemble, (1., x, 'nngp'), ['compute_cov']),
            (flow, (1.,), ['stats']),
            (predict.gradient_descent_mse, (K, y), [absolute]),
            (lambda **given: predict.gp_inference(K, y, **given)(None), (), [absolute]),
            (lambda **given: predict.gradient_descent_mse_ensemble(kernel_fn, x, y, **given)(1., x), (), [absolute]),
            (predict.gradient_descent_mse_steps, (K, y, .1), ['nesterov', absolute]),
            (predict.max_learning_rate, (K,), ['nesterov']), (predict.leave_one_out, (K, y), [absolute]),
            (predict.log_marginal_likelihood, (K, y), [absolute]), (predict.ridge_sweep, (K, y, [.1]), [absolute]),
            (predict.cg, (K, y), [absolute, 'progress']),
            (lambda **given: predict.gp_inference_iterative(K, y, **given)('nngp', K), (), [absolute, 'progress']),
            (supports_masking, (), ['remask_kernel']), (requires, (), ['diagonal_batch', 'use_dropout'])]:
        for flag, value in product(flags, ('False', 0, 1.)):
            with pytest.raises(TypeError, match=f'{flag}.* ?(is expected to be |=)True or False'):
                function(*arguments, **{flag: value})


def test_bool():
    assert [(a & b) for a, b in product(Bool, Bool)] == [min(a, b) for a, b in product(Bool, Bool)]
    assert type(YES & MAYBE) is Bool and NO < MAYBE < YES and list(Bool) == [0, 1, 2] and (2 & MAYBE) is MAYBE


RULES = {'conv': Diagonal(), 'local': Diagonal(YES, MAYBE), 'pool': Diagonal(MAYBE, YES), 'flat': Diagonal(YES, YES),
         'attention': Diagonal(NO, NO)}


@pytest.mark.parametrize('layers, enough', [
    ('conv flat', True), ('conv pool', False), ('conv conv local pool', True), ('local conv pool', False),
    ('conv conv', False), ('local local pool', True), ('conv attention flat', False), ('attention flat', False),
    ('conv flat conv', True), ('pool', False), ('conv local', True), ('local pool flat', True)])
def test_are_equal_positions_enough(layers, enough):
    """Of networks of which one can say so by hand: flat needs equal positions, and a pool all that are not 0."""
    first, *rest = (RULES[name] for name in layers.split())
    total, back = first, first
    for d in rest:
        total, back = total >> d, d << back
    assert bool(total) is enough and back == total


EVERY = [Diagonal(a, b) for a, b in product(Bool, Bool)]


def test_diagonal():
    assert all((a & b) == Diagonal(min(a.input, b.input), min(a.output, b.output)) for a, b in product(EVERY, EVERY))
    assert [bool(d) for d in EVERY] == [False] * 6 + [False, True, True]
    assert all((a >> b).output == (YES if a.output == YES else b.output) for a, b in product(EVERY, EVERY))
    assert (Diagonal().input, Diagonal().output) == (YES, NO) and Diagonal(1, 2) == Diagonal(MAYBE, YES)
    with pytest.raises(ValueError, match='not a valid Bool'):
        Diagonal('YES')


@pytest.mark.parametrize('padding', Padding)
def test_padding(padding, rng):
    for make in (lambda p: Conv(3, (2,), (2,), p), lambda p: ConvTranspose(3, (2,), padding=p),
                 lambda p: AvgPool((2,), None, p), lambda p: SumPool((2,), padding=p),
                 lambda p: stax.ConvLocal(3, (2,), padding=p)):
        net = make(padding)
        assert net == make(padding.name) == make(padding.value.lower()) and net.padding == padding.name
        assert from_spec(json.loads(json.dumps(net.to_spec()))) == net
    with pytest.raises(ValueError, match='expected padding to be one of VALID, SAME, CIRCULAR, got'):
        Conv(3, (2,), padding=YES)


def test_identity_is_that_of_the_library(rng):
    x = rng.standard_normal((3, 2, 4))
    assert (of().kernel_fn(x).nngp == Identity().kernel_fn(x).nngp).all()
