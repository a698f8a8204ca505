"""Demo `ntref demo`: a tour of the library on scikit-learn's 1,797 handwritten digits of 8 x 8 pixels.

An infinitely wide network trained to the end classifies all of them, also along training time and with its uncertainty.
An ensemble of finite networks, trained by plain gradient descent, is compared with it.
"""
import time
from importlib import import_module
from pathlib import PurePath
from types import ModuleType
from typing import Any

from autograd import grad
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from .. import predict, stax
from ..arrays import generator, namespace

__all__ = ['REG', 'needs', 'network', 'refuse_format', 'run']

WIDTH = 256
NETWORKS = 20
STEPS = 100
N_TRAIN = 1000
FIGURE = 'ntref-demo.png'
PAIR = (3, 8)       # digits that the finite networks tell apart
N_PAIR = 50         # and how many of them to train on
REG = 1e-4          # diag_reg, relative to the mean variance
TIMES = (1e2, 1e3, 1e4, 1e5, 1e6, 1e8)
QUANTILES = {.5: .6745, .8: 1.2816, .9: 1.6449, .95: 1.9600, .99: 2.5758}    # of |z|, z ~ N(0, 1)


def run(n_train: int = N_TRAIN, seed: int = 0, figure: str = FIGURE) -> None:
    """Print accuracies and calibration, and save the figure.

    Raises
    ------
    ImportError : a package that is needed is not installed; the message says how to install it.
    ValueError : n_train is out of range, or the ending of `figure` is no known format.
    """
    load_digits = needs('sklearn.datasets').load_digits
    figures = needs('matplotlib.figure')
    refuse_format(figures, figure)
    x, labels = load_digits(return_X_y=True)
    if not 20 <= n_train <= len(x) - 20:
        raise ValueError(f'expected between 20 and {len(x) - 20} images to train on, got --train '
                         f'{n_train}.')
    order = generator(seed).permutation(len(x))
    labels = labels[order]
    x = x[order]
    x = x - x[:n_train].mean(0)
    x = x / (x[:n_train] ** 2).mean() ** .5
    net = network(depth=3, out=10)
    print(f'{len(x)} handwritten digits, {n_train} to train on, {len(x) - n_train} to test '
          f'on\n{net}\n')
    classify(net, x, labels, n_train)
    of_pair = (labels == PAIR[0]) | (labels == PAIR[1])
    train = of_pair.nonzero()[0][:N_PAIR]
    test = of_pair.nonzero()[0][-N_PAIR // 2:]
    with threadpool_limits(1):             # on small matrices threads only wait for each other
        curves = compare(x[train], (labels[train] == PAIR[1]) * 2. - 1, x[test], seed)
    draw(figures, figure, *curves)
    print(f'\nFigure: {figure}')


def refuse_format(matplotlib_figure: ModuleType, path: str) -> None:
    """Raise ValueError if matplotlib has no format for the ending of `path`."""
    known = matplotlib_figure.Figure().canvas.get_supported_filetypes()
    ending = PurePath(path).suffix[1:].lower()
    if ending and ending not in known:
        raise ValueError(f'expected --figure to end in one of .{", .".join(sorted(known))}, got '
                         f'{path}.')


def network(depth: int, out: int) -> Any:
    """Return a deep ReLU network that keeps the variance of its activations."""
    hidden = [stax.Dense(WIDTH, 2 ** .5, .1), stax.Relu()] * depth
    return stax.serial(*hidden, stax.Dense(out, 1., 0.))


def classify(net, x, labels, n):
    """Print the accuracy of the network along time and trained to the end, and the calibration of the posterior."""
    xp = namespace(x)
    y = (labels[:, None] == sorted(set(labels))) - .1
    start = time.perf_counter()
    k_tt = net.kernel_fn(x[:n], None, ('nngp', 'ntk'))
    k_st = net.kernel_fn(x[n:], x[:n], ('nngp', 'ntk'))
    k_ss = net.kernel_fn(x[n:], None, ('nngp', 'ntk'))
    seconds = time.perf_counter() - start
    print(f'kernels (NNGP and NTK)   {seconds:.2f} s for {n} x {n}, {len(x) - n} x {n} and '
          f'{len(x) - n} x {len(x) - n}')

    def accuracy(mean):
        return float((mean.argmax(-1) == labels[n:]).mean())
    posterior = predict.gp_inference(k_tt, y[:n], diag_reg=REG)
    means = posterior(get=('nngp', 'ntk'), k_test_train=k_st)
    print(f'test accuracy            NNGP {accuracy(means.nngp):.4f}   NTK '
          f'{accuracy(means.ntk):.4f}\n')

    flow = predict.gradient_descent_mse(k_tt.ntk, y[:n], diag_reg=REG)
    _, tests = flow(xp.asarray(TIMES), 0., 0., k_st.ntk)
    print('NTK along training time')
    print('   time t        ' + '  '.join(f'{t:>7.0e}' for t in TIMES))
    print('   test accuracy ' + '  '.join(f'{accuracy(mean):>7.3f}' for mean in tests) + '\n')

    mean, covariance = posterior(get='nngp', k_test_train=k_st, k_test_test=k_ss)
    unexplained = y[:n] * (y[:n] - smooth(k_tt.nngp, y[:n]))
    amplitude2 = float(unexplained.mean()) / (REG * float(k_tt.nngp.trace()) / n)
    z = abs(y[n:] - mean) / (amplitude2 * covariance.diagonal()[:, None]) ** .5
    found = [float((z < q).mean()) for q in QUANTILES.values()]
    print('calibration of the NNGP posterior (amplitude by maximum likelihood)')
    print('   predicted      ' + '  '.join(f'{p:>4.0%}' for p in QUANTILES))
    print('   within it      ' + '  '.join(f'{p:>4.0%}' for p in found) + '\n')


def smooth(k, y):
    """Return the fit to the training targets, K (K + reg)^-1 y, so that y - fit = reg (K + reg)^-1 y."""
    return predict.gp_inference(k, y, diag_reg=REG)(get='nngp', k_test_train=k)


def compare(x, y, x_test, seed):
    """Return times, and along them the finite networks' outputs on x_test, and the infinite ensemble's mean and sd."""
    y = y[:, None]
    net = network(depth=2, out=1)
    init_fn, apply_fn, kernel_fn = net
    rate = .3 * predict.max_learning_rate(kernel_fn(x, None, 'ntk'), y_train_size=y.size)
    slope = grad(lambda params: ((apply_fn(params, x) - y) ** 2).mean() / 2)
    outputs = []
    about = f'training {NETWORKS} networks of width {WIDTH}'
    for rng in tqdm(generator(seed).spawn(NETWORKS), desc=about):
        _, params = init_fn(rng, x.shape)
        path = []
        for _ in range(STEPS + 1):
            path.append(apply_fn(params, x_test)[:, 0])
            params = descend(params, slope(params), rate)
        outputs.append(path)
    xp = namespace(x)
    times = rate * xp.asarray(range(STEPS + 1))
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, x, y)
    mean, cov = ensemble(t=times, x_test=x_test, get='ntk', compute_cov=True)
    mean = mean[..., 0]
    sd = xp.sqrt(xp.einsum('tii->ti', cov))
    outputs = xp.asarray(outputs)
    last = outputs[:, -1]
    n = NETWORKS
    spread = rms(last - last.mean(0)) * (n / (n - 1)) ** .5
    print(f'{n} networks of width {WIDTH}, {STEPS} steps of gradient descent, {len(x)} images, '
          f'{PAIR[0]} or {PAIR[1]}')
    print(f'   their mean less the infinite mean   RMS {rms(last.mean(0) - mean[-1]):.3f}   '
          f'(by chance {rms(sd[-1]) / n ** .5:.3f})')
    print(f'   their standard deviation            RMS {spread:.3f}   '
          f'(infinite {rms(sd[-1]):.3f})')
    return times, outputs, mean, sd


