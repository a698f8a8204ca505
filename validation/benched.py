"""What `bench.py` measures: the table of its cases, their inputs and their networks.

A network is a function of `stax`, that of ntref or that of Neural Tangents (NT): names and arguments are the same.
"""
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import bench_tasks as tasks
import numpy

DATA = Path(__file__).resolve().parent / 'data'
DTYPES = 'float64', 'float32'
GETS = 'nngp', 'ntk'
HE = 2 ** .5


# ------------------------------------------------------------------ inputs

class Inputs(NamedTuple):
    """Inputs that are drawn when they are needed."""
    text: str                                   # in the table
    draw: Callable[[], numpy.ndarray]


def normal(*shape, seed=0):
    """Normal random numbers, which never come near each other where there are many features."""
    def draw():
        return numpy.random.default_rng(seed).standard_normal(shape)
    return Inputs('x'.join(map(str, shape)), draw)


def grid(n):
    """One feature, from -3 to 3: all inputs are parallel, and each has near ones."""
    return Inputs(f'grid of {n}', lambda: numpy.linspace(-3, 3, n)[:, None])


def padded(*shape, constant):
    """Sequences of one half to all of the length, then the constant."""
    def draw():
        x = normal(*shape).draw()
        n, steps = shape[:2]
        lengths = numpy.linspace(steps // 2, steps, n).astype(int)
        x[numpy.arange(steps) >= lengths[:, None]] = constant
        return x
    return Inputs('x'.join(map(str, shape)), draw)


def graphs(n, nodes):
    """Weights of edges between nodes, a tenth of all there can be, symmetric; each node is a neighbour of its own."""
    def draw():
        upper = numpy.triu(numpy.random.default_rng(1).random((n, nodes, nodes)) < .1, 1)
        return (upper | upper.swapaxes(1, 2) | numpy.eye(nodes, dtype=bool)).astype(float)
    return Inputs(f'{n} graphs', draw)


@cache
def stored(name):
    return numpy.load(DATA / f'{name}.npz')['images']


def standardized(x, axes):
    """Mean 0 and variance 1 along these axes."""
    x = x - x.mean(axes, keepdims=True)
    return x / x.std(axes, keepdims=True)


def mnist(n, is_image=False):
    """The first n digits, each with mean 0 and variance 1."""
    def draw():
        x = standardized(stored('mnist')[:n], (1, 2))
        return x[..., None] if is_image else x.reshape(n, -1)
    return Inputs(f'{n}x28x28x1' if is_image else f'{n}x784', draw)


def photographs(n):
    """Every (64 / n)-th patch; of all 64 each channel has mean 0 and variance 1."""
    def draw():
        return standardized(stored('photographs'), (0, 1, 2))[::64 // n]
    return Inputs(f'{n}x32x32x3', draw)


# ------------------------------------------------------------------ a case

class Case(NamedTuple):
    group: str
    name: str
    x1: Inputs
    network: Callable                           # of stax
    gets: tuple = GETS
    dtypes: tuple = DTYPES
    has_nt: bool = True                         # NT has these layers
    x2: Inputs | None = None
    given: dict = {}                            # keywords of kernel_fn: numbers, or Inputs for x1 and x2
    task: Callable = tasks.kernel               # see bench_tasks.py
    options: dict = {}                          # of the task

    def arrays(self, dtype, n=None):
        """x1, x2 and keywords of kernel_fn, of the first n inputs."""
        def drawn(inputs):
            return inputs.draw()[:n].astype(dtype)

        given = {}
        for name, value in self.given.items():
            given[name] = value if isinstance(value, float) else tuple(map(drawn, value))
        return drawn(self.x1), self.x2 and drawn(self.x2), given

    def prepared(self, library, dtype, get, n=None):
        """The function without arguments that is timed."""
        network = self.network(library.stax)
        return self.task(library, network, *self.arrays(dtype, n), get, **self.options)


# ------------------------------------------------------------------ networks of vectors

ACTIVATIONS = {                                 # arguments; the same for both libraries
    'Relu': (),
    'LeakyRelu': (.2,),
    'ABRelu': (-.5, 1.7),
    'Abs': (),
    'Erf': (),
    'Sigmoid_like': (),
    'Gelu': (),
    'Sin': (),
    'Cos': (),
    'Rbf': (),
    'Gaussian': (),
    'Exp': (1., .3),                            # of b = 1 three layers leave the range
    'ExpNormalized': (),
    'Gabor': (),
    'Sign': (),
    'Monomial': (2,),
    'Polynomial': ((.5, 1., .2),),
    'Hermite': (3,),
    'RectifiedMonomial': (2,),
    'Elementwise': (lambda u: u ** 2, lambda k, q1, q2: q1 * q2 + 2 * k ** 2),
    'ElementwiseNumerical': (lambda u: u / (1 + u ** 2) ** .5, 25),
    'Tanh': (),
    'Sigmoid': (),
    'Softplus': (),
    'Swish': (),
    'Mish': (),
    'Elu': (),
    'Selu': (),
    'HardTanh': (),
    'Relu6': (),
}
NT_LACKS = {
    'Tanh', 'Sigmoid', 'Softplus', 'Swish', 'Mish', 'Elu', 'Selu', 'HardTanh', 'Relu6', 'RMSNorm'}


def activation(s, name):
    return getattr(s, name)(*ACTIVATIONS[name])


def dense(s, depth, name='Relu', W_std=1.5, b_std=.1):
    layers = s.Dense(512, W_std, b_std), activation(s, name)
    return s.serial(*layers * depth, s.Dense(1))


def twice(s, *layers):
    """Two times Dense and these layers."""
    block = s.Dense(512, 1.5, .1), *layers
    return s.serial(*block, *block, s.Dense(1))


def residual(s):
    branch = s.serial(s.Relu(), s.Dense(512, 1.1, .2))
    block = s.serial(s.FanOut(2), s.parallel(branch, s.Identity()), s.FanInSum())
    return s.serial(s.Dense(512, 1.5, .1), *[block] * 4, s.Relu(), s.Dense(1))


def two_branches(s, join):
    """Relu and Sin of two layers, which `join` joins."""
    first = s.serial(s.Dense(512, 1.1, .2), s.Relu())
    second = s.serial(s.Dense(512, .8, .1), s.Sin())
    return s.serial(s.FanOut(2), s.parallel(first, second), join, s.Dense(1))


def graph_network(s):
    block = s.Aggregate(), s.Dense(64, HE), s.Relu(), s.Dense(64, HE), s.Relu()
    return s.serial(*block, *block, s.GlobalSumPool(), s.Dense(1))


# ------------------------------------------------------------------ networks of sequences and images

def conv(s, b_std=.1):
    return s.Conv(8, (3, 3), padding='SAME', W_std=HE, b_std=b_std)


def flat(s):
    return s.serial(*[conv(s), s.Relu()] * 3, s.Flatten(), s.Dense(1))


def pooled(s):
    layers = conv(s), s.Relu(), s.AvgPool((2, 2), (2, 2))
    return s.serial(*layers * 3, s.GlobalAvgPool(), s.Dense(1))


def myrtle(s, stages):
    layers = []
    for n in stages:
        layers += [conv(s, None), s.Relu()] * n
        layers.append(s.AvgPool((2, 2), (2, 2)))
    if sum(stages) == 3:
        layers.pop()                            # Myrtle-5 has two pools
    return s.serial(*layers, s.GlobalAvgPool(), s.Flatten(), s.Dense(10, 1., 0.))


def cntk(s, depth=21):
    return s.serial(*[conv(s), s.Relu()] * depth, s.GlobalAvgPool(), s.Dense(1))


def two_convolutions(s, *layers):
    """Of sequences, five steps wide, with Relu; then these layers."""
    block = s.Conv(8, (5,), padding='SAME', W_std=HE, b_std=.1), s.Relu()
    return s.serial(*block, *block, *layers, s.Dense(1))


def local(s):
    layer = s.ConvLocal(8, (5,), padding='SAME', W_std=HE, b_std=.1)
    return s.serial(layer, s.Relu(), layer, s.Relu(), s.Flatten(), s.Dense(1))


def attention(s):
    layers = s.Dense(8, HE, .1), s.Relu(), s.GlobalSelfAttention(8, 8, 8, 4), s.Relu()
    return s.serial(*layers, s.GlobalAvgPool(), s.Dense(1))


def residual_conv(s):
    branch = s.serial(s.Relu(), conv(s), s.Relu(), conv(s))
    block = s.serial(s.FanOut(2), s.parallel(branch, s.Identity()), s.FanInSum())
    return s.serial(conv(s), block, s.Relu(), s.GlobalAvgPool(), s.Dense(1))


def of_images(s, *layers):
    """A convolution and Relu, these layers, and once more the same; then every position has its weights."""
    block = conv(s), s.Relu(), *layers
    return s.serial(*block, *block, s.Flatten(), s.Dense(1))


def with_readout(s, *layers):
    """A convolution and Relu, these layers, and a readout."""
    return s.serial(conv(s), s.Relu(), *layers, s.Dense(1))


def then_conv(s, layer):
    """One layer between two convolutions."""
    return with_readout(s, layer, conv(s), s.Relu(), s.Flatten())


def with_pool(s, *layers):
    """Two times a convolution and these layers, and a pool; then the mean of all positions."""
    block = conv(s), *layers, s.AvgPool((2, 2), (2, 2))
    return s.serial(*block, *block, s.GlobalAvgPool(), s.Dense(1))


# ------------------------------------------------------------------ finite networks, and training

def mlp(s, width):
    return s.serial(*[s.Dense(width, 1.5, .1), s.Relu()] * 3, s.Dense(tasks.OUTPUTS))


def cnn(s):
    block = s.Conv(32, (3, 3), padding='SAME', W_std=HE, b_std=.1), s.Relu()
    return s.serial(*block * 2, s.GlobalAvgPool(), s.Dense(tasks.OUTPUTS))


def trained(s):
    return s.serial(*[s.Dense(512, 1.5, .1), s.Relu()] * 2, s.Dense(tasks.OUTPUTS))


# ------------------------------------------------------------------ the table

def of_random_vectors():
    for depth in 3, 10:
        for n in 1000, 4000:
            yield Case('dense', f'{depth} dense, {n}', normal(n, 100), partial(dense, depth=depth))
    for n in 10, 100, 300:
        yield Case('small', f'2 dense, {n}', normal(n, 20), partial(dense, depth=2))


def of_activations():
    for name in ACTIVATIONS:
        n = 200 if name == 'ElementwiseNumerical' else 1500         # NT keeps 625 values of a pair
        network = partial(dense, depth=3, name=name)
        yield Case('activations', name, normal(n, 100), network, has_nt=name not in NT_LACKS)
    for name in 'Relu', 'Erf', 'Gelu', 'Sin':
        network = partial(dense, depth=3, name=name)
        yield Case('one feature', f'{name}, one feature', grid(2000), network)


def of_networks():
    case = partial(Case, 'networks')
    x = normal(1500, 100)
    yield case('2 LayerNorm', x, lambda s: twice(s, s.LayerNorm(), s.Relu()))
    yield case('2 RMSNorm', x, lambda s: twice(s, s.RMSNorm(), s.Relu()), has_nt=False)
    yield case('4 residual blocks', x, residual)
    yield case('2 Dropout', x, lambda s: twice(s, s.Relu(), s.Dropout(.7)))
    yield case('FanInProd', x, lambda s: two_branches(s, s.FanInProd()))
    yield case('FanInConcat', x, lambda s: two_branches(s, s.FanInConcat()))
    edges = graphs(30, 20)
    yield case('Aggregate', normal(30, 20, 16), graph_network, given={'pattern': (edges, edges)})


def of_sequences():
    case = partial(Case, 'sequences')
    x = normal(64, 100, 8)
    few = normal(16, 100, 8)
    masks = {'mask_constant': 100.}
    shorter = padded(64, 100, 8, constant=100.)
    few_shorter = padded(16, 100, 8, constant=100.)

    def with_flatten(s):
        return two_convolutions(s, s.Flatten())

    def with_pool(s):
        return two_convolutions(s, s.AvgPool((2,), (2,)), s.Flatten())

    def with_mean(s):
        return two_convolutions(s, s.AvgPool((2,), (2,)), s.GlobalAvgPool())
    yield case('1-d conv, pool, flatten', few, with_pool)
    yield case('1-d conv, pool, flatten, masked', few_shorter, with_pool, given=masks)
    yield case('1-d conv, pool, mean', few, with_mean)
    yield case('1-d conv, pool, mean, masked', few_shorter, with_mean, given=masks)
    yield case('1-d conv, flatten', x, with_flatten)
    yield case('1-d conv, flatten, masked', shorter, with_flatten, given=masks)
    yield case('ConvLocal', x, local)
    yield case('attention', few, attention)
    yield case('attention, masked', few_shorter, attention, given=masks)


def of_random_images():
    case = partial(Case, 'images')
    yield case('conv, flatten', normal(64, 32, 32, 3), flat)
    yield case('conv, pooled', normal(8, 32, 32, 3), pooled)
    yield case('Myrtle-5', normal(4, 32, 32, 3), lambda s: myrtle(s, (1, 1, 1)))
    yield case('Myrtle-10', normal(4, 32, 32, 3), lambda s: myrtle(s, (2, 3, 3)))
    yield case('CNTK-21', normal(2, 32, 32, 3), cntk)


def of_layers_on_images():
    case = partial(Case, 'layers on images')
    x = normal(64, 16, 16, 3)
    few = normal(16, 16, 16, 3)
    yield case('residual conv block', few, residual_conv)
    yield case('LayerNorm, conv, pool', few, lambda s: with_pool(s, s.LayerNorm(), s.Relu()))
    yield case('Erf, conv, pool', few, lambda s: with_pool(s, s.Erf()))
    yield case('Gelu, conv, pool', few, lambda s: with_pool(s, s.Gelu()))
    yield case('AvgPool', few, lambda s: then_conv(s, s.AvgPool((2, 2), (2, 2))))
    yield case('SumPool', few, lambda s: then_conv(s, s.SumPool((2, 2), (2, 2))))
    yield case('ImageResize', few, lambda s: then_conv(s, s.ImageResize((-1, 8, 8, -1), 'linear')))
    half = numpy.kron(numpy.eye(8), [[.5], [.5]])             # means of two neighbours
    contracted = ((1,), (0,)), ((), ())
    yield case('DotGeneral', few, lambda s: with_readout(
        s, s.DotGeneral(rhs=half, dimension_numbers=contracted), s.Flatten()))
    yield case('Flatten', x, of_images)
    yield case('GlobalSumPool', few, lambda s: with_readout(s, s.GlobalSumPool()))
    yield case('Index', x, lambda s: of_images(s, s.Index(s.Slice[:, 1:-1, 1:-1])))
    yield case('ConvTranspose', x, lambda s: of_images(
        s, s.ConvTranspose(8, (3, 3), (2, 2), 'SAME', HE)))


def of_mnist():
    case = partial(Case, 'MNIST', dtypes=('float64',))
    for name, w, b in ('Relu', 1.45, .28), ('Relu', 2., 0.), ('Erf', 1.96, .62):
        for depth in 3, 10, 20, 50:
            network = partial(dense, depth=depth, name=name, W_std=w, b_std=b)
            text = f'MNIST, {depth} dense, {name}, {w:g}, {b:g}'
            yield case(text, mnist(2000), network, ('nngp',))
    yield case('MNIST, 10 dense', mnist(3000), partial(dense, depth=10), ('ntk',))
    yield case('MNIST, conv, flatten', mnist(64, is_image=True), flat)
    yield case('MNIST, conv, pooled', mnist(8, is_image=True), pooled)
    yield case('MNIST, 6 conv, mean', mnist(4, is_image=True), partial(cntk, depth=6))


def of_photographs():
    case = partial(Case, 'photographs')
    yield case('photographs, conv, flatten', photographs(64), flat)
    yield case('photographs, conv, pooled', photographs(8), pooled)
    yield case('photographs, Myrtle-5', photographs(4), lambda s: myrtle(s, (1, 1, 1)))
    yield case('photographs, Myrtle-10', photographs(4), lambda s: myrtle(s, (2, 3, 3)))
    yield case('photographs, CNTK-21', photographs(2), cntk)


def of_gradients():
    case = partial(Case, 'gradients', gets=('ntk',), task=tasks.gradient)
    three = partial(dense, depth=3)
    yield case('gradient, 100 of 1000', normal(100, 3072), three, x2=normal(1000, 3072, seed=1))
    yield case('gradient, 2000 of 2000', normal(2000, 100), three, x2=normal(2000, 100, seed=1))
    images, others = (normal(8, 32, 32, 3, seed=seed) for seed in (0, 1))
    yield case('gradient, 2 conv, flatten, 64', normal(64, 32, 32, 3), of_images, x2=normal(64, 32, 32, 3, seed=1))
    yield case('gradient, 2 conv, flatten', images, of_images, x2=others)


def of_finite_networks():
    case = partial(Case, gets=('ntk',), dtypes=('float64',), task=tasks.finite)

    for name, x, network in (
            ('3 x 256', normal(50, 100), partial(mlp, width=256)),
            ('3 x 1024', normal(50, 100), partial(mlp, width=1024)),
            ('2 convolutions', normal(16, 16, 16, 3), cnn)):
        yield case('finite', name, x, network)
        yield case(
            'finite', f'{name}, definition', x, network, has_nt=False, options={'implementation': 1})


def of_training():
    case = partial(Case, 'dynamics', network=trained, dtypes=('float64',))
    for name, options in ('cross-entropy', {}), ('cross-entropy, momentum', {'momentum': .9}):
        yield case(name, normal(300, 20), gets=('ntk',), task=tasks.cross_entropy, options=options)
    for name, options in ('ensemble, t = None', {}), ('ensemble, 3 times', {'t': (1., 10., 100.)}):
        yield case(
            name,
            normal(1500, 20),
            x2=normal(500, 20, seed=1),
            gets=(None,),
            task=tasks.ensemble,
            options=options)


TABLE = (
    of_random_vectors, of_random_images, of_activations, of_networks, of_sequences,
    of_layers_on_images, of_mnist, of_photographs, of_gradients, of_finite_networks, of_training)
CASES = {case.name: case for cases in TABLE for case in cases()}
GROUPS = list(dict.fromkeys(case.group for case in CASES.values()))
