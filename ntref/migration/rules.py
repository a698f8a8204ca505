"""What a rule of the table is, where names have moved to, and which rule a use of a name falls under."""
from typing import NamedTuple

__all__ = ['CHANGE', 'LOOK', 'STOP', 'Rule', 'rules_of']

CHANGE, LOOK, STOP = 'change', 'look', 'stop'
"""It has to be changed; it runs, and gives something else; it cannot be ported."""


class Rule(NamedTuple):
    """One row: what stands in scripts for Neural Tangents, and what to write here.

    Attributes
    ----------
    name : in full; 'jax.lax.*' stands for all names below, where no row has one of its own.
    write : what to write; {key} stands for the argument `key` of the call, {all} for all of them, {others} for
        those that the row does not name, {last} for the last part of the name. Empty: delete it.
    why : a sentence or two.
    arguments : names of the arguments in the order of the call, 'key shape=()' with a default.
    needs : the import that goes with it.
    keyword : the row is about calls with this argument alone.
    verdict : CHANGE, LOOK or STOP.
    page : where it is explained, with the heading.
    """

    name: str
    write: str
    why: str
    arguments: str = ''
    needs: str = ''
    keyword: str = ''
    verdict: str = CHANGE
    page: str = ''


def rules_of(page: str, *rows: Rule) -> list[Rule]:
    """Return the rows, explained on this page."""
    return [row._replace(page=page) for row in rows]
