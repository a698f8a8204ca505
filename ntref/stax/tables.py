"""Tables for a terminal and for a notebook."""
from collections.abc import Collection, Iterable, Sequence
from html import escape

__all__ = ['as_html', 'as_lines', 'shortened']

LONG = 40         # letters of a layer that are shown

CELL = 'padding:.15em .7em;white-space:nowrap;text-align:{};border-bottom:1px solid rgba(128,128,128,.3)'


def shortened(text: str) -> str:
    """Return the text, or its beginning if it is long."""
    return text if len(text) <= LONG else f'{text[:LONG - 1]}…'


def as_lines(header: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int]) -> list[str]:
    """Return a table as lines, whose columns `left` are aligned to the left, the others to the right.

    Examples
    --------
    >>> for line in as_lines(('layer', 'K'), [('Dense(1)', '0.5'), ('Relu()', '0.25')], {0}):
    ...     print(line)
    layer        K
    Dense(1)   0.5
    Relu()    0.25
    """
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines)]

    def aligned(cells):
        return '  '.join(cell.ljust(width) if i in left else cell.rjust(width)
                         for i, (cell, width) in enumerate(zip(cells, widths))).rstrip()
    return list(map(aligned, lines))


def as_html(header: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int]) -> str:
    """Return the same as an HTML table, in the colours of the page around it; cells in dollars are LaTeX."""
    def row(cells, tag):
        return '<tr>' + ''.join(
            f'<{tag} style="{CELL.format("left" if i in left else "right")}">{escape(cell)}</{tag}>'
            for i, cell in enumerate(cells)) + '</tr>'
    return ('<table style="border-collapse:collapse;background:none">'
            f'<thead>{row(header, "th")}</thead><tbody>{"".join(row(cells, "td") for cells in rows)}</tbody></table>')
