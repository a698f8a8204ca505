"""Diagrams of networks as HTML: boxes and arrows in the colours of the page around them."""
from collections.abc import Sequence
from html import escape

from .tables import shortened

__all__ = ['box', 'column', 'diagram', 'group', 'row']

BORDER = 'border:1px solid currentColor;border-radius:.3em'
ARROW = '<span style="padding:0 .3em">&#8594;</span>'


def box(text: str) -> str:
    """Return a box with the text of a layer, which is shortened; all of it is shown where the mouse rests."""
    return (f'<code title="{escape(text)}" style="{BORDER};padding:.1em .4em;background:none;color:inherit;'
            f'white-space:nowrap">{escape(shortened(text))}</code>')


def row(parts: Sequence[str]) -> str:
    """Return diagrams one after the other, with arrows between them."""
    return _flex('row', ARROW.join(parts))


def column(parts: Sequence[str]) -> str:
    """Return diagrams beside each other."""
    return _flex('column', ''.join(parts), f'{BORDER};border-style:dotted;padding:.3em;gap:.3em')


def group(part: str, text: str) -> str:
    """Return a diagram in a frame, with a text behind it."""
    frame = f'{BORDER};border-style:dashed;padding:.3em;gap:.3em'
    return _flex('row', f'{part}<span>{escape(text)}</span>', frame)


def diagram(part: str) -> str:
    """Return the whole diagram, with room around it."""
    return f'<div style="padding:.4em;font-size:90%;line-height:1.6;overflow-x:auto">{part}</div>'


def _flex(direction, inside, style=''):
    align = 'center' if direction == 'row' else 'flex-start'
    return (f'<div style="display:inline-flex;flex-direction:{direction};flex-wrap:wrap;align-items:{align};'
            f'row-gap:.4em;{style}">{inside}</div>')
