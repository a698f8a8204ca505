"""Reports on a run of the suite: a table, JSON, JUnit's XML, and a page with a picture."""
import json
import time
from collections.abc import Iterable
from html import escape
from xml.etree import ElementTree

from .conformance import VERDICTS, Conformance, Outcome

__all__ = ['as_html', 'as_json', 'as_junit', 'by_layer', 'details', 'line', 'picture', 'summary']

JUNIT = {'fail': 'failure', 'crashed': 'error', 'too slow': 'error', 'unsupported': 'skipped'}
COLOURS = {
    'pass': '#0072b2',
    'fail': '#d55e00',
    'crashed': '#222222',
    'too slow': '#b8860b',
    'unsupported': '#8a8a8a',
}


# ------------------------------------------------------------------ text

def line(outcome: Outcome, width: int) -> str:
    """Return a row of the table: case, digits agreed, verdict, reason; `width` is that of the names."""
    why = f': {outcome.reason}' if outcome.reason else ''
    return f'{outcome.name:<{width}}  {_digits(outcome):>6}  {outcome.verdict}{why}'


def details(outcome: Outcome) -> list[str]:
    """Return what is known of a case that failed: its worst entries, got beside expected, and known mistakes."""
    rows = [(f'{entry.array}{list(entry.place)}', repr(entry.expected), repr(entry.got), f'{entry.digits:.1f}')
            for entry in outcome.worst]
    rows = [('entry', 'expected', 'got', 'digits'), *rows] if rows else []
    widths = [max(map(len, column)) for column in zip(*rows)]
    table = ['  '.join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    return table + [f'these are the numbers of {mistake}' for mistake in outcome.mistakes]


def summary(result: Conformance) -> str:
    """Return a line with the number of cases of each verdict."""
    counts = [f'{n} {verdict}' for verdict in VERDICTS if (n := result.count(verdict))]
    n = len(result.outcomes)
    return f'{n} cases in {result.dtype}: {", ".join(counts)}; {result.seconds:.0f} s'


def as_json(result: Conformance) -> str:
    """Return the whole result as JSON."""
    return json.dumps({
        'version': 1,
        'adapter': result.adapter,
        'dtype': result.dtype,
        'command': result.command,
        'versions': result.versions,
        'seconds': round(result.seconds, 3),
        'counts': {verdict: result.count(verdict) for verdict in VERDICTS},
        'cases': [_as_dict(outcome) for outcome in result.outcomes],
    }, indent=1)


def _as_dict(outcome):
    return {
        'name': outcome.name,
        'layers': outcome.layers,
        'verdict': outcome.verdict,
        'digits': {name: _finite(d) for name, d in outcome.digits.items()},
        'wanted': round(outcome.wanted, 2),
        'reason': outcome.reason,
        'seconds': round(outcome.seconds, 3),
        'worst': [entry._asdict() | {name: _number(getattr(entry, name)) for name in ('expected', 'got')}
                  for entry in outcome.worst],
        'mistakes': outcome.mistakes,
    }


def _number(value):
    """Return a number as JSON has it: NaN and infinities as text."""
    return value if abs(value) < float('inf') else str(value)


def as_junit(result: Conformance) -> str:
    """Return the whole result as XML in the form of JUnit, which test servers read."""
    count = result.count
    numbers = {
        'tests': len(result.outcomes),
        'failures': count('fail'),
        'errors': count('crashed') + count('too slow'),
        'skipped': count('unsupported'),
        'time': round(result.seconds, 3),
    }
    suite = ElementTree.Element('testsuite', name=f'ntref conform {result.adapter}')
    for key, number in numbers.items():
        suite.set(key, str(number))
    properties = ElementTree.SubElement(suite, 'properties')
    for name, version in (result.versions | {'dtype': result.dtype, 'command': result.command}).items():
        ElementTree.SubElement(properties, 'property', name=name, value=str(version))
    for outcome in result.outcomes:
        family, _, name = outcome.name.partition('/')
        case = ElementTree.SubElement(suite, 'testcase', classname=family, name=name, time=f'{outcome.seconds:.3f}')
        if outcome.verdict != 'pass':
            found = ElementTree.SubElement(case, JUNIT[outcome.verdict], message=outcome.reason, type=outcome.verdict)
            found.text = '\n'.join(details(outcome))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, 'unicode')


def by_layer(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """Return {layer: outcomes of the cases whose main layer it is}, in order of appearance."""
    layers: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        layers.setdefault(outcome.layers[0], []).append(outcome)
    return layers


def _digits(outcome):
    return '' if outcome.least is None else f'{outcome.least:.1f}'


def _finite(d):
    return round(d, 2) if d < float('inf') else None


# ------------------------------------------------------------------ the picture

LEFT = 210
WIDTH = 530
RIGHT = 210
ROW = 24
TOP = 70
NONE = 60
"""Pixels: the names of layers, the digits, the counts; a row; what is above; the column of what has no number."""


def picture(result: Conformance) -> str:
    """Return the digits agreed per layer as SVG, with a row for each layer and a mark for each case."""
    layers = by_layer(result.outcomes)
    most = 17 if result.dtype == 'float64' else 9
    height = TOP + ROW * len(layers) + 46
    width = LEFT + NONE + WIDTH + RIGHT

    def at(digits):
        return LEFT + NONE + WIDTH * min(max(digits, 0), most) / most
    bottom = TOP + ROW * len(layers)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="picture-title picture-about" font-family="sans-serif" font-size="13">',
        f'<title id="picture-title">Digits agreed per layer: {escape(result.adapter)}, {result.dtype}</title>',
        f'<desc id="picture-about">{escape(_described(layers))}</desc>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>', *_legend(LEFT + NONE)]
    for d in range(0, most + 1, 1 if most < 10 else 2):
        x = at(d)
        parts += [f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" stroke="#e4e4e4"/>',
                  _text(x, bottom + 17, d, anchor='middle', fill='#555555')]
    parts += [_text(LEFT + NONE / 2 - 2, bottom + 17, 'none', anchor='middle', fill='#555555'),
              _text(at(most / 2), bottom + 37, 'decimal digits agreed, worst entry of each case', anchor='middle')]
    for i, (layer, outcomes) in enumerate(layers.items()):
        parts += _row(layer, outcomes, TOP + ROW * (i + .5), at)
    return '\n'.join([*parts, '</svg>'])


