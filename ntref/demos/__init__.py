"""Demonstrations of `ntref demo`: digits classified by infinitely wide networks, dense and convolutional."""
from . import conv, dense

__all__ = ['conv', 'dense']
