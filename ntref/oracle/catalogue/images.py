"""Families of networks on inputs with positions: images, sequences, graphs, padded sequences."""
from functools import partial
from typing import Any

from ...stax import (
    Aggregate, AvgPool, Conv, ConvLocal, ConvTranspose, Dense, DotGeneral, Dropout, Erf,
    FanInConcat, FanInSum, FanOut, Flatten, Gelu, GlobalAvgPool, GlobalSelfAttention, GlobalSumPool,
    Identity, ImageResize, Index, LayerNorm, Relu, Sign, Slice, SumPool, parallel, serial)
from .family import Family

__all__ = ['IMAGES']

D = Dense(16, 1.3, .4)
LAST = Dense(1, .9, .1)
FLAT = (Flatten(), LAST)
MEAN = (GlobalAvgPool(), LAST)
END = (Flatten(-1), LAST)
FLIPPED: dict[str, Any] = dict(batch_axis=1, channel_axis=0)
FIRST: dict[str, Any] = dict(dimension_numbers=('NCHW', 'OIHW', 'NCHW'))
AHEAD: dict[str, Any] = dict(dimension_numbers=('CHWN', 'OIHW', 'CHWN'))
HEADS: dict[str, Any] = dict(channel_axis=1)
AT_END: dict[str, Any] = dict(batch_axis=-1, channel_axis=0)
BOTH = 'small, edge'
conv = partial(Conv, 8, W_std=1.2, b_std=.3)
same = partial(conv, padding='SAME')
local = partial(ConvLocal, 8, W_std=1.2, b_std=.3)
transposed = partial(ConvTranspose, 8, W_std=1.2, b_std=.3)
attend = partial(GlobalSelfAttention, 8, 4, 4, 2)


def after(*layers):
    """Behind a convolution and a nonlinearity."""
    return serial(same((2, 2)), Relu(), *layers)


def first(*layers):
    """Channels first."""
    return serial(same((2, 2), **FIRST), *layers)


def ahead(*layers):
    """Channels first, inputs last."""
    return serial(same((2, 2), **AHEAD), *layers)


def attention(*more, **options):
    return serial(same((2,)), Relu(), attend(**options), *more)