def _row(layer, outcomes, y, at):
    counts = []
    for verdict in VERDICTS[1:]:
        if n := sum(o.verdict == verdict for o in outcomes):
            counts.append(f'{n} {verdict}')
    done = [o for o in outcomes if o.verdict != 'unsupported']
    passed = f'{sum(o.verdict == "pass" for o in done)} of {len(done)}' if done else ''
    said = '; '.join(filter(None, (passed, ', '.join(counts))))
    colour = COLOURS['fail' if any(o.has_failed for o in outcomes) else 'unsupported']
    end = at(1e9)
    yield f'<line x1="{LEFT}" x2="{end}" y1="{y + ROW / 2}" y2="{y + ROW / 2}" stroke="#f1f1f1"/>'
    yield _text(LEFT - 8, y + 4, layer if len(layer) < 26 else f'{layer[:24]}…', anchor='end')
    yield _text(end + 14, y + 4, said, fill=colour)
    for outcome in sorted(done, key=lambda o: o.verdict != 'pass'):
        x = LEFT + NONE / 2 - 2 if not outcome.least else at(outcome.least)
        title = f'{outcome.name}: {_digits(outcome) or "no"} digits, {outcome.verdict}'
        yield _mark(outcome.verdict, x, y, title)


def _mark(verdict, x, y, title):
    """Return a mark: a circle if the case passed, a cross if not, so that shape and colour show the verdict."""
    colour = COLOURS[verdict]
    if verdict == 'pass':
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}" fill-opacity="0.55"/>'
    else:
        shape = (f'<path d="M{x - 4.5:.1f} {y - 4.5:.1f}l9 9m0 -9l-9 9" stroke="{colour}" stroke-width="2.4" '
                 'fill="none"/>')
    return f'<g><title>{escape(title)}</title>{shape}</g>'


def _legend(x):
    yield _text(x, 24, 'Digits agreed per layer', size=16, weight='bold')
    for verdict in VERDICTS[:4]:
        yield _mark(verdict, x + 5, 46, verdict)
        yield _text(x + 16, 50, verdict)
        x += 40 + 8 * len(verdict)


def _text(x, y, text, anchor='start', fill='#222222', size=13, weight='normal'):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}" '
        f'font-weight="{weight}">{escape(str(text))}</text>')


def _described(layers):
    """Return the picture in words, for readers who cannot see it."""
    rows = []
    for layer, outcomes in layers.items():
        least = [o.least for o in outcomes if o.least is not None]
        rows.append(f'{layer}: {sum(o.verdict == "pass" for o in outcomes)} of {len(outcomes)} pass'
                    + (f', from {min(least):.1f} to {max(least):.1f} digits' if least else ''))
    return '; '.join(rows)


# ------------------------------------------------------------------ the page

STYLE = """
body { font: 15px/1.45 sans-serif; color: #222; background: #fff; max-width: 1010px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse } th, td { text-align: left; vertical-align: top; padding: .2em .8em .2em 0 }
tbody tr { border-top: 1px solid #e4e4e4 } td.n { text-align: right; font-variant-numeric: tabular-nums }
code { background: #f4f4f4; padding: .1em .3em } svg { max-width: 100%; height: auto }
td.reason { min-width: 16em; max-width: 25em; overflow-wrap: break-word }
""" + ''.join(f'.{verdict.replace(" ", "-")} {{ color: {colour} }}\n' for verdict, colour in COLOURS.items())


def as_html(result: Conformance) -> str:
    """Return a self-contained page with the picture, versions, command, and all cases."""
    name = escape(result.adapter.rpartition('/')[2])
    about = ''.join(_cells('th', what) + _cells('td', version) + '</tr>\n'
                    for what, version in result.versions.items())
    failed_first = sorted(result.outcomes, key=lambda outcome: not outcome.has_failed)
    rows = ''.join(map(_case_row, failed_first))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Conformance of {name}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Conformance of {name}</h1>
<p>{escape(summary(result))}. {time.strftime('%Y-%m-%d')}, by <code>{escape(result.command)}</code></p>
{picture(result)}
<h2>Versions</h2>
<table><tbody>
{about}</tbody></table>
<h2>Cases, those that failed first</h2>
<table>
<thead><tr><th>case</th><th>layer</th><th>digits</th><th>wanted</th><th>verdict</th><th>why</th></tr></thead>
<tbody>
{rows}</tbody>
</table>
</body>
</html>
"""


def _cells(tag, text):
    return f'{"<tr>" * (tag == "th")}<{tag}>{escape(str(text))}</{tag}>'


def _case_row(outcome):
    return (f'<tr><td>{escape(outcome.name)}</td><td>{escape(outcome.layers[0])}</td>'
            f'<td class="n">{_digits(outcome)}</td><td class="n">{outcome.wanted:.1f}</td>'
            f'<td class="{outcome.verdict.replace(" ", "-")}">{outcome.verdict}</td>'
            f'<td class="reason">{escape(_why(outcome))}</td></tr>\n')


def _why(outcome):
    return '; '.join(filter(None, [outcome.reason, *(f'the numbers of {one}' for one in outcome.mistakes)]))
