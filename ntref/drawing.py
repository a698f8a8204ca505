"""What pictures have in common: axes, colours, line styles, ink. matplotlib is imported with the first picture."""
from importlib import import_module
from typing import Any

__all__ = ['COLORS', 'ON_BLACK', 'axes', 'band', 'ink', 'legend_above', 'pyplot', 'styled']

COLORS = '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9'
"""Of Okabe and Ito (2008), told apart by colour-blind readers: without black and yellow."""

ON_BLACK = '#56B4E9', '#E69F00', '#009E73', '#CC79A7', '#D55E00', '#F0E442'
"""The same for styles with white text: the bright ones first."""

LINES = '-', '--', '-.', ':'


def pyplot() -> Any:
    """Return matplotlib.pyplot.

    Raises
    ------
    ImportError : matplotlib is not installed; the message says how to install it.
    """
    try:
        return import_module('matplotlib.pyplot')
    except ImportError:
        raise ImportError('a picture needs matplotlib, which is not installed: pip install matplotlib.') from None


def axes(ax: Any = None) -> Any:
    """Return `ax`, or the axes of a new figure if it is None.

    Raises
    ------
    TypeError : something else than axes.
    """
    if ax is None:
        return pyplot().subplots(layout='constrained')[1]
    if not hasattr(ax, 'fill_between'):
        raise TypeError(f'expected ax to be one matplotlib Axes, as pyplot.subplots()[1] gives, or None, got '
                        f'{type(ax).__name__}.')
    return ax


def legend_above(ax: Any, title: str | None = None) -> None:
    """Name the lines above the axes, where the legend covers none of them."""
    ax.legend(title=title, loc='lower center', bbox_to_anchor=(.5, 1), ncols=4, frameon=False)


def styled(i: int) -> dict[str, Any]:
    """Return the i-th style of lines: twelve that differ, neighbours in their dashes too, for print."""
    is_dark = sum(import_module('matplotlib.colors').to_rgb(ink())) > 1.5
    colors = ON_BLACK if is_dark else COLORS
    return dict(color=colors[i % len(colors)], linestyle=LINES[i % len(LINES)])


def ink() -> str:
    """Return the colour of text, which stands out from the background, for targets and reference lines."""
    return pyplot().rcParams['text.color']


def band(ax: Any, x: Any, mean: Any, sd: Any, i: int, label: str | None = None) -> None:
    """Draw a mean with the band of two standard deviations, in the i-th style."""
    ax.fill_between(x, mean - 2 * sd, mean + 2 * sd, color=styled(i)['color'], alpha=.25, linewidth=0)
    ax.plot(x, mean, **styled(i), label=label)
