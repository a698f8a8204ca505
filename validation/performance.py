"""Writes docs/performance.md: times beside Neural Tangents, growth with the number of inputs, distance from the floor.

    python validation/performance.py [--nt PYTHON]

About five minutes on two quiet cores.
"""
import argparse
import subprocess
import sys
import time
from pathlib import Path

from bench import CASES, best, dense, machine, measured

PAGE = Path(__file__).parent.parent / 'docs' / 'performance.md'

START = '''
import time, sys
import numpy as np
from {} import stax
x = np.random.default_rng(0).standard_normal((100, 10))
net = stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(1))
{}
np.asarray(k)
'''
OURS = START.format('ntref', "k = net.kernel_fn(x, None, get='ntk')")
THEIRS = START.format('neural_tangents', "k = net[2](x, None, get='ntk')")

PEAK = '''
import tempfile
import numpy as np
from ntref import batch, stax
def peak():
    return next(1024 * int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))
net = stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(8), stax.Relu(), stax.Dense(1))
def kernel(n):
    x = np.random.default_rng(0).standard_normal((n, 100))
    if not {out}:
        return net.kernel_fn(x, None, 'ntk')
    with tempfile.TemporaryDirectory() as folder:
        batch(net.kernel_fn, out=folder + '/k.zarr')(x, None, 'ntk')
kernel(600)
before = peak()
kernel({n})
print(peak() - before)
'''


def seconds_of(python, code, repeat=3):
    """From the start of a process to its end, the best of some."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        subprocess.run([python, '-W', 'ignore', '-c', code], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


def table(titles, rows):
    lines = ['| ' + ' | '.join(titles) + ' |', '|' + ' --- |' * len(titles)]
    return '\n'.join(lines + ['| ' + ' | '.join(map(str, row)) + ' |' for row in rows])


def beside_nt(nt):
    titles = ['network', 'inputs', 'precision', 'ntref, s'] + ['NT, s', 'NT / ntref'] * bool(nt)
    return table(titles, [
        (name, shape, dtype, f'{ours:.3f}') + ((f'{theirs:.3f}', f'{theirs / ours:.1f}') if theirs else ())
        for name, shape, dtype, ours, theirs in measured(CASES, nt)])


def growth():
    """Time per entry and peak memory of the NTK of 3 layers, x2=None."""
    from ntref import stax
    rows = []
    for n in (1000, 2000, 4000, 8000, 16000):
        seconds = best(dense(stax, 3).kernel_fn, (n, 100), 'float64', 2)
        in_memory, on_disk = (int(subprocess.run([sys.executable, '-c', PEAK.format(n=n, out=out)], check=True,
                                                 capture_output=True, text=True).stdout) for out in (False, True))
        rows.append((n, f'{seconds:.3f}', f'{seconds / n ** 2 * 1e9:.1f}', f'{in_memory / (8 * n * n):.2f}',
                     f'{on_disk / 2 ** 20:.0f}'))
    return table(['n', 's', 'ns an entry', 'memory / result', 'with `out`, MiB'], rows)


def floor():
    """Time per computed entry and layer against sqrt and arctan2 alone, in the cache, on as many threads."""
    import numpy as np

    from ntref import stax
    from ntref.engine import in_threads

    def transcendental(x, times=200):
        out = np.empty_like(x)
        for _ in range(times):
            np.arctan2(np.sqrt(x, out=out), x, out=out)
    n, xs, rows = 4000, [np.random.default_rng(0).random(2 ** 15) for _ in range(2)], []
    start = time.perf_counter()
    in_threads(transcendental, xs)
    least = (time.perf_counter() - start) / (200 * sum(map(len, xs))) * 1e9
    for depth in (3, 10):
        seconds = best(dense(stax, depth).kernel_fn, (n, 100), 'float64', 3)
        each = seconds / (n * (n + 1) / 2 * depth) * 1e9
        rows.append((depth, f'{each:.2f}', f'{least:.2f}', f'{each / least:.1f}'))
    return table(['layers', 'ns an entry and layer', 'sqrt and arctan2', 'ratio'], rows)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--nt', metavar='PYTHON', help='interpreter with Neural Tangents')
    args = parser.parse_args(argv)
    ours = seconds_of(sys.executable, OURS)
    start = f'From the start of a process to the first kernel, 100 x 100: {ours:.2f} s'
    if args.nt:
        theirs = seconds_of(args.nt, THEIRS)
        start += f' (NT {theirs:.2f} s, {theirs / ours:.1f} times as long)'
    PAGE.write_text(f"""# Performance

Written by `python validation/performance.py --nt PYTHON`. {machine()}.

## Beside Neural Tangents

NTK, x2=None, the best of three; NT (0.6.5 on jaxlib 0.4.25) jitted and warm, in the same run on the same cores.

{beside_nt(args.nt)}

{start}.

## Growth

Three layers of 100 features, float64. Memory is the peak above what a small kernel takes: over the size of the result,
and of `batch` that writes to disk.

{growth()}

## Distance from the floor

A ReLU takes a square root and an arctangent for each entry; here is what all takes to what these two alone would take
on data in the cache, on as many threads. Of a symmetric kernel only one half is counted.

{floor()}
""")
    print(PAGE.read_text())
    return 0


if __name__ == '__main__':
    sys.exit(main())
