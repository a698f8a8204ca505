"""Numbers to compare with: kernels to any number of digits, with how many of them are sure; the conformance suite."""
from . import report
from .cases import Case, conformance_cases
from .certify import Certified, certify
from .conformance import Conformance, Outcome, conform

__all__ = ['Case', 'Certified', 'Conformance', 'Outcome', 'certify', 'conform', 'conformance_cases', 'report']
