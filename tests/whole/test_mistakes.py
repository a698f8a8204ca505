"""Mistakes that users make at the seams: between a network, its functions, a `Kernel`, arrays and what predicts.

Each row of the tables is a call, what it raises, and words that the message has; or it is a call that simply works.
"""
import numpy
import pytest
import scipy.sparse
from autograd import grad
from autograd import numpy as anp

import ntref
from ntref import batch, classic, predict, stax
from ntref.oracle import certify
from ntref.quadrature import expectation, mean
from ntref.recursion.kernel import Kernel

rng = numpy.random.default_rng(0)
X, X2, Y = rng.standard_normal((4, 3)), rng.standard_normal((2, 3)), rng.standard_normal((4, 1))
IMAGES = rng.standard_normal((3, 4, 4, 2))
PADDED = numpy.where(numpy.arange(4)[:, None] > 2, 0., IMAGES)
NET = stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(1))
CONV = stax.serial(stax.Conv(8, (3, 3)), stax.Relu(), stax.Flatten(), stax.Dense(1))
K, KX, KXX = (NET.kernel_fn(*pair, 'ntk') for pair in ((X, None), (X2, X), (X2, None)))
KERNEL = NET.kernel_fn(X)
_, PARAMS = NET.init_fn(0, X.shape)
REG = 1e-3


def loss(f, y):
    return anp.sum((f - y) ** 2) / 2


# ------------------------------------------------------------------ arrays whose entries are not what they seem

class Quantity(numpy.ndarray):
    """An array by inheritance alone; who knows what it means."""


class Frame:
    """As a table of pandas."""
    shape, dtype, ndim = (4, 3), numpy.dtype(float), 2

    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return self.a

    def __getitem__(self, rows):
        return Frame(self.a[rows])

    def __len__(self):
        return len(self.a)


def masked(a):
    return numpy.ma.array(a, mask=numpy.arange(a.size).reshape(a.shape) == 1)


def masked_invalid(a):
    a = a.copy()
    a.flat[1] = numpy.nan
    return numpy.ma.masked_invalid(a)


def unmasked(a):
    return numpy.ma.array(a)


LOOKALIKES = {
    'masked': masked, 'masked_invalid': masked_invalid, 'unmasked': unmasked,
    'matrix': lambda a: a.view(numpy.matrix) if a.ndim == 2 else unmasked(a),
    'subclass': lambda a: a.view(Quantity), 'recarray': lambda a: a.view(numpy.recarray),
    'sparse': lambda a: scipy.sparse.csr_array(a) if a.ndim == 2 else unmasked(a),
}

