"""What layers with positions refuse, and that the message says which layer, where, what was expected and what came."""
import numpy
import pytest
from refusals import no_input_kernel, refusal

from ntref import stax
from ntref.stax import (
    AvgPool, Conv, ConvLocal, ConvTranspose, Dense, FanInConcat, FanInSum, FanOut, Flatten, GlobalAvgPool,
    GlobalSumPool, Identity, ImageResize, Index, LayerError, LayerNorm, Relu, Slice, SumPool, parallel, serial)

D = Dense(3)
SHAPE = 3, 5, 4, 2                                     # batch, height, width, channels
FIRST = dict(dimension_numbers=('NCHW', 'OIHW', 'NCHW'))
WEIGHTED = pytest.mark.parametrize('layer', [Conv, ConvLocal, ConvTranspose], ids=lambda layer: layer.__name__)
POOLS = pytest.mark.parametrize('pool', [AvgPool, SumPool], ids=lambda pool: pool.__name__)


# ------------------------------------------------------------------ shapes that do not fit

NETWORKS = [
    # windows
    (serial(D, Conv(3, (2, 9))), ['layer 1, Conv(3, (2, 9)): ', "under padding 'VALID'", 'got 9 over 4', "'SAME'"]),
    (serial(D, Relu(), ConvLocal(3, (6, 1))), ['layer 2, ConvLocal(3, (6, 1)): ', 'got 6 over 5']),
    (serial(D, serial(Relu(), AvgPool((2, 5)))), ['layer 1.1, AvgPool((2, 5)): ', 'got 5 over 4', 'smaller window']),
    (serial(Conv(3, (3, 3)), SumPool((4, 1))), ['layer 1, SumPool((4, 1)): ', 'got 4 over 3']),
    # numbers of spatial axes
    (serial(D, Conv(3, (2,))), ['layer 1, Conv(3, (2,)): ', 'expected 1 spatial axes', 'got 2', '(3, 5, 4, 3)']),
    (serial(D, ConvTranspose(3, (2, 2, 2))), ['layer 1, ', 'expected 3 spatial axes', 'got 2', '(3, 5, 4, 3)']),
    (serial(D, Flatten(), Conv(3, (2, 2))), ['layer 2, ', 'expected 2 spatial axes', 'got 0', '(3, 60)']),
    (serial(D, AvgPool((2,))), ['layer 1, AvgPool((2,)): ', 'expected 1 spatial axes', 'got 2', '(3, 5, 4, 3)']),
    (serial(D, GlobalAvgPool(), SumPool((2, 2))), ['layer 2, ', 'expected 2 spatial axes', 'got 0', '(3, 3)']),
    # which axes
    (serial(D, Conv(3, (2, 2), **FIRST)), ['layer 1, ', 'axes 0 and 1', 'on 0 and 3', '(3, 5, 4, 3)']),
    (serial(Conv(3, (2, 2), **FIRST), Conv(3, (2, 2))), ['layer 1, Conv(3, (2, 2)): ', 'axes 0 and 3', 'on 0 and 1']),
    (serial(D, AvgPool((2, 2), channel_axis=1)), ['layer 1, ', 'axes 0 and 1', 'on 0 and 3', '(3, 5, 4, 3)']),
    (serial(D, GlobalSumPool(3, 0)), ['layer 1, GlobalSumPool(3, 0): ', 'axes 3 and 0', 'on 0 and 3', '(3, 5, 4, 3)']),
    (serial(D, Flatten(1)), ['layer 1, Flatten(1): ', 'batch on axis 1', 'on 0', '(3, 5, 4, 3)']),
    (serial(Conv(3, (2, 2), dimension_numbers=('NHWC', 'HWIO', 'NCHW')), D), ['layer 1, Dense(3): ', 'on 0 and 1']),
    # Index
    (serial(D, Index(Slice[:, 5])), ['layer 1, Index(Slice[:, 5]): ', 'within shape (3, 5, 4, 3)']),
    (serial(D, Index(Slice[:, :, -5])), ['layer 1, Index(Slice[:, :, -5]): ', 'within shape (3, 5, 4, 3)']),
    # positions, after Index took them all
    (serial(D, Index(Slice[:, 4:2]), Flatten()), ['layer 2, Flatten(): ', 'at least one position', '(3, 0, 4, 3)']),
    (serial(D, Index(Slice[:, 4:2]), GlobalAvgPool()), ['layer 2, GlobalAvgPool(): ', 'at least one position']),
    (serial(D, Index(Slice[:, 4:2]), LayerNorm((1, 3))), ['layer 2, ', 'something to normalize over', '(3, 0, 4, 3)']),
    (serial(D, Index(Slice[:, 4:2]), ImageResize((-1, 2, -1, -1), 'nearest')), ['layer 2, ', 'to resample, got none']),
    (serial(D, Index(Slice[:, 0, 0, :, 0])), ['layer 1, ', 'at most 4 indices', '(3, 5, 4, 3)']),
    # ImageResize
    (serial(D, ImageResize((7, 2, 2, -1), 'linear')), ['layer 1, ', 'batch', 'keep', '3', '7 on axis 0', 'Use -1']),
    (serial(D, ImageResize((-1, 2, 2, 5), 'cubic')), ['layer 1, ', 'channels', 'keep', '3', '5 on axis 3', 'Use -1']),
    (serial(D, ImageResize((-1, 2, -1), 'linear')), ['layer 1, ', 'expected 3 axes', '(3, 5, 4, 3)']),
    (serial(D, ImageResize((-1, -1, 2, 2), 'nearest', channel_axis=1)), ['layer 1, ', 'axes 0 and 1', 'on 0 and 3']),
    # branches
    (serial(FanOut(2), parallel(Conv(3, (2, 2)), Conv(3, (1, 2))), FanInSum()),
     ['layer 2, FanInSum(): ', 'same shape', '(3, 4, 3, 3), (3, 5, 3, 3)']),
    (serial(FanOut(2), parallel(Conv(3, (2, 2)), Conv(3, (1, 2))), FanInConcat(2)),
     ['layer 2, FanInConcat(2): ', 'but for axis 2', '(3, 4, 3, 3), (3, 5, 3, 3)']),
    (serial(FanOut(2), parallel(D, serial(GlobalAvgPool(), D)), FanInSum()), ['layer 2, ', '(3, 5, 4, 3), (3, 3)']),
    (serial(D, FanOut(2), parallel(Relu(), Identity()), FanInConcat(1)),
     ['layer 3, FanInConcat(1): ', 'Gaussian branches to join along axis 1', '[False, True]', 'Dense']),
    (serial(D, FanOut(2), parallel(Relu(), Relu()), FanInConcat(0)), ['layer 3, FanInConcat(0): ', '[False, False]']),
    # not Gaussian
    (serial(AvgPool((2, 2)), Relu()), ['layer 1, Relu(): ', 'Gaussian']),
    (serial(Conv(3, (2, 2)), Flatten(), Relu()), ['layer 2, Relu(): ', 'Gaussian', 'Insert Dense']),
    (serial(Conv(3, (2, 2)), Relu(), AvgPool((2, 2)), Relu()), ['layer 3, Relu(): ', 'Gaussian'])]


