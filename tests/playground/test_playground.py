"""What the playground computes, against kernel_fn, predict and plot; its links, its script, its server."""
import json
import os
import signal
import subprocess
import sys
import threading
from math import inf
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy
from places import ROOT
import pytest
from scipy.special import erf

from ntref import predict, stax
from ntref.duals.pair import Pair
from ntref.playground import Server, State, answers, finite, infinite, script
from ntref.playground.logistic import ERFS
from ntref.playground.state import ACTIVATIONS, read, written
from ntref.plot.phases import fixed_points

X = infinite.GRID[:, None]
STATES = {
    'start': State(), 'time': State('Gelu', 3, 1.2, .3, 'ntk', 7., 1e-3),
    'last layer': State(get='nngp', t=50.),
    'no bias': State('Relu', 1, 2 ** .5, 0.), 'chaos': State('Erf', 10, 3., 0.), 'at once': State(t=0.),
    'one point': State(points=((0., 1.),)), 'twice, and opposite': State(points=((1., 1.), (1., -1.), (-1., 0.))),
    'most noise': State(diag_reg=1.), 'leaky': State('LeakyRelu', 2)}


@pytest.mark.parametrize('state', STATES.values(), ids=STATES)
def test_prior_and_posterior(state):
    """The kernels are taken from one call for all inputs; here each is its own."""
    net = infinite.network(state)
    x, y = infinite.training_set(state)
    k = net.kernel_fn(X, None, 'nngp')
    sd, draws = infinite.prior(state)
    scale = k.max() ** .5
    assert abs(sd - k.diagonal() ** .5).max() <= 1e-14 * scale
    expected = predict.sample(predict.Gaussian(numpy.zeros(len(X)), k), infinite.DRAWS, state.seed)
    assert abs(draws - expected).max() <= 1e-6 * scale                  # a root of a covariance: half of the digits
    mean, covariance = predict.gradient_descent_mse_ensemble(net, x, y, diag_reg=state.diag_reg)(
        state.t, X, state.get, True)
    found, sd = infinite.posterior(state)
    bound = 1e-14 / state.diag_reg * len(x)
    assert abs(found - mean[:, 0]).max() <= bound * max(1, abs(mean).max())
    assert abs(sd ** 2 - covariance.diagonal()).max() <= bound * k.max()


def test_against_angle_and_phases():
    from ntref import plot
    state = State('Relu', 3, 1.3, .2)
    found = infinite.against_angle(state)
    for get in 'nngp', 'ntk':
        line, = plot.kernel_against_angle(infinite.network(state), get=get, points=len(infinite.ANGLES)).lines
        assert numpy.array_equal(line.get_xdata().round(9), infinite.ANGLES) and numpy.allclose(
            line.get_ydata(), found[get], rtol=0, atol=1e-15)
    found = infinite.phases('Tanh')
    at = State('Tanh', W_std=float(found.W_std[20]), b_std=float(found.b_std[10]))
    assert infinite.where(at) == found.chi[10, 20]
    assert infinite.where(State('Relu', W_std=1.5, b_std=.5)) != infinite.where(State('Relu', W_std=1., b_std=.5))
    assert abs(infinite.where(State('Relu', W_std=1., b_std=.5)) - .5) < 1e-12   # W_std^2 / 2
    q, chi = fixed_points(stax.Tanh(), found.W_std, found.b_std)
    assert numpy.allclose(chi, found.chi, rtol=2e-7, atol=0, equal_nan=True)


# ------------------------------------------------------------------ Tanh and Sigmoid as sums of error functions

def test_eight_error_functions_are_tanh():
    z = numpy.linspace(-20, 20, 40001)
    assert abs(sum(w * erf(s * z) for w, s in ERFS) - numpy.tanh(z)).max() <= 4.5e-9
    assert sum(w for w, _ in ERFS) == pytest.approx(1, abs=1e-11)


@pytest.mark.parametrize('name', ['Tanh', 'Sigmoid'])
def test_their_kernels_are_those_of_the_library(name, rng):
    """From variances of .01 to 100, near and opposite inputs among them."""
    x = rng.standard_normal((12, 3)) * numpy.geomspace(.1, 10, 12)[:, None]
    x = numpy.concatenate([x, -x[:3], x[3:6] + 1e-6])
    nets = [stax.serial(*[stax.Dense(1, 1.5, .3), layer] * 3) for layer in (
        infinite.activation(name), getattr(stax, name)())]
    found, expected = (net.kernel_fn(x, None, ('nngp', 'ntk')) for net in nets)
    assert abs(found.nngp - expected.nngp).max() <= 1e-8 and abs(found.ntk - expected.ntk).max() <= 1e-8
    z = numpy.linspace(-3, 3, 7)
    q = numpy.geomspace(1e-8, 100, 200)
    found, expected = (layer.dual(Pair.same(q)) for layer in (infinite.activation(name), getattr(stax, name)()))
    assert abs(found[0].k - expected[0].k).max() <= 1e-8 and abs(found[1] - expected[1]).max() <= 2e-7
    f, g = (layer.phi(numpy, z) for layer in (infinite.activation(name), getattr(stax, name)()))
    assert abs(f - g).max() <= 1e-15


