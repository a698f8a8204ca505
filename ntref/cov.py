"""`Cov` and `Pair` of `ntref.duals`, under the name by which user-defined layers import them."""
from .duals import Cov, Pair

__all__ = ['Cov', 'Pair']
