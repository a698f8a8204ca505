"""Numbers to compare with: kernels to any number of digits, with how many of them are sure."""
from .certify import Certified, certify

__all__ = ['Certified', 'certify']
