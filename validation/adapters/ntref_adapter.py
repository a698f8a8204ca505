"""ntref itself, as an adapter of the conformance suite: an example, and a check of the suite.

    ntref conform validation/adapters/ntref_adapter.py
"""
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))

import ntref                                                # noqa: E402
import predictions                                          # noqa: E402
from ntref.stax import from_spec                            # noqa: E402
from ntref.trees import rebuilt                             # noqa: E402


def about():
    return {'ntref, tested': ntref.__version__}


def kernel(spec, x1, x2, get, pattern1=None, pattern2=None, **options):
    pattern = None if pattern1 is None else (pattern1, pattern2)
    return from_spec(spec).kernel_fn(x1, x2, tuple(get), pattern=pattern, **options)._asdict()


def empirical(spec, params, x1, x2, get, **options):
    net = from_spec(spec)
    _, like = net.init_fn(0, x1.shape)
    options = {name: tuple(axes) for name, axes in options.items()}
    return ntref.empirical_kernel_fn(net.apply_fn, **options)(x1, x2, tuple(get), rebuilt(like, params))._asdict()


def predict(function, inputs, options):
    return predictions.predict(ntref, from_spec, function, inputs, options)
