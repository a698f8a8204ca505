"""The command `ntref`: one file for each subcommand."""
import argparse
import os
import sys
from collections.abc import Sequence

from .. import __version__
from . import cases, certify, conform, demo, explain, gpu_check, kernel, migrate, playground, plot, predict
from .flags import Parser

__all__ = ['main', 'parser']

COMMANDS = demo, playground, explain, plot, predict, kernel, certify, cases, conform, migrate, gpu_check
FAILURES = (ImportError, OSError, TypeError, ValueError, MemoryError, ArithmeticError, RuntimeError,
            argparse.ArgumentTypeError)
INTERRUPTED = 130       # the status of a shell for SIGINT
UNREAD = 141            # and for SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand, such as `ntref demo`, and return the exit status."""
    args = parser().parse_args(argv)
    try:
        status = args.run(args) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _drop_output()
        return UNREAD
    except FAILURES as e:
        print(f'ntref {args.command}: {e}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'ntref {args.command}: interrupted', file=sys.stderr)
        return INTERRUPTED


def parser() -> Parser:
    """Return the parser of all subcommands."""
    whole = Parser(
        prog='ntref', description='Infinitely wide neural networks.',
        epilog='ntref COMMAND --help has examples. Documentation: docs/command.md, in the repository of ntref.')
    whole.add_argument('--version', action='version', version=f'ntref {__version__}')
    commands = whole.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for command in COMMANDS:
        command.add(commands)
    return whole


def _drop_output():
    """Send what is left of the output nowhere, as in `ntref ... | head -1`, whose reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
