"""Numbers to compare with: kernels to any number of digits, with how many of them are sure; the conformance suite."""
from .cases import Case, conformance_cases
from .certify import Certified, certify

__all__ = ['Case', 'Certified', 'certify', 'conformance_cases']
