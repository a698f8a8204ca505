"""Properties, and results of methods, that are computed once per instance."""
from collections.abc import Callable
from functools import wraps
from typing import Any

__all__ = ['cached_property', 'remembered', 'without_memory']


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
        self.name = self.remembered_as = f.__name__
        self.__doc__ = f.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.f(instance)
        return value


def remembered(size: int) -> Callable[[Callable], Callable]:
    """Decorate a method of immutable instances: they keep its latest results, for `size` different arguments.

    What is kept is replaced as a whole, never changed: another thread may be reading it.

    Examples
    --------
    >>> class Circle:
    ...     @remembered(2)
    ...     def scaled(self, factor):
    ...         print('computed')
    ...         return 3.14 * factor
    >>> circle = Circle()
    >>> circle.scaled(2), circle.scaled(2)
    computed
    (6.28, 6.28)
    """
    def decorated(method):
        name = f'_{method.__name__}'

        @wraps(method)
        def call(self, *arguments):
            known = self.__dict__.get(name, {})
            if arguments in known:
                return known[arguments]
            value = method(self, *arguments)
            latest = list(known.items())[max(0, len(known) - size + 1):]
            self.__dict__[name] = {**dict(latest), arguments: value}
            return value
        call.__dict__['remembered_as'] = name
        return call
    return decorated


def without_memory(instance: Any) -> dict[str, Any]:
    """Return the attributes of an instance, without what it remembers by the two above.

    >>> class Circle:
    ...     def __init__(self):
    ...         self.radius = 2
    ...     @cached_property
    ...     def area(self):
    ...         return 3.14 * self.radius ** 2
    >>> circle = Circle()
    >>> circle.area, without_memory(circle)
    (12.56, {'radius': 2})
    """
    members = [member for cls in type(instance).__mro__ for member in vars(cls).values()]
    remembered_as = [getattr(member, '__dict__', {}).get('remembered_as') for member in members]
    return {name: value for name, value in vars(instance).items() if name not in remembered_as}
