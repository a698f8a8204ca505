"""Writes docs/performance.md and its pictures: times beside other libraries, growth with n, kernels on disk, the floor.

    python validation/performance.py [--nt PYTHON] [--scikit-ntk PYTHON] [--botorch PYTHON] [--only SECTION ...]

Each PYTHON is an interpreter in which that library is installed; those that are not given are left out. The times
beside Neural Tangents are those of `bench.py --all`, the slowest first. Pictures are written beside the page, into
pictures/. With --only those sections of the page are written anew, and the others stay as they are.
"""
import argparse
import subprocess
import sys
import time
from pathlib import Path

import drawn
import scale
from bench import WORST, asked_for, best, machine, measured, summaries, worst_first
from benched import CASES, dense, normal

from ntref.oracle import on_device

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


def beside_nt(nt, found):
    """The slowest rows and means of the groups, if there is NT; then all rows, a table for each group."""
    titles = 'network', 'inputs', 'precision', 'kernel', 'ntref, s', 'NT, s', 'NT / ntref'
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


def mebibytes(size):
    return f'{size / 2 ** 20:.0f}'


def growth(rows):
    """Time per entry and peak memory of the NTK of 3 layers, x2=None."""
    titles = 'n', 's', 'ns an entry', 'memory / result', 'with `out`, s', 'with `out`, MiB'
    lines = []
    for row in rows:
        cells = ['does not fit', '', '']
        if row.seconds:
            share = row.bytes / (8 * row.n ** 2)
            cells = [f'{row.seconds:.3f}', f'{row.seconds / row.n ** 2 * 1e9:.1f}', f'{share:.2f}']
        on_disk = ['does not fit', '']
        if row.seconds_on_disk:
            on_disk = [f'{row.seconds_on_disk:.2f}', mebibytes(row.bytes_on_disk)]
        lines.append((row.n, *cells, *on_disk))
    return table(titles, lines)


def part(n, found):
    """What was written in a given time, and all of it by extrapolation."""
    titles = '', 'tiles', 's', 'GB on disk', 'memory, MiB'
    whole = found.times
    return table(titles, [
        ('measured', found.tiles, f'{found.seconds:.0f}', f'{found.bytes / 1e9:.2f}', mebibytes(found.memory)),
        (f'extrapolated to n = {n:,}', found.of, f'{whole * found.seconds:.0f}',
         f'{whole * found.bytes / 1e9:.1f}', 'the same')])


def solved(rows):
    titles = 'solution', 's', 'memory, MiB', 'steps', 'distance from Cholesky'
    return table(titles, [
        (row.how, f'{row.seconds:.2f}', mebibytes(row.bytes), row.steps or '', f'{row.distance:.0e}')
        for row in rows])


def against_n(panels):
    """Seconds of each library, a row for each n."""
    parts = []
    for title, libraries in panels.items():
        seconds = {library: dict(points) for library, points in libraries.items()}
        sizes = sorted({n for points in seconds.values() for n in points})
        rows = [(n, *(f'{points[n]:.3g}' if n in points else '' for points in seconds.values()))
                for n in sizes]
        parts += [f'### {title}', table(('n', *seconds), rows)]
    return '\n\n'.join(parts)


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


# ------------------------------------------------------------------ sections of the page

def beside_section(pythons, pictures):
    nt = pythons.get('Neural Tangents')
    found = list(measured(asked_for(CASES.values()), nt))
    if nt:
        drawn.ratios(found, pictures / 'performance-ratios.png')
    picture = '![Ratios by group](pictures/performance-ratios.png)\n\n' if nt else ''
    return f"""
Seconds of a call, the best of three; NT (0.6.5 on jaxlib 0.4.25) jitted and warm, in turn with ntref on the same
cores. x2=None but for gradients. In `validation/benched.py` are the networks; what NT does not have has no time there.

{picture}{beside_nt(nt, found)}

{from_start_to_kernel(nt)}.
"""


def from_start_to_kernel(nt):
    ours = seconds_of(sys.executable, OURS)
    text = f'From the start of a process to the first kernel, 100 x 100: {ours:.2f} s'
    if nt:
        theirs = seconds_of(nt, THEIRS)
        text += f' (NT {theirs:.2f} s, {theirs / ours:.1f} times as long)'
    return text


def against_section(pythons, pictures):
    panels = {get.upper(): scale.against(pythons, get) for get in ('ntk', 'nngp')}
    drawn.against_n(panels, pictures / 'performance-against-n.png')
    return f"""
Kernels of three layers of ReLU, inputs of {scale.FEATURES} features, float64, on all cores, the best of three. A
library whose call takes more than {scale.STOP / 5:g} s gets no more inputs. scikit-ntk has the NTK, BoTorch
(`InfiniteWidthBNNKernel`, on GPyTorch) the NNGP; the ratio of two entries is the same in all of them.

![Time against n](pictures/performance-against-n.png)

{against_n(panels)}
"""


