"""What the cases of the conformance suite are: definitions alone, `ntref.oracle.generate` computes what is expected.

    'relu-3': (network, 'Relu, Dense', 'pair, edge')     about these layers, on these inputs: two cases
"""
from dataclasses import replace

from .family import Definition
from .given import INPUTS
from .images import IMAGES
from .trained import EMPIRICAL, PREDICTIONS
from .vectors import VECTORS

__all__ = ['Definition', 'INPUTS', 'catalogue']

LESS = {
    'pool/GlobalAvgPool/edge': ('halved', 'Behind an average the gap of nearly equal images is a difference.'),
    'attention/images/edge': ('halved', 'Behind attention the gap of nearly equal images is a difference.'),
    'range/gelu-3/mixed-scales': ('double', 'At variances of 1e14 Gelu has a kink, which float32 sees too little of.'),
}
"""Case -> tolerance class, and why."""


def catalogue() -> list[Definition]:
    """All definitions, in the order of the suite."""
    kernels = (definition for family in VECTORS + IMAGES for definition in family.definitions())
    return [_reclassed(definition) for definition in (*kernels, *PREDICTIONS, *EMPIRICAL)]


def _reclassed(definition):
    if definition.name not in LESS:
        return definition
    tolerance, note = LESS[definition.name]
    return replace(definition, tolerance=tolerance, note=note)