def rms(a):
    """Return the root of the mean square."""
    return float((a * a).mean() ** .5)


def descend(params, gradient, rate):
    """Return params - rate gradient, for nested lists and tuples."""
    if isinstance(params, (list, tuple)):
        return type(params)(descend(p, g, rate) for p, g in zip(params, gradient))
    return params - rate * gradient


def draw(matplotlib_figure, path, times, outputs, mean, sd):
    """Draw, for three test images, the networks' outputs along training over the infinite ensemble's mean and band."""
    shown = [int(mean[-1].argmin()), int(abs(mean[-1]).argmin()), int(mean[-1].argmax())]
    figure = matplotlib_figure.Figure(figsize=(11, 3.8), layout='constrained')
    names = (f'clearest {PAIR[0]}', 'most doubtful', f'clearest {PAIR[1]}')
    for axes, i, name in zip(figure.subplots(1, 3, sharey=True), shown, names):
        low = mean[:, i] - 2 * sd[:, i]
        high = mean[:, i] + 2 * sd[:, i]
        axes.fill_between(times, low, high, color='tab:blue', alpha=.2, lw=0,
                          label='infinite ensemble: mean ± 2 sd')
        axes.plot(times, outputs[:, :, i].T, color='tab:orange', lw=.7, alpha=.7)
        axes.plot([], [], color='tab:orange', lw=.7,
                  label=f'{len(outputs)} networks of width {WIDTH}')
        axes.plot(times, outputs[:, :, i].mean(0), color='tab:red', lw=1.5, label='their mean')
        axes.plot(times, mean[:, i], color='tab:blue', lw=1.5, ls='--', label='infinite mean')
        axes.axhline(0, color='grey', lw=.5)
        axes.set(title=f'{name} of the test images', xlim=(0, float(times[-1])))
        axes.set_xlabel('training time $t$ = steps × learning rate')
    figure.axes[0].set_ylabel(f'output ({PAIR[0]}: -1, {PAIR[1]}: +1)')
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=4, fontsize='small')
    figure.savefig(path, dpi=130)


def needs(module: str) -> ModuleType:
    """Return a module; raise ImportError that says how to install it."""
    try:
        return import_module(module)
    except ImportError:
        raise ImportError(f'the demo needs {module.partition(".")[0]}, which is not installed. In '
                          "a checkout of ntref: pip install '.[demo]'") from None
