"""Findings as text, line by line, and the exit status."""
from .findings import Reading
from .rules import CHANGE, LOOK, STOP
from .scripts import Script

__all__ = ['status', 'text']

STATUS = {LOOK: 0, CHANGE: 2, STOP: 3}
"""Exit status of the worst finding; 1 is that of errors."""
ASIDE = {LOOK: '  (runs; look at it)', CHANGE: '', STOP: '  (cannot be ported as it is)'}


def status(reading: Reading) -> int:
    """Return 0 if the script runs as it is, 2 if something has to be changed, 3 if something cannot be ported."""
    return max((STATUS[finding.verdict] for finding in reading.findings), default=0)


def text(script: Script, reading: Reading) -> str:
    """Return the report: each finding, then what runs as it is, then how many of each kind there are."""
    parts, said = [], set()
    for finding in reading.findings:
        parts.append(f'{script.places[finding.line - 1]}: {finding.stands}{ASIDE[finding.verdict]}')
        parts.append(f'    write  {finding.write or "nothing: delete it"}')
        if finding.needs:
            parts.append(f'    with   {finding.needs}')
        if (finding.why, finding.page) not in said:             # once is enough
            parts += [f'    why    {finding.why}', f'    see    {finding.page}']
            said.add((finding.why, finding.page))
    if reading.kept:
        parts += ['', f'Runs as it is, by its new import: {", ".join(reading.kept)}.']
    count = {verdict: sum(finding.verdict == verdict for finding in reading.findings) for verdict in STATUS}
    parts += ['', f'{script.name}: {count[CHANGE]} to change, {count[LOOK]} to look at, {count[STOP]} that cannot be '
              f'ported.']
    return '\n'.join(parts).lstrip('\n')
