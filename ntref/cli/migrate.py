"""The command `ntref migrate`."""
from typing import Any

from .flags import add_command

__all__ = ['add']


def add(commands: Any) -> None:
    """Add the command."""
    migrate = add_command(
        commands, 'migrate', 'say what to change in a script for Neural Tangents, line by line', _run,
        ['migrate train.py', 'migrate notebook.ipynb'], 'coming-from-neural-tangents.md#the-command',
        'The script is read, never run. Exit status: 0 it runs as it is, 1 it cannot be read, 2 there is something to '
        'change, 3 something cannot be ported.')
    migrate.add_argument('script', metavar='SCRIPT', help='a Python file or a notebook (.ipynb)')


def _run(args):
    from ..migration import load, read, status, text
    script = load(args.script)
    reading = read(script)
    print(text(script, reading))
    return status(reading)