TAKERS = {
    # kernels of infinite networks
    'kernel_fn': (lambda a: NET.kernel_fn(a, None, 'ntk'), X),
    'kernel_fn, x2': (lambda a: NET.kernel_fn(X, a, 'ntk'), X2),
    'kernel_fn, images': (lambda a: CONV.kernel_fn(a), IMAGES),
    'kernel_fn, mask_constant': (lambda a: stax.GlobalAvgPool().kernel_fn(a, mask_constant=0.), PADDED),
    'kernel_fn, MaskedArray': (lambda a: stax.GlobalAvgPool().kernel_fn(stax.MaskedArray(a, IMAGES > 1)), IMAGES),
    'kernel_fn, mask': (lambda a: stax.GlobalAvgPool().kernel_fn(stax.MaskedArray(IMAGES, a)), IMAGES > 1),
    'kernel_fn, pattern': (lambda a: stax.Aggregate(1).kernel_fn(X[:, :, None], pattern=a), numpy.ones((4, 3, 3))),
    'parallel': (lambda a: stax.parallel(NET, NET).kernel_fn([X, a]), X),
    'DotGeneral': (lambda a: stax.DotGeneral(rhs=a), X),
    'Polynomial': (lambda a: stax.Polynomial(a), X[0]),
    'network': (lambda a: NET(a), X),
    'certify': (lambda a: certify(NET, a, digits=5), X),
    'certify, x2': (lambda a: certify(NET, X, a, digits=5), X2),
    # finite networks
    'apply_fn': (lambda a: NET.apply_fn(PARAMS, a), X),
    'apply_fn, params': (lambda a: NET.apply_fn(((a, None), *PARAMS[1:]), X), PARAMS[0][0]),
    'empirical_ntk_fn': (lambda a: ntref.empirical_ntk_fn(NET.apply_fn)(a, None, PARAMS), X),
    'empirical_ntk_fn, params': (lambda a: ntref.empirical_ntk_fn(lambda w, x: x @ w)(X, None, a), X2.T),
    'empirical_nngp_fn': (lambda a: ntref.empirical_nngp_fn(lambda w, x: x @ w)(X, a, X2.T), X2),
    'empirical_kernel_fn': (lambda a: ntref.empirical_kernel_fn(lambda w, x: x @ w)(a, None, None, X2.T), X),
    'empirical_ntk_vp_fn': (lambda a: ntref.empirical_ntk_vp_fn(lambda w, x: x @ w, a, None, X2.T), X),
    'empirical_ntk_vp_fn, v': (lambda a: ntref.empirical_ntk_vp_fn(lambda w, x: x @ w, X, None, X2.T)(a), X @ X2.T),
    'linearize, params': (lambda a: ntref.linearize(lambda w, x: x @ w, a)(X2.T, X), X2.T),
    'linearize, new params': (lambda a: ntref.linearize(lambda w, x: x @ w, X2.T)(a, X), X2.T),
    'linearize, x': (lambda a: ntref.linearize(lambda w, x: x @ w, X2.T)(X2.T, a), X),
    'taylor_expand': (lambda a: ntref.taylor_expand(lambda w, x: x @ w, a, 2)(X2.T, X), X2.T),
    'monte_carlo_kernel_fn': (lambda a: ntref.monte_carlo_kernel_fn(NET.init_fn, NET.apply_fn, 0, 2)(a), X),
    'classic.ntk': (lambda a: classic.ntk(lambda w, x: x @ w)(X2.T, a), X),
    # in tiles, and in files
    'batch': (lambda a: batch(NET.kernel_fn, 2)(a, None, 'ntk'), X),
    'batch, x2': (lambda a: batch(NET.kernel_fn, 2)(X, a, 'ntk'), X2),
    'batch, keyword': (lambda a: batch(lambda x1, x2, s: x1 @ x1.T, 4)(X, None, s=a), X[:, 0]),
    'batch, returned': (lambda a: batch(lambda x1, x2: a, 4)(X), K),
    'ComputedKernel': (lambda a: predict.ComputedKernel(NET.kernel_fn, a, None, 'ntk'), X),
    'ComputedKernel, returned': (lambda a: predict.ComputedKernel(lambda x1, x2: a, X), K),
    'save_kernel': (lambda a: ntref.save_kernel('never-written.npz', a), K),
    'Kernel': (lambda a: NET.kernel_fn(Kernel(a, cov1=K.diagonal(), shape1=(4, 3), shape2=(4, 3))), K),
    # predictions
    'gradient_descent_mse': (lambda a: predict.gradient_descent_mse(a, Y), K),
    'gradient_descent_mse, y': (lambda a: predict.gradient_descent_mse(K, a), Y),
    'gradient_descent_mse, k_test_train': (lambda a: predict.gradient_descent_mse(K, Y)(None, 0., 0., a), KX),
    'gradient_descent_mse, fx': (lambda a: predict.gradient_descent_mse(K, Y)(1., a), Y),
    'gradient_descent_mse, t': (lambda a: predict.gradient_descent_mse(K, Y)(a, Y), abs(Y[:, 0])),
    'gradient_descent': (lambda a: predict.gradient_descent(loss, a, Y), K),
    'gradient_descent, y': (lambda a: predict.gradient_descent(loss, K, a), Y),
    'gradient_descent_mse_steps': (lambda a: predict.gradient_descent_mse_steps(a, Y, .1), K),
    'gradient_descent_mse_steps, y': (lambda a: predict.gradient_descent_mse_steps(K, a, .1), Y),
    'gradient_descent_mse_ensemble, x': (
        lambda a: predict.gradient_descent_mse_ensemble(NET.kernel_fn, a, Y)(get='ntk'), X),
    'gradient_descent_mse_ensemble, y': (
        lambda a: predict.gradient_descent_mse_ensemble(NET.kernel_fn, X, a)(get='ntk'), Y),
    'gradient_descent_mse_ensemble, x_test': (
        lambda a: predict.gradient_descent_mse_ensemble(NET.kernel_fn, X, Y)(x_test=a, get='ntk'), X2),
    'gp_inference': (lambda a: predict.gp_inference(a, Y)('nngp'), K),
    'gp_inference, y': (lambda a: predict.gp_inference(K, a)('nngp'), Y),
    'gp_inference, k_test_train': (lambda a: predict.gp_inference(K, Y)('nngp', a), KX),
    'gp_inference, k_test_test': (lambda a: predict.gp_inference(K, Y)('nngp', KX, a), KXX),
    'gp_inference_iterative': (lambda a: predict.gp_inference_iterative(a, Y)('nngp', KX), K),
    'gp_inference_iterative, y': (lambda a: predict.gp_inference_iterative(K, a)('nngp', KX), Y),
    'gp_inference_iterative, k_test_train': (lambda a: predict.gp_inference_iterative(K, Y)('nngp', a), KX),
    'gp_inference_iterative, k_test_test': (lambda a: predict.gp_inference_iterative(K, Y)('nngp', KX, a), KXX),
    'cg': (lambda a: predict.cg(a, Y), K),
    'cg, y': (lambda a: predict.cg(K, a), Y),
    'log_marginal_likelihood': (lambda a: predict.log_marginal_likelihood(a, Y, REG), K),
    'log_marginal_likelihood, y': (lambda a: predict.log_marginal_likelihood(K, a, REG), Y),
    'leave_one_out': (lambda a: predict.leave_one_out(a, Y, REG), K),
    'leave_one_out, y': (lambda a: predict.leave_one_out(K, a, REG), Y),
    'ridge_sweep': (lambda a: predict.ridge_sweep(a, Y, [.1, 1.]), K),
    'ridge_sweep, diag_regs': (lambda a: predict.ridge_sweep(K, Y, a), abs(Y[:, 0])),
    'ridge_sweep, k_test_train': (lambda a: predict.ridge_sweep(K, Y, [.1, 1.], a), KX),
    'max_learning_rate': (lambda a: predict.max_learning_rate(a), K),
    'kernel_gradient': (lambda a: predict.kernel_gradient(lambda f: anp.sum(f ** 2), a, K), Y),
    'kernel_gradient, k': (lambda a: predict.kernel_gradient(lambda f: anp.sum(f ** 2), Y, a), K),
    'sample': (lambda a: predict.sample((Y, a), 2, 0), K),
    'sample, mean': (lambda a: predict.sample((a, K), 2, 0), Y),
    'log_marginal_likelihood_gradient': (lambda a: predict.log_marginal_likelihood_gradient(
        lambda W_std: stax.Dense(1, W_std), a, Y, {'W_std': 1.}, diag_reg=REG), X),
    'log_marginal_likelihood_gradient, y': (lambda a: predict.log_marginal_likelihood_gradient(
        lambda W_std: stax.Dense(1, W_std), X, a, {'W_std': 1.}, diag_reg=REG), Y),
    'fit_hyperparameters': (lambda a: predict.fit_hyperparameters(
        lambda W_std: stax.Dense(1, W_std), a, Y, {'W_std': 1.}, diag_reg=REG), X),
    'analytic_mse_predictor': (lambda a: classic.analytic_mse_predictor(a, Y), K),
    'analytic_mse_predictor, g_td': (lambda a: classic.analytic_mse_predictor(K, Y, a)(Y, Y[:2], 1.), KX),
    'analytic_mse_predictor, fx': (lambda a: classic.analytic_mse_predictor(K, Y)(a, 1.), Y),
    'momentum_predictor, fx': (lambda a: classic.momentum_predictor(K, Y, loss, .1)[0](a), Y),
    # expectations
    'expectation': (lambda a: expectation(anp.sin, anp.sin, a, 1., .1), abs(Y)),
    'expectation, k': (lambda a: expectation(anp.sin, anp.sin, 9., 9., a), Y),
    'expectation, returned': (lambda a: expectation(lambda u: type(a)(u), anp.sin, 1., 1., .1), masked(Y)),
    'mean': (lambda a: mean(anp.sin, a), abs(Y)),
}
"""What takes an array: a call, and an array that it takes."""

