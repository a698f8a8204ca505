"""Training sets of the command: inputs and targets in files, the noise, and the predictor that learns them."""
import argparse
import sys
from pathlib import PurePath
from typing import Any

import numpy

from ..predict import gradient_descent_mse_ensemble
from ..predict.ridge import WAYS, chosen
from .flags import positive, whole
from .inputs import array, names_in, tables
from .messages import say_cost

__all__ = ['add_training_set', 'inputs_in', 'refuse_other_columns', 'trained', 'training_set']


def add_training_set(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what is learnt, and how."""
    parser.add_argument('train', metavar='TRAIN', help='inputs and targets: .csv, its last columns are targets; .npz '
                        'with arrays x and y; or inputs alone, with --y')
    parser.add_argument('--y', metavar='FILE', help='the targets, a row for each input of TRAIN')
    parser.add_argument('--targets', type=whole(1), default=1, metavar='N',
                        help='how many of the last columns of TRAIN.csv are targets (%(default)s)')
    parser.add_argument('--get', choices=('ntk', 'nngp'), default='ntk',
                        help='ntk: all layers are trained; nngp: the last one alone (%(default)s)')
    parser.add_argument('--t', type=positive('a time > 0'), metavar='T',
                        help='training time, for a loss of half the mean of squares (infinity)')
    parser.add_argument('--diag-reg', type=_ridge, default=0., metavar='R',
                        help="a number >= 0, relative to the mean variance; 'evidence' or 'loo' (leaving one out) "
                             'choose one (%(default)g)')


def _ridge(text):
    if text in WAYS:
        return text
    try:
        if 0 <= float(text) < float('inf'):
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number >= 0, 'evidence' or 'loo', got {text!r:.100}")


# ------------------------------------------------------------------ data

def training_set(args: argparse.Namespace) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return inputs, and targets with a column for each."""
    if args.y is not None:
        return inputs_in(args.train), _columns(array(args.y))
    found = tables(args.train)
    if {'x', 'y'} <= set(found):
        return found['x'], _columns(found['y'])
    if PurePath(args.train).suffix.lower() != '.csv':
        raise ValueError(f'expected arrays x and y in {args.train}, got {", ".join(found) or "none"}. Give the targets '
                         'by --y FILE, or write both by numpy.savez(FILE, x=x, y=y).')
    rows = found['']
    if rows.shape[1] <= args.targets:
        raise ValueError(f'expected more than {args.targets} columns in {args.train}, inputs and then targets, got '
                         f'{rows.shape[1]}.')
    return rows[:, :-args.targets], rows[:, -args.targets:]


def inputs_in(path: str) -> numpy.ndarray:
    """Return the inputs in a file: those named x of several arrays in .npz."""
    if PurePath(path).suffix.lower() == '.npz':
        found = tables(path)
        if 'x' in found:
            return found['x']
    return array(path)


def _columns(y):
    return y[:, None] if y.ndim == 1 else y


def refuse_other_columns(x: numpy.ndarray, x_test: numpy.ndarray, train: str, test: str) -> None:
    """Raise ValueError unless the test inputs, in `test`, have the shape and the names of those in the file `train`."""
    if x.shape[1:] != x_test.shape[1:]:
        raise ValueError(f'expected inputs in {test} of the shape of those in {train}, {x.shape[1:]}, got '
                         f'{x_test.shape[1:]}.')
    names, test_names = names_in(train), names_in(test)
    if names and test_names and names[:x.shape[1]] != test_names:
        raise ValueError(f'expected the columns {", ".join(names[:x.shape[1]])} in {test}, in the order of {train}, '
                         f'got {", ".join(test_names)}.')


# ------------------------------------------------------------------ training

def trained(args: argparse.Namespace, net: Any, x: numpy.ndarray, y: numpy.ndarray, x_test: numpy.ndarray) -> Any:
    """Return the predictor, for these test inputs; say what a long call takes, and the diag_reg that was chosen."""
    get = ('nngp', 'ntk') if args.get == 'ntk' else 'nngp'
    say_cost(args.command, net, x, None, get)
    say_cost(args.command, net, x_test, x, get)
    diag_reg = args.diag_reg
    if diag_reg in WAYS:
        diag_reg = chosen(net.kernel_fn(x, None, args.get), y, diag_reg)
        print(f'ntref {args.command}: diag_reg {diag_reg:.3g} by {args.diag_reg}', file=sys.stderr)
    return gradient_descent_mse_ensemble(net, x, y, diag_reg=diag_reg)
