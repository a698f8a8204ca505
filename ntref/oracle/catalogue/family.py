"""What a case is before its values are known, and families of them: networks, and the inputs each of them gets."""
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .given import INPUTS

__all__ = ['Definition', 'Family', 'plain']

DIGITS = 30
BEYOND = 'huge', 'tiny'            # the range of float32


@dataclass(frozen=True, eq=False)
class Definition:
    """A case before its values are known; the fields are those of `cases.Case`, and digits to certify."""
    name: str
    kind: str
    layers: tuple
    net: Any
    inputs: dict          # name -> (name of the input set, its key), or an array of this case alone
    options: dict
    tolerance: str = 'exact'
    note: str = ''
    digits: int = DIGITS


@dataclass(frozen=True)
class Family:
    """{network: (what it is, about which layers, on which inputs)}."""
    name: str
    folder: str
    about: tuple
    inputs: str
    networks: dict
    options: dict = field(default_factory=dict)
    tolerance: str = 'exact'
    digits: int = DIGITS

    def definitions(self) -> Iterator[Definition]:
        for network, net in self.networks.items():
            about = None
            names = None
            if isinstance(net, tuple):
                net, about, names = (*net, None)[:3]
            for given in split(names or self.inputs):
                place = f'{self.folder}/{given}'
                yield Definition(
                    name=plain(f'{self.name}/{network}/{given}'),
                    kind='kernel',
                    layers=split(about) or self.about or (network.split()[0].strip(','),),
                    net=net,
                    inputs={key: (place, key) for key in INPUTS[place]},
                    options={'get': ['nngp', 'ntk']} | self.options,
                    tolerance='double' if given in BEYOND else self.tolerance,
                    digits=self.digits)


def plain(name: str) -> str:
    """Return the name without spaces and commas, as a word of a command line."""
    return name.replace(', ', '-').replace(' ', '-')


def split(text):
    return tuple(part.strip() for part in text.split(',')) if text else ()