@pytest.mark.parametrize('net, parts', NETWORKS, ids=[repr(net) for net, _ in NETWORKS])
def test_networks(net, parts, monkeypatch):
    """Before anything is computed, asked for as a Kernel or by name; shapes also on initialization."""
    monkeypatch.setattr(stax.plan, 'input_kernel', no_input_kernel)
    monkeypatch.setattr(stax.plan, 'in_parts', no_input_kernel)
    x = numpy.ones(SHAPE)
    for get in (None, 'nngp'):
        message = refusal(LayerError, net.kernel_fn, x, get=get)
        assert message.startswith(parts[0]) and all(part in message for part in parts), message
    if 'aussian' not in message and 'axes ' not in message and 'Flatten(' not in message:
        message = refusal(LayerError, net.init_fn, 1, SHAPE)
        assert message.startswith(parts[0]) and all(part in message for part in parts), message


@WEIGHTED
@pytest.mark.parametrize('shape', [(3, 4, 2), (3, 2), (3, 5, 4, 3, 2)])
@pytest.mark.parametrize('numbers', [
    None, ('NCHW', 'OIHW', 'NCHW'), ('CHWN', 'IHWO', 'CHWN'), ('HWNC', 'HWIO', 'HWNC')], ids=lambda n: n and n[0])
