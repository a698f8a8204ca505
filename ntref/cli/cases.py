"""The command `ntref cases`."""
import argparse
import json
from pathlib import PurePath
from typing import Any

import numpy

from .flags import add_command, new_file

__all__ = ['add']

ENDINGS = '.json', '.npz'


def add(commands: Any) -> None:
    """Add the command with its three actions."""
    cases = add_command(
        commands, 'cases',
        'list, show or export the cases of the conformance suite, with the kernels after every layer', _list,
        ["cases list 'conv/*'", 'cases show dense/relu-1/pair', "cases export 'dense/*' --out dense.json",
         'cases export --out all.npz'], 'oracle.md#cases-as-files')
    actions = cases.add_subparsers(dest='action', required=True, metavar='list|show|export')
    for name, about, run in (('list', 'name, kind, digits asked for, and layers', _list),
                             ('show', 'network, inputs, expected values and those after every layer', _show),
                             ('export', 'write them as JSON or npz', _export)):
        action = actions.add_parser(name, help=about, description=f'{about.capitalize()}.')
        action.set_defaults(run=run)
        action.add_argument('select', metavar='GLOB', nargs=None if name == 'show' else '?', default='*',
                            help="cases by name, as 'dense/*' (all)")
        if name == 'export':
            action.add_argument('--out', required=True, type=_case_file, metavar='FILE',
                                help='.json, or .npz for arrays in binary')


def _case_file(text):
    if PurePath(text).suffix.lower() not in ENDINGS:
        raise argparse.ArgumentTypeError(f'expected a file that ends in .json or .npz, got {text!r:.100}')
    return new_file(text)


def _list(args):
    from ..oracle import conformance_cases
    found = conformance_cases(args.select)
    width = max(len(case.name) for case in found)
    for case in found:
        print(f'{case.name:<{width}}  {case.kind:<9}  {case.wanted("float64"):>2.0f}  {", ".join(case.layers)}')


def _show(args):
    from ..oracle import conformance_cases
    with numpy.printoptions(floatmode='unique', threshold=64, linewidth=120):
        for case in conformance_cases(args.select):
            print('\n'.join(_shown(case)))


def _shown(case):
    from ..oracle.export import values_inside
    from ..stax import from_spec
    yield f'{case.name}: {case.kind}, {", ".join(case.layers)}'
    if case.spec is not None:
        yield f'network   {from_spec(case.spec)!r}'
        yield f'as JSON   {json.dumps(case.spec)}'
    yield f'options   {json.dumps(case.options)}'
    for name, value in case.inputs.items():
        yield from _named(name, value)
    for values in values_inside(case):
        for name, a in values.kernels.items():
            yield from _named(f'{name} after {values.place or "the layer"}, {values.layer}', a)
    for name, a in case.expected.items():
        digits = f'{case.sure} digits {case.basis}, {case.wanted("float64"):.0f} asked for'
        yield from _named(f'{name} expected, {digits}', a)
    if case.note:
        yield f'note      {case.note}'


def _named(name, value):
    """Yield the lines of an array, of a list of arrays or None."""
    if isinstance(value, list):
        for i, one in enumerate(value):
            yield from _named(f'{name}[{i}]', one)
        return
    yield f'{name}:' if value is None else f'{name} {value.shape}:'
    yield f'    {value}'.replace('\n', '\n    ')


def _export(args):
    from ..oracle import conformance_cases
    from ..oracle.export import as_json, save_npz
    found = conformance_cases(args.select)
    if PurePath(args.out).suffix.lower() == '.npz':
        save_npz(args.out, found)
    else:
        with open(args.out, 'w', encoding='utf-8') as f:
            f.write(as_json(found))
    print(f'{args.out}: {len(found)} cases')
