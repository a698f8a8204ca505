"""What the measurements of accuracy share: where the page is, errors, cells and tables."""
import sys
from pathlib import Path

import mpmath as mp

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'tests' / 'truth')]       # the reference lives with the tests

PAGE = ROOT / 'docs' / 'accuracy.md'
DTYPES = 'float64', 'float32'
SLACK = 4               # by which another machine or other inputs may exceed the page
FLOOR = 1 / 10          # a kernel that changes sign: errors relative to no less than this part of its largest value


def relative(value, exact, scale, itself):
    """Error of a float, relative to `scale`; with `itself` True, to the value; a number: to no less than that part."""
    with mp.workdps(60):
        least = 0 if itself is True else itself * scale if itself else scale
        size = max(abs(exact), least)
        size = size if size > mp.mpf(10) ** -50 * scale else scale     # exactly 0 up to the reference's rounding
        return float(abs(mp.mpf(value) - exact) / size) if size else float(abs(value))


def cell(k, t):
    return f'{k:.0e} / {t:.0e}'


def table(header, rows):
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join('| ' + ' | '.join(map(str, line)) + ' |' for line in lines)