def test_another_number_of_axes_at_the_input(layer, shape, numbers):
    first = layer(3, (2, 2), dimension_numbers=numbers)
    net = serial(first, Relu())
    params = serial(first).init_fn(1, (6, 6, 6, 6))[1]
    for message in (refusal(LayerError, net.kernel_fn, numpy.ones(shape)), refusal(LayerError, net.init_fn, 1, shape),
                    refusal(LayerError, net.apply_fn, [*params, ()], numpy.ones(shape))):
        assert message.startswith(f'layer 0, {first!r}: expected 2 spatial axes'), message
        assert f'got {len(shape) - 2} in shape {shape}' in message


FINITE = [
    # numbers of axes
    (serial(D, AvgPool((2, 2))), (3, 4, 2), ['layer 1, AvgPool((2, 2)): ', 'expected 2 spatial axes', '(3, 4, 3)']),
    (serial(Relu(), ImageResize((-1, 2, 2, -1), 'linear')), (5, 4, 2), ['layer 1, ', 'expected 4 axes', '(5, 4, 2)']),
    (serial(Relu(), Index(Slice[:, 0, 0])), (3, 2), ['layer 1, ', 'at most 2 indices', '(3, 2)']),
    # lengths
    (serial(Relu(), Conv(3, (2, 2))), (3, 5, 4, 1),
     ['layer 1, Conv(3, (2, 2)): ', 'weights of shape (2, 2, 1, 3)', '(3, 5, 4, 1)', 'got (2, 2, 2, 3)', 'init_fn']),
    (serial(Relu(), ConvTranspose(3, (2, 2), **FIRST)), (3, 2, 4, 2),
     ['layer 1, ConvTranspose(3, (2, 2), ', 'weights of shape (3, 2, 2, 2)', '(3, 2, 4, 2)', 'got (3, 5, 2, 2)']),
    (serial(serial(ConvLocal(3, (2, 2)))), (3, 6, 4, 2),
     ['layer 0.0, ConvLocal(3, (2, 2)): ', 'weights of shape (5, 3, 8, 3)', '(3, 6, 4, 2)', 'got (4, 3, 8, 3)']),
    (serial(Relu(), Conv(3, (5, 1))), (3, 4, 4, 2), ['layer 1, Conv(3, (5, 1)): ', 'got 5 over 4']),
    (serial(Relu(), Index(Slice[:, 4])), (3, 4, 4, 2), ['layer 1, Index(Slice[:, 4]): ', 'within shape (3, 4, 4, 2)']),
    # branches
    (serial(FanOut(2), parallel(Relu(), Index(Slice[:, :5])), FanInSum()), (3, 6, 4, 2),
     ['layer 2, FanInSum(): ', 'same shape', '[(3, 6, 4, 2), (3, 5, 4, 2)]'])]


@pytest.mark.parametrize('net, shape, parts', FINITE, ids=[repr(net) for net, *_ in FINITE])
def test_inputs_of_finite_networks(net, shape, parts):
    """With parameters for inputs of SHAPE."""
    out, params = net.init_fn(1, SHAPE)
    assert net.apply_fn(params, numpy.ones(SHAPE)).shape == out
    message = refusal(LayerError, net.apply_fn, params, numpy.ones(shape))
    assert message.startswith(parts[0]) and all(part in message for part in parts), message


def test_lists_of_inputs_of_finite_networks():
    net, x = serial(parallel(D, serial(D, AvgPool((2, 2)))), FanInSum()), numpy.ones(SHAPE)
    for call, tree in (net.init_fn, [SHAPE] * 3), (net.apply_fn, [x] * 3), (net.init_fn, [SHAPE]), (net.apply_fn, [x]):
        message = refusal(LayerError, call, 1, tree)
        assert message.startswith('layer 0, parallel') and f'2 inputs, one a branch, got {len(tree)} of' in message
    message = refusal(LayerError, net.apply_fn, 1, [x, x[0]])
    assert message.startswith('layer 0.1.1, AvgPool((2, 2)): expected 2 spatial axes') and '(5, 4, 3)' in message
    assert 'expected one input, got a list of 2' in refusal(LayerError, D.apply_fn, 1, [x, x])
    assert 'expected an array (of numpy' in refusal(TypeError, D.apply_fn, 1, 3.)


