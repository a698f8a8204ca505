"""The command `ntref demo`."""
from typing import Any

from .flags import add_command, new_file, whole

__all__ = ['add']


def add(commands: Any) -> None:
    """Add the command."""
    demo = add_command(
        commands, 'demo', 'classify handwritten digits with an infinitely wide network and compare finite ones '
        'with it', _run, ['demo', 'demo --net conv --train 100 --figure digits.pdf'], 'command.md#ntref-demo')
    demo.add_argument('--net', choices=('dense', 'conv'), default='dense',
                      help='conv: convolutions and pooling against fully connected, on few images '
                           '(%(default)s)')
    demo.add_argument('--train', type=whole(1), metavar='N',
                      help='images to train on, of 1797 (1000; conv: 200)')
    demo.add_argument('--seed', type=whole(0), default=0, metavar='N',
                      help='of the split and the finite networks (%(default)s)')
    demo.add_argument('--figure', type=new_file, metavar='FILE',
                      help='where to save it (ntref-demo.png; conv: ntref-demo-conv.png)')


def _run(args):
    from ..demos import conv, dense
    demo = dense if args.net == 'dense' else conv
    n_train = demo.N_TRAIN if args.train is None else args.train
    figure = new_file(demo.FIGURE) if args.figure is None else args.figure
    demo.run(n_train, args.seed, figure)
