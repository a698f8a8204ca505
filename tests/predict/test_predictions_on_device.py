"""Predictions with arrays of CuPy, on its stand-in: cases of the suite, where results are, what the host computes."""
import numpy
import pytest
from numpy.testing import assert_allclose

from ntref import predict, stax
from ntref.oracle import conformance_cases, on_device

K = numpy.array([[2., 1., .3], [1., 1.5, .2], [.3, .2, 1.]])
Y = numpy.array([[1.], [0.], [-1.]])
K_TEST = numpy.array([[1., .5, .1], [.2, .1, .4]])


def half_square(f, y):
    assert type(f) is type(y) is numpy.ndarray
    return ((f - y) ** 2).sum() / 2


@pytest.mark.parametrize('case', conformance_cases('dynamics/*'), ids=str)
def test_cases(case, cupy):
    check = on_device.of_case(case, 'float64')
    assert check.verdict == 'pass', check.reason


def test_a_differential_equation_goes_through_the_host_and_comes_back(cupy):
    here = predict.gradient_descent(half_square, K, Y, grad=lambda f, y: f - y)
    there = predict.gradient_descent(half_square, *map(cupy.asarray, (K, Y)), grad=lambda f, y: f - y)
    times = numpy.array([.5, 2.])
    for t in times, cupy.asarray(times), [.5, 2.]:
        train, test = there(t, 0., 0., cupy.asarray(K_TEST))
        wanted = here(times, 0., 0., K_TEST)
        assert type(train) is type(test) is cupy.ndarray
        assert_allclose(train.get(), wanted[0])
        assert_allclose(test.get(), wanted[1])
    state, stats = there(1., predict.ODEState(cupy.zeros((3, 1))), stats=True)
    assert type(state.fx_train) is cupy.ndarray and state.fx_test is None and stats.steps > 0
    assert_allclose(there(1., state).fx_train.get(), here(2.), rtol=1e-6)


def test_times_may_be_on_the_host(cupy):
    predict_fn = predict.gradient_descent_mse(*map(cupy.asarray, (K, Y)))
    times = numpy.array([.5, 2.])
    found = [predict_fn(t) for t in (times, cupy.asarray(times), [.5, 2.])]
    assert all(type(f) is cupy.ndarray for f in found)
    for f in found:
        assert_allclose(f.get(), predict.gradient_descent_mse(K, Y)(times))


# ------------------------------------------------------------------ conjugate gradients

@pytest.fixture
def alone(cupy, monkeypatch):
    """CuPy's stand-in; no array comes to the host."""
    def get(self, **keywords):
        raise AssertionError(f'an array of shape {self.shape} goes to the host')
    monkeypatch.setattr(cupy.ndarray, 'get', get)
    return cupy


@pytest.fixture
def problem(rng):
    """Inputs, targets, test inputs, and a kernel function."""
    x, test = rng.standard_normal((9, 4)), rng.standard_normal((3, 4))
    net = stax.serial(stax.Dense(1, 1.3, .2), stax.Erf(), stax.Dense(1))
    return x, rng.standard_normal((9, 2)), test, net.kernel_fn


@pytest.mark.parametrize('preconditioner, rank', [('cholesky', 3), ('nystrom', 3), ('cholesky', 0), ('nystrom', 0)])
def test_conjugate_gradients(problem, preconditioner, rank, alone):
    """The kernel on the device, computed there tile by tile, or on the host."""
    x, y, _, kernel_fn = problem
    options = dict(diag_reg=.1, rank=rank, preconditioner=preconditioner, tol=1e-10)
    k, there, targets = kernel_fn(x, None, 'nngp'), alone.asarray(x), alone.asarray(y)
    wanted = predict.cg(k, y, **options)
    for kernel in alone.asarray(k), predict.ComputedKernel(kernel_fn, there, get='nngp'), k:
        found = predict.cg(kernel, targets, **options)
        assert found.steps == wanted.steps and type(found.a) is type(found.residual) is alone.ndarray
        assert_allclose(found.a._host, wanted.a, rtol=1e-9)
        again = predict.cg(kernel, targets, state=found.state, **options | dict(tol=1e-12))
        assert_allclose(again.a._host, predict.cg(k, y, state=wanted.state, **options | dict(tol=1e-12)).a, rtol=1e-10)
    assert predict.cg(alone.asarray(k), targets[:, 0], diag_reg=.1).residual <= 1e-8


def test_conjugate_gradients_go_on_from_a_state_that_was_stored(problem, cupy):
    x, y, _, kernel_fn = problem
    k = kernel_fn(x, None, 'nngp')
    with pytest.raises(predict.NotConvergedError) as stopped:
        predict.cg(k, y, diag_reg=.01, rank=1, max_steps=2)
    found = predict.cg(cupy.asarray(k), cupy.asarray(y), diag_reg=.01, rank=1, state=stopped.value.state)
    assert found.steps == predict.cg(k, y, diag_reg=.01, rank=1).steps > 2
    assert_allclose(found.a.get(), numpy.linalg.solve(k + .01 * k.trace() / 9 * numpy.eye(9), y), rtol=1e-6)


def test_posteriors_by_conjugate_gradients(problem, alone):
    x, y, test, kernel_fn = problem
    both = 'nngp', 'ntk'

    def predicted(x, y, test, variances):
        prior = kernel_fn(test, None, both)
        k_test_test = prior._replace(**{name: getattr(prior, name)[[0, 1, 2], [0, 1, 2]] for name in both})
        predict_fn = predict.gp_inference_iterative(kernel_fn(x, None, both), y, diag_reg=.1, tol=1e-12)
        return predict_fn(both, kernel_fn(test, x, both), k_test_test if variances else prior)
    for variances in True, False:
        found = predicted(*map(alone.asarray, (x, y, test)), variances)
        for name, wanted in zip(both, predicted(x, y, test, variances)):
            for a, b in zip(getattr(found, name), wanted):
                assert type(a) is alone.ndarray
                assert_allclose(a._host, b, rtol=1e-8, atol=1e-10)


def test_kernels_and_targets_on_two_sides_are_refused(problem, cupy):
    x, y, _, kernel_fn = problem
    k = cupy.asarray(kernel_fn(x, None, 'nngp'))
    for kernel in k, predict.ComputedKernel(kernel_fn, cupy.asarray(x), get='nngp'):
        with pytest.raises(TypeError, match=r'got k of CuPy and targets of NumPy. Take .* get\(\) of the kernel'):
            predict.cg(kernel, y)
