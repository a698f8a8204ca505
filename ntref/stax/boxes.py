"""Diagrams of networks as HTML: boxes and arrows in the colours of the page around them."""
from collections.abc import Sequence
from html import escape

from .tables import shortened

__all__ = ['box', 'column', 'diagram', 'group', 'row']

BORDER = 'border:1px solid currentColor;border-radius:.3em'
FRAME = f'display:inline-block;vertical-align:middle;white-space:nowrap;margin:.15em 0;padding:0 .4em;{BORDER}'
ARROW = '<span style="padding:0 .3em">&#8594;</span>'


def box(text: str) -> str:
    """Return a box with the text of a layer, which is shortened; all of it is shown where the mouse rests."""
    return (f'<code title="{escape(text)}" style="{FRAME};background:none;color:inherit">'
            f'{escape(shortened(text))}</code>')


def row(parts: Sequence[str]) -> str:
    """Return diagrams one after the other, with arrows between them."""
    return f'<span>{ARROW.join(parts)}</span>'


def column(parts: Sequence[str]) -> str:
    """Return diagrams below each other, in a dotted frame."""
    return f'<div style="{FRAME};border-style:dotted">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def group(part: str, text: str) -> str:
    """Return a diagram in a dashed frame, with a text behind it."""
    return f'<div style="{FRAME};border-style:dashed">{part} {escape(text)}</div>'


def diagram(part: str) -> str:
    """Return the whole diagram, with room around it."""
    return f'<div style="padding:.4em;font-size:90%;overflow-x:auto">{part}</div>'