@pytest.mark.parametrize('net', [GlobalAvgPool(), GlobalSumPool(), Flatten(), serial(D, Relu()),
                                 serial(Conv(3, (2, 2), padding='SAME'), Relu(), GlobalAvgPool())], ids=repr)
@pytest.mark.parametrize('shape', [(3, 0, 4, 2), (3, 5, 0, 2), (0, 0, 0, 2)], ids=str)
def test_no_positions(net, shape):
    """An axis of length 0 has no mean; a batch of length 0 is one of no inputs."""
    x = numpy.ones(shape)
    params = net.init_fn(1, SHAPE)[1]
    for message in (refusal(ValueError, net.kernel_fn, x), refusal(ValueError, net.kernel_fn, x, get='nngp'),
                    refusal(LayerError, net.init_fn, 1, shape), refusal(LayerError, net.apply_fn, params, x)):
        assert f'expected at least one position on each spatial axis, got shape {shape}. Crop less' in message
    assert net.kernel_fn(numpy.ones((0, 5, 4, 2)), get='nngp').size == 0


@pytest.mark.parametrize('idx', [Slice[:, :4], Slice[..., :1], Slice[:, 0], Slice[:, 0, 0]], ids=str)
def test_inputs_of_different_shape(idx):
    x = numpy.ones(SHAPE)
    message = refusal(ValueError, Conv(3, (2, 2)).kernel_fn, x, x[idx])
    assert f'got {SHAPE} and {x[idx].shape}' in message


# ------------------------------------------------------------------ equal positions alone

MIXING = [AvgPool((2, 2)), SumPool((2, 1)), GlobalAvgPool(), GlobalSumPool(), ImageResize((-1, 2, 2, -1), 'linear')]


@pytest.mark.parametrize('layer', MIXING, ids=repr)
def test_layers_that_mix_positions(layer, monkeypatch):
    x = numpy.ones(SHAPE)
    aligned = Conv(3, (2, 2)).kernel_fn(x, diagonal_spatial=True)
    message = refusal(LayerError, serial(Relu(), layer).kernel_fn, aligned)
    assert message.startswith(f'layer 1, {layer!r}: expected a Kernel with covariances between positions, got one with '
                              'diagonal_spatial=True.') and 'diagonal_spatial=False' in message
    monkeypatch.setattr(stax.plan, 'input_kernel', no_input_kernel)
    monkeypatch.setattr(stax.plan, 'in_parts', no_input_kernel)
    for get in (None, 'ntk'):
        message = refusal(LayerError, serial(D, layer, Dense(2)).kernel_fn, x, get=get, diagonal_spatial=True)
        assert message.startswith(f'layer 1, {layer!r}: expected diagonal_spatial=None or False') and 'mixes' in message


def test_layers_that_do_not_mix_positions():
    """Nearest neighbours are picked, not mixed."""
    x = numpy.ones(SHAPE)
    aligned = Conv(3, (2, 2)).kernel_fn(x, diagonal_spatial=True)
    for layer in (ImageResize((-1, 2, 2, -1), 'nearest'), Index(Slice[:, 1:]), Flatten(), Conv(3, (2, 2))):
        assert layer.kernel_fn(aligned).nngp.shape[:2] == (3, 3)


# ------------------------------------------------------------------ arguments

