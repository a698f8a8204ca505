"""Angles in few passes, `duals.angle`, on every processor: NumPy's own arctangent is told to be slow, or fast."""
from unittest import mock

import mpmath
import numpy
import pytest
from tolerances import DTYPES

from ntref.duals import angle

TINY = 10. ** numpy.arange(-15, 0)
ANGLES = numpy.concatenate([numpy.linspace(0, numpy.pi, 1001), TINY, numpy.pi - TINY, numpy.pi / 2 - TINY])


@pytest.mark.parametrize('dtype', DTYPES)
def test_arctangent(dtype):
    """Relative to itself, at positive and negative arguments, large and tiny ones."""
    t = numpy.concatenate([numpy.linspace(-1, 1, 2001), TINY, -TINY, [1e-300 if dtype == 'float64' else 1e-30]])
    t = t.astype(dtype)
    with mpmath.workdps(30):
        truth = [mpmath.atan(float(v)) for v in t]
        errors = [abs(float(a) - b) / abs(b) if b else abs(a)
                  for a, b in zip(angle.arctan(t.copy()), truth)]
    assert max(errors) < 4 * numpy.finfo(dtype).eps


@pytest.mark.parametrize('is_fast', [False, True])
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('s', [1., 1e-9, 1e9])
def test_angles(s, dtype, is_fast):
    """The angle to the axis relative to itself, pi / 2 - theta to eps."""
    k = (s * numpy.cos(ANGLES)).astype(dtype)
    area = (s * numpy.sin(ANGLES)).astype(dtype)
    eps = numpy.finfo(dtype).eps
    with mpmath.workdps(30):
        truth = numpy.array([float(mpmath.atan2(float(a), abs(float(c)))) for a, c in zip(area, k)])
        other = numpy.array([float(mpmath.atan2(float(c), float(a))) for a, c in zip(area, k)])
    before = k.copy(), area.copy()
    with mock.patch.object(angle, 'has_fast_arctan2', lambda: is_fast):
        to_axis = angle.angle_to_axis(area, k)
        alpha = angle.complement_of(k, area, numpy.array(s, dtype), numpy.array(1, dtype))
    assert to_axis.dtype == alpha.dtype == dtype
    assert (abs(to_axis - truth) <= 5 * eps * truth).all()
    assert (abs(alpha - other) <= 4 * eps).all()
    assert (k == before[0]).all() and (area == before[1]).all()


@pytest.mark.parametrize('is_fast', [False, True])
@pytest.mark.parametrize('k', [-2., 0., 2.])
def test_no_area(k, is_fast):
    with mock.patch.object(angle, 'has_fast_arctan2', lambda: is_fast):
        assert (angle.angle_to_axis(numpy.zeros(3), numpy.full(3, k)) == 0).all()


@pytest.mark.parametrize('found, system, is_fast', [
    (['X86_V3', 'X86_V4'], 'Linux', True), (['SSE41', 'AVX2', 'AVX512_SKX'], 'Linux', True),
    (['X86_V3'], 'Linux', False),
    (['X86_V4'], 'Darwin', False), ([], 'Linux', False)])
def test_where_arctan2_is_fast(found, system, is_fast):
    with mock.patch.object(numpy, 'show_config', lambda mode: {'SIMD Extensions': {'found': found}}), \
            mock.patch.object(angle.platform, 'system', lambda: system):
        assert angle.has_fast_arctan2.__wrapped__() == is_fast


def test_this_processor():
    assert angle.has_fast_arctan2() in (True, False)