IMAGES = [
    Family('nonlinearity', 'images', (), 'small', {
        'Relu, positions': (serial(D, Relu(), LAST), 'Relu, Dense'),
        'Erf, positions': (serial(D, Erf(), LAST), 'Erf, Dense'),
    }),
    Family('branches', 'images', (), 'small', {
        'FanInConcat, positions': (serial(FanOut(2), parallel(conv((2, 1)), conv((1, 1))), FanInConcat(1), Relu(),
                                          *MEAN), 'FanInConcat'),
        'residual, conv': (serial(same((2, 2)), FanOut(2), parallel(
            serial(Relu(), same((2, 2))), Identity()), FanInSum(), Relu(), *MEAN),
            'FanInSum, FanOut, parallel', BOTH),
    }),
    Family('norm', 'images', (), 'small', {
        'LayerNorm, positions': (after(conv((1, 1)), LayerNorm((1, 2, 3), .1), Erf(), *MEAN), 'LayerNorm', BOTH),
        'LayerNorm, channels alone': (after(conv((1, 1)), LayerNorm(-1, .1), Relu(), *FLAT), 'LayerNorm'),
        'Dropout, positions': (after(Dropout(.7), *MEAN), 'Dropout', 'edge'),
    }),
    Family('conv', 'images', ('Conv',), 'images', {
        f'{padding.lower()}, {last}': serial(conv((3, 2), padding=padding), Relu(), conv((2, 2), (2, 1), padding),
                                             Erf(), *end)
        for padding in ('SAME', 'VALID', 'CIRCULAR') for last, end in (('flat', FLAT), ('mean', MEAN))}),
    Family('conv', 'images', ('Conv',), 'small', {
        'relu, flat': (serial(same((2, 2)), Relu(), same((2, 2)), Relu(), *FLAT),
                       'Conv', 'small, edge, black, pixel, flat image'),
        'relu, mean': (serial(same((2, 2)), Relu(), same((2, 2)), Relu(), *MEAN),
                       'Conv, GlobalAvgPool', 'small, edge, black, pixel, flat image'),
        'relu, no bias': (serial(Conv(8, (2, 2), None, 'SAME', 1.4), Relu(), *MEAN), 'Conv', 'small, black'),
        'one image': (serial(same((3, 3)), Relu(), *FLAT), 'Conv', 'one image, own images'),
        'positions': same((2, 1)),
        'positions, relu': serial(same((2, 1)), Relu(), conv((1, 2))),
        '1x1': serial(conv((1, 1)), Relu(), conv((1, 1)), *MEAN),
        'strides': (serial(conv((3, 3), (2, 1), 'SAME'), Relu(), conv((2, 2), (1, 2), 'CIRCULAR'), *FLAT), 'Conv',
                    'images'),
        'standard': serial(same((2, 2), parameterization='standard'), Relu(),
                           conv((2, 1), parameterization='standard'), *FLAT),
        'standard, s': serial(same((2, 2), parameterization='standard', s=(1, 2)), Relu(),
                              conv((2, 1), parameterization='standard', s=(2, 1))),
        'NCHW': (serial(same((3, 2), **FIRST), Relu(), conv((2, 2), **FIRST), Erf(), Flatten(), LAST), 'Conv',
                 'NCHW'),
        'CHWN': (serial(conv((2, 2), dimension_numbers=('CHWN', 'HWOI', 'NHWC')), Relu(), *MEAN), 'Conv', 'CHWN'),
        'letters': (serial(conv((2, 1), dimension_numbers=('NHWC', 'WHIO', 'NWHC')), Relu(), *FLAT), 'Conv',
                    'images'),
        'sequences': (serial(same((3,)), Relu(), conv((2,)), Gelu(), *MEAN), 'Conv',
                      'sequences, edge sequences'),
        'volumes': (serial(same((2, 2, 1)), Relu(), *MEAN), 'Conv', 'volumes'),
    }),
    Family('conv', 'images', (), 'small', {
        'ConvLocal': (serial(local((2, 2), None, 'SAME'), Relu(), local((2, 1), b_std=None), *FLAT),
                      'ConvLocal', 'small, edge, images'),
        'ConvLocal, mean': (serial(local((2, 2), (1, 2), 'CIRCULAR'), Relu(), *MEAN), 'ConvLocal'),
        'ConvLocal, after Conv': (after(local((2, 1), None, 'SAME'), Erf(), *MEAN), 'ConvLocal'),
        'ConvTranspose': (serial(transposed((2, 2), (2, 1), 'SAME'), Relu(), *MEAN), 'ConvTranspose',
                          BOTH),
        'ConvTranspose, valid': (serial(transposed((3, 2), (2, 1), 'VALID'), Relu(), *FLAT),
                                 'ConvTranspose'),
        'ConvTranspose, circular': (serial(transposed((2, 3), (1, 2), 'CIRCULAR'), Relu(), *FLAT),
                                    'ConvTranspose'),
        'ConvLocal, standard, s': serial(local((2, 1), parameterization='standard', s=(1, 2)), Relu(),
                                         local((1, 2), parameterization='standard', s=(2, 1)), *FLAT),
        'ConvTranspose, standard, s': serial(transposed((2, 1), parameterization='standard', s=(1, 2)), Relu(),
                                             transposed((1, 2), parameterization='standard', s=(2, 1)), *FLAT),
        'ConvTranspose, standard': (transposed((2, 1), None, 'SAME', parameterization='standard'),
                                    'ConvTranspose'),
    }),
    Family('conv', 'images', ('Conv',), BOTH, {
        'equal positions alone': serial(same((2, 2)), Relu(), conv((2, 1)))}, {'diagonal_spatial': True}),
    Family('axes', 'images', (), 'NCHW', {
        'AvgPool': first(Relu(), AvgPool((2, 2), (1, 2), **HEADS), GlobalAvgPool(**HEADS), LAST),
        'SumPool': first(Relu(), SumPool((2, 2), **HEADS), GlobalSumPool(**HEADS), LAST),
        'LayerNorm': first(LayerNorm((1, 2), .1, **HEADS), Relu(), *FLAT),
        'Index': first(Relu(), Index(Slice[..., 1:, ::2], **HEADS), *FLAT),
        'ImageResize': first(Relu(), ImageResize((-1, -1, 3, 2), 'linear', **HEADS), *FLAT),
        'GlobalSelfAttention': first(Relu(), attend(**HEADS), *FLAT),
        'DotGeneral': first(Relu(), DotGeneral(
            rhs=(.5, -1., 2., 1.), dimension_numbers=(((3,), (0,)), ((), ())), **HEADS), Flatten(), LAST),
        'Aggregate': (first(Aggregate(2, **HEADS), Relu(), *FLAT), 'Aggregate'),
        'ConvLocal': serial(local((2, 2), **FIRST), Relu(), *FLAT),
        'ConvTranspose': serial(transposed((2, 2), **FIRST), Relu(), *FLAT),
    }),
    Family('axes', 'images', (), 'CHWN', {
        'AvgPool, batch last': ahead(Relu(), AvgPool((2, 2), (1, 2), **AT_END), *END),
        'SumPool, batch last': ahead(Relu(), SumPool((2, 2), **AT_END), GlobalSumPool(**AT_END),
                                     Dense(1, .9, .1, **FLIPPED)),
        'GlobalAvgPool, batch last': ahead(Relu(), GlobalAvgPool(**AT_END), Dense(1, .9, .1, **FLIPPED)),
        'Index, batch last': ahead(Relu(), Index(Slice[:, 1:, ::2], **AT_END), *END),
        'ImageResize, batch last': ahead(Relu(), ImageResize((-1, 3, 2, -1), 'linear', **AT_END), *END),
        'LayerNorm, batch last': ahead(LayerNorm((0, 1), .1, **AT_END), Relu(), *END),
        'GlobalSelfAttention, batch last': ahead(attend(**AT_END), Relu(), *END),
        'Aggregate, batch last': ahead(Aggregate(**AT_END), Relu(), *END),
        'DotGeneral, batch last': ahead(Relu(), DotGeneral(rhs=-1.5, **AT_END), *END),
    }),
    Family('pool', 'images', (), 'small', {
        'AvgPool': (after(AvgPool((2, 1)), Dense(4, 1.1, .2), Erf(), *MEAN), 'AvgPool', BOTH),
        'AvgPool, strides': after(AvgPool((2, 2), (2, 1), 'SAME'), *FLAT),
        'AvgPool, edges': after(AvgPool((2, 2), None, 'SAME', True), *FLAT),
        'AvgPool, circular': after(AvgPool((2, 2), None, 'CIRCULAR'), *FLAT),
        'AvgPool, of inputs': AvgPool((2, 1)),
        'SumPool': after(SumPool((2, 1)), *FLAT),
        'SumPool, strides': after(SumPool((2, 2), (2, 2), 'SAME'), Dense(4, 1.1, .2), Relu(), *MEAN),
        'GlobalAvgPool': (after(GlobalAvgPool(), D, Relu(), LAST), 'GlobalAvgPool', 'small, edge, images'),
        'GlobalSumPool': (after(GlobalSumPool(), LAST), 'GlobalSumPool', BOTH),
        'GlobalAvgPool, of Sign': (serial(same((2, 2)), Sign(), GlobalAvgPool()), 'GlobalAvgPool, Sign',
                                   BOTH),
        'GlobalAvgPool, of Sign, then Relu': (serial(same((2, 2)), Sign(), GlobalAvgPool(), D, Relu(), LAST),
                                              'Sign, GlobalAvgPool'),
        'AvgPool, twice': (serial(same((3, 3)), Relu(), AvgPool((2, 2), (2, 2)), same((2, 2)),
                                  Relu(), AvgPool((2, 2)), *MEAN), 'AvgPool', 'images'),
    }),
    Family('reshape', 'images', (), 'small', {
        'Flatten': (after(Flatten(), D, Relu(), LAST), 'Flatten', 'small, edge, pixel'),
        'Flatten, inputs': (serial(Flatten(), LAST), 'Flatten', 'images'),
        'Flatten, transposed': (serial(after(Flatten(0, 1)), Dense(4, .9, **FLIPPED)), 'Flatten'),
        'Index': (after(Index(Slice[:, 1:, ::-1]), *MEAN), 'Index, Slice'),
        'Index, one row': (after(Index(Slice[..., 0, :]), Dense(4, .9), Relu(), *FLAT), 'Index, Slice'),
        'Index, one pixel': (after(Index(Slice[:, 1, 0]), D, Relu(), LAST), 'Index, Slice', BOTH),
        'ImageResize, nearest': after(ImageResize((-1, 2, 4, -1), 'nearest'), *MEAN),
        'ImageResize, linear': after(ImageResize((-1, 4, 3, -1), 'linear'), *FLAT),
        'ImageResize, cubic': after(ImageResize((-1, 5, 3, -1), 'cubic'), *FLAT),
        'ImageResize, lanczos3': after(ImageResize((-1, 2, 3, -1), 'lanczos3'), *FLAT),
        'ImageResize, lanczos5': after(ImageResize((-1, 4, 3, -1), 'lanczos5'), *FLAT),
        'ImageResize, smaller': (after(ImageResize((-1, 2, 3, -1), 'linear'), *FLAT), 'ImageResize', 'images'),
        'ImageResize, aliased': (after(ImageResize((-1, 2, 3, -1), 'linear', False), *FLAT), 'ImageResize', 'images'),
        'ImageResize, nearest, positions': ImageResize((-1, 2, 3, -1), 'nearest'),
    }),
    Family('attention', 'images', ('GlobalSelfAttention',), 'sequences', {
        'softmax': (attention(*FLAT), None, 'sequences, own sequences, edge sequences'),
        'identity': attention(*FLAT, attention_mechanism='IDENTITY'),
        'abs': attention(*FLAT, attention_mechanism='ABS'),
        'relu': attention(*MEAN, attention_mechanism='RELU'),
        'all weights': attention(Relu(), *MEAN, W_key_std=1.1, W_value_std=1.2, W_query_std=.9, W_out_std=1.3,
                                 b_std=.4),
        'square root': attention(*FLAT, linear_scaling=False, attention_mechanism='IDENTITY', b_std=.3, W_out_std=.7),
        'square root, added positions': attention(*FLAT, linear_scaling=False, attention_mechanism='IDENTITY',
                                                  pos_emb_type='SUM', W_pos_emb_std=.7, val_pos_emb=True),
        'added positions': attention(*MEAN, pos_emb_type='SUM', W_pos_emb_std=.8),
        'added positions, values too': attention(*MEAN, pos_emb_type='SUM', W_pos_emb_std=.8, val_pos_emb=True),
        'joined positions': attention(Erf(), *FLAT, pos_emb_type='CONCAT', n_chan_pos_emb=3),
        'joined positions, values too': attention(*FLAT, pos_emb_type='CONCAT', val_pos_emb=True),
        'images': (serial(attend(pos_emb_type='CONCAT', b_std=.2), Relu(), *MEAN), None, BOTH),
        'twice': (serial(*[attend(b_std=.2), Relu()] * 2, *FLAT), None, 'sequences'),
        'positions': (attend(), None, 'own sequences'),
    }),
    Family('graph', 'more', ('Aggregate',), 'graphs', {
        'aggregate': (serial(D, Relu(), Aggregate(), Dense(8, 1.1, .2), Relu(), *MEAN), None,
                      'graphs, own graphs, no edges, without patterns'),
        'twice': serial(Aggregate(), D, Relu(), Aggregate(), Dense(8, 1.1, .2), Erf(), *FLAT),
        'positions': serial(D, Aggregate(1)),
        'sparse': (serial(D, Relu(), Aggregate(implementation='SPARSE'), Dense(8, 1.1, .2), Relu(), *MEAN), None,
                   'lists of edges'),
    }),
    Family('product', 'images', ('DotGeneral',), 'small', {
        'number': serial(D, DotGeneral(rhs=-1.5), Relu(), *MEAN),
        'sum': after(DotGeneral(rhs=((.5, -1., 2., 1.), (.3, .2, 0., 1.), (-.7, .4, .1, 2.)),
                                dimension_numbers=(((1,), (0,)), ((), ())))),
        'along rows': DotGeneral(rhs=(.5, -1., 2.), dimension_numbers=(((), ()), ((1,), (0,)))),
        'from the left': DotGeneral(lhs=((.5, -1., 2.), (.3, .2, 0.)), dimension_numbers=(((1,), (1,)), ((), ()))),
    }),
    Family('mask', 'more', (), 'padded', {
        'conv, same': (serial(same((2,)), Relu(), *MEAN), 'GlobalAvgPool, Conv',
                       'padded, own padded, all padding'),
        'conv, valid': (serial(conv((2,)), Relu(), conv((2,), padding='CIRCULAR'), Erf(), *FLAT), 'Conv, Flatten'),
        'pool': (serial(same((2,)), Relu(), AvgPool((2,), None, 'SAME', True), *MEAN), 'AvgPool'),
        'sums': (serial(same((2,)), Relu(), SumPool((2,), (2,), 'SAME'), GlobalSumPool(), LAST),
                 'SumPool, GlobalSumPool'),
        'norm': (serial(same((2,)), LayerNorm((1, 2), .1), Relu(), *MEAN), 'LayerNorm'),
        'attention': (serial(same((2,)), Relu(), attend(b_std=.3), *MEAN),
                      'GlobalSelfAttention'),
        'transposed': (serial(transposed((2,), (2,), 'SAME'), Relu(), *MEAN), 'ConvTranspose'),
        'residual': (serial(same((2,)), FanOut(2), parallel(serial(Relu(), conv((1,))), Identity()), FanInSum(),
                            Relu(), *MEAN), 'FanInSum', 'padded'),
        'dense': (serial(D, Relu(), Dense(8, 1.1, .2), *MEAN), 'Dense, GlobalAvgPool'),
    }, {'mask_constant': 9.}),
]