ARGUMENTS = [
    (lambda: AvgPool((2, 2), padding='FULL'), ['AvgPool', 'VALID, SAME, CIRCULAR', "'FULL'"]),
    (lambda: SumPool((2, 2), padding=None), ['SumPool', 'VALID, SAME, CIRCULAR', 'None']),
    (lambda: AvgPool((2, 0)), ['AvgPool: window_shape', 'whole number >= 1', 'got 0']),
    (lambda: SumPool((2, 2.)), ['SumPool: window_shape', 'got 2.0']),
    (lambda: AvgPool((2, 2), (1, 0)), ['AvgPool: strides', 'whole number >= 1', 'got 0']),
    (lambda: AvgPool((2, 2), (1,)), ['AvgPool', '2 strides', '(2, 2)', '(1,)']),
    (lambda: Flatten(batch_axis_out=2), ['Flatten', '0, 1 or -1', 'got 2']),
    (lambda: Index(Slice[:, None]), ['Index', 'slices', 'None']),
    (lambda: Index(Slice[:, True]), ['Index', 'True']),
    (lambda: Index(Slice[:, numpy.True_]), ['Index', 'True']),
    (lambda: Index(Slice[:, 1.5]), ['Index: expected whole numbers', '1.5']),
    (lambda: Index(Slice[:, 1.5:]), ['Index: expected whole numbers', 'slice(1.5, None, None)']),
    (lambda: Index(Slice[:, :3:1.]), ['Index: expected whole numbers', 'slice(None, 3, 1.0)']),
    (lambda: Index(Slice[:, 'a':]), ['Index: expected whole numbers', "slice('a', None, None)"]),
    (lambda: Index(Slice[:, :True]), ['Index: expected whole numbers', 'slice(None, True, None)']),
    (lambda: Index(Slice[:, numpy.arange(2)]), ['Index: expected whole numbers', 'array([0, 1])']),
    (lambda: Index(Slice[:, numpy.array(1.)]), ['Index: expected whole numbers', 'array(1.)']),
    (lambda: Index(([0, 1],)), ['Index', '[0, 1]']),
    (lambda: Index(Slice[..., 1, ...]), ['Index', 'at most one Ellipsis']),
    (lambda: ImageResize((-1, 4, -1), 'area'), ['ImageResize', 'nearest', 'lanczos5', 'bicubic', "'area'"]),
    (lambda: ImageResize((-1, 4, -1), None), ['ImageResize', 'nearest', 'None']),
    (lambda: ImageResize((-1, 0, -1), 'linear'), ['ImageResize', '>= 1, or -1', '(-1, 0, -1)']),
    (lambda: ImageResize((-1, -2, -1), 'linear'), ['ImageResize: shape', '>= -1', 'got -2'])]


@pytest.mark.parametrize('build, parts', ARGUMENTS)
def test_arguments(build, parts):
    message = refusal(ValueError, build)
    assert all(part in message for part in parts), message


@WEIGHTED
def test_arguments_of_convolutions(layer):
    for arguments, parts in [
            (dict(padding='FULL'), ['VALID, SAME, CIRCULAR', "'FULL'"]), (dict(padding=1), ['VALID, ', 'got 1']),
            (dict(strides=(1, 0)), ['strides', 'whole number >= 1', 'got 0']),
            (dict(strides=(1, -1)), ['strides', 'got -1']), (dict(strides=(1, 1.)), ['strides', 'got 1.0']),
            (dict(strides=(1, 1, 1)), ['2 strides', '(2, 2)', '(1, 1, 1)']),
            (dict(parameterization='mup'), ["'ntk' or 'standard'", "'mup'"]), (dict(s=(1, 0)), ['> 0', '(1, 0)'])]:
        message = refusal(ValueError, layer, 3, (2, 2), **arguments)
        assert message.startswith(layer.__name__) and all(part in message for part in parts), message
    for size in ((0, 2), (2, -1), (2, 2.), (2, True)):
        assert f'{layer.__name__}: filter_shape is expected' in refusal(ValueError, layer, 3, size)
    assert f'{layer.__name__}: out_chan is expected' in refusal(ValueError, layer, 0, (2, 2))


@WEIGHTED
@pytest.mark.parametrize('numbers', [
    ('NHWC', 'HWIO', 'NHWD'), ('NHWC', 'HWIO', 'NHWW'), ('NHHC', 'HHIO', 'NHHC'), ('NHWC', 'HWOO', 'NHWC'),
    ('NHWC', 'HWIO', 'NHC'), ('NHC', 'HIO', 'NHC'), ('NHWDC', 'HWDIO', 'NHWDC'), ('NHWC', 'HDIO', 'NHWC'),
    ('nhwc', 'hwio', 'nhwc'), ('NHIC', 'HWIO', 'NHIC'), ('AHWC', 'HWIO', 'AHWC')], ids='-'.join)
def test_dimension_numbers(layer, numbers):
    message = refusal(ValueError, layer, 3, (2, 2), dimension_numbers=numbers)
    assert message.startswith(f'{layer.__name__}: expected dimension_numbers like ("NHWC", "HWIO", "NHWC")')
    assert 'filter_shape (2, 2)' in message and str(numbers) in message


