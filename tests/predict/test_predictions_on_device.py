"""Predictions with arrays of CuPy, on its stand-in: cases of the suite, where results are, what the host computes."""
import numpy
import pytest
from numpy.testing import assert_allclose

from ntref import predict
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
