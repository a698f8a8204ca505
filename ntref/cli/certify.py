"""The command `ntref certify`."""
import csv
from typing import Any

from .flags import add_command, add_network, new_file, whole
from .kernel import add_inputs, network_and_inputs
from .messages import warnings_said

__all__ = ['add']


def add(commands: Any) -> None:
    """Add the command."""
    certify = add_command(
        commands, 'certify', 'kernels to any number of digits, how many are sure, and the errors of float64 and '
        'float32', _run,
        ['certify net.json x.npy --digits 40', 'certify net.json x1.csv x2.csv --get nngp ntk --csv k.csv'],
        'oracle.md#in-a-shell', 'Exit status 1: fewer digits are sure than were asked for.')
    add_network(certify)
    add_inputs(certify)
    certify.add_argument('--get', nargs='+', choices=('nngp', 'ntk', 'cov1', 'cov2'),
                         default=['ntk'], help='which kernels (ntk)')
    certify.add_argument('--digits', type=whole(1), default=30, metavar='N',
                         help='of each entry (%(default)s)')
    certify.add_argument('--csv', type=new_file, metavar='FILE',
                         help='where to write all entries: index, value, bound, errors in ulp')


def _run(args):
    from ..oracle.certified import table
    from ..oracle.certify import certify
    with warnings_said('certify'):
        found = certify(*network_and_inputs(args), tuple(args.get), args.digits)
    print(*found, sep='\n')
    if args.csv:
        with open(args.csv, 'w', newline='') as f:
            csv.writer(f).writerows(table(found))
        print(f'{args.csv}: {sum(certified.values.size for certified in found)} entries')
    return 1 if min(certified.digits for certified in found) < args.digits else 0
