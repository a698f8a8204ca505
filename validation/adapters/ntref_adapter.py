"""ntref itself, as an adapter of the conformance suite: an example, and a check of the suite.

    ntref conform validation/adapters/ntref_adapter.py
"""
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))

import ntref                                                # noqa: E402
from ntref.oracle import answers                            # noqa: E402
from ntref.stax import from_spec                            # noqa: E402

predict = answers.predict


def about():
    return {'ntref, tested': ntref.__version__}


def kernel(spec, *given, **options):
    return answers.kernel(from_spec(spec), *given, **options)


def empirical(spec, *given, **options):
    return answers.empirical(from_spec(spec), *given, **options)
