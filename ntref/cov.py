"""`Cov` and `Pair` under the name by which layers of users import them; they are those of `ntref.duals`."""
from .duals import Cov, Pair

__all__ = ['Cov', 'Pair']
