"""Writes docs/performance.md: times beside Neural Tangents, growth with the number of inputs, distance from the floor.

    python validation/performance.py [--nt PYTHON]

The times are those of `bench.py --all`, the slowest beside Neural Tangents first.
"""
import argparse
import subprocess
import sys
import time
from pathlib import Path

from bench import WORST, asked_for, best, machine, measured, summaries, worst_first
from benched import CASES, dense, normal

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


def cells_of(row):
    """Cells of a row; without NT the last two are empty."""
    theirs = (f'{row.nt_seconds:.3g}', f'{row.ratio:.3g}') if row.ratio else ('', '')
    return row.name, row.inputs, row.dtype, row.get, f'{row.seconds:.3g}', *theirs


def beside_nt(nt, cases):
    """The slowest rows and means of the groups, if there is NT; then all rows, a table for each group."""
    titles = 'network', 'inputs', 'precision', 'kernel', 'ntref, s', 'NT, s', 'NT / ntref'
    found = list(measured(asked_for(cases), nt))
    parts = []
    if nt:
        worst = worst_first(found)[:WORST]
        parts += ['### The slowest beside it', table(titles, map(cells_of, worst))]
        parts += ['### Means', means_of(found)]
    for group in dict.fromkeys(row.group for row in found):
        members = [row for row in found if row.group == group]
        in_order = worst_first(members) + [row for row in members if not row.ratio]
        parts += [f'### {group[0].upper()}{group[1:]}', table(titles, map(cells_of, in_order))]
    return '\n\n'.join(parts)


def means_of(found):
    titles = 'group', 'rows', 'NT / ntref, geometric mean', 'least', 'of'
    rows = []
    for group, count, mean, worst in summaries(found):
        which = f'{worst.name}, {worst.dtype}, {worst.get}'
        rows.append((group, count, f'{mean:.3g}', f'{worst.ratio:.3g}', which))
    return table(titles, rows)


def dense_seconds(depth, n, repeat):
    """NTK of n inputs of 100 features, x2=None, float64."""
    from ntref import stax
    kernel_fn = dense(stax, depth).kernel_fn
    x = normal(n, 100).draw()
    return best(lambda: kernel_fn(x, None, 'ntk'), repeat)


def peak_of(n, out):
    """Bytes by which a process grows; with `out` the kernel goes to the disk."""
    run = subprocess.run(
        [sys.executable, '-c', PEAK.format(n=n, out=out)], check=True, capture_output=True, text=True)
    return int(run.stdout)


def growth():
    """Time per entry and peak memory of the NTK of 3 layers, x2=None."""
    rows = []
    for n in (1000, 2000, 4000, 8000, 16000):
        seconds = dense_seconds(3, n, 2)
        in_memory = peak_of(n, False)
        on_disk = peak_of(n, True)
        each = seconds / n ** 2 * 1e9
        share = in_memory / (8 * n * n)
        rows.append((n, f'{seconds:.3f}', f'{each:.1f}', f'{share:.2f}', f'{on_disk / 2 ** 20:.0f}'))
    return table(['n', 's', 'ns an entry', 'memory / result', 'with `out`, MiB'], rows)


def floor():
    """Time per computed entry and layer against sqrt and arctan2 alone, in the cache, on as many threads."""
    import numpy as np

    from ntref.engine import in_threads

    def transcendental(x, times=200):
        out = np.empty_like(x)
        for _ in range(times):
            np.arctan2(np.sqrt(x, out=out), x, out=out)
    n = 4000
    xs = [np.random.default_rng(0).random(2 ** 15) for _ in range(2)]
    rows = []
    start = time.perf_counter()
    in_threads(transcendental, xs)
    least = (time.perf_counter() - start) / (200 * sum(map(len, xs))) * 1e9
    for depth in (3, 10):
        seconds = dense_seconds(depth, n, 3)
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

Seconds of a call, the best of three; NT (0.6.5 on jaxlib 0.4.25) jitted and warm, in turn with ntref on the same
cores. x2=None but for gradients. In `validation/benched.py` are the networks; what NT does not have has no time there.

{beside_nt(args.nt, CASES.values())}

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
