"""Numbers to compare with: certified kernels, and a suite of cases for other implementations."""
from . import report
from .cases import Case, conformance_cases, digits
from .conformance import Conformance, Outcome, conform

__all__ = ['Case', 'Conformance', 'Outcome', 'conform', 'conformance_cases', 'digits', 'report']
