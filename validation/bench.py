"""Times of ntref, with those of Neural Tangents beside them.

    python validation/bench.py [--nt PYTHON] [--repeat 3] [--only NAME ...]
    python validation/bench.py --finite [--nt PYTHON] [--repeat 3]
    python validation/bench.py --dynamics [--nt PYTHON] [--repeat 3]

PYTHON is an interpreter in which Neural Tangents is installed; it runs the same networks, jitted and warm, on the same
machine between our own runs. Printed are seconds (the best of the repeats) and how many times faster than NT that is.
With --finite: NTKs of finite networks, all outputs, by structured derivatives (NT by its own), and the definition.
With --dynamics: what training does; cross-entropy from kernels, ensembles from inputs (NT: not jitted).
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time


def dense(s, depth):
    return s.serial(*[s.Dense(512, 1.5, .1), s.Relu()] * depth, s.Dense(1))


def conv(s):
    return s.Conv(8, (3, 3), padding='SAME', W_std=2 ** .5, b_std=.1)


def flat(s):
    return s.serial(*[conv(s), s.Relu()] * 3, s.Flatten(), s.Dense(1))


def pooled(s):
    return s.serial(*[conv(s), s.Relu(), s.AvgPool((2, 2), (2, 2))] * 3, s.GlobalAvgPool(), s.Dense(1))


def myrtle(s, depths):
    layers = []
    for n in depths:
        layers += [s.Conv(8, (3, 3), padding='SAME', W_std=2 ** .5), s.Relu()] * n + [s.AvgPool((2, 2), (2, 2))]
    if sum(depths) == 3:
        layers.pop()                        # Myrtle-5 has two pools
    return s.serial(*layers, s.GlobalAvgPool(), s.Flatten(), s.Dense(10, 1., 0.))


def cntk(s):
    return s.serial(*[conv(s), s.Relu()] * 21, s.GlobalAvgPool(), s.Dense(1))


CASES = {                                   # shape of the inputs, network
    **{f'{depth} dense, {n}': ((n, 100), lambda s, depth=depth: dense(s, depth))
       for depth in (3, 10) for n in (1000, 4000)},
    'conv, flatten': ((64, 32, 32, 3), flat),
    'conv, pooled': ((8, 32, 32, 3), pooled),
    'Myrtle-5': ((4, 32, 32, 3), lambda s: myrtle(s, (1, 1, 1))),
    'Myrtle-10': ((4, 32, 32, 3), lambda s: myrtle(s, (2, 3, 3))),
    'CNTK-21': ((2, 32, 32, 3), cntk),
}


def mlp(s, width):
    return s.serial(*[s.Dense(width, 1.5, .1), s.Relu()] * 3, s.Dense(10))


def cnn(s):
    layers = s.Conv(32, (3, 3), padding='SAME', W_std=2 ** .5, b_std=.1), s.Relu()
    return s.serial(*layers, *layers, s.GlobalAvgPool(), s.Dense(10))


FINITE = {
    '3 x 256': ((50, 100), lambda s: mlp(s, 256)),
    '3 x 1024': ((50, 100), lambda s: mlp(s, 1024)),
    '2 convolutions': ((16, 16, 16, 3), cnn),
}


def cross_entropy(np, predict, kernel_fn, momentum, n=300, o=10, t=1000.):
    """Of random labels, to t = 1000; a function without arguments, which predicts."""
    x = inputs((n, 20))
    y, f0 = np.eye(o)[np.arange(n) * 7 % 11 % o], inputs((n, o))

    def loss(f, y):
        f = f - np.max(f, axis=-1, keepdims=True)
        return -np.mean(np.sum(y * (f - np.log(np.sum(np.exp(f), axis=-1, keepdims=True))), axis=-1))
    predict_fn = predict.gradient_descent(loss, kernel_fn(x, None, 'ntk'), y, 1., momentum)
    return lambda: predict_fn(t, f0)


def ensemble(np, predict, kernel_fn, t, n=1500, m=500, o=10):
    """Means and covariances of both kinds from inputs to the end; a function without arguments."""
    x, x_test, y = inputs((n, 20)), inputs((n + m, 20))[n:], inputs((n, o))
    return lambda: predict.gradient_descent_mse_ensemble(kernel_fn, x, y, diag_reg=1e-3)(t, x_test, None, True)


DYNAMICS = {                                # function of (autograd's or JAX's numpy, predict, kernel_fn)
    'cross-entropy': lambda *a: cross_entropy(*a, None),
    'cross-entropy, momentum': lambda *a: cross_entropy(*a, .9),
    'ensemble, t = None': lambda *a: ensemble(*a, None),
    'ensemble, 3 times': lambda np, *a: ensemble(np, *a, np.array([1., 10., 100.])),
}


def inputs(shape, dtype='float64'):
    import numpy as np
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def best(kernel_fn, shape, dtype, repeat):
    import numpy as np
    x = inputs(shape, dtype)
    return fastest(lambda: np.asarray(kernel_fn(x, None, get='ntk')), repeat)[0]


def fastest(f, repeat, warm=True):
    """The least seconds, and the least processor seconds."""
    times = []
    for i in range(repeat + warm):          # the first one warms up
        start = time.perf_counter(), time.process_time()
        f()
        if i or not warm:
            times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return tuple(map(min, zip(*times)))


def nt_seconds(python, *case):
    """The same by Neural Tangents, in a process of its own: this file once more."""
    env = {name: value for name, value in os.environ.items() if name != 'OPENBLAS_CORETYPE'}
    command = [python, '-W', 'ignore', __file__, '--as-nt', json.dumps(case)]
    out = subprocess.run(command, capture_output=True, text=True, env=env)
    if out.returncode:
        raise RuntimeError(f'{python} could not run Neural Tangents:\n{out.stderr[-2000:]}')
    return json.loads(out.stdout.splitlines()[-1])


def as_nt(name, dtype, repeat):
    import jax
    jax.config.update('jax_enable_x64', dtype == 'float64')
    from neural_tangents import stax
    shape, network = CASES[name]
    print(json.dumps(best(jax.jit(network(stax)[2], static_argnames='get'), shape, dtype, repeat)))
    return 0


def finite_as_nt(name, repeat):
    import jax
    jax.config.update('jax_enable_x64', True)
    import neural_tangents as nt
    shape, network = FINITE[name]
    init_fn, f, _ = network(nt.stax)
    _, params = init_fn(jax.random.PRNGKey(0), shape)
    ntk_fn = jax.jit(nt.empirical_ntk_fn(f, trace_axes=(), vmap_axes=0, implementation=3))
    x = inputs(shape)
    print(json.dumps(fastest(lambda: ntk_fn(x, None, params).block_until_ready(), repeat)))
    return 0


def trained(stax):
    """The kernel function of the network whose training is measured."""
    return stax.serial(*[stax.Dense(512, 1.5, .1), stax.Relu()] * 2, stax.Dense(10))[2]


def dynamics_as_nt(name, repeat):
    import jax
    jax.config.update('jax_enable_x64', True)
    import jax.numpy as np
    from neural_tangents import predict, stax
    run = DYNAMICS[name](np, predict, trained(stax))
    print(json.dumps(fastest(lambda: jax.block_until_ready(run()), repeat)))
    return 0


def print_dynamics(nt, repeat):
    import autograd.numpy as np
    from ntref import predict, stax
    titles = f'{"training":<25} {"ntref s":>9} {"cpu s":>7}'
    print(titles + (f' {"NT s":>9} {"cpu s":>7} {"NT / ntref":>11}' if nt else ''))
    for name, prepare in DYNAMICS.items():
        ours, cpu = fastest(prepare(np, predict, trained(stax)), repeat)
        theirs = nt_seconds(nt, name, 'dynamics', repeat) if nt else None
        row = f'{name:<25} {ours:>9.3f} {cpu:>7.3f}'
        print(row + (f' {theirs[0]:>9.3f} {theirs[1]:>7.3f} {theirs[0] / ours:>10.1f}x' if theirs else ''), flush=True)
    return 0


def finite(nt, repeat):
    """Rows of the table of finite networks, as they are measured."""
    from ntref import empirical_ntk_fn, stax
    for name, (shape, network) in FINITE.items():
        init_fn, f, _ = network(stax)
        _, params = init_fn(0, shape)
        x, ntk_fns = inputs(shape), [empirical_ntk_fn(f, (), (), 0, implementation) for implementation in (3, 1)]
        ours, cpu = fastest(lambda: ntk_fns[0](x, None, params), repeat)
        theirs = nt_seconds(nt, name, 'finite', repeat) if nt else None
        yield name, ours, cpu, theirs, fastest(lambda: ntk_fns[1](x, None, params), 1, warm=False)


def print_finite(nt, repeat):
    print(f'{"network":<15} {"ntref s":>9} {"cpu s":>7} {"definition s":>13} {"cpu s":>7} {"cpu ratio":>10}'
          + (f' {"NT s":>9} {"cpu s":>7}' if nt else ''))
    for name, ours, cpu, theirs, (slow, slow_cpu) in finite(nt, repeat):
        row = f'{name:<15} {ours:>9.3f} {cpu:>7.3f} {slow:>13.2f} {slow_cpu:>7.2f} {slow_cpu / cpu:>9.0f}x'
        print(row + (f' {theirs[0]:>9.3f} {theirs[1]:>7.3f}' if theirs else ''), flush=True)
    return 0


def measured(names, nt=None, repeat=3):
    """(name, shape, dtype, seconds, seconds of NT or None) of each case in both precisions."""
    from ntref import stax
    for name in names:
        shape, network = CASES[name]
        for dtype in ('float64', 'float32'):
            ours = best(network(stax).kernel_fn, shape, dtype, repeat)
            yield name, 'x'.join(map(str, shape)), dtype, ours, nt_seconds(nt, name, dtype, repeat) if nt else None


def machine():
    import numpy
    import scipy
    return (f'{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy '
            f'{numpy.__version__}, SciPy {scipy.__version__}, {time.strftime("%Y-%m-%d")}')


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--nt', metavar='PYTHON', help='interpreter with Neural Tangents')
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--only', nargs='+', metavar='NAME', choices=CASES, default=list(CASES))
    parser.add_argument('--finite', action='store_true', help='finite networks instead')
    parser.add_argument('--dynamics', action='store_true', help='training instead')
    parser.add_argument('--as-nt', type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.as_nt:
        name, dtype, repeat = args.as_nt
        others = {'finite': finite_as_nt, 'dynamics': dynamics_as_nt}
        return others[dtype](name, repeat) if dtype in others else as_nt(name, dtype, repeat)
    print(f'{"float64" if args.dynamics else "NTK, x2=None"}; {machine()}\n')
    if args.dynamics:
        return print_dynamics(args.nt, args.repeat)
    if args.finite:
        return print_finite(args.nt, args.repeat)
    titles = f'{"network":<15} {"inputs":<16} {"dtype":>8} {"ntref s":>9}'
    print(titles + (f' {"NT s":>9} {"NT / ntref":>11}' if args.nt else ''))
    for name, shape, dtype, ours, theirs in measured(args.only, args.nt, args.repeat):
        row = f'{name:<15} {shape:<16} {dtype:>8} {ours:>9.3f}'
        print(row + (f' {theirs:>9.3f} {theirs / ours:>10.1f}x' if theirs else ''), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
