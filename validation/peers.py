"""What the conformance suite says of other libraries: a section of RESULTS.md, which `run.py peers` writes.

    ntref conform validation/adapters/NAME_adapter.py --python PATH --json > NAME.json         for each library
    python validation/peers.py NAME.json ...                                                   prints the section

`run.py peers` takes the names of the reports from the environment variable NTREF_PEERS, with spaces between them.
"""
import json
import os
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'validation')]

from studies.common import Section, table               # noqa: E402

TITLE = 'What the suite says of other libraries'
CLAIMS = {
    'botorch': 'NNGP of dense ReLU networks, all layers alike (`InfiniteWidthBNNKernel`)',
    'gpflow': 'NNGP of one hidden layer, powers 0 to 2 of max(z, 0) (`ArcCosine`)',
    'gpjax': 'NNGP of one hidden layer, powers 0 to 2 of max(z, 0) (`ArcCosine`)',
    'scikit-ntk': 'NTK of dense ReLU networks (`NeuralTangentKernel`), compared without biases',
    'neural-tangents': 'nearly all: a section of its own'}
ANGLE = 'theta by arccos of a rounded cosine: half of the digits where inputs coincide or are opposite'
NO_LENGTH = "0 / 0 at inputs that are 0; products of variances q q' overflow or underflow"
KNOWN = {                # library: (names of cases, words of the reason, what it is)
    'botorch': (
        ('*', ('nan', 'inf'), NO_LENGTH),
        ('*', (), 'the cosine is kept below 1 - 1e-7 (`acos_eps`): 7 digits where inputs coincide or are parallel')),
    'gpflow': (('*RectifiedMonomial-0*', (), ANGLE),),
    'gpjax': (('*RectifiedMonomial-0*', (), ANGLE), ('*no-bias*', ('nan',), NO_LENGTH)),
    'scikit-ntk': (
        ('*/huge', (), "products of variances q q' overflow"),
        ('*/near', (), ANGLE),
        ('*', (), 'lengths are taken as 1e-10 at least: kernels of zeros and of small inputs are off')),
    'neural-tangents': (('*', (), 'see its section'),)}
"""Found by reading the sources; of a case the first that fits."""


def part(quick=False):
    """The Section, from the reports that NTREF_PEERS names."""
    names = os.environ.get('NTREF_PEERS', '').split()
    if not names:
        raise ValueError('expected names of reports in the environment variable NTREF_PEERS, got none. '
                         'validation/peers.py says how to make them.')
    return section_of([json.loads(Path(name).read_text()) for name in names])


def section_of(reports):
    """The Section out of what `ntref conform --json` has printed for several libraries."""
    rows = []
    failures = []
    passed = compared = 0
    for found in reports:
        library = next(name for name in CLAIMS if name in found['versions'])
        cases = [case for case in found['cases'] if case['verdict'] != 'unsupported']
        good = [case for case in cases if case['verdict'] == 'pass']
        digits = [min(case['digits'].values()) for case in cases if case['digits']]
        rows.append([f'{library} {found["versions"][library]}', CLAIMS[library], len(cases), len(good),
                     f'{median(digits):.1f}', f'{min(digits):.1f}'])
        failures += [[library, text, len(of), f'`{of[0]["name"]}`'] for text, of in _causes(library, cases).items()]
        passed += len(good)
        compared += len(cases)
    text = f"""
Each library was asked for the cases of the {len(reports[0]['cases'])} that it claims to compute, in float64, in an
environment of its own. What is a convention and no number (parameterization, a last layer of other variances) is
adapted. Digits are those of the worst entry of a case, median and least over the cases.

{table(['library', 'claims', 'cases', 'pass', 'digits, median', 'least'], rows)}

Why cases fail, by reading the sources:

{table(['library', 'cause', 'cases', 'such as'], failures)}

**It shows** to how many digits numbers of these libraries may be compared with others, where they are defined.
**It cannot show** that what was not asked for is right, nor that a use is affected: 7 digits are enough for
regression."""
    return Section(TITLE, 'certified values', f'{passed} of {compared} cases pass', text.strip())


def _causes(library, cases):
    """{cause: cases that fail for it}."""
    found = {}
    for case in cases:
        if case['verdict'] != 'pass':
            said = f'{case["verdict"]}: {case["reason"]}'
            texts = (text for names, words, text in KNOWN[library]
                     if fnmatchcase(case['name'], names) and (not words or any(word in said for word in words)))
            found.setdefault(next(texts, f'{case["verdict"]}, no cause is known'), []).append(case)
    return found


if __name__ == '__main__':
    section = section_of([json.loads(Path(name).read_text()) for name in sys.argv[1:]])
    print(f'# {section.title}\n\n{section.text}')
