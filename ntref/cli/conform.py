"""The command `ntref conform`."""
import sys
from importlib import import_module
from typing import Any

from .flags import add_command, new_file, positive

__all__ = ['add']


def add(commands: Any) -> None:
    """Add the command."""
    conform = add_command(
        commands, 'conform', 'run the conformance suite against another implementation', _run,
        ["conform my_adapter.py --select 'dense/*'", 'conform ./my_program --report page.html --junit tests.xml'],
        'oracle.md#running-the-suite',
        'Exit status: 0 nothing failed, 1 something did, 2 nothing could be compared.')
    conform.add_argument('adapter', metavar='ADAPTER[:ARGUMENT]',
                         help='a Python file, or a program that speaks JSON: docs/oracle.md')
    conform.add_argument('--select', default='*', metavar='GLOB',
                         help="cases by name, as 'dense/*' (all)")
    conform.add_argument('--dtype', choices=('float64', 'float32'), default='float64',
                         help='of inputs (%(default)s)')
    conform.add_argument('--python', metavar='PATH',
                         help='the interpreter for a Python file (this one)')
    conform.add_argument('--time-limit', type=positive('a time limit > 0 in seconds'), default=60., metavar='S',
                         help='seconds for a case (%(default)g)')
    conform.add_argument('--report', type=new_file, metavar='FILE.html',
                         help='write a page with a picture')
    conform.add_argument('--junit', type=new_file, metavar='FILE.xml',
                         help='write XML as JUnit does, for test servers')
    conform.add_argument('--json', action='store_true', help='print JSON in place of the table')


def _run(args):
    from ..oracle import conform, conformance_cases, report
    cases = conformance_cases(args.select, dtype=args.dtype)
    width = max(len(case.name) for case in cases)
    write = import_module('tqdm.auto').tqdm.write

    def row(outcome):
        """Print above the bar, if there is one."""
        write('\n    '.join([report.line(outcome, width), *report.details(outcome)]))
        sys.stdout.flush()
    result = conform(args.adapter, args.select, args.dtype, args.python, args.time_limit,
                     each=None if args.json else row)
    for path, as_text in ((args.report, report.as_html), (args.junit, report.as_junit)):
        if path:
            with open(path, 'w', encoding='utf-8') as page:
                page.write(as_text(result))
    print(report.as_json(result) if args.json else report.summary(result))
    if result.is_empty:
        print('ntref conform: nothing was compared: the adapter supports none of these '
              'cases.', file=sys.stderr)
        return 2
    return int(result.has_failed)