# ------------------------------------------------------------------ finite networks

def linear():
    """A network that is linear in its weights, so that its kernel is the infinite one and training is exact."""
    return stax.serial(stax.Dense(1, 1.5, .5))


@pytest.mark.parametrize('diag_reg', [0., .3])
def test_finite_networks_follow_gradient_descent(diag_reg):
    """f + (1 - (1 - h (K + reg) / n)^steps) (K + reg)^-1 K_tx (y - f), f before training."""
    net, x, y = linear(), numpy.array([[-1.], [.5]]), numpy.array([[1.], [2.]])
    t, found = finite.trained(net, x, y, X, inf, diag_reg=diag_reg, rng=3, most=7)
    k, k_test = net.kernel_fn(x, None, 'ntk'), net.kernel_fn(X, x, 'ntk')
    a = (k + diag_reg * k.trace() / 2 * numpy.eye(2)) / 2
    kept = numpy.linalg.matrix_power(numpy.eye(2) - t / 7 * a, 7)
    _, params = net.init_fn(3, x.shape)
    f, f_test = net.apply_fn(params, x), net.apply_fn(params, X)
    expected = f_test + k_test @ numpy.linalg.solve(2 * a, (numpy.eye(2) - kept) @ (y - f))
    assert abs(found - expected).max() <= 1e-12


def test_the_last_layer_alone():
    """Outputs before and after differ by what a regression on the last hidden layer gives."""
    net, x, y = infinite.network(State(width=16)), numpy.array([[-1.], [1.]]), numpy.array([[.5], [-.5]])
    _, params = net.init_fn(0, x.shape)
    hidden = stax.serial(*net.layers[:-1])
    h, h_test = (hidden.apply_fn(params[:-1], a) for a in (x, X))
    last = stax.serial(net.layers[-1])
    t, expected = finite.trained(net, x, y, X, 5., 'nngp', rng=0)
    k = last.kernel_fn(h, None, 'ntk')
    rate = t / round(t / (predict.max_learning_rate(net.kernel_fn(x, None, 'nngp'), 2) / 2) + .5)
    kept = numpy.linalg.matrix_power(numpy.eye(2) - rate * k / 2, round(t / rate))
    f, f_test = net.apply_fn(params, x), net.apply_fn(params, X)
    found = f_test + last.kernel_fn(h_test, h, 'ntk') @ numpy.linalg.solve(k, (numpy.eye(2) - kept) @ (y - f))
    assert t == 5. and abs(found - expected).max() <= 1e-10


def test_time():
    net, (x, y) = linear(), infinite.training_set(State())
    _, start = finite.trained(net, x, y, X, 0., rng=1)
    assert numpy.array_equal(start, net.apply_fn(net.init_fn(1, x.shape)[1], X))
    assert finite.trained(net, x, y, X, .3, rng=1)[0] == pytest.approx(.3, rel=1e-14)
    assert finite.trained(net, x, y, X, inf, rng=1, most=2)[0] == predict.max_learning_rate(
        net.kernel_fn(x, None, 'ntk'), 5)


# ------------------------------------------------------------------ links, script, answers

@pytest.mark.parametrize('state', [*STATES.values(), State(width=7, networks=3, seed=12, t=.1 + .2)])
def test_a_link_restores_the_state(state):
    assert read(written(state)) == state


def test_a_link_that_is_none():
    assert read('') == State() and written(State()) == ''
    for query, text in [
            ('deep=3', "got 'deep'"), ('depth=0', 'expected depth between 1 and 10, got 0'),
            ('depth=2.5', "depth to be a whole number, got '2.5'"), ('W_std=x', "W_std to be a number, got 'x'"),
            ('W_std=nan', 'between 0.5 and 3'), ('t=-1', 'expected t between'), ('activation=Step', 'one of Relu, Erf'),
            ('activation=__class__', 'one of Relu'), ('get=cov1', 'one of ntk, nngp'), ('points=', 'as x,y;x,y'),
            ('points=1,2,3', 'as x,y;x,y'), ('points=1,9', 'between -3 and 3'), ('points=nan,0', 'between -3 and 3'),
            ('points=' + '1,1;' * 200 + '1,1', 'at most 200 points, got 201'), ('networks=11', 'between 0 and 10')]:
        with pytest.raises(ValueError, match=text):
            read(query)


