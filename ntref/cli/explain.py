"""The command `ntref explain`."""
from typing import Any

from .flags import add_command, add_network, whole
from .kernel import add_inputs, network_and_inputs

__all__ = ['add']


def add(commands: Any) -> None:
    """Add the command."""
    explain = add_command(
        commands, 'explain', 'show where the kernel of two inputs comes from, layer by layer', _run,
        ['explain net.json x.csv', 'explain net.json x1.npy x2.npy --pair 0 3'], 'explain-and-plot.md#in-a-shell')
    add_network(explain)
    add_inputs(explain)
    explain.add_argument('--pair', nargs=2, type=whole(0), metavar=('I', 'J'),
                         help='which of X1 and which of X2, from 0 (the first of each; without X2 the first two)')


def _run(args):
    net, x1, x2 = network_and_inputs(args)
    print(net.explain(x1, x2, args.pair))
