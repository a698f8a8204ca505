"""Where files are that tests read."""
from pathlib import Path

import numpy

__all__ = ['ROOT', 'TESTS', 'golden']

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent


def golden(name):
    """A table of Neural Tangents' numbers: golden/README.md."""
    return numpy.load(TESTS / 'golden' / f'{name}.npz')
