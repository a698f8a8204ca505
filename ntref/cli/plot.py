"""The command `ntref plot`."""
from importlib import import_module
from typing import Any

from .flags import add_command, add_network, new_file
from .inputs import KINDS, array, network

__all__ = ['add']

OF_NETWORKS = {
    'angle': ('kernel_against_angle', 'the kernel of two inputs against the angle between them'),
    'depth': ('depth', 'the angle between two inputs after each layer'),
    'phases': ('phase_diagram', 'order and chaos over W_std and b_std, of a nonlinearity'),
}
OF_INPUTS = {
    'heatmap': ('heatmap', 'the kernel as a matrix of colours'),
    'spectrum': ('spectrum', 'the eigenvalues of the kernel'),
    'prior': ('prior', 'samples of the outputs at initialization'),
    'widths': ('width_convergence', 'how far kernels of finite networks are from the infinite one, against width'),
}
OF_KERNELS = 'heatmap', 'spectrum'
WITHOUT_GET = 'depth', 'phases'


def add(commands: Any) -> None:
    """Add the command with its pictures."""
    plot = add_command(
        commands, 'plot', 'draw a picture of a network or its kernel', _run,
        ['plot angle net.json --figure angle.pdf', 'plot spectrum net.json x.csv --get nngp',
         'plot phases tanh.json'], 'explain-and-plot.md#in-a-shell')
    pictures = plot.add_subparsers(dest='picture', required=True, metavar='PICTURE')
    for name, (_, about) in (OF_NETWORKS | OF_INPUTS).items():
        picture = pictures.add_parser(name, help=about, description=f'{about[0].upper()}{about[1:]}.')
        add_network(picture)
        if name in OF_INPUTS:
            picture.add_argument('x', metavar='X', help=f'inputs: {KINDS}; FILE.npz:NAME is one array of several')
        if name not in WITHOUT_GET:
            picture.add_argument('--get', choices=('nngp', 'ntk'), default='ntk', help='which kernel (%(default)s)')
        picture.add_argument('--figure', type=new_file, default=f'ntref-{name}.png', metavar='FILE',
                             help='where to save it (%(default)s)')


def _run(args):
    from .. import plot
    from ..demos.dense import refuse_format
    from ..drawing import axes
    net = network(args.spec)
    name, _ = (OF_NETWORKS | OF_INPUTS)[args.picture]
    ax = axes()
    refuse_format(import_module('matplotlib.figure'), args.figure)
    options = {} if args.picture in WITHOUT_GET else {'get': args.get}
    if args.picture in OF_KERNELS:
        given = [net.kernel_fn(array(args.x), None, args.get)]
        options = {}
    else:
        given = [net, array(args.x)] if args.picture in OF_INPUTS else [net]
    getattr(plot, name)(*given, ax=ax, **options)
    ax.figure.savefig(args.figure)
    print(f'Figure: {args.figure}')
