"""What to change in a script for Neural Tangents, read off its source, which is never executed: `ntref migrate`."""
from .findings import Finding, Reading, read
from .report import status, text
from .scripts import Script, load

__all__ = ['Finding', 'Reading', 'Script', 'load', 'read', 'status', 'text']
