"""How many eps two computations of one quantity may differ by, and the comparison that says so.

A number is the largest seen over all examples (Python 3.11, NumPy 2.4, OpenBLAS), rounded up to a power of two with at
least a factor of two to spare.
"""
import numpy

DTYPES = ('float32', 'float64')

EPS_MULTIPLES = {
    # the same formulas on another kind of array: sums in another order, another libm
    'kinds: nngp': 64,
    'kinds: ntk': 256,
    'kinds: apply': 512,
    # the same numbers by another way through the same code
    'swap': 64,              # k(y, x) and k(x, y).T
    'same': 64,              # k(x, x) and k(x)
    'slice': 64,             # the mean that input gaps are formed about is another one
    'positions': 64,         # positions as further samples
    'compose': 8,            # layer by layer and in one go
    # identities
    'diagonal': 64,          # cov1 and the diagonal of nngp, which comes through gap and area
    'gap': 64,               # gap and q + q' - 2 K
    'area': 128,             # area^2 and q q' - K^2
    # a closed form written out in the test
    'value': 64,
}


def tolerance(quantity, dtype='float64'):
    """The tolerance relative to the scale of what is compared."""
    return EPS_MULTIPLES[quantity] * float(numpy.finfo(dtype).eps)


def assert_close(actual, expected, quantity, scale=1., dtype=None):
    """Equal shapes and dtypes, and no entry further apart than the tolerance times `scale` (broadcast); NaN nowhere."""
    actual, expected = numpy.asarray(actual), numpy.asarray(expected)
    dtype = dtype or actual.dtype
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    assert actual.dtype == expected.dtype or dtype != actual.dtype, (actual.dtype, expected.dtype)
    assert numpy.isfinite(actual).all() and numpy.isfinite(expected).all()
    error = abs(actual.astype('float64') - expected) / numpy.where(numpy.asarray(scale) > 0, scale, 1)
    worst = float(error.max(initial=0.)) / float(numpy.finfo(dtype).eps)
    assert worst <= EPS_MULTIPLES[quantity], f'{quantity}: {worst:.3g} eps, allowed {EPS_MULTIPLES[quantity]}'