@pytest.mark.parametrize('numbers', [
    ('NHWC', 'HWIO'), ('NHWC', 'HWIO', 'NHWC', 'N'), 'NHWC', 'NIC', (1, 2, 3), ('NHWC', None, 'NHWC'), 5, ()], ids=str)
def test_dimension_numbers_of_another_form(numbers):
    message = refusal(ValueError, Conv, 3, (2, 2), dimension_numbers=numbers)
    assert message.startswith('Conv: expected dimension_numbers like') and f'got {numbers!r}.' in message


def test_dimension_numbers_in_a_list():
    net = Conv(3, (2, 2), dimension_numbers=list(FIRST['dimension_numbers']))
    assert net == Conv(3, (2, 2), **FIRST) and hash(net) == hash(Conv(3, (2, 2), **FIRST))


@pytest.mark.parametrize('numbers', [('NHOC', 'HOIO', 'NHOC'), ('NIWC', 'IWIO', 'NIWC'), ('NHWI', 'HWIO', 'NHWI'),
                                     ('CHWO', 'HWIO', 'CHWO')], ids='-'.join)
def test_letters_that_mean_something_else(numbers):
    """I and O are letters of the filter alone, and inputs have N and C."""
    message = refusal(ValueError, Conv, 3, (2, 2), dimension_numbers=numbers)
    assert message.startswith('Conv: expected dimension_numbers like') and str(numbers) in message
    assert 'N and C for inputs and outputs, I and O for the filter' in message


@pytest.mark.parametrize('build, name, given', [
    (lambda: Conv(3, 2), 'Conv: filter_shape', 2), (lambda: Conv(3, (2, 2), 2), 'Conv: strides', 2),
    (lambda: ConvTranspose(3, None), 'ConvTranspose: filter_shape', None),
    (lambda: ConvLocal(3, numpy.array(2)), 'ConvLocal: filter_shape', numpy.array(2)),
    (lambda: AvgPool(2), 'AvgPool: window_shape', 2), (lambda: SumPool((2,), 1), 'SumPool: strides', 1),
    (lambda: ImageResize(5, 'linear'), 'ImageResize: shape', 5)])
def test_numbers_where_tuples_are_expected(build, name, given):
    message = refusal(TypeError, build)
    assert message.startswith(f'{name} is expected to be a tuple of whole numbers >= ')
    assert f'got {given!r}. For one axis write {name.split()[1]}=(2,), for two (2, 2).' in message


def test_padding_in_any_case():
    for layer in (Conv, ConvLocal, ConvTranspose):
        assert layer(3, (2,), padding='Circular').padding == 'CIRCULAR'
    assert AvgPool((2,), padding='same').padding == SumPool((2,), padding='sAME').padding == 'SAME'


def test_whole_numbers_of_any_kind():
    one = numpy.int64(1)
    assert Index(Slice[:, one, one:numpy.array(3):one]) == Index(Slice[:, 1, 1:3:1])
    assert repr(Index(Slice[:, one, one:])) == 'Index(Slice[:, 1, 1:])'
    assert Conv(3, numpy.array([2, 2]), [one, 1]) == Conv(3, (2, 2), (1, 1))


def test_slices_of_step_zero():
    assert 'step cannot be zero' in refusal(LayerError, Index(Slice[:, ::0]).kernel_fn, numpy.ones(SHAPE))


@pytest.mark.parametrize('idx', [Slice[:2], Slice[1:], Slice[::2, 1:], Slice[-1:, :, 0], Slice[:]], ids=str)
def test_slices_of_a_batch_of_unknown_size(idx):
    """It stays unknown; what is picked of the positions is known."""
    net = serial(D, Index(idx), Dense(2))
    shape, params = net.init_fn(1, (-1, *SHAPE[1:]))
    z = net.apply_fn(params, numpy.ones(SHAPE))
    assert shape == (-1, *z.shape[1:]) and z.shape[:-1] == numpy.ones(SHAPE)[idx].shape[:-1]
    message = refusal(LayerError, serial(D, Index(Slice[:2, 5])).init_fn, 1, (-1, *SHAPE[1:]))
    assert message.startswith('layer 1, ') and 'within shape (-1, 5, 4, 3)' in message
