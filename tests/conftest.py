"""Fixtures for all tests: seeded random numbers, the stand-in for CuPy, working precision, kinds of arrays."""
import sys
import zlib
from collections import Counter

import numpy
import pytest
from cupy_stand_in import installed
from kinds import KINDS

DOUBLE = 53
SAMPLED = {                 # tests of many long cases that are alike: every n-th always runs, the others with `-m slow`
    'test_accuracy.py::test_others': 5,
    'test_accuracy.py::test_relu_family': 5,
    'test_accuracy_conv.py::test_behind_a_pool': 3,
    'test_accuracy_conv.py::test_every_separation': 3,
    'test_accuracy_conv.py::test_twenty_layers': 3,
    'test_activations.py::test_kinds': 3,
    'test_activations.py::test_kinked_at_20_digits': 2,
    'test_activations.py::test_quadrature': 3,
    'test_activations.py::test_tiles_are_the_whole': 3,
    'test_attention.py::test_finite_networks': 3,
    'test_attention.py::test_finite_networks_of_many_heads': 3,
    'test_certify.py::test_every_layer': 4,
    'test_certify.py::test_kinked_against_integrals_along_a_line': 2,
    'test_conformance.py::test_the_suite_fails_on_each_mistake_where_it_is_made': 4,
    'test_contracts.py::test_finite_networks_have_this_kernel': 6,
    'test_duals.py::test_float64_against_50_digits': 3,
    'test_flow.py::test_axes': 3,
    'test_gradients.py::test_finite_at_equal_opposite_parallel_and_zero_inputs': 3,
    'test_gradients.py::test_in_either_input': 3,
    'test_graph.py::test_area_and_gap_are_carried_where_nothing_is_contracted': 3,
    'test_iterative.py::test_kernels_that_are_not_in_memory': 3,
    'test_iterative.py::test_predictions': 3,
    'test_masks.py::test_anywhere': 3,
    'test_masks.py::test_mean_of_finite_networks': 4,
    'test_monte_carlo.py::test_mean_is_the_infinite_network': 6,
    'test_monte_carlo_conv.py::test_layers_with_weights': 4,
    'test_monte_carlo_conv.py::test_layers_without_weights': 4,
    'test_monte_carlo_conv.py::test_tangent_kernel': 4,
    'test_own_tiles.py::test_kinds_of_images': 3,
    'test_own_tiles.py::test_what_was_in_memory_does_not_matter': 3,
    'test_pairs.py::test_tiles_do_not_change_the_kernel': 3,
    'test_positions.py::test_derivatives_in_the_inputs': 3,
    'test_positions.py::test_derivatives_in_the_parameters': 3,
    'test_positions.py::test_kernels_of_all_kinds': 3,
    'test_precision.py::test_leaving_mpmath_costs_digits': 3,
    'test_quadrature.py::test_closed_forms': 3,
    'test_range.py::test_a_kink_behind_a_layer': 3,
    'test_same_inputs.py::test_tiles_are_the_whole': 2,
    'test_stax.py::test_the_kernel_of_a_layer_from_its_finite_network': 3,
    'test_testing.py::test_right_layers_pass': 3,
    'test_weight_space.py::test_three_ways': 2,
}


def pytest_configure(config):
    config.addinivalue_line('markers', 'last: runs after all other tests')


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_collection_modifyitems(items):
    seen = Counter()
    for item in items:
        test = item.nodeid.partition('[')[0].rpartition('/')[2]                   # file::function
        if seen[test] % SAMPLED.get(test, 1):
            item.add_marker(pytest.mark.slow)
        seen[test] += 1
    yield
    items.sort(key=lambda item: item.get_closest_marker('last') is not None)


@pytest.fixture
def rng(request):
    """A random generator whose seed is the name of the test, with its parameters."""
    return numpy.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture
def cupy():
    """The stand-in for CuPy, in place for this test."""
    with installed() as module:
        yield module


@pytest.fixture
def mp50():
    """mpmath's context at 50 digits."""
    import mpmath
    with mpmath.workdps(50):
        yield mpmath.mp


@pytest.fixture(params=KINDS)
def kind(request):
    """Each kind of `kinds.to_kind` in turn, CuPy's stand-in in place where needed."""
    if request.param == 'cupy':
        request.getfixturevalue('cupy')
    return request.param


@pytest.fixture(autouse=True)
def working_precision():
    """No test leaves another working precision of mpmath behind."""
    yield
    if 'mpmath' in sys.modules:
        sys.modules['mpmath'].mp.prec = DOUBLE
