"""The command `ntref`."""
import argparse
import sys

__all__ = ['main']


def main(argv=None):
    """`ntref demo`: handwritten digits, infinitely wide and finite networks. Returns the exit status."""
    parser = argparse.ArgumentParser(prog='ntref', description='Infinitely wide neural networks.')
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    about = 'classify handwritten digits with an infinitely wide network and compare finite ones with it'
    demo = commands.add_parser('demo', help=about, description=f'{about.capitalize()}.')
    demo.add_argument('--net', choices=('dense', 'conv'), default='dense',
                      help='conv: convolutions and pooling against fully connected, on few images (%(default)s)')
    demo.add_argument('--train', type=int, metavar='N', help='images to train on, of 1797 (1000; conv: 200)')
    demo.add_argument('--seed', type=int, default=0, help='of the split and the finite networks (%(default)s)')
    demo.add_argument('--figure', default='ntref-demo.png', metavar='FILE', help='where to save it (%(default)s)')
    args = parser.parse_args(argv)
    from . import demo, demo_conv
    try:
        run, default = (demo.run, 1000) if args.net == 'dense' else (demo_conv.run, 200)
        run(default if args.train is None else args.train, args.seed, args.figure)
    except (ImportError, ValueError) as e:
        print(f'ntref {args.command}: {e}', file=sys.stderr)
        return 1
    return 0
