"""What `performance.py` measures of large kernels: growth with n, a part of 100,000 inputs, solutions on disk.

Each measurement has a process of its own, whose memory is that of the measurement alone.
"""
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

FEATURES = 100
SIDE = 1024                 # of tiles
SPARE = 1.3                 # times the result has to be free
STOP = 10                   # seconds of a call after which a library gets no more inputs
SAME = 1e-9                 # relative difference up to which two libraries computed the same

# ------------------------------------------------------------------ processes

OURS = '''
import json, signal, sys, tempfile, time
import numpy as np
from ntref import batch, load_kernel, predict, stax
def memory():
    return next(1024 * int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))
def inputs(n):
    return np.random.default_rng(0).standard_normal((n, 100))
def timed(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start
layers = stax.Dense(8, 2 ** .5), stax.Relu()
net = stax.serial(*layers * 3, stax.Dense(1))
'''

GROWTH = OURS + '''
def kernel(n, folder):
    f = batch(net.kernel_fn, out=folder + '/%d' % n) if folder else net.kernel_fn
    return timed(lambda: f(inputs(n), None, 'ntk'))
n, folder, repeat = {n}, {folder!r}, {repeat}
kernel(600, folder)
before = memory()
seconds = min(kernel(n + i, folder) for i in range(repeat))
print(json.dumps([seconds, memory() - before]))
'''

PART = OURS + '''
batch(net.kernel_fn, out={folder!r})(inputs({n}), None, 'ntk')
'''

SOLVED = OURS + '''
k, y = load_kernel({path!r}), np.sin(inputs({n})[:, 0])
before = memory()
found = []
def whole():
    from scipy.linalg import cho_factor, cho_solve
    a = np.asarray(k).T                     # in the order of LAPACK, which so makes no copy
    a[np.diag_indices(len(a))] += {reg} * np.trace(a) / len(a)
    found.append(cho_solve(cho_factor(a, overwrite_a=True, check_finite=False), y))
def tiles():
    solution = predict.cg(k, y, {reg}, tol={tol}, rank={rank}, preconditioner={name!r})
    found.extend([solution.a, solution.steps])
seconds = timed(tiles if {name!r} else whole)
np.save({path!r} + '-{name}.npy', found[0])
print(json.dumps([seconds, memory() - before, found[-1] if {name!r} else None]))
'''


def answer(code, python=sys.executable):
    """What a process prints, as JSON."""
    command = [python, '-W', 'ignore', '-c', code]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def free_memory():
    for line in Path('/proc/meminfo').read_text().splitlines():
        if line.startswith('MemAvailable'):
            return 1024 * int(line.split()[1])


# ------------------------------------------------------------------ growth

class Grown(NamedTuple):
    n: int
    seconds: float | None           # None: it does not fit
    bytes: int | None
    seconds_on_disk: float | None
    bytes_on_disk: int | None


def growth(sizes=(1000, 2000, 4000, 8000, 16000, 32000)):
    """The NTK of 3 layers, x2=None: in memory, and written to disk."""
    for n in sizes:
        result = 8 * n * n
        repeat = 3 if n < 8000 else 1
        in_memory = on_disk = None, None
        if SPARE * result < free_memory():
            in_memory = answer(GROWTH.format(n=n, folder='', repeat=repeat))
        with tempfile.TemporaryDirectory() as folder:
            if SPARE * result / 2 < shutil.disk_usage(folder).free:
                on_disk = answer(GROWTH.format(n=n, folder=folder, repeat=1))
        yield Grown(n, *in_memory, *on_disk)


# ------------------------------------------------------------------ a part of a kernel

class Part(NamedTuple):
    seconds: float
    tiles: int                      # written in these seconds
    of: int
    bytes: int                      # of these tiles
    memory: int

    @property
    def times(self):
        """By which all is more than the part."""
        return self.of / self.tiles


def tiles_in(folder):
    """Number and bytes of tiles in a store that somebody writes; a file that is not whole yet has another name."""
    sizes = []
    for path in Path(folder).glob('*/c/*/*'):
        if path.name.isdigit():
            sizes.append(path.stat().st_size)
    return len(sizes), sum(sizes)


