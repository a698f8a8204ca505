"""Times of ntref, with those of Neural Tangents beside them.

    python validation/bench.py [--nt PYTHON] [--repeat 3] [--sizes 1000 2000 4000]

PYTHON is an interpreter in which Neural Tangents is installed; it runs the same networks, jitted and warm, on the same
machine between our own runs. Printed are seconds (the best of the repeats) and the ratio ours / NT: below 1 is faster.
"""
import argparse
import json
import platform
import subprocess
import sys
import time

DIM = 100
NT_SCRIPT = """
import json, sys, time
depth, n, dtype, repeat = json.loads(sys.argv[1])
import jax
jax.config.update('jax_enable_x64', dtype == 'float64')
import numpy as np
from neural_tangents import stax
net = stax.serial(*[layer for _ in range(depth) for layer in (stax.Dense(512, 1.5, .1), stax.Relu())], stax.Dense(1))
kernel_fn = jax.jit(net[2], static_argnames='get')
x = np.random.default_rng(0).standard_normal((n, %d)).astype(dtype)
times = []
for _ in range(repeat + 1):
    start = time.perf_counter()
    kernel_fn(x, None, get='ntk').block_until_ready()
    times.append(time.perf_counter() - start)
print(json.dumps(min(times[1:])))
""" % DIM


def ntref_seconds(depth, n, dtype, repeat):
    """Best time of the NTK of `depth` hidden ReLU layers on n inputs."""
    import numpy as np

    from ntref import stax
    net = stax.serial(*[stax.Dense(512, 1.5, .1), stax.Relu()] * depth, stax.Dense(1))
    x = np.random.default_rng(0).standard_normal((n, DIM)).astype(dtype)
    net.kernel_fn(x[:50], get='ntk')
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        net.kernel_fn(x, get='ntk')
        times.append(time.perf_counter() - start)
    return min(times)


def nt_seconds(python, *case):
    out = subprocess.run([python, '-W', 'ignore', '-c', NT_SCRIPT, json.dumps(case)], capture_output=True, text=True)
    if out.returncode:
        raise RuntimeError(f'{python} could not run Neural Tangents:\n{out.stderr[-2000:]}')
    return json.loads(out.stdout.splitlines()[-1])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--nt', metavar='PYTHON', help='interpreter with Neural Tangents')
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--sizes', type=int, nargs='+', default=[1000, 2000, 4000])
    args = parser.parse_args(argv)
    import numpy
    import scipy
    print(f'ReLU NTK, x2=None, {DIM} features; {platform.machine()}, Python {platform.python_version()}, '
          f'NumPy {numpy.__version__}, SciPy {scipy.__version__}\n')
    print(f'{"depth":>5} {"n":>6} {"dtype":>8} {"ntref s":>9} {"ns/entry/layer":>15}'
          + (f' {"NT s":>9} {"ratio":>7}' if args.nt else ''))
    for depth in (3, 10):
        for dtype in ('float64', 'float32'):
            for n in args.sizes:
                ours = ntref_seconds(depth, n, dtype, args.repeat)
                row = f'{depth:>5} {n:>6} {dtype:>8} {ours:>9.3f} {1e9 * ours / n ** 2 / depth:>15.1f}'
                if args.nt:
                    theirs = nt_seconds(args.nt, depth, n, dtype, args.repeat)
                    row += f' {theirs:>9.3f} {ours / theirs:>7.2f}'
                print(row, flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