TAKES_NUMBERS = {
    'Polynomial', 'DotGeneral', 'gradient_descent_mse, t', 'ridge_sweep, diag_regs', 'expectation', 'expectation, k',
    'mean', 'expectation, returned', 'batch, keyword', 'batch, returned', 'ComputedKernel, returned', 'save_kernel',
    'apply_fn, params', 'kernel_fn, pattern', 'empirical_ntk_fn', 'empirical_nngp_fn', 'empirical_kernel_fn',
    'empirical_ntk_vp_fn', 'empirical_ntk_vp_fn, v', 'linearize, x', 'classic.ntk', 'monte_carlo_kernel_fn',
    'gp_inference_iterative, k_test_test', 'gradient_descent_mse, fx'}
"""Lists of numbers, or what has shape and dtype, mean something there: numbers, trees, functions of the user."""


def same(found, expected):
    """Equal to rounding, in trees, named tuples and attributes."""
    if isinstance(expected, (tuple, list)):
        return len(found) == len(expected) and all(map(same, found, expected))
    if callable(expected) or expected is None or not hasattr(expected, 'shape'):
        return True
    if isinstance(expected, predict.ComputedKernel):
        return same(found[:], expected[:])
    return type(found) is type(expected) and numpy.allclose(found.astype(float), expected.astype(float), rtol=1e-12)


