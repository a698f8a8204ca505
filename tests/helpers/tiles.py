"""Networks on images whose kernels go tile by tile, and the sizes of tiles and blocks for the time of a test."""
from ntref.recursion import tile, tiled
from ntref.stax import (
    ABRelu, Abs, AvgPool, Conv, ConvLocal, ConvTranspose, Dense, Erf, FanInConcat, FanInProd, FanInSum, FanOut, Flatten,
    Gelu, GlobalAvgPool, GlobalSumPool, Identity, ImageResize, Index, LayerNorm, LeakyRelu, Relu, Sign, Sin, Slice,
    SumPool, parallel, repeat, serial)

DEFAULT = 2 ** 17, 2 ** 18


def set_sizes(monkeypatch, block, entries):
    """Entries of a block of rows, and of a tile."""
    monkeypatch.setattr(tile, 'BLOCK', block)
    monkeypatch.setattr(tiled, 'ENTRIES', entries)


# ------------------------------------------------------------------ networks

def conv(size=(3, 3), padding='SAME', W_std=1.4, b_std=.2, **others):
    return Conv(8, size, padding=padding, W_std=W_std, b_std=b_std, **others)


def branches(*layers, fan_in=FanInSum()):
    return serial(FanOut(len(layers)), parallel(*layers), fan_in)


def residual(inner):
    return branches(inner, Identity())


channels_first = dict(dimension_numbers=('NCHW', 'OIHW', 'NCHW'))
first = dict(channel_axis=1)
dense, average = Dense(8, 1.2, .1), AvgPool((2, 2))

