"""The command `ntref kernel`."""
from typing import Any

from .flags import add_command, add_network, whole
from .inputs import KINDS, array, network
from .messages import say_cost

__all__ = ['add', 'add_inputs', 'network_and_inputs']


def add(commands: Any) -> None:
    """Add the command."""
    kernel = add_command(
        commands, 'kernel', 'write the kernel of a network into a store, tile by tile; repeat the command to '
        'resume after an interrupt', _run,
        ['kernel net.json x.npy --out k.zarr', 'kernel net.json test.csv train.csv --out k.zarr --get nngp ntk'],
        'large-kernels.md')
    add_network(kernel)
    add_inputs(kernel)
    kernel.add_argument('--out', required=True, metavar='DIR',
                        help='the Zarr store, read back by ntref.load_kernel')
    kernel.add_argument('--get', nargs='+', choices=('nngp', 'ntk'), default=['ntk'],
                        help='which kernels (ntk)')
    kernel.add_argument('--batch-size', type=whole(1), default=0, metavar='N',
                        help='inputs on either side of a tile (1024)')
    kernel.add_argument('--scheduler', metavar='tcp://HOST:PORT',
                        help='of Dask: its workers compute the tiles, and write them to the same '
                             'path')


def add_inputs(command: Any) -> None:
    """Add the arguments that `network_and_inputs` reads after the network."""
    command.add_argument('x1', metavar='X1', help=f'inputs: {KINDS}; FILE.npz:NAME is one array of several')
    command.add_argument('x2', metavar='X2', nargs='?', help='inputs for the other axis (X1)')


def network_and_inputs(args: Any) -> tuple[Any, Any, Any]:
    """Return the network, x1, and x2 or None."""
    return network(args.spec), array(args.x1), args.x2 and array(args.x2)


def _run(args):
    from ..engine import batch
    from ..engine.places import masked
    net, x1, x2 = network_and_inputs(args)
    get = args.get[0] if len(args.get) == 1 else tuple(args.get)
    client = _client(args.scheduler)
    try:
        if client is None:
            say_cost('kernel', net, x1, x2, tuple(args.get))
        k = batch(net.kernel_fn, args.batch_size, out=args.out, executor=client)(x1, x2, get)
    finally:
        if client is not None:
            client.close()
    for name, stored in zip(args.get, k if isinstance(k, tuple) else [k]):
        print(f'{masked(args.out)}: {name} {stored.shape} {stored.dtype}')


def _client(address):
    if address is None:
        return None
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("expected dask for --scheduler, got none. In a checkout of ntref: "
                          "pip install '.[dask]'") from None
    from ..engine.places import masked
    if '@' in address:
        raise ValueError('expected tcp://HOST:PORT for --scheduler, got a user or a password '
                         f'before @{address.rpartition("@")[2]}: schedulers know none. Leave it '
                         'out.')
    try:
        return Client(address, timeout='5s')
    except (OSError, ValueError) as e:
        raise OSError(masked(f'expected a Dask scheduler at {address}, got none: {e}. Start one '
                             'with `dask scheduler`.')) from None