@pytest.mark.parametrize('kind', LOOKALIKES)
@pytest.mark.parametrize('name', [name for name in TAKERS if name != 'expectation, returned'])
def test_lookalikes_of_arrays_are_refused_by_name(name, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, a = TAKERS[name]
    given = LOOKALIKES[kind](a)
    with pytest.raises(TypeError, match='asarray|filled|toarray') as error:
        call(given)
    assert type(given).__name__ in str(error.value).replace('MaskedConstant', 'MaskedArray')
    assert not [*tmp_path.iterdir()]


def test_functions_that_return_masked_arrays():
    with pytest.raises(TypeError, match='got MaskedArray. Its mask would be lost'):
        TAKERS['expectation, returned'][0](numpy.ma.array(1.))


@pytest.mark.parametrize('name', [name for name in TAKERS if name not in TAKES_NUMBERS])
def test_lists_and_tables_are_refused(name):
    call, a = TAKERS[name]
    for given in (a.tolist(), Frame(a)):
        with pytest.raises((TypeError, ValueError), match='expected'):
            call(given)


@pytest.mark.parametrize('name', [name for name in TAKERS if name not in (
    'save_kernel', 'expectation, returned', 'ComputedKernel, returned')])
def test_views_and_files_are_arrays(name, tmp_path):
    """memmap, views with other strides, read-only arrays: the numbers of plain arrays, and plain arrays come back."""
    call, a = TAKERS[name]
    expected = call(a)
    file = numpy.memmap(tmp_path / 'a', a.dtype, 'w+', shape=a.shape)
    file[...] = a
    wide = numpy.repeat(numpy.repeat(a, 2, 0), 2, -1) if a.ndim > 1 else numpy.repeat(a, 2)
    strided = wide[::2, ..., ::2] if a.ndim > 1 else wide[::2]
    backwards = numpy.flip(numpy.flip(a, 0).copy(), 0)
    frozen = a.copy()
    frozen.flags.writeable = False
    window = numpy.lib.stride_tricks.as_strided(a.copy(), a.shape, a.copy().strides)
    for given in (file, strided, backwards, frozen, numpy.asfortranarray(a), window, a.astype(a.dtype.newbyteorder())):
        assert numpy.array_equal(given, a) and same(call(given), expected)


# ------------------------------------------------------------------ calls

TRIPLE, BOTH = tuple(NET), NET.kernel_fn(X, None, ('nngp', 'ntk'))
ENSEMBLE = predict.gradient_descent_mse_ensemble(NET.kernel_fn, X, Y)

MISTAKES = {
    # kernel_fn
    'three inputs': (lambda: NET.kernel_fn(X, X, X), TypeError, 'different names .*x1, x2 and get'),
    'get of a set': (lambda: NET.kernel_fn(X, None, {'ntk'}), TypeError, 'different names .*type set'),
    'get of a number': (lambda: NET.kernel_fn(X, get=3), TypeError, 'got 3 of type int'),
    'get misspelt': (lambda: NET.kernel_fn(X, None, 'ngp'), ValueError, "Did you mean 'nngp'"),
    'get misspelt, in a tuple': (lambda: NET.kernel_fn(X, None, ('nngp', 'nkt')), ValueError, "Did you mean 'ntk'"),
    'get empty': (lambda: NET.kernel_fn(X, None, ()), ValueError, 'one or more different names'),
    'get as x2': (lambda: NET.kernel_fn(X, 'ntk'), TypeError, "kernel_fn.x1, None, 'ntk'.*get='ntk'"),
    'flag in text': (lambda: NET.kernel_fn(X, None, 'ntk', diagonal_spatial='False'), TypeError, 'True or False'),
    'constant in text': (lambda: NET.kernel_fn(X, mask_constant='x'), TypeError, 'mask_constant .*number'),
    'no inputs': (lambda: NET.kernel_fn(None), TypeError, 'x1 to be an array of inputs, got no array'),
    'a list of numbers': (lambda: NET.kernel_fn(X.tolist()), ValueError, 'numpy.asarray'),
    'two inputs in a list': (lambda: NET.kernel_fn([X, X2]), ValueError, 'expected one input.*parallel'),
    'a vector': (lambda: NET.kernel_fn(X[0]), ValueError, r'x\[:, None\]'),
    'other features': (lambda: NET.kernel_fn(X, X2[:, :2]), ValueError, r'equal shapes .*\(4, 3\) and \(2, 2\)'),
    'transposed': (lambda: NET.kernel_fn(X, X2.T), ValueError, r'equal shapes .*\(4, 3\) and \(3, 2\)'),
    'a Kernel and x2': (lambda: NET.kernel_fn(KERNEL, X), ValueError, 'x2=None with a Kernel'),
    'a Kernel as x2': (lambda: NET.kernel_fn(X, KERNEL), TypeError, 'got a Kernel, which holds both inputs'),
    'a network as inputs': (lambda: NET.kernel_fn(NET), TypeError, 'That is a network'),
    'complex': (lambda: NET.kernel_fn(X + 0j), TypeError, 'real numbers.*complex128'),
    'text': (lambda: NET.kernel_fn(X.astype(str)), TypeError, 'real numbers.*<U'),
    'NaN': (lambda: NET.kernel_fn(numpy.where(X > 1, numpy.nan, X)), ValueError, 'rows of x1: '),
    # layers
    'Relu first': (lambda: stax.serial(stax.Relu(), stax.Dense(1)).kernel_fn(X), ValueError, 'layer 0.*Insert Dense'),
    'no parentheses': (lambda: stax.serial(stax.Relu, stax.Dense(1)), TypeError, r'Write Relu\(\)'),
    'layers in a list': (lambda: stax.serial([stax.Dense(1), stax.Relu()]), TypeError, r'serial\(\*layers\)'),
    'kernel_fn as a layer': (lambda: stax.serial(NET.kernel_fn), TypeError, 'expected layers such as Relu'),
    'width of a float': (lambda: stax.Dense(8.), ValueError, 'out_dim .*whole number, got 8.0'),
    'True for b_std': (lambda: stax.Dense(8, 1.5, True), TypeError, 'b_std is expected to be a number'),
    'an array for W_std': (lambda: stax.Dense(8, W_std=X), TypeError, 'Dense: W_std is expected to be a number, .*'
                           'For a grid of them call the dual .* docs/theory/dense.md#phase-diagrams'),
    'an array for b_std': (lambda: stax.Conv(8, (3,), b_std=X), TypeError, 'Conv: b_std is expected to be a number, .*'
                           r'got an array of shape \(.* For a grid of them'),
    'parameterization': (lambda: stax.Dense(8, parameterization='nkt'), ValueError, "Did you mean 'ntk'"),
    'axis in text': (lambda: stax.Dense(8, batch_axis='0').kernel_fn(X), (TypeError, ValueError), 'whole number'),
    'axis None': (lambda: stax.Dense(8, channel_axis=None).kernel_fn(X), (TypeError, ValueError), 'whole number'),
    'axis that is not there': (lambda: stax.Dense(8, channel_axis=5).kernel_fn(X), ValueError, 'between -2 and 1'),
    's of one number': (lambda: stax.Dense(8, s=2, parameterization='standard'), TypeError, 'two numbers > 0'),
    'filter of one number': (lambda: stax.Conv(8, 3), TypeError, r'filter_shape=\(2,\)'),
    'strides of one number': (lambda: stax.Conv(8, (3, 3), 1), TypeError, r'strides=\(2,\)'),
    'padding': (lambda: stax.Conv(8, (3, 3), padding='SAMEE'), ValueError, "Did you mean 'SAME'"),
    'padding of a pool': (lambda: stax.AvgPool((2, 2), padding='VALIDE'), ValueError, "Did you mean 'VALID'"),
    'Conv of vectors': (lambda: stax.Conv(8, (3, 3)).kernel_fn(X), ValueError, '2 spatial axes'),
    'one-dimensional Conv of images': (lambda: stax.Conv(8, (3,)).kernel_fn(IMAGES), ValueError, '1 spatial axes'),
    'filter over the edge': (lambda: stax.Conv(8, (5, 5)).kernel_fn(IMAGES), ValueError, 'no longer than the input'),
    'window of one number': (lambda: stax.AvgPool(2), TypeError, r'window_shape=\(2,\)'),
    'rate in percent': (lambda: stax.Dropout(50), ValueError, '0 < rate <= 1'),
    'mode': (lambda: stax.Dropout(.5, mode='trian'), ValueError, "Did you mean 'train'"),
    'attention_mechanism': (lambda: stax.GlobalSelfAttention(8, 8, 8, 1, attention_mechanism='SOFTMX'), ValueError,
                            "Did you mean 'SOFTMAX'"),
    'method of ImageResize': (lambda: stax.ImageResize((-1, 2, 2, -1), 'linaer'), ValueError, "Did you mean 'linear'"),
    'a layer for a function': (lambda: stax.Elementwise(stax.Relu()), TypeError, 'fn is expected to be a function'),
    'one input for two branches': (lambda: stax.parallel(NET, NET).kernel_fn(X), ValueError, r'FanOut\(2\)'),
    'a list of one for two': (lambda: stax.parallel(NET, NET).kernel_fn([X]), ValueError, 'as many inputs as there'),
    'repeat, no parentheses': (lambda: stax.repeat(stax.Relu, 3), ValueError, 'a layer such as Relu'),
    'a layer that is not there': (lambda: stax.from_spec({'layer': 'Desne', 'out_dim': 1}), ValueError,
                                  "Did you mean 'Dense'"),
    # finite networks
    'seed and shape exchanged': (lambda: NET.init_fn(X.shape, 0), TypeError, 'a shape.*x.shape'),
    'an array for its shape': (lambda: NET.init_fn(0, X), TypeError, 'a shape.*x.shape'),
    'seed in text': (lambda: NET.init_fn('seed', (4, 3)), TypeError, 'rng to be a seed'),
    'params and inputs exchanged': (lambda: NET.apply_fn(X, PARAMS), ValueError, 'expected one input, got a list'),
    'params of a layer': (lambda: NET.apply_fn(PARAMS[0], X), ValueError, '3 in a tuple or list, got 2 of them'),
    'no params': (lambda: NET.apply_fn(None, X), ValueError, 'params as init_fn gives them'),
    'params of another network': (lambda: NET.apply_fn((1, PARAMS, ()), X), ValueError, '2 in a tuple.*got int'),
    'params of other inputs': (lambda: NET.apply_fn(PARAMS, X[:, :2]), ValueError, r'shape \(2, 8\).*got \(3, 8\)'),
    'Dropout without rng': (lambda: stax.Dropout(.5).apply_fn((), X), ValueError, 'expected rng, a seed'),
    'empirical of kernel_fn': (lambda: ntref.empirical_ntk_fn(NET.kernel_fn), TypeError, 'apply_fn.*its kernel_fn'),
    'empirical of init_fn': (lambda: ntref.empirical_ntk_fn(NET.init_fn), TypeError, 'apply_fn .*got its init_fn'),
    'empirical, params first': (lambda: ntref.empirical_ntk_fn(NET.apply_fn)(PARAMS, X, None), ValueError,
                                'expected one input, got a list of 3'),
    'empirical, get misspelt': (lambda: ntref.empirical_kernel_fn(NET.apply_fn)(X, None, 'nkt', PARAMS), ValueError,
                                "Did you mean 'ntk'"),
    'empirical, params as get': (lambda: ntref.empirical_kernel_fn(NET.apply_fn)(X, None, PARAMS, PARAMS), TypeError,
                                 'x1, x2, get, params'),
    'monte_carlo of a triple': (lambda: ntref.monte_carlo_kernel_fn(*NET, 0), ValueError, 'seed .*serial'),
    'monte_carlo of kernel_fn': (lambda: ntref.monte_carlo_kernel_fn(NET.init_fn, NET.kernel_fn, 0, 2), TypeError,
                                 'apply_fn .*got its kernel_fn'),
    'linearize kernel_fn': (lambda: ntref.linearize(NET.kernel_fn, PARAMS), TypeError, 'got its kernel_fn'),
    'linearize about inputs': (lambda: ntref.linearize(NET.apply_fn, X)(PARAMS, X), ValueError, 'the same form'),
    # in tiles, and in files
    'batch of apply_fn': (lambda: batch(NET.apply_fn, 2), TypeError, 'got its apply_fn'),
    'batch of a kernel': (lambda: batch(K, 2), TypeError, 'kernel_fn to be a function, got ndarray'),
    'batch of a triple': (lambda: batch(TRIPLE, 2), TypeError, 'init_fn, apply_fn, kernel_fn'),
    'batch, exchanged': (lambda: batch(2, NET.kernel_fn), TypeError, 'kernel_fn to be a function, got int'),
    'batch, no get': (lambda: batch(NET.kernel_fn, 2)(X), TypeError, "get='ntk'"),
    'batch of a Kernel': (lambda: batch(NET.kernel_fn, 2)(KERNEL, None, 'ntk'), TypeError, 'x1 to be an array'),
    'batch of a list': (lambda: batch(NET.kernel_fn, 2)(X.tolist(), None, 'ntk'), TypeError, 'x1 to be an array'),
    'save, exchanged': (lambda: ntref.save_kernel(K, 'k.npz'), TypeError, 'path to be a path'),
    'save a network': (lambda: ntref.save_kernel('k.npz', NET), TypeError, "get='ntk'"),
    'save as text': (lambda: ntref.save_kernel('k.txt', K), ValueError, 'ends in .npz or .zarr'),
    'load an array': (lambda: ntref.load_kernel(K), TypeError, 'path to be a path'),
    # predictions
    'a Kernel': (lambda: predict.gradient_descent_mse(KERNEL, Y), TypeError, 'which has several. Pass its .ntk'),
    'both kernels': (lambda: predict.gradient_descent_mse(BOTH, Y), TypeError, 'which has several. Pass its .ntk'),
    'inputs for the kernel': (lambda: predict.gradient_descent_mse(X, Y), ValueError, r'\(4, 3\), expected \(4, 4\)'),
    'fewer targets': (lambda: predict.gradient_descent_mse(K, Y[:3]), ValueError, r'\(4, 4\), expected \(3, 3\)'),
    'targets in a list': (lambda: predict.gradient_descent_mse(K, Y.tolist()), TypeError, 'numpy.asarray'),
    'ridge in text': (lambda: predict.gradient_descent_mse(K, Y, diag_reg='1'), TypeError, 'diag_reg .*number'),
    'axes in text': (lambda: predict.gradient_descent_mse(K, Y, trace_axes='x'), TypeError, 'trace_axes'),
    'no k_test_train': (lambda: predict.gradient_descent_mse(K, Y)(1., 0., 0.), ValueError, 'k_test_train along with'),
    'kernel transposed': (lambda: predict.gradient_descent_mse(K, Y)(1., 0., 0., KX.T), ValueError, r'\(any, 4\)'),
    'a kernel for kernel_fn': (lambda: predict.gradient_descent_mse_ensemble(K, X, Y), TypeError, 'kernel_fn to be a'),
    'apply_fn for kernel_fn': (lambda: predict.gradient_descent_mse_ensemble(NET.apply_fn, X, Y), TypeError,
                               'got its apply_fn'),
    'ensemble, get': (lambda: ENSEMBLE(x_test=X2, get='ntkg'), ValueError, "Did you mean 'ntkgp'"),
    'gp_inference of kernel_fn': (lambda: predict.gp_inference(NET.kernel_fn, X), TypeError, 'k_train_train'),
    'gp_inference, kernel first': (lambda: predict.gp_inference(K, Y)(K), TypeError,
                                   'expected get to be names of kernels, got an array .*k_test_train'),
    'gp_inference, Kernel first': (lambda: predict.gp_inference(K, Y)(KERNEL), TypeError, 'Kernels come after'),
    'gp_inference, get': (lambda: predict.gp_inference(K, Y)('nngpp'), ValueError, "Did you mean 'nngp'"),
    'flow of a network': (lambda: predict.gradient_descent(loss, NET, Y), TypeError, 'which computes kernels. Call it'),
    'flow, exchanged': (lambda: predict.gradient_descent(K, Y, loss), TypeError, 'Call it|function'),
    'flow, method': (lambda: predict.gradient_descent(loss, K, Y, method='RK54'), ValueError, "Did you mean 'RK45'"),
    'loss by example': (lambda: predict.gradient_descent(lambda f, y: (f - y) ** 2, K, Y)(), ValueError, 'its mean'),
    'loss in text': (lambda: predict.gradient_descent('mse', K, Y), TypeError, 'loss to be a function'),
    'sample of a covariance': (lambda: predict.sample(K, 2, 0), TypeError, 'mean, covariance'),
    'cg of a network': (lambda: predict.cg(NET, Y), TypeError, 'expected k to be a kernel.* which computes kernels'),
    'a class for a kernel function': (lambda: batch(stax.Dense, 2), TypeError, 'got the class Dense. Call it: Dense'),
    'a class for a network': (lambda: predict.gradient_descent_mse_ensemble(stax.Relu, X, Y), TypeError, 'class Relu'),
    'a class for an apply_fn': (lambda: ntref.empirical_ntk_fn(stax.Dense), TypeError, 'got the class Dense. Call it'),
    'a class for a kernel': (lambda: predict.gp_inference(stax.Dense, Y), TypeError, 'got the class Dense, which comp'),
    'of a class': (lambda: batch(stax.Dense.kernel_fn, 2), TypeError, 'got property: .* It belongs to a class: call'),
    'cg of a Kernel': (lambda: predict.cg(KERNEL, Y), TypeError, 'got Kernel. Take its `.ntk` or its `.nngp`'),
    'samples of a Kernel': (lambda: predict.sample(KERNEL, 1, 0), TypeError, 'a Gaussian, .* got Kernel. Take its `.n'),
    'samples of two kernels': (lambda: predict.sample(BOTH, 1, 0), TypeError, 'Gaussian, .* got AnalyticKernel. Take'),
    'NaN in parameters': (lambda: NET.apply_fn(((PARAMS[0][0] * numpy.nan, ()), *PARAMS[1:]), X), ValueError,
                          'each of params to be finite, got NaN or infinity in 24'),
    'NaN in cotangents': (lambda: ntref.empirical_ntk_vp_fn(NET, X, None, PARAMS)(Y * numpy.nan), ValueError,
                          'cotangents to be finite'),
    'axes of a Kernel': (lambda: Kernel(K, batch_axis='a'), TypeError, "batch and channels to be whole"),
    'evidence, get': (lambda: predict.log_marginal_likelihood(K, Y, REG, get='nnpg'), ValueError, "mean 'nngp'"),
    'fit of a network': (lambda: predict.fit_hyperparameters(NET, X, Y, {'W_std': 1.}), TypeError, 'net_fn to be a'),
    'certify a kernel_fn': (lambda: certify(NET.kernel_fn, X), TypeError, 'expected a Layer'),
    'certify, get': (lambda: certify(NET, X, get='nntk', digits=5), ValueError, "Did you mean 'ntk'"),
}


HIDDEN = 'got (MaskedArray|MaskedConstant). Its mask would be lost'


@pytest.mark.parametrize('call', [
    lambda n: stax.Dense(n), lambda n: stax.Conv(n, (3,)), lambda n: stax.Conv(1, (3, n)), lambda n: stax.LayerNorm(n),
    lambda n: stax.Conv(1, numpy.ma.array([3, 3], mask=[False, True])), lambda n: stax.FanOut(n),
    lambda n: stax.Index(n), lambda n: stax.GlobalAvgPool(batch_axis=n), lambda n: stax.Dense(1, W_std=n),
    lambda n: batch(NET, n), lambda n: batch(NET, device_count=n), lambda n: batch(NET, store_on_device=n.astype(bool)),
    lambda n: ntref.monte_carlo_kernel_fn(NET, NET, 0, n), lambda n: ntref.taylor_expand(NET, PARAMS, n),
    lambda n: ntref.empirical_ntk_fn(NET, n), lambda n: ntref.empirical_ntk_fn(NET, (0, n)),
    lambda n: ntref.empirical_ntk_fn(NET, numpy.ma.array([0])), lambda n: predict.gp_inference(K, Y, trace_axes=n)])
@pytest.mark.parametrize('n', [numpy.ma.array(1, mask=True), numpy.ma.array(1)], ids=['masked', 'unmasked'])
def test_masked_numbers(call, n):
    with pytest.raises((TypeError, ValueError), match='expected .*masked_array|' + HIDDEN):
        call(n)


def test_masked_outputs():
    def f(params, x, rng=None):
        return numpy.ma.array(x, mask=True)
    for call in (lambda: ntref.empirical_nngp_fn(f)(X, None, ()), lambda: ntref.empirical_ntk_fn(f)(X, None, ()),
                 lambda: ntref.empirical_kernel_fn(f)(X, None, None, ()),
                 lambda: ntref.monte_carlo_kernel_fn(NET, f, 0, 2)(X),
                 lambda: ntref.monte_carlo_kernel_fn(NET, f, 0, 2, 3)(X)):
        with pytest.raises(TypeError, match='expected an output to be an array, ' + HIDDEN):
            call()


def test_inputs_are_refused_before_a_kernel_is_asked_for():
    for x in masked(X), [X, masked(X)]:
        with pytest.raises(TypeError, match=f'expected x_train.* to be an array, {HIDDEN}'):
            predict.gradient_descent_mse_ensemble(NET, x, Y)
    x = scipy.sparse.csr_array(X)                           # which a function of the user may take
    ensemble = predict.gradient_descent_mse_ensemble(lambda x1, x2, get: (x1 @ x1.T).toarray(), x, Y)
    assert ensemble(1., get='nngp').shape == Y.shape


@pytest.mark.parametrize('name', MISTAKES)
def test_mistakes(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, error, words = MISTAKES[name]
    with pytest.raises(error, match=f'(?s){words}'):
        call()
    assert not [*tmp_path.iterdir()]


def f(params, x, s=1.):
    return s * anp.tanh(x @ params)


W = rng.standard_normal((3, 1))
NO_DERIVATIVES = {
    'batch, out: x1': lambda a: batch(NET, 2, out='never-written')(a * X, None, 'ntk'),
    'batch, out: x2': lambda a: batch(NET, 2, out='never-written')(X, a * X, 'ntk'),
    'batch: a kernel': lambda a: batch(stax.Dense(1, a), 2)(X, None, 'ntk'),
    'empirical_ntk_fn: an output': lambda a: ntref.empirical_ntk_fn(lambda w, x: a * f(w, x))(X, None, W),
    'empirical_ntk_vp_fn: x1': lambda a: ntref.empirical_ntk_vp_fn(NET, a * X, None, PARAMS)(Y),
    'empirical_ntk_vp_fn: cotangents': lambda a: ntref.empirical_ntk_vp_fn(NET, X, None, PARAMS)(a * Y),
    'monte_carlo_kernel_fn: x1': lambda a: ntref.monte_carlo_kernel_fn(NET, NET, 0, 2)(a * X, None, 'ntk'),
    'save_kernel: a kernel': lambda a: ntref.save_kernel('never-written.npz', a * K),
    'cg: k': lambda a: predict.cg(a * K, Y).a,
    'cg: y': lambda a: predict.cg(K, a * Y).a,
    'gp_inference_iterative: k_train_train': lambda a: predict.gp_inference_iterative(a * K, Y)('ntk', KX),
    'gp_inference_iterative: y_train': lambda a: predict.gp_inference_iterative(K, a * Y)('ntk', KX),
    'gp_inference_iterative: k_test_train': lambda a: predict.gp_inference_iterative(K, Y)('ntk', a * KX),
    'gradient_descent: k_train_train': lambda a: predict.gradient_descent(loss, a * K, Y)(1.),
    'gradient_descent: y_train': lambda a: predict.gradient_descent(loss, K, a * Y)(1.),
    'kernel_gradient: fx_train': lambda a: predict.kernel_gradient(lambda f: anp.sum(f ** 2), a * Y, K).d,
    'kernel_gradient: k_train_train': lambda a: predict.kernel_gradient(lambda f: anp.sum(f ** 2), Y, a * K).d,
    'fit_hyperparameters: x_train': lambda a: predict.fit_hyperparameters(
        lambda W_std: stax.Dense(1, W_std), a * X, Y, {'W_std': 1.}, diag_reg=REG).log_marginal_likelihood,
    'log_marginal_likelihood_gradient: W_std': lambda a: predict.log_marginal_likelihood_gradient(
        lambda W_std: stax.Dense(1, W_std), X, Y, {'W_std': a}, diag_reg=REG)[0],
}


@pytest.mark.parametrize('name', NO_DERIVATIVES)
def test_what_no_derivatives_go_through(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    what = name.partition(': ')[2]
    with pytest.raises(TypeError, match=f'expected {what} to be numbers, got ArrayBox. autograd follows it, but no '
                       'derivatives go through .* Differentiate kernel_fn itself'):
        grad(lambda a: anp.sum(NO_DERIVATIVES[name](a)))(1.)
    assert not [*tmp_path.iterdir()]


# ------------------------------------------------------------------ what simply works

WORKS = {
    'net(x)': (lambda: NET(X, None, 'ntk'), lambda: K),
    'net(x1, x2)': (lambda: NET(X2, X, get='ntk'), lambda: KX),
    'a Kernel through it': (lambda: NET(KERNEL).nngp, lambda: NET.kernel_fn(KERNEL).nngp),
    'get in capitals': (lambda: NET.kernel_fn(X, None, 'NTK'), lambda: K),
    'get of one in a list': (lambda: NET.kernel_fn(X, None, ['ntk']).ntk, lambda: K),
    'float16, whole numbers': (lambda: NET.kernel_fn(numpy.eye(3, dtype='int8')),
                               lambda: NET.kernel_fn(numpy.eye(3, dtype='float16'))),
    'batch(net)': (lambda: batch(NET, 2)(X, None, 'ntk'), lambda: K),
    'ComputedKernel(net)': (lambda: predict.ComputedKernel(NET, X, None, 'ntk')[:], lambda: K),
    'ensemble of net': (lambda: predict.gradient_descent_mse_ensemble(NET, X, Y)(x_test=X2, get='ntk'),
                        lambda: ENSEMBLE(x_test=X2, get='ntk')),
    'empirical of net': (lambda: ntref.empirical_ntk_fn(NET)(X, None, PARAMS),
                         lambda: ntref.empirical_ntk_fn(NET.apply_fn)(X, None, PARAMS)),
    'products of net': (lambda: ntref.empirical_ntk_vp_fn(NET, X, None, PARAMS)(Y),
                        lambda: ntref.empirical_ntk_vp_fn(NET.apply_fn, X, None, PARAMS)(Y)),
    'linearize(net)': (lambda: ntref.linearize(NET, PARAMS)(PARAMS, X), lambda: NET.apply_fn(PARAMS, X)),
    'classic.ntk(net)': (lambda: classic.ntk(NET)(PARAMS, X), lambda: classic.ntk(NET.apply_fn)(PARAMS, X)),
    'monte_carlo of net': (lambda: ntref.monte_carlo_kernel_fn(NET, NET, 0, 2)(X),
                           lambda: ntref.monte_carlo_kernel_fn(NET.init_fn, NET.apply_fn, 0, 2)(X)),
    'RandomState': (lambda: NET.init_fn(numpy.random.RandomState(0), (4, 3)),
                    lambda: NET.init_fn(numpy.random.RandomState(0), (4, 3))),
    'a Kernel where both are asked': (lambda: predict.gp_inference(KERNEL, Y)('ntk', NET.kernel_fn(X)),
                                      lambda: predict.gp_inference(BOTH, Y)('ntk', BOTH)),
}


@pytest.mark.parametrize('name', WORKS)
def test_works(name):
    call, expected = WORKS[name]
    assert same(call(), expected())


# ------------------------------------------------------------------ names

@pytest.mark.parametrize('name, words', [
    ('MaxPool', 'AvgPool'), ('BatchNorm', 'LayerNorm'), ('ReLU', "'Relu'"), ('relu', "'Relu'"), ('elu', "'Elu'"),
    ('Softmax', 'loss'), ('LogSoftmax', 'loss'), ('LSTM', 'Recurrent'), ('GRU', 'Recurrent'), ('dropout', "'Dropout'"),
    ('Linear', 'Dense'), ('Conv2d', 'filter_shape'), ('LeakyReLU', "'LeakyRelu'"), ('Attention', 'Attention')])
def test_layers_that_are_not_there(name, words):
    assert not hasattr(stax, name) and getattr(stax, name, None) is None
    with pytest.raises(AttributeError, match=f"ntref.stax.*'{name}'.*{words}"):
        getattr(stax, name)
    with pytest.raises(ImportError, match=name):
        exec(f'from ntref.stax import {name}')


def test_names_of_other_modules():
    for module, name, words in [(ntref, 'bach', "'batch'"), (ntref, 'serial', 'ntref.stax'),
                                (ntref, 'gp_inference', 'ntref.predict'), (ntref, 'get_ker_fun_mc', 'monte_carlo'),
                                (predict, 'gradient_decent_mse', "'gradient_descent_mse'")]:
        with pytest.raises(AttributeError, match=words):
            getattr(module, name)
    assert not hasattr(ntref, 'zzz') and not hasattr(predict, '__wrapped__')
