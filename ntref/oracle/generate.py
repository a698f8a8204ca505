"""Make the data of the conformance suite:  python -m ntref.oracle.generate [--select GLOB] [--check] [--all]

Existing cases whose definition has not changed are kept, so it can be stopped (Ctrl-C) and started again.
"""
import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import numpy

from ..engine.run import shown
from ..stax import from_spec
from .cases import DATA, VERSION
from .catalogue import INPUTS, catalogue
from .catalogue.family import Definition
from .certify import certify
from .certify_predict import certify_predict
from .definitions import PREDICTIONS, empirical, settled
from .proved_predictions import PROVED

__all__ = ['arguments', 'certified', 'generate', 'main', 'same']

BY_PROOF = 'proved'
WRITE_SECONDS = 20.     # seconds between two writes of the files


# ------------------------------------------------------------------ the values of a case

def certified(
        definition: Definition) -> tuple[dict[str, numpy.ndarray], dict[str, numpy.ndarray], int, str]:
    """Return ({name: float64 array, correctly rounded}, {name: scale}, digits that are sure, why they are).

    Raises
    ------
    ArithmeticError : fewer digits are sure than the definition asks for, or a proof has others.
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
            found = certify(
                definition.net, x1, x2, names, definition.digits, progress=False, pattern=pattern,
                **options)
        except UserWarning as e:
            raise ArithmeticError(f'{definition.name}: {e}') from e
    scale = _scales(definition.net, x1, x2, names, pattern, options)
    values = {k.name: k.float64 for k in found}
    is_proved = all(k.proved for k in found)
    return values, scale, min(k.digits for k in found), BY_PROOF if is_proved else 'estimated: a function of the user'


def _predictions(definition, given, options):
    values, scale, sure = _by_definition(definition, lambda: PREDICTIONS[options['function']](given, options))
    if options['function'] not in PROVED:
        return values, scale, sure, 'estimated: no proof of differential equations'
    for name, found in certify_predict(**arguments(given, options), digits=definition.digits)._asdict().items():
        if not (found.proved and (found.float64 == values[name]).all()):
            raise ArithmeticError(f'{definition.name}: expected {name} {values[name]}, got {found}.')
    return values, scale, sure, BY_PROOF


def arguments(given: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `certify_predict` for inputs and options of a case."""
    found = {**given, **options}
    if 'nngp_train_train' in found:
        for pair in 'train_train', 'test_train', 'test_test':
            found[f'k_{pair}'] = SimpleNamespace(nngp=found.pop(f'nngp_{pair}'), ntk=found.pop(f'ntk_{pair}'))
        if not found.get('compute_cov'):
            del found['k_test_test']
    if 'spec' in found:
        found['net'] = from_spec(found.pop('spec'))
    if 'ntk_train_train' in found:
        found['k_train_train'] = found.pop('ntk_train_train')
    return found


def _finite(definition, given, options):
    found = _by_definition(definition, lambda: empirical(definition.net, given, options))
    return *found, 'estimated: derivatives by differences'


def _by_definition(definition, compute):
    """Return values, scales and sure digits of `compute`; the scale of errors is the largest value."""
    values, sure = settled(compute, definition.digits)
    found = {name: a.astype('float64') for name, a in values.items()}
    scale = {name: _coarse(abs(a).max(initial=0)) for name, a in found.items()}
    return found, scale, sure


VALUES = {'kernel': _kernels, 'predict': _predictions, 'empirical': _finite}


def _scales(net, x1, x2, names, pattern, options):
    """Return sqrt(q q') in the shape of each kernel, to two digits."""
    def variances(x, pattern):
        own = net.kernel_fn(x, None, names, pattern=pattern, **options)
        return {name: _spread(getattr(own, name), options) for name in names}
    pattern1, pattern2 = pattern or (None, None)
    left = variances(x1, pattern1)
    right = left if x2 is None else variances(x2, pattern2)
    return {name: _coarse(_outer(left[name] ** .5, right[name] ** .5, options)) for name in names}


def _spread(k, options):
    """Return the variances (n, *positions) from kernels (n, n, h, h', w, w', ...)."""
    k = numpy.moveaxis(numpy.diagonal(k), -1, 0)
    doubled = 0 if options.get('diagonal_spatial') else (k.ndim - 1) // 2
    for axis in range(1, 1 + doubled):
        k = numpy.moveaxis(numpy.diagonal(k, axis1=axis, axis2=axis + 1), -1, axis)
    return numpy.maximum(k, 0)


