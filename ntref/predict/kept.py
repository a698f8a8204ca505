"""Factorizations taken out of one Factor, for a file, and into another."""
from collections.abc import Mapping

from ..arrays import namespace
from ..types import Array
from .factor import Factor, norm, start

__all__ = ['computed', 'take_over']


def computed(a: Factor) -> dict[str, Array]:
    """Return the factorizations that are there, by name."""
    known = vars(a)
    found = {}
    if known.get('lower') is not None:
        found['lower'] = known['lower']
    if 'spectrum' in known:
        found['values'], found['vectors'] = known['spectrum']
    return found


def take_over(a: Factor, found: Mapping[str, Array]) -> None:
    """Set what another Factor of this matrix has `computed`; raise ValueError if it is of another matrix."""
    v = start(namespace(a.a), a.n)
    if 'lower' in found:
        lower = found['lower']
        _check(a, v, lower @ (lower.T @ v))
        a.lower = lower
    if 'vectors' in found:
        values = found['values']
        vectors = found['vectors']
        _check(a, v, vectors @ (values[:, None] * (vectors.T @ v)))
        a.spectrum = a.rounded(values, vectors)


def _check(a, v, image):
    """Raise ValueError unless `image` is A v, to half of its digits."""
    if not norm(image - a.a @ v) <= namespace(v).eps(v) ** .5 * norm(a.a) * norm(v):
        raise ValueError('expected factorizations of the kernel that is with them, got others.')