CARRIED = {
    # gaps (and nothing else) are needed and known all the way: the same to rounding, at coincident images too
    'conv': serial(conv(), Relu(), conv(), Relu(), conv()),
    'valid': serial(conv((2, 3), 'VALID'), Relu(), conv((2, 1), 'VALID'), Abs()),
    'circular': serial(conv((2, 3), 'CIRCULAR'), Relu(), conv((3, 2), 'CIRCULAR'), LeakyRelu(.2)),
    'strided': serial(conv(strides=(2, 1)), Relu(), conv((2, 2), strides=(1, 2)), Relu()),
    'strided to one row': serial(conv(strides=(5, 1)), Relu(), conv(), Relu()),
    'standard': serial(conv(parameterization='standard'), Erf(), conv((1, 1), parameterization='standard'), Relu()),
    'channels first': serial(conv(**channels_first), Relu(), conv((2, 3), **channels_first), Flatten()),
    'turned': serial(conv((2, 3), dimension_numbers=('NHWC', 'HWIO', 'NWHC')), Relu(), conv(), Relu()),
    'flat': serial(conv(), Relu(), conv(), Relu(), Flatten(), Dense(1, 1.1, .3)),
    'flat, wide window': serial(conv((5, 5), b_std=None), Relu(), conv((5, 5)), Flatten()),
    'global average': serial(conv(), Relu(), conv(), Relu(), GlobalAvgPool(), Dense(1)),
    'global sum': serial(conv(), Erf(), GlobalSumPool()),
    'pool at the end': serial(conv(), Relu(), AvgPool((3, 2), (2, 1), 'SAME', True)),
    'other nonlinearities': serial(conv(), Sin(), dense, Sign(), conv(), Erf(), conv(), ABRelu(-.3, 1.2),
                                   GlobalAvgPool()),
    'transposed': serial(ConvTranspose(8, (3, 2), (2, 1), 'SAME', 1.3, .1), Relu(), conv(), Relu()),
    'transposed, overlapping': serial(conv(), Relu(), ConvTranspose(8, (3, 3), (1, 2), W_std=1.3), Relu(), Flatten()),
    'local': serial(conv(), Relu(), ConvLocal(8, (2, 2), W_std=1.3, b_std=.1), Relu(), conv(), Relu()),
    'local, flat': serial(ConvLocal(8, (3, 3), None, 'SAME', 1.3, .1), Relu(), conv(), Flatten()),
    'layer norm': serial(conv(), LayerNorm(), Relu(), conv(), LayerNorm((1, 2, 3)), Relu()),
    'index': serial(conv(), Index(Slice[:, 1:, ::-1]), Relu(), conv(), Relu(), Index(Slice[:, :, 1]), conv((2,)),
                    Relu()),
    'nearest': serial(conv(), ImageResize((-1, 7, 2, -1), 'nearest'), Relu(), conv(), Relu()),
    'repeated': serial(conv(), repeat(serial(Relu(), conv()), 3), GlobalAvgPool()),
    'not repeated': serial(conv(), repeat(serial(Relu(), conv()), 0)),
    # branches hold the same arrays
    'residual': serial(conv(), repeat(residual(serial(Relu(), conv(), Relu(), conv())), 2), Relu(), Flatten()),
    'the input twice': serial(branches(conv(), serial(dense, Relu(), dense)), Relu()),
    'one branch': serial(conv(), branches(serial(Relu(), conv())), Relu()),
    'in place beside untouched': serial(conv(), branches(serial(Relu(), dense), serial(Erf(), dense), Identity()),
                                        Relu()),
    'the same nonlinearity twice': serial(conv(), branches(serial(Relu(), dense), serial(Relu(), conv((3, 1))))),
    'branches in branches': serial(conv(), residual(serial(residual(serial(Relu(), conv())), Relu(), dense)), Abs()),
    'a view beside the whole': serial(
        conv(), branches(serial(Index(Slice[:, 1:]), dense), Identity(), fan_in=FanInConcat(1)), Relu(), conv()),
    'a view, in place': serial(conv(), branches(serial(Index(Slice[:, ::-1]), Relu(), dense), Identity())),
    'local beside the whole': serial(conv(), branches(ConvLocal(8, (3, 3), None, 'SAME'), conv()), Relu(), conv()),
    'product': serial(conv(), branches(serial(Relu(), conv()), serial(Erf(), dense), fan_in=FanInProd()), dense,
                      Relu()),
    'product, nothing done': serial(conv(), branches(Identity(), Identity(), fan_in=FanInProd()), conv(), Relu()),
    'channels beside each other': serial(conv(), branches(serial(Relu(), conv()), Identity(), fan_in=FanInConcat()),
                                         conv(), Relu()),
    'pools beside the whole': serial(conv(), Relu(), branches(*(
        serial(*layers, Dense(8)) for layers in ((average, GlobalAvgPool()), (GlobalAvgPool(),), (Flatten(),))))),
}
LOST = {
    # behind a pool, or Gelu, gaps come by subtraction: Theta of coincident images has half its digits
    'pool': serial(conv(), Relu(), average, conv(), Relu(), Flatten()),
    'pools': serial(conv(), Relu(), AvgPool((2, 2), None, 'SAME', True), SumPool((2, 1), (1, 2), 'CIRCULAR'), dense,
                    Relu()),
    'pool at the input': serial(average, conv(), Relu(), conv(), Relu(), GlobalAvgPool()),
    'channels first': serial(conv(**channels_first), AvgPool((2, 1), **first), conv(**channels_first), Relu(),
                             GlobalAvgPool(**first)),
    'parallel pools': serial(conv(), Relu(), branches(serial(AvgPool((2, 2), None, 'SAME'), conv()), serial(
        SumPool((1, 2), None, 'CIRCULAR'), dense), conv()), Relu(), conv()),
    'resized': serial(conv(), Relu(), ImageResize((-1, 3, 6, -1), 'cubic'), conv(), Relu(), Flatten()),
    'dense behind': serial(conv(), Relu(), GlobalAvgPool(), Dense(8, 1.4, .1), Relu(), Dense(1)),
    'gelu': serial(conv(), Gelu(), conv(), Relu(), Flatten()),
}
NETWORKS = CARRIED | LOST


def image_shape(name):
    return (2, 5, 4) if name == 'channels first' else (5, 4, 2)


def drawn(rng, n, *shape):
    """n inputs that may not be written to."""
    x = rng.standard_normal((n, *shape))
    x.flags.writeable = False
    return x