def _outer(a, b, options):
    """Return the products of each entry of a with each of b, of shape (n1, n2, h, h', w, w', ...)."""
    a = a[:, None]
    b = b[None]
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
    row = {
        'name': definition.name,
        'kind': definition.kind,
        'layers': list(definition.layers),
        'spec': definition.net and definition.net.to_spec(),
        'inputs': {name: _place(definition, name, at) for name, at in definition.inputs.items()},
        'options': definition.options,
        'tolerance': definition.tolerance,
        'note': definition.note,
    }
    told = sha256(json.dumps([row['spec'], row['options'], definition.digits]).encode())
    for name, a in inputs_of(definition).items():
        for part in a if isinstance(a, list) else [a]:
            told.update(f'{name} {getattr(part, "shape", None)}'.encode())
            told.update(b'' if part is None else part.tobytes())
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
    text = f'{{"version": {VERSION}, "cases": [\n{lines}\n]}}\n'
    part = DATA / 'part-cases.npz'
    numpy.savez_compressed(part, **{key: arrays[key] for key in used})
    os.replace(part, DATA / 'cases.npz')
    part = DATA / 'part-cases.json'
    part.write_text(text, 'utf-8')
    os.replace(part, DATA / 'cases.json')


def keys(row):
    """Return the keys of the arrays of a case."""
    found = []
    for at in row['inputs'].values():
        found += at if isinstance(at, list) else [at] if at else []
    for part in 'expected', 'scale':
        found += [f'{row["name"]}/{part}/{name}' for name in row['expected']]
    return found


# ------------------------------------------------------------------ the command

def generate(select: str = '*', everything: bool = False, progress: bool | None = None) -> int:
    """Compute cases that are missing or whose definition changed (or all), write the files, return how many."""
    definitions = catalogue()
    known, arrays = read()
    rows = {d.name: row_of(d) for d in definitions}
    wanted = [d for d in definitions if fnmatchcase(d.name, select)
              and (everything or not _is_known(rows, known, d.name))]
    kept = {name: _kept(row, known[name]) for name, row in rows.items()
            if _is_known(rows, known, name)}
    saved = time.monotonic()
    try:
        for done, d in enumerate(shown(progress, 'case')(wanted)):
            values, scale, sure, basis = certified(d)
            kept[d.name] = rows[d.name] | {'expected': list(values), 'sure': sure, 'basis': basis}
            given = inputs_of(d)
            for name, at in rows[d.name]['inputs'].items():
                if isinstance(at, list):
                    arrays.update(zip(at, given[name]))
                else:
                    arrays[at] = given[name]
            for part, found in ('expected', values), ('scale', scale):
                arrays.update({f'{d.name}/{part}/{name}': a for name, a in found.items()})
            if time.monotonic() - saved > WRITE_SECONDS:
                write([kept[name] for name in rows if name in kept], arrays)
                saved = time.monotonic()
    finally:
        write([kept[name] for name in rows if name in kept], arrays)
    return len(wanted)


def _is_known(rows, known, name):
    return name in known and known[name]['fingerprint'] == rows[name]['fingerprint']


def _kept(row, known):
    return row | {name: known[name] for name in ('expected', 'sure', 'basis')}


def same(
        definition: Definition, known: Mapping[str, Any],
        arrays: Mapping[str, numpy.ndarray]) -> bool:
    """True if the existing case is what its definition gives, with values equal to the last bit."""
    values, scale, sure, basis = certified(definition)
    row = row_of(definition) | {'expected': list(values), 'sure': sure, 'basis': basis}
    if known.get(definition.name) != row:
        return False
    for name, a in values.items():
        before = arrays[f'{definition.name}/expected/{name}']
        if before.shape != a.shape or before.tobytes() != a.tobytes():
            return False
    return all(numpy.allclose(arrays[f'{definition.name}/scale/{name}'], a, .02, 0)
               for name, a in scale.items())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status, 1 if --check finds a case that differs or no case at all."""
    parser = argparse.ArgumentParser(
        prog='python -m ntref.oracle.generate', description=__doc__.partition('\n')[0])
    parser.add_argument(
        '--select', default='*', metavar='GLOB', help='names of cases, such as conv/* (%(default)s)')
    parser.add_argument(
        '--check', action='store_true', help='compute again and compare to the last bit, write nothing')
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
