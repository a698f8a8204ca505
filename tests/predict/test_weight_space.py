"""A finite network, its linearization and its outputs in function space: three ways through the same training."""
import autograd.numpy as np
import pytest
from autograd import grad
from autograd.misc.flatten import flatten
from sklearn.datasets import load_digits

from ntref import empirical_ntk_fn, linearize, predict, stax

ROWS = {
    # loss, momentum: learning rate, steps, largest RMSE of linearization - function space, least distance moved
    ('mse', 0.): (10., 300, 2e-4, .6),
    ('mse', .9): (3., 300, 2e-4, .6),
    ('cross_entropy', 0.): (10., 200, 3e-3, 1.2),
    ('cross_entropy', .9): (3., 60, 8e-3, 1.2),
}


def mse(f, y):
    return np.mean((f - y) ** 2) / 2


def cross_entropy(f, y):
    return -np.mean(y * (f - np.log(np.sum(np.exp(f), 1, keepdims=True))))


@pytest.fixture(scope='module')
def digits():
    """64 images and their targets, 64 others."""
    images, digit = load_digits(return_X_y=True)
    images = (images - images.mean()) / images.std()
    return images[:64], np.eye(10)[digit[:64]], images[64:128]


def network(width, x):
    init_fn, f, _ = stax.serial(stax.Dense(width, 1., .05), stax.Erf(), stax.Dense(10, 1., .05))
    return f, init_fn(0, x.shape)[1]


def trained(f, params, loss, x, y, learning_rate, steps, momentum):
    """Parameters after `steps` of full-batch gradient descent."""
    weights, tree = flatten(params)
    gradient, velocity = grad(lambda weights: loss(f(tree(weights), x), y)), 0.
    for _ in range(steps):
        velocity = momentum * velocity - learning_rate * gradient(weights)
        weights = weights + velocity
    return tree(weights)


def in_function_space(f, params, loss, x, y, x_test, learning_rate, steps, momentum):
    ntk_fn = empirical_ntk_fn(f, trace_axes=(), vmap_axes=0, implementation=3)
    k, k_test = ntk_fn(x, None, params), ntk_fn(x_test, x, params)
    if loss is mse and not momentum:
        predict_fn = predict.gradient_descent_mse(k, y, learning_rate, trace_axes=())
    else:
        predict_fn = predict.gradient_descent(loss, k, y, learning_rate, momentum or None, trace_axes=())
    return predict_fn(steps, f(params, x), f(params, x_test), k_test)


def rmse(a, b):
    return np.sqrt(np.mean((a - b) ** 2))


@pytest.mark.slow
@pytest.mark.parametrize('loss, momentum', ROWS)
def test_three_ways(loss, momentum, digits):
    (x, y, x_test), (learning_rate, steps, close, far) = digits, ROWS[loss, momentum]
    f, params = network(512, x)
    loss, linear = globals()[loss], linearize(f, params)
    solved = in_function_space(f, params, loss, x, y, x_test, learning_rate, steps, momentum)
    w, v = (trained(g, params, loss, x, y, learning_rate, steps, momentum) for g in (f, linear))
    for inputs, out in zip((x, x_test), solved):
        assert rmse(f(params, inputs), out) > far
        assert rmse(linear(v, inputs), out) < close
        assert rmse(f(w, inputs), linear(v, inputs)) < .05
        assert rmse(f(w, inputs), out) < .05


def test_a_narrow_network_differs(digits):
    """What is compared above is not equal for reasons other than width."""
    x, y, x_test = digits
    f, params = network(16, x)
    solved = in_function_space(f, params, mse, x, y, x_test, 5., 300, .0)
    assert rmse(f(trained(f, params, mse, x, y, 5., 300, 0.), x_test), solved[1]) > .1


@pytest.mark.parametrize('momentum', [0., .9])
def test_smaller_steps_come_closer_to_function_space(momentum, digits):
    """Linear in the step: half of it at twice as many steps is half as far."""
    x, y, x_test = (a[:8] for a in digits)
    f, params = network(64, x)
    linear, far = linearize(f, params), []
    for h in (1., .5):                                       # a step in tau: rate t, or sqrt(rate) t with momentum
        rate, steps = (.4 * h * h if momentum else .8 * h), round(40 / h)
        kept = 1 - (1 - momentum) * h if momentum else 0.
        w = trained(linear, params, cross_entropy, x, y, rate, steps, kept)
        solved = in_function_space(f, params, cross_entropy, x, y, x_test, rate, steps, kept)
        far.append(rmse(linear(w, x_test), solved[1]))
    assert far[0] / far[1] == pytest.approx(2, rel=.1)
