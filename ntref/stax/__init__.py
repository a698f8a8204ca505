"""Layers of infinitely wide and of finite networks: `init_fn, apply_fn, kernel_fn = stax.serial(...)`."""
from ..arguments import unknown_name
# composition
from .combinators import parallel, repeat, serial
# branching
from .layers.branching import FanInConcat, FanInProd, FanInSum, FanOut
# with weights
from .layers.attention import AttentionMechanism, GlobalSelfAttention
from .layers.conv import Conv, ConvLocal, ConvTranspose
from .layers.dense import Dense
from .layers.embedding import PositionalEmbedding
from .layers.sliding import Padding
# without weights
from .layers.dot_general import DotGeneral
from .layers.graph import Aggregate, AggregateImplementation
from .layers.normalization import Dropout, Identity, LayerNorm, RMSNorm
from .layers.pooling import AvgPool, GlobalAvgPool, GlobalSumPool, SumPool
from .layers.reshaping import Flatten, ImageResize, Index, Slice
# nonlinearities
from .layers.custom import Elementwise, ElementwiseNumerical
from .layers.elementwise import (
    Cos, Erf, Exp, ExpNormalized, Gabor, Gaussian, Gelu, Hermite, Monomial, Polynomial, Rbf, Sigmoid_like, Sin)
from .layers.piecewise import ABRelu, Abs, LeakyRelu, RectifiedMonomial, Relu, Sign
from .layers.clipped import Elu, HardTanh, Relu6, Selu
from .layers.smooth import Mish, Sigmoid, Softplus, Swish, Tanh
# masks
from .masking import MaskedArray, unmask_fn
# user-defined layers
from .requirements import Bool, Diagonal, requires
from .triple import layer, supports_masking
# networks as text
from .layer import Layer
from .located import LayerError
from .spec import from_spec

__all__ = [
    'serial', 'parallel', 'repeat',
    'FanOut', 'FanInSum', 'FanInProd', 'FanInConcat',
    'Dense', 'Conv', 'ConvLocal', 'ConvTranspose', 'GlobalSelfAttention', 'AttentionMechanism', 'PositionalEmbedding',
    'AvgPool', 'SumPool', 'GlobalAvgPool', 'GlobalSumPool', 'Flatten', 'Index', 'Slice', 'ImageResize', 'Identity',
    'DotGeneral', 'Aggregate', 'AggregateImplementation', 'LayerNorm', 'RMSNorm', 'Dropout',
    'Relu', 'LeakyRelu', 'ABRelu', 'Abs', 'Erf', 'Sigmoid_like', 'Gelu', 'Sin', 'Cos', 'Rbf', 'Gaussian', 'Exp',
    'ExpNormalized', 'Gabor', 'Sign', 'Hermite', 'Monomial', 'RectifiedMonomial', 'Polynomial', 'Elementwise',
    'ElementwiseNumerical', 'Elu', 'Selu', 'HardTanh', 'Relu6', 'Tanh', 'Sigmoid', 'Softplus', 'Swish', 'Mish',
    'layer', 'requires', 'supports_masking', 'Bool', 'Diagonal', 'Padding',
    'MaskedArray', 'unmask_fn', 'Layer', 'LayerError', 'from_spec',
]

NO_CLOSED_FORM = 'Its kernel has no closed form. '
__getattr__ = unknown_name(__name__, {
    **dict.fromkeys(('MaxPool', 'GlobalMaxPool'), f'{NO_CLOSED_FORM}Take AvgPool, SumPool or GlobalAvgPool.'),
    **dict.fromkeys(('BatchNorm', 'BatchNormalization', 'GroupNorm'), f'{NO_CLOSED_FORM}Take LayerNorm.'),
    **dict.fromkeys(('Softmax', 'LogSoftmax', 'softmax', 'logsoftmax'), f'{NO_CLOSED_FORM}It belongs to the loss, see '
                    'predict.gradient_descent; in attention it is attention_mechanism.'),
    **dict.fromkeys(('LSTM', 'GRU', 'RNN'), 'Recurrent layers are not here. Take GlobalSelfAttention, or Conv of one '
                    'axis.'),
    **dict.fromkeys(('Embedding', 'Embed'), 'Give one-hot vectors to Dense.'),
    **dict.fromkeys(('Linear', 'FullyConnected'), 'Take Dense.'),
    **dict.fromkeys(('Conv1d', 'Conv2d', 'Conv1D', 'Conv2D', 'Conv3d', 'GeneralConv'), 'Take Conv, whose filter_shape '
                    'has one number for each axis.'),
    **dict.fromkeys(('Sequential', 'Serial'), 'Take serial.'),
    **dict.fromkeys(('SiLU', 'Silu'), 'Take Swish.'), **dict.fromkeys(('Square', 'Quadratic'), 'Take Monomial(2).'),
    **dict.fromkeys(('Residual', 'Skip'), 'Take FanOut(2), parallel(net, Identity()), FanInSum().'),
})
