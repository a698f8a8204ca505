"""
The same script on a GPU
========================

Arrays of CuPy go in, arrays of CuPy come out: the code is the same, on the device. Where there is
no GPU, as where this page was made perhaps, NumPy takes its place, and the output says so.
"""
import importlib.util

import matplotlib.pyplot as plt
import numpy as np

from ntref import predict, stax


def array_library():
    """CuPy if it is installed and has a device, else NumPy."""
    if importlib.util.find_spec('cupy') is None:
        return np
    import cupy
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        return np
    return cupy


xp = array_library()
print(f'computed with {xp.__name__}')

# %%
rng = np.random.default_rng(0)
x_train, x_test = xp.asarray(rng.uniform(-2, 2, (400, 1))), xp.linspace(-3, 3, 121)[:, None]
y_train = xp.sin(3 * x_train) + .1 * xp.asarray(rng.standard_normal((400, 1)))

net = stax.serial(stax.Dense(1, 2., 1.), stax.Erf(), stax.Dense(1, 2.))
predict_fn = predict.gradient_descent_mse_ensemble(net, x_train, y_train, diag_reg=1e-3)
mean, covariance = predict_fn(x_test=x_test, get='nngp', compute_cov=True)
assert type(mean) is type(xp.ones(1))

# %%
# Pictures are drawn by the host: ``get`` of CuPy's arrays brings numbers there.


def on_host(a):
    return a.get() if hasattr(a, 'get') else a


x, f, sd = (on_host(a) for a in (x_test[:, 0], mean[:, 0],
                                 xp.sqrt(xp.diagonal(covariance))))
ax = plt.subplots(layout='constrained')[1]
ax.plot(on_host(x_train), on_host(y_train), '.', color='gray', ms=3, label='targets')
ax.fill_between(x, f - 2 * sd, f + 2 * sd, alpha=.3, lw=0)
ax.plot(x, f, label='mean ± 2 sd')
ax.set(xlabel='x', ylabel='output', title=f'computed with {xp.__name__}', ylim=(-2, 2))
ax.legend()
plt.show()

inside = abs(x) < 2
off = np.sqrt(np.mean((f - np.sin(3 * x))[inside] ** 2))
print(f'off from sin 3x by {off:.3f}, noise of the targets 0.1')
assert off < .1
