"""ntref itself, as an adapter of the conformance suite: the shortest example.

    ntref conform validation/adapters/ntref_adapter.py
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import ntref                                                # noqa: E402
from ntref.trees import rebuilt                             # noqa: E402


def about():
    return {'ntref': ntref.__version__}


def kernel(spec, x1, x2, get, pattern1=None, pattern2=None, **options):
    net = ntref.stax.from_spec(spec)
    pattern = None if pattern1 is None else (pattern1, pattern2)
    return net.kernel_fn(x1, x2, tuple(get), pattern=pattern, **options)._asdict()


def empirical(spec, params, x1, x2, get, **options):
    net = ntref.stax.from_spec(spec)
    _, like = net.init_fn(0, x1.shape)
    kernels = ntref.empirical_kernel_fn(net.apply_fn, **options)
    return kernels(x1, x2, tuple(get), rebuilt(like, params))._asdict()


def predict(function, inputs, options):
    return {}
