"""The command `ntref plot`."""
import argparse
from importlib import import_module
from pathlib import PurePath
from typing import Any

import numpy

from .flags import add_command, add_network, new_file
from .inputs import KINDS, array, network, nonlinearity
from .messages import warnings_said
from .training_set import add_training_set, inputs_in, refuse_other_columns, trained, training_set

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
OF_TRAINING = {
    'posterior': ('posterior', 'predictions after training, with their bands'),
    'training': ('training', 'outputs during training, with their bands'),
    'movie': ('training_movie', 'predictions during training, as an animated GIF'),
}
OF_KERNELS = 'heatmap', 'spectrum'
WITHOUT_GET = 'depth', 'phases'
ASIDE = .5              # of the range of the training inputs, on either side, where predictions are drawn
POINTS = 201            # where they are drawn
FIRST = 1e-4            # of the last time, where training is drawn from on
FRAMES = 40             # of a movie


def add(commands: Any) -> None:
    """Add the command with its pictures."""
    plot = add_command(
        commands, 'plot', 'draw a picture of a network or its kernel', _run,
        ['plot angle net.json --figure angle.pdf', 'plot spectrum net.json x.csv --get nngp',
         'plot phases tanh', 'plot posterior net.json train.csv --diag-reg evidence',
         'plot movie erf,depth=2 train.csv --figure movie.gif'],
        'explain-and-plot.md#in-a-shell')
    pictures = plot.add_subparsers(dest='picture', required=True, metavar='PICTURE')
    for name, (_, about) in (OF_NETWORKS | OF_INPUTS | OF_TRAINING).items():
        picture = pictures.add_parser(name, help=about, description=f'{about[0].upper()}{about[1:]}.')
        add_network(picture)
        if name in OF_INPUTS:
            picture.add_argument('x', metavar='X', help=f'inputs: {KINDS}; FILE.npz:NAME is one array of several')
        if name in OF_TRAINING:
            add_training_set(picture)
            picture.add_argument('--test', metavar='X', help='inputs to predict for (a grid around the training '
                                 'inputs, if these have one feature)')
        elif name not in WITHOUT_GET:
            picture.add_argument('--get', choices=('nngp', 'ntk'), default='ntk', help='which kernel (%(default)s)')
        is_movie = name == 'movie'
        picture.add_argument('--figure', type=_gif if is_movie else new_file, metavar='FILE',
                             default=f'ntref-{name}.{"gif" if is_movie else "png"}',
                             help='where to save it (%(default)s)')


def _gif(text):
    if PurePath(text).suffix.lower() != '.gif':
        raise argparse.ArgumentTypeError(f'expected a file that ends in .gif, got {text!r:.100}')
    return new_file(text)


def _run(args):
    from .. import plot
    from ..demos.dense import refuse_format
    from ..drawing import axes
    net = (nonlinearity if args.picture == 'phases' else network)(args.spec)
    name, _ = (OF_NETWORKS | OF_INPUTS | OF_TRAINING)[args.picture]
    ax = axes()
    if args.picture != 'movie':
        refuse_format(import_module('matplotlib.figure'), args.figure)
    options = {} if args.picture in (*WITHOUT_GET, *OF_KERNELS) else {'get': args.get}
    with warnings_said('plot'):
        drawn = getattr(plot, name)(*_given(args, net), ax=ax, **options)
    if args.picture == 'movie':
        drawn.save(args.figure, writer='pillow')
    else:
        ax.figure.savefig(args.figure)
    print(f'Figure: {args.figure}')


def _given(args, net):
    """Return what the picture is of."""
    if args.picture in OF_NETWORKS:
        return [net]
    if args.picture in OF_INPUTS:
        x = array(args.x)
        return [net.kernel_fn(x, None, args.get)] if args.picture in OF_KERNELS else [net, x]
    x, y = training_set(args)
    x_test = _test_inputs(args, x)
    predictor = trained(args, net, x, y, x_test)
    if args.picture == 'posterior':
        return [predictor, x_test, args.t]
    last = args.t or 1e4
    if args.picture == 'movie':
        return [predictor, numpy.geomspace(FIRST * last, last, FRAMES), x_test]
    return [predictor, numpy.geomspace(FIRST * last, last, POINTS), x_test if args.test else None]


def _test_inputs(args, x):
    """Return the inputs to predict for: those given, or a grid around training inputs of one feature."""
    if args.test:
        x_test = inputs_in(args.test)
        refuse_other_columns(x, x_test, args.train, args.test)
        return x_test
    if args.picture == 'training':
        return x
    if x.shape[1:] != (1,):
        raise ValueError(f'expected --test X with training inputs of other than one feature, got none, and inputs of '
                         f'shape {x.shape[1:]} in {args.train}.')
    aside = ASIDE * (x.max() - x.min())
    return numpy.linspace(x.min() - aside, x.max() + aside, POINTS)[:, None]
