"""Draws the tables of `performance.py`."""
from matplotlib.figure import Figure

COLORS = {
    'ntref': 'tab:blue', 'Neural Tangents': 'tab:orange', 'scikit-ntk': 'tab:green',
    'BoTorch': 'tab:red'}
DPI = 80


def axes_against_n(axes, title, ylabel):
    axes.set(title=title, xscale='log', yscale='log', xlabel='inputs n', ylabel=ylabel)
    axes.grid(alpha=.3, which='both', lw=.4)


def named_ticks(axes, sizes):
    """The sizes themselves on the axis."""
    axes.set_xticks(sizes, [f'{n:,}' for n in sizes], rotation=45)
    axes.minorticks_off()


def against_n(panels, path):
    """A panel for each kernel: seconds of each library."""
    figure = Figure(figsize=(5 * len(panels), 3.8), layout='constrained')
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, libraries) in zip(row, panels.items()):
        axes_against_n(axes, title, 'seconds')
        for library, points in libraries.items():
            axes.plot(*zip(*points), 'o-', color=COLORS[library], ms=4, lw=1.5, label=library)
        named_ticks(axes, sorted({n for points in libraries.values() for n, _ in points}))
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=DPI)


def growth(rows, path):
    """Seconds and memory against n, in memory and on disk."""
    figure = Figure(figsize=(10, 3.8), layout='constrained')
    panels = {
        'time': ('seconds', [row.seconds for row in rows], [row.seconds_on_disk for row in rows]),
        'memory': ('GiB', *([size and size / 2 ** 30 for size in sizes] for sizes in (
            [row.bytes for row in rows], [row.bytes_on_disk for row in rows])))}
    sizes = [row.n for row in rows]
    for axes, (title, (unit, in_memory, on_disk)) in zip(figure.subplots(1, 2), panels.items()):
        axes_against_n(axes, title, unit)
        for name, values, color in (
                ('in memory', in_memory, 'tab:blue'), ('written to disk, out=', on_disk, 'tab:purple')):
            points = [(n, value) for n, value in zip(sizes, values) if value]
            if points:
                axes.plot(*zip(*points), 'o-', color=color, ms=4, lw=1.5, label=name)
        if title == 'memory':
            itself = [8 * n * n / 2 ** 30 for n in sizes]
            axes.plot(sizes, itself, color='gray', lw=1, ls='--', label='the kernel itself')
        named_ticks(axes, sizes)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=DPI)


def ratios(found, path):
    """NT / ntref of all rows, by group; the geometric mean of each."""
    from bench import summaries
    groups = list(summaries(found))[::-1]
    figure = Figure(figsize=(10, .8 + .34 * len(groups)), layout='constrained')
    axes = figure.subplots()
    for place, summary in enumerate(groups):
        values = [row.ratio for row in found if row.ratio and row.group == summary.group]
        axes.plot(values, [place] * len(values), 'o', color='tab:blue', ms=4, alpha=.35, mew=0)
        axes.plot(summary.mean, place, '|', color='black', ms=16, mew=2)
    axes.axvline(1, color='tab:orange', lw=1.5)
    axes.set(
        xscale='log', xlabel='time of Neural Tangents / time of ntref (bar: geometric mean)',
        ylim=(-.7, len(groups) - .3))
    low, high = axes.get_xlim()
    ticks = [n for n in (.01, .1, .2, .5, 1, 2, 5, 10, 20, 50, 100, 1000) if low <= n <= high]
    axes.set_xticks(ticks, [f'{n:g}' for n in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(groups)), [summary.group for summary in groups])
    axes.grid(axis='x', alpha=.3, lw=.4)
    figure.savefig(path, dpi=DPI)
