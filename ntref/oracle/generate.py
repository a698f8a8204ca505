"""Make the data of the conformance suite:  python -m ntref.oracle.generate [--select GLOB] [--check] [--all]

Existing cases whose definition has not changed are kept, so it can be stopped (Ctrl-C) and started again.
"""
import argparse
import json
import os
import sys
import time
import warnings
from fnmatch import fnmatchcase
from hashlib import sha256

import numpy

from ..engine.run import shown
from .cases import DATA, VERSION
from .catalogue import INPUTS, catalogue
from .certify import certify
from .definitions import PREDICTIONS, empirical, settled

__all__ = ['certified', 'generate', 'main', 'same']

EVERY = 20.             # seconds between two writes of the files


# ------------------------------------------------------------------ the values of a case

def certified(definition):
    """Return ({name: float64 array, correctly rounded}, {name: scale}, digits that are sure).

    Raises
    ------
    ArithmeticError : fewer digits are sure than the definition asks for.
    """
    return VALUES[definition.kind](definition, inputs_of(definition), dict(definition.options))


def inputs_of(definition):
    """Return the input arrays of a definition by name."""
    def taken(place):
        return INPUTS[place[0]][place[1]] if isinstance(place, tuple) else place
    return {name: taken(place) for name, place in definition.inputs.items()}


def _kernels(definition, given, options):
    names = tuple(options.pop('get'))
    x1 = given['x1']
    x2 = given['x2']
    pattern = options.pop('pattern', None)
    if 'pattern1' in given:
        pattern = given['pattern1'], given['pattern2']
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        try:
            found = certify(definition.net, x1, x2, names, definition.digits, progress=False, pattern=pattern,
                            **options)
        except UserWarning as e:
            raise ArithmeticError(f'{definition.name}: {e}') from e
    scale = _scales(definition.net, x1, x2, names, pattern, options)
    return {k.name: k.float64 for k in found}, scale, min(k.digits for k in found)


def _predictions(definition, given, options):
    return _by_definition(definition, lambda: PREDICTIONS[options['function']](given, options))


def _finite(definition, given, options):
    return _by_definition(definition, lambda: empirical(definition.net, given, options))


def _by_definition(definition, compute):
    """Return values, scales and sure digits of `compute`; the scale of errors is the largest value."""
    values, sure = settled(compute, definition.digits)
    found = {name: a.astype('float64') for name, a in values.items()}
    return found, {name: _coarse(abs(a).max(initial=0)) for name, a in found.items()}, sure


VALUES = {'kernel': _kernels, 'predict': _predictions, 'empirical': _finite}


def _scales(net, x1, x2, names, pattern, options):
    """Return sqrt(q q') in the shape of each kernel, to two digits."""
    sides = []
    for x, P in zip((x1, x2), pattern or (None, None)):
        own = None if x is None else net.kernel_fn(x, None, names, pattern=P, **options)
        sides.append(sides[0] if x is None else {name: _spread(getattr(own, name), options) for name in names})
    left, right = sides
    return {name: _coarse(_outer(left[name] ** .5, right[name] ** .5, options)) for name in names}


