"""The inputs of the cases, by name."""
from random import Random

import numpy

__all__ = ['INPUTS', 'numbers', 'singles']


def numbers(name: str, *shape: int) -> numpy.ndarray:
    """Doubles between -1 and 1, the same ones for a name on every machine."""
    random = Random(name)
    return numpy.array([random.uniform(-1, 1) for _ in range(int(numpy.prod(shape)))]).reshape(shape)


def singles(name: str, *shape: int) -> numpy.ndarray:
    """Such as float32 has, too."""
    return numbers(name, *shape).astype('float32').astype('float64')


def edge(shape, name='edge'):
    """An input, again, opposite, zero, twice as long, and nearly the same."""
    a = numbers(name, *shape)
    return numpy.stack([a, a, -a, 0 * a, 2 * a, a + 2. ** -33 * numbers(f'{name}, near', *shape)])


def _vectors():
    a = numbers('vectors', 4, 3)
    steps = numpy.array([[1e-1], [1e-3], [1e-5], [1e-7], [1e-9], [1e-11], [1e-13], [1e-15]])
    near = a[0] + steps * numbers('near', 8, 3)
    return {
        'pair': (a, numbers('others', 3, 3)),
        'same': (a, None),
        'few': (a[:2], None),
        'edge': (edge((3,)), None),
        'row': (a[:1], None),
        'zeros': (numpy.stack([0 * a[0], a[0], 0 * a[0]]), 0 * a[:2]),
        'duplicates': (a[[0, 1, 0, 0]], a[[0, 1]]),
        'antipodal': (numpy.stack([a[0], -a[0], -2 * a[0], 3 * a[0], a[1]]), -a[:2]),
        'near': (a[:1], numpy.concatenate([near, -near])),
        'orthogonal': (numpy.eye(3), None),
        'one feature': (numpy.array([[.5], [-.25], [0.], [3.], [-7.]]), numpy.array([[1.], [-1.]])),
        'mixed scales': (a * [[1e-8], [1e-3], [1e2], [1e7]], None),
        'huge': (1e150 * edge((3,), 'huge'), None),
        'tiny': (1e-150 * edge((3,), 'tiny'), None),
        'flipped': (a.T, numbers('others', 3, 3).T),
    }


def _images():
    small = numbers('small', 3, 3, 2, 2)
    return {
        'images': (numbers('images', 2, 4, 4, 2), numbers('other images', 3, 4, 4, 2)),
        'own images': (numbers('images', 2, 4, 4, 2), None),
        'small': (small[:2], small[2:]),
        'edge': (edge((3, 2, 2), 'edge image'), None),
        'black': (numpy.stack([0 * small[0], small[0]]), 0 * small[:1]),
        'pixel': (numbers('pixel', 3, 1, 1, 2), numbers('other pixel', 2, 1, 1, 2)),
        'one image': (numbers('images', 2, 4, 4, 2)[:1], None),
        'flat image': (numpy.ones((2, 3, 2, 2)) * [[[[.5, 1.]]], [[[1., -.5]]]], None),
        'NCHW': (numbers('images', 2, 4, 4, 2).transpose(0, 3, 1, 2),
                 numbers('other images', 3, 4, 4, 2).transpose(0, 3, 1, 2)),
        'CHWN': (numbers('images', 2, 4, 4, 2).transpose(3, 1, 2, 0),
                 numbers('other images', 3, 4, 4, 2).transpose(3, 1, 2, 0)),
        'sequences': (numbers('sequences', 2, 4, 3), numbers('other sequences', 3, 4, 3)),
        'own sequences': (numbers('sequences', 2, 4, 3), None),
        'edge sequences': (edge((3, 2), 'edge sequence'), None),
        'volumes': (numbers('volumes', 1, 2, 3, 2, 2), numbers('other volumes', 2, 2, 3, 2, 2)),
    }


def padded(name, *lengths):
    """Sequences of these lengths, and 9 after them."""
    x = numbers(name, len(lengths), 5, 2)
    for sequence, n in zip(x, lengths):
        sequence[n:] = 9.
    return x


def weights(name, n):
    """Return weights of the edges between 4 nodes, half of which are there."""
    P = singles(name, n, 4, 4)
    return numpy.where(P > 0, P, 0)


def _with_more():
    graphs = dict(x1=numbers('graphs', 2, 4, 3), x2=numbers('other graphs', 3, 4, 3))
    lists = (numpy.array([[[0, 1], [1, 2], [3, 0], [0, 1], [-1, -1]], [[2, 2], [1, 0], [0, 3], [3, 1], [1, 3]]]),
             numpy.array([[[3, 2], [2, 1], [-1, -1], [-1, -1], [0, 0]]] * 3))
    return {
        'padded': dict(x1=padded('padded', 5, 3), x2=padded('others padded', 2, 5, 4)),
        'own padded': dict(x1=padded('padded', 5, 3, 1), x2=None),
        'all padding': dict(x1=padded('padded', 5, 0), x2=padded('others padded', 3)),
        'graphs': dict(graphs, pattern1=weights('edges', 2), pattern2=weights('other edges', 3)),
        'own graphs': dict(x1=graphs['x1'], x2=None, pattern1=weights('edges', 2), pattern2=weights('edges', 2)),
        'no edges': dict(graphs, pattern1=weights('edges', 2), pattern2=0 * weights('other edges', 3)),
        'lists of edges': dict(graphs, pattern1=lists[0], pattern2=lists[1]),
        'without patterns': graphs,
    }


def _sets():
    pairs = {f'vectors/{name}': both for name, both in _vectors().items()}
    pairs |= {f'images/{name}': both for name, both in _images().items()}
    return {name: dict(zip(('x1', 'x2'), both)) for name, both in pairs.items()} | {
        f'more/{name}': given for name, given in _with_more().items()}


INPUTS = _sets()
"""Name -> {'x1': array, 'x2': array or None, ...}."""
