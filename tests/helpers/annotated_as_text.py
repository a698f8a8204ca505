"""Layers of a user whose annotations are text."""
from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from ntref import stax

if TYPE_CHECKING:
    from somewhere import Elsewhere


@dataclass(frozen=True, repr=False)
class Textual(stax.Identity):
    """Arguments of all types that are checked, and of some that are not."""
    number: float = 1.
    maybe: float | None = None
    perhaps: Optional[float] = None
    either: typing.Union[float, None] = None
    real: float | int = 1
    whole: int = 1
    few: int | None = None
    flag: bool = False
    switch: bool | None = None
    text: str = 'text'
    several: tuple[float, ...] = ()
    numbers: list[int] = ()
    anything: object = None
    elsewhere: Elsewhere = None
    said: 'a number, or two' = None                                     # noqa: F722
