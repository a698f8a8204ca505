"""The command `ntref predict`."""
import argparse
import csv
import sys
from pathlib import PurePath
from typing import Any

import numpy

from ..predict import gradient_descent_mse_ensemble
from ..predict.ridge import WAYS, chosen
from .flags import add_command, add_network, new_file, positive, whole
from .inputs import array, network, tables
from .messages import say_cost, warnings_said

__all__ = ['add']

ENDINGS = '.csv', '.npy', '.npz'


def add(commands: Any) -> None:
    """Add the command."""
    predict = add_command(
        commands, 'predict', 'predict targets with their standard deviations by an infinitely wide network', _run,
        ['predict net.json train.csv test.csv --diag-reg evidence',
         'predict net.json train.npz test.npy --get nngp --diag-reg 1e-3 --out predictions.npz',
         'predict net.json x.npy test.npy --y y.npy --t 100 --out predictions.csv'],
        'command.md#ntref-predict')
    add_network(predict)
    predict.add_argument('train', metavar='TRAIN', help='inputs and targets: .csv, its last columns are targets; .npz '
                         'with arrays x and y; or inputs alone, with --y')
    predict.add_argument('test', metavar='TEST', help='inputs: .csv, .npy, or .npz with one array or one named x')
    predict.add_argument('--y', metavar='FILE', help='the targets, a row for each input of TRAIN')
    predict.add_argument('--targets', type=whole(1), default=1, metavar='N',
                         help='how many of the last columns of TRAIN.csv are targets (%(default)s)')
    predict.add_argument('--get', choices=('ntk', 'nngp'), default='ntk',
                         help='ntk: all layers are trained; nngp: the last one alone (%(default)s)')
    predict.add_argument('--t', type=positive('a time > 0'), metavar='T',
                         help='training time, for a loss of half the mean of squares (infinity)')
    predict.add_argument('--diag-reg', type=_ridge, default=0., metavar='R',
                         help="a number >= 0, relative to the mean variance; 'evidence' or 'loo' (leaving one out) "
                              'choose one (%(default)g)')
    predict.add_argument('--out', type=_table, metavar='FILE',
                         help='.csv or .npy with a column for each target, and the standard deviation as the last; or '
                              '.npz with arrays mean and sd (CSV is printed)')


def _ridge(text):
    if text in WAYS:
        return text
    try:
        if 0 <= float(text) < float('inf'):
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number >= 0, 'evidence' or 'loo', got {text!r:.100}")


def _table(text):
    if PurePath(text).suffix.lower() not in ENDINGS:
        raise argparse.ArgumentTypeError(f'expected a file that ends in .csv, .npy or .npz, got {text!r:.100}')
    return new_file(text)


def _run(args):
    net = network(args.spec)
    x, y = _training_set(args)
    x_test = _inputs(args.test)
    _refuse_other_columns(x, x_test, args)
    get = ('nngp', 'ntk') if args.get == 'ntk' else 'nngp'
    with warnings_said('predict'):
        say_cost('predict', net, x, None, get)
        say_cost('predict', net, x_test, x, get)
        diag_reg = args.diag_reg
        if diag_reg in WAYS:
            diag_reg = chosen(net.kernel_fn(x, None, args.get), y, diag_reg)
            print(f'ntref predict: diag_reg {diag_reg:.3g} by {args.diag_reg}', file=sys.stderr)
        predict_fn = gradient_descent_mse_ensemble(net, x, y, diag_reg=diag_reg)
        mean, covariance = predict_fn(t=args.t, x_test=x_test, get=args.get, compute_cov=True)
    _written(args.out, mean, numpy.sqrt(numpy.diagonal(covariance)))


# ------------------------------------------------------------------ data

def _training_set(args):
    """Return inputs, and targets with a column for each."""
    if args.y is not None:
        return _inputs(args.train), _columns(array(args.y))
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


def _inputs(path):
    if PurePath(path).suffix.lower() == '.npz':
        found = tables(path)
        if 'x' in found:
            return found['x']
    return array(path)


def _columns(y):
    return y[:, None] if y.ndim == 1 else y


def _refuse_other_columns(x, x_test, args):
    if x.shape[1:] != x_test.shape[1:]:
        raise ValueError(f'expected inputs in {args.test} of the shape of those in {args.train}, {x.shape[1:]}, got '
                         f'{x_test.shape[1:]}.')


# ------------------------------------------------------------------ results

def _written(path, mean, sd):
    """Write predictions, or print them if there is no path."""
    table = numpy.column_stack([mean, sd])
    ending = PurePath(path or '.csv').suffix.lower()
    if ending == '.npz':
        numpy.savez(path, mean=mean, sd=sd)
    elif ending == '.npy':
        numpy.save(path, table)
    else:
        means = [f'mean_{i}' for i in range(1, mean.shape[1] + 1)] if mean.shape[1] > 1 else ['mean']
        rows = [[*means, 'sd'], *([repr(float(number)) for number in row] for row in table)]
        if path is None:
            csv.writer(sys.stdout, lineterminator='\n').writerows(rows)
            return
        with open(path, 'w', newline='', encoding='utf-8') as f:
            csv.writer(f).writerows(rows)
    print(f'{path}: {len(mean)} predictions')