def part(n=100_000, seconds=60):
    """The first `seconds` of writing a kernel of n inputs, or a little more, from its first tile to another one."""
    rows = math.ceil(n / SIDE)
    with tempfile.TemporaryDirectory() as folder:
        code = PART.format(n=n, folder=folder + '/kernel')
        process = subprocess.Popen([sys.executable, '-c', code], stderr=subprocess.DEVNULL)
        while not tiles_in(folder + '/kernel')[0]:
            if process.poll() is not None:
                raise RuntimeError(f'expected a kernel of {n} inputs, got nothing: run {code}')
            time.sleep(.05)
        start = time.perf_counter()
        before = tiles_in(folder + '/kernel')
        elapsed = 0
        after = before
        while elapsed < seconds or after[0] == before[0]:
            if process.poll() is not None:
                raise RuntimeError(f'expected {n} inputs to take longer than {seconds} s, got {elapsed:.3g} s.')
            time.sleep(.05)
            elapsed = time.perf_counter() - start
            after = tiles_in(folder + '/kernel')
        memory = high_water(process.pid)
        process.terminate()
        process.wait()
    tiles, size = (b - a for a, b in zip(before, after))
    return Part(elapsed, tiles, rows * (rows + 1) // 2, size, memory)


def high_water(pid):
    """The most memory that a process had, in bytes."""
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('VmHWM'):
            return 1024 * int(line.split()[1])


# ------------------------------------------------------------------ solutions

class Solved(NamedTuple):
    how: str
    seconds: float
    bytes: int
    steps: int | None
    distance: float                 # from the solution by Cholesky, relative


def solved(n, reg=1e-3, tol=1e-4, rank=100):
    """One right-hand side: Cholesky in memory, and conjugate gradients that read tiles from disk."""
    import numpy as np
    with tempfile.TemporaryDirectory() as folder:
        path = folder + '/kernel'
        subprocess.run([sys.executable, '-c', PART.format(n=n, folder=path)], check=True)
        for name in '', 'cholesky', 'nystrom':
            code = SOLVED.format(path=path, n=n, reg=reg, tol=tol, rank=rank, name=name)
            seconds, size, steps = answer(code)
            a = np.load(f'{path}-{name}.npy')
            exact = np.load(f'{path}-.npy')
            distance = float(np.linalg.norm(a - exact) / np.linalg.norm(exact))
            how = f'`cg`, {name!r}, rank {rank}' if name else 'Cholesky in memory'
            yield Solved(how, seconds, size, steps, distance)


# ------------------------------------------------------------------ other libraries

RIVAL = '''
import json, sys, time
import numpy as np
{setup}
def seconds_of(n):
    x = np.random.default_rng(0).standard_normal((n, 100))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        k = kernel(x)
        times.append(time.perf_counter() - start)
        if times[-1] > {stop}:
            break
    return min(times), float(k[0, 1] / k[0, 2])
found = []
for n in {sizes}:
    found.append([n, *seconds_of(n)])
    if found[-1][1] > {stop} / 5:
        break
print(json.dumps(found))
'''

NETWORK = '''
net = stax.serial(*(stax.Dense(8, 2 ** .5), stax.Relu()) * 3, stax.Dense(1, 2 ** .5))
'''
SETUPS = {
    ('ntref', 'ntk'): 'from ntref import stax' + NETWORK + '''
def kernel(x):
    return net.kernel_fn(x, None, 'ntk')
''',
    ('Neural Tangents', 'ntk'): '''
import jax
jax.config.update('jax_enable_x64', True)
from neural_tangents import stax''' + NETWORK + '''
f = jax.jit(lambda x: net[2](x, None, 'ntk'))
def kernel(x):
    return np.asarray(f(x))
''',
    ('scikit-ntk', 'ntk'): '''
from skntk import NeuralTangentKernel
kernel = NeuralTangentKernel(3, 0.)
''',
    ('BoTorch', 'nngp'): '''
import torch
from botorch.models.kernels.infinite_width_bnn import InfiniteWidthBNNKernel
f = InfiniteWidthBNNKernel(3).double()
f.weight_var = 2.
f.bias_var = 1e-12
def kernel(x):
    with torch.no_grad():
        return f.k(torch.from_numpy(x), torch.from_numpy(x)).numpy()
'''}
for library in 'ntref', 'Neural Tangents':
    SETUPS[library, 'nngp'] = SETUPS[library, 'ntk'].replace("'ntk'", "'nngp'")


def against(pythons, get, sizes=(500, 1000, 2000, 4000, 8000)):
    """{library: [(n, seconds)]} of a kernel of three layers of Relu, float64, for libraries with an interpreter.

    Raises
    ------
    RuntimeError : one computes something else, seen by the ratio of two entries.
    """
    found = {}
    for library, python in pythons.items():
        if (library, get) in SETUPS:
            setup = SETUPS[library, get]
            found[library] = answer(RIVAL.format(setup=setup, sizes=sizes, stop=STOP), python)
    expected = found['ntref'][0][2]
    for library, rows in found.items():
        if abs(rows[0][2] / expected - 1) > SAME:
            raise RuntimeError(
                f'expected {library} to compute the same kernel, got {rows[0][2]} for the ratio of '
                f'two entries that is {expected} in ntref.')
    return {library: [(n, seconds) for n, seconds, _ in rows] for library, rows in found.items()}
