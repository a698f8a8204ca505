"""Fixtures for all tests: seeded random numbers, the stand-in for CuPy, working precision, kinds of arrays."""
import os
import shutil
import sys
import zlib
from collections import Counter

import numpy
import pytest
import threadpoolctl
from cupy_stand_in import installed
from kinds import KINDS
from profiles import LONG, SAMPLED

DOUBLE = 53
BROWSERS = 'chromium', 'chromium-browser', 'google-chrome', 'chrome'


def pytest_configure(config):
    if hasattr(config, 'workerinput'):             # one of many processes: BLAS takes one core
        os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
        threadpoolctl.threadpool_limits(1, 'blas')
    config.addinivalue_line('markers', 'last: runs after all other tests')


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_collection_modifyitems(items):
    seen = Counter()
    for item in items:
        test = item.nodeid.partition('[')[0].rpartition('/')[2]                   # file::function
        file = test.partition('::')[0]
        if seen[test] % SAMPLED.get(test, 1):
            item.add_marker(pytest.mark.slow)
        if not seen[test] and not item.get_closest_marker('slow') and not {file, test} & LONG:
            item.add_marker(pytest.mark.quick)
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
def pyplot():
    """matplotlib.pyplot without a screen; figures are closed behind the test."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    yield pyplot
    pyplot.close('all')


@pytest.fixture(scope='module')
def browser():
    """A Chromium, driven by Playwright; a test that needs it is skipped where one of them is missing."""
    api = pytest.importorskip('playwright.sync_api', reason='no Playwright: pip install playwright')
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f'no browser: none of {", ".join(BROWSERS)} is installed')
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=['--no-sandbox'])
        yield browser
        browser.close()


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
