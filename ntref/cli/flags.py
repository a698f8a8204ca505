"""Flags of the command: how their values are read, and what each `--help` says."""
import argparse
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

__all__ = ['Parser', 'add_command', 'add_network', 'new_file', 'positive', 'whole']

HELP_WIDTH = 90         # columns of a description


class Parser(argparse.ArgumentParser):
    """Argument parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f'{self.prog}: {message}. {self.prog} --help says what there is.\n')


def add_command(commands: Any, name: str, about: str, run: Callable[[Any], int | None], examples: list[str],
                page: str, more: str = '') -> Any:
    """Add a subcommand, and return its parser.

    Parameters
    ----------
    about : what it does; `more` follows in its own help.
    run : called with the arguments; it returns the exit status, or None for 0.
    examples : commands, without the name of the command itself.
    page : where it is documented, below docs/.
    """
    described = f'{about[0].upper()}{about[1:]}. {more}'.rstrip()
    shown = '\n'.join(f'  ntref {example}' for example in examples)
    parser = commands.add_parser(
        name, help=about, description=textwrap.fill(described, HELP_WIDTH),
        epilog=f'examples:\n{shown}\n\ndocumentation: docs/{page}, in the repository of ntref',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(run=run)
    return parser


def add_network(command: Any) -> None:
    """Add the argument that `inputs.network` reads."""
    command.add_argument('spec', metavar='NET', help='the network: a file with the JSON of net.to_spec(); or an '
                         'activation for 3 layers of it, such as relu, or erf,depth=1,W_std=1.5,b_std=0.1')


# ------------------------------------------------------------------ values of flags

def whole(least: int) -> Callable[[str], int]:
    """Return a function that reads whole numbers >= least."""
    def read(text):
        try:
            if int(text) >= least:
                return int(text)
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f'expected a whole number >= {least}, got {text!r:.100}')
    return read


def positive(what: str) -> Callable[[str], float]:
    """Return a function that reads finite numbers > 0; `what` says in messages what they are."""
    def read(text):
        try:
            if 0 < float(text) < float('inf'):
                return float(text)
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f'expected {what}, got {text!r:.100}')
    return read


def new_file(text: str) -> str:
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
