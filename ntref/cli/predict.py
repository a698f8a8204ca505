"""The command `ntref predict`."""
import argparse
import csv
import sys
from pathlib import PurePath
from typing import Any

import numpy

from .flags import add_command, add_network, new_file
from .inputs import network
from .messages import warnings_said
from .training_set import add_training_set, inputs_in, refuse_other_columns, trained, training_set

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
    add_training_set(predict)
    predict.add_argument('test', metavar='TEST', help='inputs: .csv, .npy, or .npz with one array or one named x')
    predict.add_argument('--out', type=_table, metavar='FILE',
                         help='.csv or .npy with a column for each target, and the standard deviation as the last; or '
                              '.npz with arrays mean and sd (CSV is printed)')


def _table(text):
    if PurePath(text).suffix.lower() not in ENDINGS:
        raise argparse.ArgumentTypeError(f'expected a file that ends in .csv, .npy or .npz, got {text!r:.100}')
    return new_file(text)


def _run(args):
    net = network(args.spec)
    x, y = training_set(args)
    x_test = inputs_in(args.test)
    refuse_other_columns(x, x_test, args.train, args.test)
    with warnings_said('predict'):
        predict_fn = trained(args, net, x, y, x_test)
        mean, covariance = predict_fn(t=args.t, x_test=x_test, get=args.get, compute_cov=True)
    _written(args.out, mean, numpy.sqrt(numpy.diagonal(covariance)))


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