@pytest.mark.parametrize('state', [State(networks=1, width=8, t=5.), State('LeakyRelu', 1, get='nngp')])
def test_the_script_draws_what_the_page_shows(state, monkeypatch, capsys):
    from matplotlib import pyplot
    shown = []
    monkeypatch.setattr(pyplot, 'show', lambda: shown.append(pyplot.gcf()))
    exec(script.script(state), {})
    after, before, angle, phases = shown[0].axes[:4]
    mean, _ = infinite.posterior(state)
    assert numpy.allclose(after.lines[0].get_ydata(), mean, rtol=0, atol=1e-9)
    _, draws = infinite.prior(state)
    assert numpy.allclose(before.lines[0].get_ydata(), draws[0], rtol=0, atol=1e-5)
    assert angle.get_ylabel().startswith(state.get) and len(phases.lines) == 1
    found = [line.get_ydata() for line in after.lines if len(line.get_ydata()) == len(X)][1:]
    assert len(found) == state.networks
    for i, f in enumerate(found):
        x, y = infinite.training_set(state)
        t, expected = finite.trained(infinite.network(state), x, y, X, state.t, state.get, state.diag_reg, [0, i])
        assert numpy.array_equal(f, expected[:, 0]) and f'trained to t = {t:.3g}' in capsys.readouterr().out
    pyplot.close(shown[0])


@pytest.mark.parametrize('name', ACTIVATIONS)
def test_every_activation_is_answered(name):
    status, found = answers.answer('/seen', f'activation={name}&depth=1')
    assert status == 200 and read(found['query']) == State(name, 1) and len(found['posterior']['mean']) == 101
    status, found = answers.answer('/phases', f'activation={name}')
    assert status == 200 and numpy.array(found['chi'], float).shape == (41, 61)


def test_answers_are_json_and_say_what_is_wrong():
    status, found = answers.answer('/seen', 't=inf&points=1,1;1,-1')
    assert status == 200 and found['state']['t'] is None and json.loads(json.dumps(found, allow_nan=False)) == found
    assert found['grid'] == infinite.GRID.round(9).tolist()
    assert answers.answer('/seen', 'depth=11')[0] == 400
    status, found = answers.answer('/trained', 'networks=3&width=4&seed=5&t=1')
    state = State(t=1., networks=3, width=4, seed=5)
    _, f = finite.trained(infinite.network(state), *infinite.training_set(state), X, 1., diag_reg=1e-4, rng=[5, 2])
    assert numpy.allclose(found['f'], f[:, 0], rtol=1e-5) and found['t'] == 1
    assert numpy.allclose(found['mean'], infinite.posterior(state)[0], rtol=1e-5, atol=1e-9)


def test_training_that_diverges_is_said(monkeypatch):
    for wrong in numpy.nan, numpy.inf:
        monkeypatch.setattr(answers, 'trained', lambda *given: (1., numpy.full((101, 1), wrong)))
        status, found = answers.answer('/trained', 'networks=1&width=2')
        assert status == 400 and 'one of width 2 that diverged' in found['error']


# ------------------------------------------------------------------ the server

@pytest.fixture
def server():
    with Server(0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(url, host=None):
    """Status, headers, text."""
    try:
        with urlopen(Request(url, headers={'Host': host} if host else {})) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except HTTPError as e:
        with e:
            return e.code, e.headers, e.read().decode()


def test_the_server(server):
    assert server.server_address[0] == '127.0.0.1'
    for path, kind, text in [('', 'text/html', '<!DOCTYPE html>'), ('?depth=3', 'text/html', '<!DOCTYPE html>'),
                             ('page.css', 'text/css', ':root'), ('page.js', 'text/javascript', 'use strict'),
                             ('plot.js', 'text/javascript', 'class Plot'),
                             ('seen?depth=1', 'application/json', '"depth": 1')]:
        status, headers, found = asked(server.url + path)
        assert status == 200 and headers['Content-Type'].startswith(kind) and text in found
        assert headers['Content-Security-Policy'].startswith("default-src 'self'")
    for path in 'page.html', '../state.py', 'page/page.css', '%2e%2e/state.py':
        assert asked(server.url + path)[0] == 404
    assert asked(server.url + 'seen?depth=x')[0] == 400
    status, _, found = asked(server.url, 'example.org')
    assert status == 403 and found == 'expected a request to 127.0.0.1'


def test_a_port_that_is_taken(server):
    with pytest.raises(OSError, match=f'expected a free port, got {server.server_port}: .*--port 0'):
        Server(server.server_port)


def test_the_command():
    """It says where the page is, serves it, and Ctrl-C is its end and no error."""
    with subprocess.Popen([sys.executable, '-m', 'ntref', 'playground', '--port', '0', '--no-browser'], cwd=ROOT,
                          env=os.environ | {'PYTHONPATH': str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as command:
        url, _, rest = command.stdout.readline().partition(' ')
        assert asked(url)[0] == 200 and rest.strip() == '(Ctrl-C ends it)'
        command.send_signal(signal.SIGINT)
        assert command.wait() == 0 and command.stderr.read() == ''


def test_the_command_opens_the_browser(monkeypatch, capsys):
    from ntref.cli import main, playground
    opened = []
    monkeypatch.setattr(playground.webbrowser, 'open', opened.append)
    monkeypatch.setattr(Server, 'serve_forever', lambda server: None)
    assert main(['playground', '--port', '0']) == 0
    assert capsys.readouterr().out.split()[0] == opened[0] and opened[0].startswith('http://127.0.0.1:')
