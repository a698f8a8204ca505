"""Properties that are computed once per instance."""
from collections.abc import Callable
from typing import Any

__all__ = ['cached_property']


class cached_property:
    """Property of an instance that is computed when it is first asked for and kept in its __dict__.

    That of `functools` has one lock for all instances before Python 3.12. A process that is forked while
    another thread computes inherits the held lock and waits for ever. Here two threads may compute the same value
    twice instead.

    Examples
    --------
    >>> class Circle:
    ...     radius = 2
    ...     @cached_property
    ...     def area(self):
    ...         print('computed')
    ...         return 3.14 * self.radius ** 2
    >>> circle = Circle()
    >>> circle.area, circle.area
    computed
    (12.56, 12.56)
    """

    def __init__(self, f: Callable[[Any], Any]):
        self.f = f
        self.name = f.__name__
        self.__doc__ = f.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.f(instance)
        return value
