"""What every predict_fn is: a function that can be shown, copied and pickled, and taken apart for a file."""
import pickle
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

__all__ = ['Predictor']

OTHERS = 'cloudpickle', 'dill'          # which pickle functions without a name, too


@dataclass(frozen=True, eq=False, repr=False)
class Predictor:
    """Base of what the functions of `predict` return: its fields are what the calls share.

    Pickles, copies and files have the factorizations and kernels that are computed so far; others are computed when
    they are needed.

    Attributes
    ----------
    of : str            the function of `predict` that returns it.
    unkept : str        why no file can have it; '' if one can.
    registry : dict     name of a function -> class of what it returns.
    """

    of: ClassVar[str]
    unkept: ClassVar[str] = ''
    registry: ClassVar[dict[str, type['Predictor']]] = {}

    def __init_subclass__(cls, of: str):
        cls.of = of
        Predictor.registry[of] = cls

    def __repr__(self):
        return f'<predict_fn of {self.of}: {self.told()}>'

    def told(self) -> str:
        """Return what it predicts from, as text."""
        raise NotImplementedError

    def functions(self) -> dict[str, Any]:
        """Return {name of an argument: the function of the user that was given as it}."""
        return {}

    def parts(self) -> dict[str, Any]:
        """Return what a file needs, as a tree of numbers, text and arrays.

        Raises
        ------
        TypeError : it has something that no file can have, such as a function of the user.
        """
        raise TypeError(f'expected a predictor that a file can have, got one of {self.of}: {self.unkept}')

    @classmethod
    def of_parts(cls, parts: Mapping[str, Any], network: Callable[[Any], Any]) -> Self:
        """Return the predictor that gave these `parts`; `network` reads a network from its JSON.

        Raises
        ------
        ValueError : the parts do not go together.
        """
        raise NotImplementedError

    def __copy__(self):
        return replace(self)

    def __deepcopy__(self, memo):
        return type(self)(*(deepcopy(getattr(self, f.name), memo) for f in fields(self)))

    def __reduce_ex__(self, protocol):
        for name, f in self.functions().items():
            _check_pickles(f, name)
        return super().__reduce_ex__(protocol)


def _check_pickles(f, name):
    """Raise PicklingError, in words, for a function that pickle does not find by its name.

    Where another pickle is loaded, which can take such functions along, all are left to it.
    """
    if any(module.rpartition('.')[2] in OTHERS for module in list(sys.modules)):
        return
    try:
        pickle.dumps(f)
    except (pickle.PicklingError, AttributeError, TypeError) as e:
        raise pickle.PicklingError(
            f'expected a {name} that can be pickled, got one that cannot: {e}. Pickle stores functions by their names: '
            'write it with def at the top of a module (no lambda, no function inside another), or give a network '
            'of ntref.stax.') from e
