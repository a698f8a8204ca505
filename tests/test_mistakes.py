"""Mistakes that users make at the seams: between a network, its functions, a `Kernel`, arrays and what predicts.

Each row of the tables is a call, what it raises, and words that the message has; or it is a call that simply works.
"""

import numpy
import pytest
import scipy.sparse
from autograd import numpy as anp

import ntref
from ntref import batch, classic, predict, stax
from ntref.kernel import Kernel
from ntref.oracle import certify
from ntref.quadrature import expectation, mean

rng = numpy.random.default_rng(0)
X, X2, Y = rng.standard_normal((4, 3)), rng.standard_normal((2, 3)), rng.standard_normal((4, 1))
IMAGES = rng.standard_normal((3, 4, 4, 2))
PADDED = numpy.where(numpy.arange(4)[:, None] > 2, 0., IMAGES)
NET = stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(1))
CONV = stax.serial(stax.Conv(8, (3, 3)), stax.Relu(), stax.Flatten(), stax.Dense(1))
K, KX = NET.kernel_fn(X, None, 'ntk'), NET.kernel_fn(X2, X, 'ntk')
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
    'classic.ntk': (lambda a: classic.ntk(lambda w, x: x @ w)(a, None, X2.T), X),
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
    'gp_inference, k_test_test': (lambda a: predict.gp_inference(K, Y)('nngp', KX, a), K[:2, :2]),
    'gp_inference_iterative': (lambda a: predict.gp_inference_iterative(a, Y)('nngp', KX), K),
    'gp_inference_iterative, y': (lambda a: predict.gp_inference_iterative(K, a)('nngp', KX), Y),
    'gp_inference_iterative, k_test_train': (lambda a: predict.gp_inference_iterative(K, Y)('nngp', a), KX),
    'gp_inference_iterative, k_test_test': (lambda a: predict.gp_inference_iterative(K, Y)('nngp', KX, a), K[:2, :2]),
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
