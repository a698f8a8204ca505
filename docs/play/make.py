"""Make three pages whose sliders work without a server: `python docs/play/make.py FOLDER`.

Each is one file with its numbers, computed here by ntref, and loads nothing.
"""
import json
import sys
from pathlib import Path
from typing import Any

import numpy

from ntref import predict, stax
from ntref.playground import State, infinite
from ntref.playground.server import part

__all__ = ['PAGES', 'build']

HERE = Path(__file__).parent
LARGEST = 500_000               # bytes of a page
DECIMALS = 3                    # of numbers that are drawn
EVERY = 2                       # which of the points of GRID have numbers
ANGLES = numpy.linspace(0, 180, 61)
TIMES = [0., *numpy.logspace(-1, 5, 37).round(6).tolist(), numpy.inf]

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
{body}<script>
{plot}
const DATA = {data};
{script}</script>
</body>
</html>
"""


def build(folder: str | Path) -> list[Path]:
    """Write the pages into a folder, which is made if it is not there, and return their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (title, numbers) in PAGES.items():
        text = PAGE.format(
            title=title, style=part('page.css') + _own('still.css'), body=_own(f'{name}.html'), plot=part('plot.js'),
            data=json.dumps(numbers(), separators=(',', ':'), allow_nan=False),
            script=_own('still.js') + _own(f'{name}.js'))
        size = len(text.encode())
        if size > LARGEST:
            raise ValueError(f'expected a page of at most {LARGEST} bytes, got {size} for {name}.html.')
        path = folder / f'{name}.html'
        path.write_text(text, encoding='utf-8')
        paths.append(path)
    return paths


def kernels() -> dict[str, Any]:
    """Return the kernels of two inputs at ANGLES by nonlinearity, W_std and depth, relative to angle 0."""
    names, widths, depths = ('Relu', 'Erf', 'Tanh', 'Gelu', 'Sin'), (.8, 1.1, 1.4, 2., 2.5), range(1, 17)
    b_std = .2
    angles = numpy.radians(ANGLES)
    x = 2 ** .5 * numpy.stack([numpy.cos(angles), numpy.sin(angles)], -1)
    found = {}
    for name in names:
        for W_std in widths:
            dense = stax.Dense(1, W_std, b_std)
            layer = stax.serial(infinite.activation(name), dense)
            k = dense.kernel_fn(x[:1], x)
            found[f'{name} {W_std:g}'] = curves = []
            for _ in depths:
                k = layer.kernel_fn(k)                  # one layer deeper
                curves.append([_short(a[0] / a[0, 0]) for a in (k.nngp, k.ntk)])
    return {'names': names, 'widths': widths, 'depths': len(depths), 'b_std': b_std, 'angles': ANGLES.tolist(),
            'curves': found}


def gaussians() -> dict[str, Any]:
    """Return prior and posterior by nonlinearity, depth and W_std."""
    names, widths, depths = ('Relu', 'Erf', 'Gelu'), (.7, 1., 1.25, 1.5, 1.75, 2., 2.5), range(1, 7)
    b_std, noise = .3, 1e-3
    found = {}
    for name in names:
        for W_std in widths:
            for depth in depths:
                state = State(name, depth, W_std, b_std, 'nngp', diag_reg=noise)
                sd, draws = infinite.prior(state)
                mean, left = infinite.posterior(state)
                found[f'{name} {W_std:g} {depth}'] = [_short(a[::EVERY]) for a in (sd, *draws[:3], mean, left)]
    return {'names': names, 'widths': widths, 'depths': len(depths), 'b_std': b_std, 'noise': noise, 'curves': found,
            'grid': infinite.GRID[::EVERY].round(6).tolist(), 'points': State().points}


def training() -> dict[str, Any]:
    """Return mean and standard deviation along time, by nonlinearity and which layers train."""
    names, depth, W_std, b_std = ('Relu', 'Erf', 'Gelu'), 2, 1.5, .3
    grid = infinite.GRID[::EVERY]
    found = {}
    for name in names:
        state = State(name, depth, W_std, b_std)
        x, y = infinite.training_set(state)
        predict_fn = predict.gradient_descent_mse_ensemble(infinite.network(state), x, y, diag_reg=state.diag_reg)
        for get in 'ntk', 'nngp':
            mean, covariance = predict_fn(numpy.array(TIMES), grid[:, None], get, True)
            sd = numpy.sqrt(numpy.maximum(numpy.diagonal(covariance, axis1=-2, axis2=-1), 0))
            found[f'{name} {get}'] = [[_short(m), _short(s)] for m, s in zip(mean[..., 0], sd)]
    return {'names': names, 'depth': depth, 'W_std': W_std, 'b_std': b_std, 'curves': found,
            'times': [t if numpy.isfinite(t) else None for t in TIMES], 'grid': grid.round(6).tolist(),
            'points': State().points}


PAGES = {
    'kernel': ('Kernel against angle and depth', kernels), 'posterior': ('Prior and posterior', gaussians),
    'training': ('Training in function space', training)}


def _short(a):
    """Return an array as whole numbers, of units of the last decimal."""
    return (a * 10 ** DECIMALS).round().astype(int).tolist()


def _own(name):
    return (HERE / name).read_text(encoding='utf-8')


if __name__ == '__main__':
    print(*build(sys.argv[1]), sep='\n')
