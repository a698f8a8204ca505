"""The command `ntref playground`."""
import argparse
import webbrowser
from typing import Any

from .flags import add_command, whole

__all__ = ['add']

PORT = 8765
PORTS = 2 ** 16


def add(commands: Any) -> None:
    """Add the command."""
    playground = add_command(
        commands, 'playground', 'play with kernels, priors and training in the browser', _run,
        ['playground', 'playground --port 0 --no-browser'], 'playground.md#ntref-playground',
        'The page is served to this machine alone, until Ctrl-C, and loads nothing from elsewhere.')
    playground.add_argument('--port', type=_port, default=PORT, metavar='N',
                            help='of 127.0.0.1; 0: one that is free (%(default)s)')
    playground.add_argument('--no-browser', action='store_true', help='print the address and open no browser')


def _port(text):
    port = whole(0)(text)
    if port >= PORTS:
        raise argparse.ArgumentTypeError(f'expected a port below {PORTS}, got {port}')
    return port


def _run(args):
    from ..playground import Server
    with Server(args.port) as server:
        print(f'{server.url}   (Ctrl-C ends it)', flush=True)
        if not args.no_browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
