"""A Python as in a browser: no thread starts, no other process, no locks of files, no word on memory."""
import os
import subprocess
import sys

import numpy
from places import ROOT
import pytest

from ntref import predict, stax
from ntref.engine.batch import batch

BROWSER = """
import os, sys, threading
for name in 'fcntl psutil multiprocessing _multiprocessing resource pwd grp termios'.split():
    sys.modules[name] = None


def refuse(*given, **options):
    raise RuntimeError("can't start new thread")


threading.Thread.start = refuse
for name in 'fork register_at_fork sched_getaffinity posix_spawn killpg'.split():
    if hasattr(os, name):
        delattr(os, name)
import numpy, ntref
from ntref import predict, stax
"""
N = 600                             # inputs: more than one tile
SHARED = f"""
x = numpy.random.default_rng(0).standard_normal(({N}, 5))
y = numpy.sin(x[:, :1])
net = stax.serial(stax.Dense(64, 1.5, .1), stax.Relu(), stax.Dense(64, 1.5, .1), stax.Tanh(), stax.Dense(1))
"""


def in_browser(code, *, folder):
    """What a Python without threads prints, which must end well; warnings are errors there."""
    run = subprocess.run([sys.executable, '-W', 'error', '-c', BROWSER + SHARED + code], capture_output=True,
                         text=True, cwd=folder, env=os.environ | {'PYTHONPATH': str(ROOT), 'MPLBACKEND': 'agg'})
    assert run.returncode == 0, run.stderr
    return run.stdout


def here():
    names = {'numpy': numpy, 'stax': stax}
    exec(SHARED, names)
    return names['net'], names['x'], names['y']


def assert_same_file(path, expected):
    found = numpy.load(path)
    assert found.shape == expected.shape and abs(found - expected).max() <= 1e-12 * abs(expected).max()


def test_kernels_and_predictions(tmp_path):
    in_browser("""
k = net.kernel_fn(x, None, ('nngp', 'ntk'))
numpy.save('k.npy', k)
numpy.save('tiles.npy', ntref.batch(net.kernel_fn, 150)(x, None, 'ntk'))
predict_fn = predict.gradient_descent_mse_ensemble(net, x[:500], y[:500], diag_reg=1e-3)
mean, covariance = predict_fn(t=100., x_test=x[500:], get='ntk', compute_cov=True)
numpy.save('mean.npy', mean)
numpy.save('covariance.npy', covariance)
""", folder=tmp_path)
    net, x, y = here()
    assert_same_file(tmp_path / 'k.npy', numpy.array(net.kernel_fn(x, None, ('nngp', 'ntk'))))
    assert_same_file(tmp_path / 'tiles.npy', batch(net.kernel_fn, 150)(x, None, 'ntk'))
    predict_fn = predict.gradient_descent_mse_ensemble(net, x[:500], y[:500], diag_reg=1e-3)
    mean, covariance = predict_fn(t=100., x_test=x[500:], get='ntk', compute_cov=True)
    assert_same_file(tmp_path / 'mean.npy', mean)
    assert_same_file(tmp_path / 'covariance.npy', covariance)


@pytest.mark.parametrize('code', [
    """
print(net.explain(x[:2]), net.summary((3, 5)))
from autograd import grad
print(grad(lambda w: net.kernel_fn(w, x, 'ntk').sum())(x[:400]))
init_fn, apply_fn, _ = net
_, params = init_fn(0, (3, 5))
print(ntref.empirical_ntk_fn(apply_fn)(x[:3], None, params))
print(ntref.monte_carlo_kernel_fn(init_fn, apply_fn, 0, 3)(x[:4], None, 'ntk'))
""", """
from ntref import oracle
flow = predict.gradient_descent(lambda f, y: ((f - y) ** 2).mean() / 2, net.kernel_fn(x[:30], None, 'ntk'), y[:30])
print(flow(10., y[:30] * 0.))
print(predict.gp_inference_iterative(net.kernel_fn(x, None, 'nngp'), y, diag_reg=1e-2))
print(oracle.certify(stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1)), x[:2], get='ntk'))
""", """
print(ntref.batch(net.kernel_fn, 300, progress=True)(x, None, 'ntk'))
""", """
from ntref import plot
k = net.kernel_fn(x, None, 'ntk')
print(plot.prior(net, x[:20]), plot.heatmap(k), plot.spectrum(k), plot.kernel_against_angle(net), plot.depth(net))
print(plot.phase_diagram(stax.Tanh()), plot.width_convergence(net, x[:5], [8, 16], samples=2))
predict_fn = predict.gradient_descent_mse_ensemble(net, x[:50], y[:50], diag_reg=1e-3)
print(plot.posterior(predict_fn, x[50:90]), plot.training(predict_fn, numpy.array([1., 10.]), x[:3]))
""", """
del sys.modules['multiprocessing'], sys.modules['_multiprocessing']        # which scikit-learn itself imports
from ntref import estimators
print(estimators.NNGPRegressor().fit(x[:200], y[:200]).predict(x[:3]))
"""], ids=['finite', 'predictions', 'progress', 'pictures', 'estimators'])
def test_all_else_runs(code, tmp_path):
    assert in_browser(code, folder=tmp_path)
