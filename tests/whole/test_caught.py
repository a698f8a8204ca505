"""Would the tests notice? Each wrong version of the code (truth/mutants.py) is noticed by the check that it names."""
import pytest
from mutants import CHECKS, IMAGES, MASKED, MUTANTS, NETWORKS, OWNERS, caught_by, check_suite

from ntref import stax


@pytest.mark.slow
def test_the_code_passes():
    check_suite()


@pytest.mark.parametrize('name', MUTANTS)
def test_caught(name):
    mutant, expected = MUTANTS[name]
    with mutant():
        if caught_by([expected]) != ([expected], []):
            pytest.fail(f'expected {expected!r} to notice, (noticed by, broken down): {caught_by()}')


def test_mutants_leave_nothing_behind():
    before = {(owner, name): value for owner in OWNERS for name, value in vars(owner).items()}
    for mutant, _ in MUTANTS.values():
        with mutant():
            pass
    assert all(vars(owner)[name] is value for (owner, name), value in before.items())


def test_each_check_catches_a_mutant():
    """No check is there for nothing, but the one that is met by no mutant alone."""
    assert {expected for _, expected in MUTANTS.values()} | {'relu without bias'} == set(CHECKS)


def test_all_layers_of_the_suite_are_public():
    assert all(type(net) is type(stax.from_spec(net.to_spec())) for net in (NETWORKS | IMAGES | MASKED).values())
