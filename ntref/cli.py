"""The command `ntref`."""
import argparse
import csv
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

__all__ = ['main']

FAILURES = (ImportError, OSError, TypeError, ValueError, MemoryError, ArithmeticError, RuntimeError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ntref demo`, `ntref kernel`, `ntref certify` or `ntref conform`, and return the exit status."""
    parser = Parser(prog='ntref', description='Infinitely wide neural networks.')
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    _demo_arguments(commands)
    _kernel_arguments(commands)
    _certify_arguments(commands)
    _conform_arguments(commands)
    args = parser.parse_args(argv)
    try:
        return args.run(args) or 0
    except FAILURES as e:
        print(f'ntref {args.command}: {e}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'ntref {args.command}: interrupted', file=sys.stderr)
        return 130


# ------------------------------------------------------------------ values of flags

class Parser(argparse.ArgumentParser):
    """Argument parser that reports an error in one line."""

    def error(self, message):
        self.exit(1, f'{self.prog}: {message}. {self.prog} --help says what there is.\n')


def _whole(least):
    """Return a function that reads whole numbers >= least."""
    def read(text):
        try:
            if int(text) >= least:
                return int(text)
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f'expected a whole number >= {least}, got {text!r:.100}')
    return read


def _seconds(text):
    try:
        if 0 < float(text) < float('inf'):
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f'expected a time limit > 0 in seconds, got {text!r:.100}')


def _new_file(text):
    """Return `text` if it is the path of a file that can be written."""
    path = Path(text)
    folder = path.parent
    if not text or path.is_dir():
        raise argparse.ArgumentTypeError(f'expected a file to write, got {text!r}')
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f'expected a file in a folder that is there, got {text}: '
                                         f'there is no {folder}')
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise argparse.ArgumentTypeError(f'expected a file that can be written, got {text}')
    return text


# ------------------------------------------------------------------ ntref demo

def _demo_arguments(commands):
    about = ('classify handwritten digits with an infinitely wide network and compare finite ones '
             'with it')
    demo = commands.add_parser('demo', help=about, description=f'{about.capitalize()}.')
    demo.set_defaults(run=_demo)
    demo.add_argument('--net', choices=('dense', 'conv'), default='dense',
                      help='conv: convolutions and pooling against fully connected, on few images '
                           '(%(default)s)')
    demo.add_argument('--train', type=_whole(1), metavar='N',
                      help='images to train on, of 1797 (1000; conv: 200)')
    demo.add_argument('--seed', type=_whole(0), default=0, metavar='N',
                      help='of the split and the finite networks (%(default)s)')
    demo.add_argument('--figure', type=_new_file, default='ntref-demo.png', metavar='FILE',
                      help='where to save it (%(default)s)')


def _demo(args):
    from .demos import conv, dense
    demo = dense if args.net == 'dense' else conv
    n_train = demo.N_TRAIN if args.train is None else args.train
    demo.run(n_train, args.seed, args.figure)


# ------------------------------------------------------------------ ntref kernel

def _kernel_arguments(commands):
    about = ('write the kernel of a network into a store, tile by tile; repeat the command to '
             'resume after an interrupt')
    kernel = commands.add_parser('kernel', help=about, description=f'{about.capitalize()}.')
    kernel.set_defaults(run=_kernel)
    _network_arguments(kernel)
    kernel.add_argument('--out', required=True, metavar='DIR',
                        help='the Zarr store, read back by ntref.load_kernel')
    kernel.add_argument('--get', nargs='+', choices=('nngp', 'ntk'), default=['ntk'],
                        help='which kernels (ntk)')
    kernel.add_argument('--batch-size', type=_whole(1), default=0, metavar='N',
                        help='inputs on either side of a tile (1024)')
    kernel.add_argument('--scheduler', metavar='tcp://HOST:PORT',
                        help='of Dask: its workers compute the tiles, and write them to the same '
                             'path')


def _kernel(args):
    from .engine import batch
    from .engine.places import masked
    net, x1, x2 = _network(args)
    get = args.get[0] if len(args.get) == 1 else tuple(args.get)
    client = _client(args.scheduler)
    try:
        k = batch(net.kernel_fn, args.batch_size, out=args.out, executor=client)(x1, x2, get)
    finally:
        if client is not None:
            client.close()
    for name, stored in zip(args.get, k if isinstance(k, tuple) else [k]):
        print(f'{masked(args.out)}: {name} {stored.shape} {stored.dtype}')


# ------------------------------------------------------------------ ntref certify

def _certify_arguments(commands):
    about = ('kernels to any number of digits, how many are sure, and the errors of float64 and '
             'float32')
    certify = commands.add_parser('certify', help=about, description=f'{about.capitalize()}.',
                                  epilog='Status 1: fewer digits are sure than were asked for.')
    certify.set_defaults(run=_certify)
    _network_arguments(certify)
    certify.add_argument('--get', nargs='+', choices=('nngp', 'ntk', 'cov1', 'cov2'),
                         default=['ntk'], help='which kernels (ntk)')
    certify.add_argument('--digits', type=_whole(1), default=30, metavar='N',
                         help='of each entry (%(default)s)')
    certify.add_argument('--csv', type=_new_file, metavar='FILE',
                         help='where to write all entries: index, value, bound, errors in ulp')


def _certify(args):
    from .oracle.certify import certify, table
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        found = certify(*_network(args), tuple(args.get), args.digits)
    print(*found, sep='\n')
    if args.csv:
        with open(args.csv, 'w', newline='') as f:
            csv.writer(f).writerows(table(found))
        print(f'{args.csv}: {sum(certified.values.size for certified in found)} entries')
    for warning in caught:
        print(f'ntref certify: {warning.message}', file=sys.stderr)
    return 1 if min(certified.digits for certified in found) < args.digits else 0


# ------------------------------------------------------------------ shared by commands

def _network_arguments(command):
    command.add_argument('spec', metavar='NET.json', help='the network, as net.to_spec() gives it')
    command.add_argument('x1', metavar='X1.npy', help='inputs, as numpy.save writes them')
    command.add_argument('x2', metavar='X2.npy', nargs='?', help='inputs for the other axis (X1)')


def _network(args):
    """Return the network, x1, and x2 or None."""
    from .stax import from_spec
    return from_spec(_json(args.spec)), _array(args.x1), args.x2 and _array(args.x2)


def _json(path):
    with open(path, 'rb') as f:
        try:
            return json.load(f)
        except (ValueError, RecursionError) as e:
            raise ValueError(f'expected a network as JSON in {path}: {e}') from e


def _array(path):
    import numpy
    with open(path, 'rb') as f:
        start = f.read(6)
        if start != b'\x93NUMPY':
            is_archive = start[:2] == b'PK'
            what = 'an archive, as numpy.savez writes it' if is_archive else 'something else'
            raise ValueError(f'expected an array in {path}, as numpy.save writes it, got {what}. '
                             'Write one array, by numpy.save.')
        f.seek(0)
        try:
            return numpy.lib.format.read_array(f, allow_pickle=False)
        except (ValueError, EOFError) as e:
            cause = 'one of Python objects, which are not loaded' if 'pickle' in str(e) else str(e)
            raise ValueError(f'expected an array of numbers in {path}, as numpy.save writes it, '
                             f'got: {cause}') from e


def _client(address):
    if address is None:
        return None
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("expected dask for --scheduler, got none. In a checkout of ntref: "
                          "pip install '.[dask]'") from None
    from .engine.places import masked
    if '@' in address:
        raise ValueError('expected tcp://HOST:PORT for --scheduler, got a user or a password '
                         f'before @{address.rpartition("@")[2]}: schedulers know none. Leave it '
                         'out.')
    try:
        return Client(address, timeout='5s')
    except (OSError, ValueError) as e:
        raise OSError(masked(f'expected a Dask scheduler at {address}, got none: {e}. Start one '
                             'with `dask scheduler`.')) from None


# ------------------------------------------------------------------ ntref conform

def _conform_arguments(commands):
    about = 'run the conformance suite against another implementation'
    conform = commands.add_parser(
        'conform', help=about,
        description=f'{about.capitalize()}. Exit status: 0 nothing failed, 1 something did, 2 '
                    'nothing could be compared.')
    conform.set_defaults(run=_conform)
    conform.add_argument('adapter', metavar='ADAPTER[:ARGUMENT]',
                         help='a Python file, or a program that speaks JSON: docs/oracle.md')
    conform.add_argument('--select', default='*', metavar='GLOB',
                         help="cases by name, as 'dense/*' (all)")
    conform.add_argument('--dtype', choices=('float64', 'float32'), default='float64',
                         help='of inputs (%(default)s)')
    conform.add_argument('--python', metavar='PATH',
                         help='the interpreter for a Python file (this one)')
    conform.add_argument('--time-limit', type=_seconds, default=60., metavar='S',
                         help='seconds for a case (%(default)g)')
    conform.add_argument('--report', type=_new_file, metavar='FILE.html',
                         help='write a page with a picture')
    conform.add_argument('--json', action='store_true', help='print JSON in place of the table')


def _conform(args):
    from .oracle import conform, conformance_cases, report
    cases = conformance_cases(args.select, dtype=args.dtype)
    width = max(len(case.name) for case in cases)

    def row(outcome):
        print(report.line(outcome, width, is_cut=sys.stdout.isatty()), flush=True)
    result = conform(args.adapter, args.select, args.dtype, args.python, args.time_limit,
                     progress=None if args.json else False, each=None if args.json else row)
    if args.report:
        with open(args.report, 'w', encoding='utf-8') as page:
            page.write(report.as_html(result))
    print(report.as_json(result) if args.json else report.summary(result))
    if result.is_empty:
        print('ntref conform: nothing was compared: the adapter supports none of these '
              'cases.', file=sys.stderr)
        return 2
    return int(result.has_failed)
