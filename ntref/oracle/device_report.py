"""What the checks of a GPU found, as text, as JSON and as a page."""
import json
import platform
import time
from collections import Counter
from dataclasses import asdict, dataclass
from html import escape
from math import isnan
from typing import Any

import numpy

from .on_device import Check, Time
from .report import STYLE

__all__ = ['Report', 'as_html', 'as_json', 'as_text', 'line']


@dataclass(frozen=True)
class Report:
    """Checks and times of one device, by its name."""
    device: str
    checks: tuple[Check, ...]
    times: tuple[Time, ...] = ()

    @property
    def summary(self) -> str:
        """How many checks ran, and how they ended."""
        count = Counter(check.verdict for check in self.checks)
        ended = ', '.join(f'{n} {verdict}' for verdict, n in count.items())
        return f'{len(self.checks)} checks ran' + (f': {ended}' if ended else '')

    def groups(self) -> list[tuple[str, int, int, float]]:
        """Return rows (group, checks, of these failed, the worst measured number over its bound)."""
        found = []
        for group in dict.fromkeys(check.group for check in self.checks):
            here = [check for check in self.checks if check.group == group]
            shares = [c.measured / c.bound for c in here if c.measured is not None and c.bound]
            failed = sum(check.has_failed for check in here)
            found.append((group, len(here), failed, max(shares, default=numpy.nan)))
        return found


def line(check: Check) -> str:
    """Return a check as a line of text."""
    return f'{check.verdict}: {check.group}, {check.name}: {check.reason}'


def as_text(report: Report) -> str:
    """Return the tables of groups and times, and a summary."""
    lines = [f'{"checks":30} {"ran":>5} {"failed":>7} {"worst / bound":>14}']
    lines += [f'{group:30} {ran:5} {failed:7} {share:14.2g}' for group, ran, failed, share in report.groups()]
    if report.times:
        lines += ['', f'{"seconds":40} {"dtype":8} {"device":>9} {"CPU":>9} {"NT":>9}']
        lines += [f'{t.name:40} {t.dtype:8} {_seconds(t.device):>9} {_seconds(t.host):>9} {_seconds(t.theirs):>9}'
                  for t in report.times]
    return '\n'.join([*lines, '', report.summary])


def _seconds(value):
    return '-' if isnan(value) else f'{value:.3g}'


def as_json(report: Report) -> str:
    """Return everything, as JSON; what was not measured is null."""
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(v) for name, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        return None if isinstance(value, float) and isnan(value) else value
    return json.dumps(plain({'date': time.strftime('%Y-%m-%d'), 'versions': _versions(), 'summary': report.summary,
                             **asdict(report)}), indent=1)


def _versions():
    from .. import __version__
    return {'ntref': __version__, 'NumPy': numpy.__version__, 'Python': platform.python_version(),
            'system': f'{platform.system()} {platform.machine()}'}


def as_html(report: Report) -> str:
    """Return a self-contained page."""
    failed = [check for check in report.checks if check.has_failed]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ntref on {escape(report.device)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>ntref on {escape(report.device)}</h1>
<p>{escape(report.summary)}. {time.strftime('%Y-%m-%d')}, {escape(', '.join(map(' '.join, _versions().items())))}</p>
{_table(('checks', 'ran', 'failed', 'worst / bound'),
        [(group, ran, bad, f'{share:.2g}') for group, ran, bad, share in report.groups()])}
<h2>Seconds</h2>
{_table(('kernel', 'dtype', 'device', 'CPU', 'Neural Tangents'),
        [(t.name, t.dtype, *map(_seconds, (t.device, t.host, t.theirs))) for t in report.times])}
<h2>What failed</h2>
{_table(('group', 'name', 'why'), [(c.group, c.name, c.reason) for c in failed]) if failed else '<p>Nothing.</p>'}
</body>
</html>
"""


def _table(head, rows):
    def cells(tag, values):
        return '<tr>' + ''.join(f'<{tag}>{escape(str(v))}</{tag}>' for v in values) + '</tr>\n'
    body = ''.join(cells('td', row) for row in rows)
    return f'<table><thead>{cells("th", head)}</thead><tbody>\n{body}</tbody></table>'