def _spread(k, options):
    """Return the variances (n, *positions) from kernels (n, n, h, h', w, w', ...)."""
    k = numpy.moveaxis(numpy.diagonal(k), -1, 0)
    for axis in range(1, 1 + (0 if options.get('diagonal_spatial') else (k.ndim - 1) // 2)):
        k = numpy.moveaxis(numpy.diagonal(k, axis1=axis, axis2=axis + 1), -1, axis)
    return numpy.maximum(k, 0)


def _outer(a, b, options):
    """Return the products of each entry of a with each of b, of shape (n1, n2, h, h', w, w', ...)."""
    a, b = a[:, None], b[None]
    if not options.get('diagonal_spatial'):
        for axis in range(2, 2 * a.ndim - 2, 2):
            a = numpy.expand_dims(a, axis + 1)
            b = numpy.expand_dims(b, axis)
    return a * b


def _coarse(a):
    """Return an array rounded to 8 bits, so that it compresses better."""
    fraction, exponent = numpy.frexp(a)
    return numpy.ldexp(numpy.round(fraction * 256) / 256, exponent)


# ------------------------------------------------------------------ the files

def row_of(definition):
    """Return the JSON row of a case, without its values; `fingerprint` tells definitions apart."""
    row = {'name': definition.name, 'kind': definition.kind, 'layers': list(definition.layers),
           'spec': definition.net and definition.net.to_spec(),
           'inputs': {name: _place(definition, name, at) for name, at in definition.inputs.items()},
           'options': definition.options, 'tolerance': definition.tolerance, 'note': definition.note}
    told = sha256(json.dumps([row['spec'], row['options'], definition.digits]).encode())
    for name, a in inputs_of(definition).items():
        for part in a if isinstance(a, list) else [a]:
            told.update(f'{name} {getattr(part, "shape", None)}'.encode() + (b'' if part is None else part.tobytes()))
    return row | {'fingerprint': told.hexdigest()[:16]}


def _place(definition, name, at):
    """Return the key of an input in the npz file, or a list of keys, or None if there is no input."""
    if isinstance(at, tuple):
        return None if INPUTS[at[0]][at[1]] is None else f'inputs/{"/".join(at)}'
    if isinstance(at, list):
        return [f'{definition.name}/{name}/{i}' for i in range(len(at))]
    return None if at is None else f'{definition.name}/{name}'


def read():
    """Return {name: row} and {key: array} of the existing data, which are empty if there is none."""
    if not (DATA / 'cases.json').exists():
        return {}, {}
    table = json.loads((DATA / 'cases.json').read_text('utf-8'))
    with numpy.load(DATA / 'cases.npz', allow_pickle=False) as arrays:
        return {row['name']: row for row in table['cases']}, dict(arrays)


def write(rows, arrays):
    """Write both files, each in one piece, with rows in the given order and without arrays that no row uses."""
    DATA.mkdir(exist_ok=True)
    used = [key for row in rows for key in keys(row)]
    lines = ',\n'.join(json.dumps(row) for row in rows)
    for name, save in (('cases.npz', lambda path: numpy.savez_compressed(path, **{key: arrays[key] for key in used})),
                       ('cases.json', lambda path: path.write_text(
                           f'{{"version": {VERSION}, "cases": [\n{lines}\n]}}\n', 'utf-8'))):
        part = DATA / f'part-{name}'
        save(part)
        os.replace(part, DATA / name)


def keys(row):
    """Return the keys of the arrays of a case."""
    places = [place for at in row['inputs'].values() for place in (at if isinstance(at, list) else [at])]
    return [place for place in places if place] + [
        f'{row["name"]}/{part}/{name}' for part in ('expected', 'scale') for name in row['expected']]


# ------------------------------------------------------------------ the command

def generate(select='*', everything=False, progress=None):
    """Compute cases that are missing or whose definition changed (or all), write the files, return how many."""
    definitions, (known, arrays) = catalogue(), read()
    rows = {d.name: row_of(d) for d in definitions}
    wanted = [d for d in definitions if fnmatchcase(d.name, select)
              and (everything or not _is_known(rows, known, d.name))]
    kept = {name: _kept(row, known[name]) for name, row in rows.items() if _is_known(rows, known, name)}
    saved = time.monotonic()
    try:
        for done, d in enumerate(shown(progress, 'case')(wanted)):
            values, scale, sure = certified(d)
            kept[d.name] = rows[d.name] | {'expected': list(values), 'sure': sure}
            given = inputs_of(d)
            for name, at in rows[d.name]['inputs'].items():
                several = isinstance(at, list)
                arrays.update(zip(at if several else [at], given[name] if several else [given[name]]))
            for part, found in ('expected', values), ('scale', scale):
                arrays.update({f'{d.name}/{part}/{name}': a for name, a in found.items()})
            if time.monotonic() - saved > EVERY:
                write([kept[name] for name in rows if name in kept], arrays)
                saved = time.monotonic()
    finally:
        write([kept[name] for name in rows if name in kept], arrays)
    return len(wanted)


def _is_known(rows, known, name):
    return name in known and known[name]['fingerprint'] == rows[name]['fingerprint']


def _kept(row, known):
    return row | {'expected': known['expected'], 'sure': known['sure']}


def same(definition, known, arrays):
    """True if the existing case is what its definition gives, with values equal to the last bit."""
    values, scale, sure = certified(definition)
    row = row_of(definition) | {'expected': list(values), 'sure': sure}
    found = {f'{definition.name}/expected/{name}': a for name, a in values.items()}
    return known.get(definition.name) == row and all(
        arrays[key].shape == a.shape and arrays[key].tobytes() == a.tobytes() for key, a in found.items()) and all(
        numpy.allclose(arrays[f'{definition.name}/scale/{name}'], a, .02, 0) for name, a in scale.items())


def main(argv=None):
    """Run the command and return its exit status, 1 if --check finds a case that differs or no case at all."""
    parser = argparse.ArgumentParser(prog='python -m ntref.oracle.generate', description=__doc__.partition('\n')[0])
    parser.add_argument('--select', default='*', metavar='GLOB', help='names of cases, such as conv/* (%(default)s)')
    parser.add_argument('--check', action='store_true', help='compute again and compare to the last bit, write nothing')
    parser.add_argument('--all', action='store_true', help='compute again what is there, too')
    args = parser.parse_args(argv)
    if not args.check:
        print(f'{generate(args.select, args.all)} cases computed')
        return 0
    known, arrays = read()
    wanted = [d for d in catalogue() if fnmatchcase(d.name, args.select)]
    differ = [d.name for d in shown(None, 'case')(wanted) if not same(d, known, arrays)]
    print(f'{len(wanted)} cases computed, {len(differ)} differ', *differ, sep='\n')
    return 1 if differ or not wanted else 0


if __name__ == '__main__':
    sys.exit(main())
