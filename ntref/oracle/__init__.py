"""Reference numbers: kernels to any number of certified digits, and the conformance suite that is made of them."""
from . import report
from .cases import Case, conformance_cases
from .certified import Certified
from .certify import certify
from .certify_predict import certify_predict
from .conformance import Conformance, Outcome, conform
from .inside import LayerValues, layer_values

__all__ = ['Case', 'Certified', 'Conformance', 'LayerValues', 'Outcome', 'certify', 'certify_predict',
           'conform', 'conformance_cases', 'layer_values', 'report']