def growth_section(pythons, pictures):
    rows = list(scale.growth())
    drawn.growth(rows, pictures / 'performance-growth.png')
    return f"""
The NTK of three layers, {scale.FEATURES} features, float64; the best of three below n = 8,000, else one call. Memory
is the peak above what a small kernel takes: over the size of the result, and of `batch` that writes to disk.

![Growth](pictures/performance-growth.png)

{growth(rows)}
"""


def part_section(pythons, pictures):
    return f"""
The same kernel with `out=`. The first minute is measured, from the first tile on; all of it is extrapolated by the
number of tiles. The upper half is written.

{part(100_000, scale.part(100_000))}
"""


def disk_section(pythons, pictures):
    return f"""
(K + reg) a = y with one right-hand side, n = 8,000, reg of 1e-3 times the mean of the diagonal, for the same kernel in
a store: by a Cholesky decomposition of all of it in memory, reading included, and by `predict.cg` with `tol=1e-4`.
Which preconditioner when: [large kernels](large-kernels.md#conjugate-gradients).

{solved(scale.solved(8000))}
"""


def floor_section(pythons, pictures):
    return f"""
A ReLU takes a square root and an arctangent for each entry; here is what all takes to what these two alone would take
on data in the cache, on as many threads. Of a symmetric kernel only one half is counted.

{floor()}
"""


def gpu_section(pythons, pictures):
    name = on_device.device_name()
    if name is None:
        rows = 'No GPU was measured yet.'
    else:
        columns = 'kernel', 'precision', 'the GPU, s', 'the CPU, s', 'NT on the GPU, s'
        rows = f'{name}\n\n' + table(columns, [
            (t.name, t.dtype, *('' if s != s else f'{s:.3g}' for s in (t.device, t.host, t.theirs)))
            for t in on_device.times()])
    return f"""
Seconds of kernels of CuPy arrays, the best of three, results on the device; of the same call on the CPU of that
machine where it takes less than a minute; and of Neural Tangents on the same card where it can be imported. The rows
are those of [`ntref gpu-check`](gpu.md#checking-your-gpu), whose report has them for your card: 3 and 10 dense layers
at n = 4,000 to 60,000, and convolutions. Here they are written by `python validation/performance.py --only gpu` on a
machine with a GPU.

{rows}
"""


SECTIONS = {
    'beside': ('Beside Neural Tangents', beside_section),
    'against': ('Time against n', against_section),
    'growth': ('Growth', growth_section),
    'part': ('A hundred thousand inputs', part_section),
    'disk': ('Kernels on disk', disk_section),
    'floor': ('Distance from the floor', floor_section),
    'gpu': ('On a GPU', gpu_section)}
"""Heading, and function of interpreters by library and of the folder of pictures."""


def written(page):
    """{heading: text} of the sections of a page that was written here."""
    parts = page.read_text().split('\n## ')[1:] if page.exists() else []
    return {title: text for title, _, text in (part.partition('\n') for part in parts)}


def rewrite(page, names, pythons):
    """Measure these sections and write each as soon as it is there; the others stay as they are."""
    pictures = page.parent / 'pictures'
    pictures.mkdir(parents=True, exist_ok=True)
    for name in names:
        start = time.perf_counter()
        title, section = SECTIONS[name]
        text = section(pythons, pictures)
        minutes = (time.perf_counter() - start) / 60
        texts = written(page) | {title: f'{text}\n{machine()}; {minutes:.1f} minutes.\n'}
        known = [(title, texts[title]) for title, _ in SECTIONS.values() if title in texts]
        page.write_text(HEAD + ''.join(f'\n## {title}\n{text.rstrip()}\n' for title, text in known))


# ------------------------------------------------------------------ the command

HEAD = """# Performance

Written by `python validation/performance.py --nt PYTHON --scikit-ntk PYTHON --botorch PYTHON`.
"""


def parsed(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags = {'--nt': 'Neural Tangents', '--scikit-ntk': 'scikit-ntk', '--botorch': 'BoTorch'}
    for flag, library in flags.items():
        parser.add_argument(flag, metavar='PYTHON', dest=library, help=f'interpreter with {library}')
    parser.add_argument('--only', nargs='+', metavar='SECTION', choices=SECTIONS, default=[*SECTIONS],
                        help=f'out of {", ".join(SECTIONS)}; the others stay as they are')
    parser.add_argument('--page', metavar='FILE', type=Path, default=PAGE, help='where to write')
    return parser.parse_args(argv)


def main(argv=None):
    args = parsed(argv)
    given = {'ntref': sys.executable} | vars(args)
    pythons = {library: given[library] for library in drawn.COLORS if given[library]}
    rewrite(args.page, args.only, pythons)
    print(args.page.read_text())
    return 0


if __name__ == '__main__':
    sys.exit(main())
