"""What the conformance suite says of Neural Tangents: a section of RESULTS.md, which `run.py conformance` writes.

    python validation/conformance.py --python PATH      runs the suite, in an interpreter that has Neural Tangents
    python validation/conformance.py --json FILE        takes what `ntref conform ... --json` has printed

Both print the section.

The interpreter may also be named by the environment variable NT_PYTHON.
"""
import argparse
import json
import os
import re
import sys
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'validation')]

from ntref.oracle import conform, report                # noqa: E402
from studies.common import Section, table               # noqa: E402

ADAPTER = 'validation/adapters/neural_tangents_adapter.py'
TITLE = 'What the suite says of Neural Tangents 0.6.5'
QUICK = 'nonlinearity/Re*/*'

KNOWN = (                # names of cases, words of the reason, what it is
    ('*/huge', ('nan', 'inf'), "products of variances overflow: sqrt(q q') instead of sqrt(q) sqrt(q')"),
    ('*/tiny', (), 'products of variances underflow'),
    ('*RectifiedMonomial*', ('nan',), '`RectifiedMonomial` is NaN where inputs coincide, so on every diagonal'),
    ('*Hermite*', (), '`Hermite` is right at unit variance only; NT warns'),
    ('*ImageResize*', (), '`ImageResize` takes axes for natural that a convolution has reversed'),
    ('*ConvLocal-after-Conv*', (), '`ConvLocal` takes axes for natural that a convolution has reversed'),
    ('*ConvLocal-standard-s/*', (), '`ConvLocal` with standard parameterization does not widen its output by s[1]'),
    ('mask/*', (), 'masks move otherwise: docs/coming-from-neural-tangents.md#masks'),
    ('pool/*Sign-then*', (), '`Sign` before a pool: variances of 1 at all pairs of positions, seen by what follows'),
    ('*erf*/mixed-scales', (), "`Erf`: (1 + 2q)(1 + 2q') - 4 K^2 by subtraction, at large variances"),
    ('norm/Dropout-of-inputs/*', ('IndexError',), '`Dropout` of inputs fails: there is no tangent kernel yet'),
    ('dense/repeat-never/*', ('crashed',), '`repeat(layer, 0)` is refused'))
"""What is known of NT, see docs/coming-from-neural-tangents.md; of a case the first that fits."""

COINCIDENT = "digits lost where inputs coincide or nearly do (ReLU and its like, `Sign`): q q' - K^2 by subtraction"


def part(quick=False, python=None):
    """The Section, from a run of the suite; `quick`: of a few cases."""
    python = python or os.environ.get('NT_PYTHON', sys.executable)
    result = conform(str(ROOT / ADAPTER), QUICK if quick else '*', python=python)
    found = json.loads(report.as_json(result))
    if 'neural-tangents' not in found['versions']:
        raise ImportError(f'expected neural_tangents in {python}, got: {found["cases"][0]["reason"]}. Name another '
                          'interpreter by the environment variable NT_PYTHON, or --python.')
    return section_of(found)


def section(python=None):
    """The text of the section, from a run of the suite."""
    return part(python=python).text


# ------------------------------------------------------------------ the text

def section_of(found):
    """The Section out of what `ntref conform --json` prints."""
    counts, cases = found['counts'], found['cases']
    done = len(cases) - counts['unsupported']
    measured = f'{counts["pass"]} of {done} pass' + (f', {counts["unsupported"]} unsupported' * bool(
        counts['unsupported']))
    causes = {}
    for case in cases:
        if case['verdict'] not in ('pass', 'unsupported'):
            causes.setdefault(cause(case), []).append(case)
    rows = [[text, len(of), _range(of), ', '.join(f'`{case["name"]}`' for case in of[:2]) + ', ...' * (len(of) > 2)]
            for text, of in sorted(causes.items(), key=lambda item: -len(item[1]))]
    missing = Counter(_layer(case) for case in cases if case['verdict'] == 'unsupported')
    versions = ', '.join(f'{name} {version}' for name, version in found['versions'].items())
    command = re.sub(r'--python \S+', '--python PYTHON', found['command']).replace(f'{ROOT}/', '')
    said = ', '.join(f'{n} {verdict}' for verdict, n in counts.items() if n)
    text = f"""
Certified values of {len(cases)} cases in {found['dtype']}: {said}.
Digits agreed are those of the worst entry of a case; where a value is small, relative to the variances. What is a
convention and no number (order of axes, a scalar 0 for a kernel of zeros) is adapted.

{table(['what', 'cases', 'digits agreed', 'such as'], rows)}

Per layer, of the cases that are about it:

{table(['layer', 'pass', 'of', 'digits agreed'], [_layer_row(*item) for item in _by_layer(cases).items()])}

Not there, or not with these options: {', '.join(sorted(missing))}.

**It shows** where numbers of Neural Tangents are not to be compared with to the last digits, and where they are wrong.
**It cannot show** that what passes is right elsewhere, nor which use is affected: most of the lost digits are on
diagonals of tangent kernels, 1e-8 of them.

`{command}`; {versions}."""
    return Section(TITLE, 'certified values', measured, text.strip())


def cause(case):
    """Why a case fails, as far as that is known."""
    said = f'{case["verdict"]}: {case["reason"]}'
    for names, words, text in KNOWN:
        if fnmatchcase(case['name'], names) and (not words or any(word in said for word in words)):
            return text
    least = min(case['digits'].values(), default=0)
    return COINCIDENT if least >= 7.5 and case['verdict'] == 'fail' else f'{case["verdict"]}, no cause is known'


def _range(cases):
    digits = [min(case['digits'].values()) for case in cases if case['digits']]
    if not digits:
        return ''
    return f'{min(digits):.1f}' if min(digits) == max(digits) else f'{min(digits):.1f} to {max(digits):.1f}'


def _layer(case):
    return case['layers'][0]


def _by_layer(cases):
    layers = {}
    for case in cases:
        if case['verdict'] != 'unsupported':
            layers.setdefault(_layer(case), []).append(case)
    return layers


def _layer_row(layer, cases):
    return [layer, sum(case['verdict'] == 'pass' for case in cases), len(cases), _range(cases)]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--python', metavar='PATH', help='an interpreter that has Neural Tangents')
    parser.add_argument('--json', metavar='FILE', help='what `ntref conform ... --json` has printed')
    args = parser.parse_args(argv)
    found = section_of(json.loads(Path(args.json).read_text())) if args.json else part(python=args.python)
    print(f'# {found.title}\n\n{found.text}')


if __name__ == '__main__':
    main()
