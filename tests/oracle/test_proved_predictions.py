"""Predictions proved by balls hold the truth: that of mpmath at 60 digits, by eigenvectors and inverses."""
from fractions import Fraction
from types import SimpleNamespace

import mpmath
import numpy
import pytest
from mpmath import mp

from ntref.arrays import load
from ntref.balls import Ball, Undecided, ball, to_mpmath
from ntref.oracle import ball_matrices, certify, certify_predict, conformance_cases, digits, proved_predictions
from ntref.oracle.digits import proved_digits
from ntref.oracle.generate import arguments
from ntref.oracle.proved import bits, exact_balls
from ntref.predict import NotPSDError
from ntref.stax import Dense, Elementwise, Erf, Relu, serial

flint = pytest.importorskip('flint')
WORKING = 60
TIMES = [0., .7, 40., 1e4, numpy.inf]


# ------------------------------------------------------------------ the truth

def exact(a):
    return numpy.asarray(numpy.frompyfunc(mpmath.mpmathify, 1, 1)(numpy.asarray(a).astype(object)), dtype=object)


def to_array(m):
    return numpy.array(m.tolist(), dtype=object)


def modes(a):
    """Eigenvalues and eigenvectors."""
    w, v = mp.eigsy(mp.matrix(a.tolist()))
    return list(w), to_array(v)


def inverse(a):
    return to_array(mp.inverse(mp.matrix(a.tolist())))


def regularized(k, diag_reg, absolute):
    scale = 1 if absolute else numpy.trace(k) / len(k)
    return k + exact(numpy.eye(len(k))) * (mp.mpf(diag_reg) * scale)


def flow(modes, tau):
    """exp(-a tau) and a^-1 (1 - exp(-a tau)); tau = inf is infinite time."""
    w, v = modes
    decay = [mp.mpf(0) if tau == mp.inf else mp.exp(-x * tau) for x in w]
    growth = [(1 - d) / x for d, x in zip(decay, w)]
    return [(v * numpy.array(values, dtype=object)) @ v.T for values in (decay, growth)]


def true_ensemble(get, tau, train, cross, test, y, fit):
    """Mean and covariance by `get` of test outputs, or of training outputs if `cross` is None."""
    kernel = 'nngp' if get == 'nngp' else 'ntk'
    a = regularized(train[kernel], *fit)
    eigen = modes(a)
    decay, growth = flow(eigen, tau)
    if cross is None:
        return y - decay @ y, decay @ (train['nngp'] if get == 'ntk' else a) @ decay
    b = cross[kernel] @ growth
    if get == 'ntk':
        half = b @ cross['nngp'].T
        return b @ y, test['nngp'] - half - half.T + b @ train['nngp'] @ b.T
    twice = flow(eigen, 2 * tau)[1]
    return b @ y, test[kernel] - cross[kernel] @ twice @ cross[kernel].T


def true_leave_one_out(a, y):
    """By the inverse of all: y_i - alpha_i / B_ii, 1 / B_ii."""
    b = inverse(a)
    variance = 1 / b.diagonal()
    step = variance[:, None] * (b @ y)
    density = [-r @ r / v / 2 - len(r) * mp.log(2 * mp.pi * v) / 2 for r, v in zip(step, variance)]
    return y - step, variance, numpy.array(density, dtype=object)


def true_evidence(a, y):
    fit = numpy.trace(y.T @ inverse(a) @ y)
    return -fit / 2 - y.shape[1] * sum(map(mp.log, modes(a)[0])) / 2 - y.size * mp.log(2 * mp.pi) / 2


def check(found, truth, within=1e-10):
    """Assert that 30 digits are proved and right, and float64 is near."""
    truth = numpy.asarray(truth, dtype=object)
    assert found.proved and found.digits == found.asked == 30
    assert found.values.shape == truth.shape == found.got64.shape
    with mp.workdps(WORKING):
        values, bounds, truths = (a.ravel() for a in (found.values, found.bound, truth))
        assert (abs(values - truths) <= bounds + mp.mpf(10) ** -50 * abs(truths).max()).all()
    largest = abs(found.float64).max()
    assert abs(found.got64 - found.float64).max() <= within * largest
    assert abs(found.got32 - found.float64).max() <= 1e-3 * largest


def pieces(seed, n, m=2):
    """Return the blocks of a kernel of n training and m test inputs, and targets with two outputs."""
    rng = numpy.random.default_rng(seed)
    x = rng.standard_normal((n + m, n + m + 3))
    k = x @ x.T / len(x)
    return k[:n, :n], k[n:, :n], k[n:, n:], rng.standard_normal((n, 2))


def both(seed, n):
    """Return {name: array} of training, test and training, and test inputs, for two kernels; and targets."""
    s, t = pieces(seed, n), pieces(seed + 1, n)
    return [SimpleNamespace(nngp=a, ntk=b) for a, b in zip(s[:3], t[:3])], s[3]


def exactly(kernel):
    return {name: exact(a) for name, a in vars(kernel).items()}


FITS = [{}, {'diag_reg': .1}, {'diag_reg': .25, 'diag_reg_absolute_scale': True}]


def fit_of(options):
    return options.get('diag_reg', 0), options.get('diag_reg_absolute_scale', False)


# ------------------------------------------------------------------ functions of ntref.predict

def check_training(n, options):
    k, cross, _, y = pieces(n, n)
    start = numpy.random.default_rng(n).standard_normal((2, 2))
    found = certify_predict(
        'gradient_descent_mse', y, k_train_train=k, k_test_train=cross, t=TIMES, fx_train_0=.5, fx_test_0=start,
        learning_rate=1.7, **options)
    with mp.workdps(WORKING):
        r = exact(y) - mp.mpf(.5)
        eigen = modes(regularized(exact(k), *fit_of(options)))
        flows = [flow(eigen, mp.mpf(1.7) * mp.mpf(t) / y.size) for t in TIMES]
        check(found.fx_train, [exact(y) - decay @ r for decay, _ in flows])
        check(found.fx_test, [exact(start) + exact(cross) @ growth @ r for _, growth in flows])


@pytest.mark.parametrize('options', FITS, ids=str)
@pytest.mark.parametrize('n', [1, 3, 12])
def test_training(n, options):
    check_training(n, options)


def one_by_one(k, cross, r, rate, m, nesterov):
    """Yield residuals of training outputs, and how far test outputs have moved, step by step."""
    v = w = g = 0 * r[:1]
    while True:
        yield r, g
        slope, aside = rate * (k @ r), rate * (cross @ r)
        v, w = m * v - slope, m * w - aside
        r = r + (m * v - slope if nesterov else v)
        g = g + (m * w - aside if nesterov else w)


@pytest.mark.parametrize('m, nesterov', [(0., False), (.9, False), (.9, True)])
@pytest.mark.parametrize('options', FITS, ids=str)
def test_steps(options, m, nesterov):
    k, cross, _, y = pieces(4, 4)
    steps = numpy.array([[0, 1], [2, 39]])
    given = {'k_train_train': k, 'k_test_train': cross, 'fx_train_0': .5, 'fx_test_0': -.5, **options}
    given |= {'learning_rate': 1.3, 'momentum': m, 'nesterov': nesterov}
    found = certify_predict('gradient_descent_mse_steps', y, steps=steps, **given)
    with mp.workdps(WORKING):
        a = regularized(exact(k), *fit_of(options))
        path = one_by_one(a, exact(cross), mp.mpf(.5) - exact(y), mp.mpf(1.3) / y.size, mp.mpf(m), nesterov)
        states = [state for state, _ in zip(path, range(40))]
        train, test = ([exact(y) + r for r, _ in states], [g - mp.mpf(.5) for _, g in states])
        check(found.fx_train, [[train[k] for k in row] for row in steps])
        check(found.fx_test, [[test[k] + numpy.zeros((2, 2)) for k in row] for row in steps])
    limit, late = (certify_predict('gradient_descent_mse_steps', y, steps=one, **given) for one in (None, 10 ** 30))
    for one, other in zip(limit, late):
        with mp.workdps(WORKING):
            assert (abs(one.values - other.values) <= one.bound + other.bound).all()


def test_steps_have_no_limit_beyond_the_largest_learning_rate():
    """4 is the largest, and has none: the proof refuses it where ntref lets it pass."""
    given = {'k_train_train': numpy.eye(2), 'steps': None}
    y = numpy.array([1., 2.])
    with pytest.raises(ValueError, match='learning_rate'):
        certify_predict('gradient_descent_mse_steps', y, learning_rate=4.5, **given)
    assert (certify_predict('gradient_descent_mse_steps', y, learning_rate=3.5, **given).fx_train.values == y).all()
    fit = {'steps': None, 'momentum': ball(0), 'nesterov': False, 'diag_reg': ball(0), 'trace_axes': (-1,),
           'diag_reg_absolute_scale': False, 'fx_train_0': ball(0), 'fx_test_0': None}
    kernels = proved_predictions.Kernels({'ntk': exact_balls(exact(numpy.eye(2)))}, None, None)
    with pytest.raises(ValueError, match='expected a learning_rate below max_learning_rate'):
        proved_predictions.gradient_descent_mse_steps(kernels, exact_balls(exact(y)), fit | {'learning_rate': ball(4)})


def check_ensemble(n, options, has_tests, t=(.7, 40., numpy.inf)):
    (train, cross, test), y = both(n, n)
    tests = {'k_test_train': cross, 'k_test_test': test} if has_tests else {}
    found = certify_predict('gradient_descent_mse_ensemble', y, k_train_train=train, t=t, compute_cov=True,
                            get=('nngp', 'ntk'), learning_rate=3., **tests, **options)
    posterior = certify_predict('gp_inference', y, k_train_train=train, get=('ntk', 'ntkgp', 'nngp'), compute_cov=True,
                                **tests, **options)
    with mp.workdps(WORKING):
        given = exactly(train), *((exactly(cross), exactly(test)) if has_tests else (None, None))
        for get in 'nngp', 'ntk', 'ntkgp':
            def truth(tau, get=get):
                return true_ensemble(get, tau, *given, exact(y), fit_of(options))
            check(getattr(posterior, f'mean_{get}'), truth(mp.inf)[0])
            check(getattr(posterior, f'covariance_{get}'), truth(mp.inf)[1])
            if get != 'ntkgp':
                means, covariances = zip(*(truth(3 * mp.mpf(one) / y.size) for one in t))
                check(getattr(found, f'mean_{get}'), means)
                check(getattr(found, f'covariance_{get}'), covariances)


@pytest.mark.parametrize('has_tests', [True, False])
@pytest.mark.parametrize('options', FITS, ids=str)
def test_ensembles(options, has_tests):
    check_ensemble(5, options, has_tests)


def check_densities(n, options):
    k, *_, y = pieces(n, n)
    evidence, = certify_predict('log_marginal_likelihood', y, k_train_train=k, **options)
    others = certify_predict('leave_one_out', y, k_train_train=k, **options)
    with mp.workdps(WORKING):
        a = regularized(exact(k), *fit_of(options))
        check(evidence, true_evidence(a, exact(y)))
        for one, truth in zip(others, true_leave_one_out(a, exact(y))):
            check(one, truth)


@pytest.mark.parametrize('options', FITS, ids=str)
@pytest.mark.parametrize('n', [2, 12])
def test_densities(n, options):
    check_densities(n, options)


def test_targets_left_out_together():
    """Both outputs of an input are left out: the posterior of the others, by gp_inference in mpmath."""
    k, *_, y = pieces(3, 8)
    zipped = k.reshape(4, 2, 4, 2).transpose(0, 2, 1, 3)
    found = certify_predict('leave_one_out', y[:, 0].reshape(4, 2), k_train_train=zipped, trace_axes=())
    with mp.workdps(WORKING):
        a, z = exact(k), exact(y[:, 0])
        j = numpy.arange(2, 8)
        b = a[:2, 2:] @ inverse(a[2:, 2:])
        variance = a[:2, :2] - b @ a[2:, :2]
        r = z[:2] - b @ z[j]
        density = -(r @ inverse(variance) @ r + mp.log(mp.det(mp.matrix(variance.tolist())))) / 2 - mp.log(2 * mp.pi)
        for one, truth in zip(found, (b @ z[j], variance, density)):
            assert numpy.all(abs(one.values[0] - truth) <= one.bound[0] + mp.mpf(10) ** -50)
            assert one.digits == 30


KERNELS = {
    'generic': pieces(3, 12)[0], 'one input': numpy.array([[.3]]), 'several largest': 3 * numpy.eye(4),
    'singular': numpy.ones((3, 3)), 'clustered': numpy.diag([2., 2 - 2. ** -40, 1.]),
}


def check_rate(name):
    k = KERNELS[name]
    for options, factor in ({}, 2), ({'momentum': .75}, 3.5), ({'momentum': .75, 'nesterov': True}, 1.4):
        found, = certify_predict('max_learning_rate', k_train_train=k, y_train_size=5, eps=.125, **options)
        with mp.workdps(WORKING):
            largest = max(modes(exact(k))[0])
            check(found, mp.mpf(str(factor)) * 5 / (largest + .125))


@pytest.mark.parametrize('name', KERNELS)
def test_largest_learning_rates(name):
    check_rate(name)


# ------------------------------------------------------------------ kernels of networks, twins, cases

USER = Elementwise(nngp_fn=lambda k, q1, q2: k)
NET = serial(Dense(8, 1.3, .1), Relu(), Dense(8), Erf(), Dense(1))
POINTS = numpy.random.default_rng(7).standard_normal((6, 3))[[0, 1, 2, 3, 0, 4, 5]]             # an input twice
LABELS = numpy.random.default_rng(8).standard_normal((5, 2))


def test_networks():
    """From inputs to predictions: the same as from kernels of 60 digits, given as numbers."""
    x, z = POINTS[:5], POINTS[5:]
    pairs = (x, None), (z, x), (z, None)
    with mp.workdps(80):
        kernels = [SimpleNamespace(nngp=c[0].values, ntk=c[1].values) for c in (
            certify(NET, *pair, get=('nngp', 'ntk'), digits=60) for pair in pairs)]
    options = {'get': ('nngp', 'ntk'), 'compute_cov': True, 'diag_reg': .01, 't': [1., numpy.inf]}
    found = certify_predict('gradient_descent_mse_ensemble', LABELS, net=NET, x_train=x, x_test=z, **options)
    again = certify_predict('gradient_descent_mse_ensemble', LABELS, k_train_train=kernels[0],
                            k_test_train=kernels[1], k_test_test=kernels[2], **options)
    for one, other in zip(found, again, strict=True):
        assert one.proved and one.digits == 30
        with mp.workdps(WORKING):
            assert (abs(one.values - other.values) <= one.bound + other.bound + mp.mpf(10) ** -45).all()
        assert (one.float64 == other.float64).all()
        assert abs(one.got64 - one.float64).max() < 1e-10 and abs(one.got32 - one.float64).max() < 1e-3


def test_twins():
    """Without noise, copies of an input with different targets settle on the average, as slowly as A says."""
    k = pieces(4, 4)[0][numpy.ix_([0, 1, 2, 3, 0], [0, 1, 2, 3, 0])]
    found, = certify_predict('gradient_descent_mse', LABELS, k_train_train=k, t=[3., 1e5])
    with mp.workdps(WORKING):
        decay = [mp.expm(mp.matrix((exact(k) * -mp.mpf(t) / 10).tolist()), method='taylor') for t in (3, 1e5)]
        check(found, [exact(LABELS) - to_array(d) @ exact(LABELS) for d in decay])
    apart = found.float64[1, 0] - found.float64[1, 4]
    assert abs(apart).max() < 1e-15 < abs(LABELS[0] - LABELS[4]).min()
    with pytest.raises(ValueError, match='positive definite k_train_train'):
        certify_predict('gradient_descent_mse', LABELS, k_train_train=k)


CASES = [case for function in (
    'gradient_descent_mse', 'gradient_descent_mse_steps', 'gp_inference', 'gradient_descent_mse_ensemble',
    'max_learning_rate')
    for case in conformance_cases(f'dynamics/{function}/*')]


@pytest.mark.parametrize('case', CASES, ids=str)
def test_cases_of_the_suite(case):
    """Their values were computed twice in mpmath, by other formulas: to the last bit."""
    found = certify_predict(**arguments(case.inputs, case.options))._asdict()
    assert found.keys() == case.expected.keys()
    for name, one in found.items():
        assert one.proved and (one.float64 == case.expected[name]).all(), name


# ------------------------------------------------------------------ where float64 gives up, or doubles are no help

def test_where_float64_refuses():
    """Ones with 1e-18 on the diagonal: eigenvalues 3 + r, r, r."""
    y = numpy.array([1., 2., 4.])
    r = Fraction(1e-18)
    evidence, = certify_predict('log_marginal_likelihood', y, k_train_train=numpy.ones((3, 3)), diag_reg=1e-18)
    with mp.workdps(WORKING):
        number = mp.mpf(r.numerator) / r.denominator
        fit = (mp.mpf(49) / 3 / (3 + number)) + (21 - mp.mpf(49) / 3) / number
        truth = -(fit + mp.log(3 + number) + 2 * mp.log(number) + 3 * mp.log(2 * mp.pi)) / 2
        assert abs(evidence.values - truth) <= evidence.bound + abs(truth) * mp.mpf(10) ** -50
    assert numpy.isnan(evidence.got64) and evidence.ulps64 == numpy.inf and evidence.digits == 30


def test_numbers_half_way_between_doubles():
    """(1 + 1 + 2^-52) / 2: no number of bits says to which double it is rounded."""
    found, = certify_predict('gradient_descent_mse', numpy.array([1., 1 + 2. ** -52]), fx_train_0=None, fx_test_0=0.,
                             k_train_train=numpy.array([[2., 1], [1, 2]]), k_test_train=numpy.array([[1.5, 1.5]]))
    with mp.workdps(100):
        assert abs(found.values[0] - (1 + mp.mpf(2) ** -53)) <= found.bound[0] < mp.mpf(10) ** -250
    assert found.float64[0] in (1., 1 + 2. ** -52) and found.digits == 30


def test_zero_by_symmetry():
    """Half-way between opposite targets; there is no other number to compare it with."""
    k = numpy.array([[2., 1], [1, 2]]) / 3
    found, = certify_predict('gp_inference', numpy.array([1., -1]), get='nngp', k_train_train=k,
                             k_test_train=numpy.array([[.7, .7]]))
    assert found.values[0] == 0 and found.digits == 30 and 0 < found.bound[0] < mp.mpf(10) ** -1000


@pytest.mark.parametrize('t', [2e3, 2e5, 1e20])
def test_variances_at_late_times(t):
    """exp(-t) / 2, far below all doubles, relative to itself."""
    found, = certify_predict('gradient_descent_mse_ensemble', numpy.zeros((2, 1)), get='nngp', t=t, compute_cov=True,
                             k_train_train=numpy.array([[2., 1], [1, 2]]))[1:]
    with mp.workdps(WORKING):
        assert abs(found.values * 2 / mp.exp(-t) - [[1, -1], [-1, 1]]).max() < 1e-30 and found.digits == 30
    assert not found.float64.any() and not found.got64.any()


def test_numbers_are_taken_exactly():
    """1/3 as mpf is not the double, for targets, times and the kernel."""
    with mp.workdps(WORKING):
        third = mp.mpf(1) / 3
        found, = certify_predict('gradient_descent_mse', numpy.array([third], object), t=third, learning_rate=third,
                                 k_train_train=numpy.array([[third]], object))
        check(found, [third * (1 - mp.exp(-third ** 3))])


# ------------------------------------------------------------------ errors

K, C, S, Y = pieces(1, 3)
FITTED = {'k_train_train': K}
INDEFINITE = numpy.array([[1., 2.], [2., 1.]])
ERRORS = [
    (ValueError, "got 'gp_inferense'. Did you mean 'gp_inference'", 'gp_inferense', FITTED),
    (TypeError, "got diagreg. Did you mean 'diag_reg'", 'gp_inference', FITTED | {'diagreg': 1.}),
    (TypeError, 'expected steps and learning_rate for', 'gradient_descent_mse_steps', FITTED),
    (ValueError, 'steps', 'gradient_descent_mse_steps', FITTED | {'steps': -1, 'learning_rate': 1.}),
    (TypeError, 'max_learning_rate with y_train', 'max_learning_rate', FITTED),
    (TypeError, 'or net and x_train; got neither', 'gp_inference', {}),
    (TypeError, 'got k_train_train and x_test', 'gp_inference', FITTED | {'x_test': C}),
    (TypeError, 'without kernels; got net=serial', 'gp_inference', FITTED | {'net': NET, 'x_train': C}),
    (TypeError, 'with x_train', 'gp_inference', {'net': NET}),
    (TypeError, 'got Elementwise: docs/oracle.md', 'gp_inference', {'net': serial(Dense(1), USER), 'x_train': K}),
    (TypeError, 'which computes kernels', 'gp_inference', {'k_train_train': NET.kernel_fn}),
    (TypeError, 'got list. Convert it', 'gp_inference', {'k_train_train': K.tolist()}),
    (ValueError, 'attribute ntk', 'gradient_descent_mse', {'k_train_train': SimpleNamespace(nngp=K)}),
    (ValueError, 'expected k_test_train and k_test_test', 'gp_inference',
     FITTED | {'k_test_train': C, 'compute_cov': True}),
    (ValueError, "covariance of get='ntk', got an array", 'gp_inference',
     FITTED | {'k_test_train': C, 'k_test_test': S}),
    (ValueError, "k_test_test with attributes .* get='ntkgp'", 'gp_inference',
     FITTED | {'k_test_train': C, 'k_test_test': S, 'get': 'ntkgp'}),
    (TypeError, 'compute_cov is expected to be True or False', 'gp_inference', FITTED | {'compute_cov': 'no'}),
    (NotImplementedError, 'ntkgp', 'gradient_descent_mse_ensemble', FITTED | {'get': 'ntkgp', 't': 1.}),
    (ValueError, 't >= 0', 'gradient_descent_mse', FITTED | {'t': -1.}),
    (ValueError, 'diag_reg >= 0', 'leave_one_out', FITTED | {'diag_reg': -1.}),
    (ValueError, 'symmetric', 'leave_one_out', {'k_train_train': K + numpy.triu(K)}),
    (ValueError, 'finite numbers', 'leave_one_out', {'k_train_train': K * numpy.nan}),
    (ValueError, r'has shape \(3, 2\)', 'gp_inference', {'k_train_train': C.T}),
    (NotPSDError, 'smallest eigenvalue is -1', 'gradient_descent_mse', {'k_train_train': INDEFINITE, 't': 1.}),
    (ValueError, 'digits is expected', 'gp_inference', FITTED | {'digits': 0}),
    (Undecided, 'balls of 8192 bits can prove to 3000 digits', 'gp_inference', FITTED | {'digits': 3000}),
]


@pytest.mark.parametrize('error, message, function, given', ERRORS, ids=[message for _, message, *_ in ERRORS])
def test_refusals(error, message, function, given):
    y = Y[:2] if given.get('k_train_train') is INDEFINITE else Y
    with pytest.raises(error, match=message):
        certify_predict(function, y, **given)


def test_what_is_singular_within_balls_is_left_open():
    """1/3 at any precision may make it singular."""
    with bits(100):
        third = numpy.array([[ball(1) / 3]])
        a = third * exact_balls(exact(numpy.ones((2, 2))))
        with pytest.raises(Undecided):
            proved_predictions.check_positive(a)
        with pytest.raises(Undecided, match='regular'):
            ball_matrices.solved(ball_matrices.matrix(a), ball_matrices.matrix(a))


# ------------------------------------------------------------------ matrices, and the loop

@pytest.mark.parametrize('n', [40, 53, 300])
def test_matrices_hold_the_truth(n):
    k = pieces(6, 4)[0]
    with bits(n):
        a = load('flint').asarray(exact_balls(exact(k))) / 3
        found = ball_matrices.decay_and_growth(ball_matrices.matrix(a), (ball(7) / 5).arb)
        determinant = ball_matrices.log_determinant(a)
        largest = ball_matrices.largest_eigenvalue(a)
    with mp.workdps(100):
        truth = exact(k) / 3
        pairs = zip(map(ball_matrices.array, found), flow(modes(truth), mp.mpf(7) / 5))
        w, _ = modes(truth)
        pairs = [*pairs, ([[determinant]], [[sum(map(mp.log, w))]]), ([[largest]], [[max(w)]])]
        for balls, numbers in pairs:
            for one, number in zip(numpy.ravel(balls), numpy.ravel(numbers)):
                mid, rad = to_mpmath(one.arb)
                assert abs(mid - number) <= rad < mp.mpf(2) ** (12 - n // 2)


def test_precision_doubles_until_digits_are_sure():
    """With a quarter of the working bits of a number it takes two more rounds."""
    met = []

    def compute():
        met.append(flint.ctx.prec)
        wide = 1 + flint.arb(0, 1) * flint.arb(2) ** -(met[-1] // 4)
        return {'third': numpy.array([[Ball(wide / 3)]])}
    found, = proved_digits(compute, 30, 'too few').values()
    assert met == [164, 328, 656] and found[2] == 30 and abs(found[0][0, 0] * 3 - 1) < 1e-15
    met.clear()
    with pytest.raises(Undecided, match='too few'):
        proved_digits(compute, 700, 'too few')
    assert met == [2389, 4778]


# ------------------------------------------------------------------ would these tests notice?

def halved(A, tau):
    decay, growth = ball_matrices.decay_and_growth(A, tau)
    return decay, growth / 2


def late(options, y):
    taus, shape = proved_predictions_times(options, y)
    return [None if tau is None else tau * y.size / len(y) for tau in taus], shape


proved_predictions_times, told = proved_predictions.times, digits.told
MUTANTS = {
    'time over inputs, not entries': (proved_predictions, 'times', late, lambda: check_training(3, {})),
    'half of the growth': (proved_predictions, 'decay_and_growth', halved, lambda: check_training(3, {})),
    'the integral to tau for that to 2 tau': (
        proved_predictions, 'of_process', lambda get, k, K: lambda E, G: ball_matrices.matrix(
            k.test[proved_predictions.kernel_of(get)]) - K * G * K.transpose(), lambda: check_ensemble(3, {}, True)),
    'decay to infinity': (proved_predictions.Fit, 'flow', lambda fit, tau: (fit.A * 0, fit.inverse()),
                          lambda: check_training(3, {})),
    'the determinant itself': (proved_predictions, 'log_determinant', lambda a: 2 * ball_matrices.log_determinant(a),
                               lambda: check_densities(2, {})),
    'bounds too narrow': (digits, 'told', lambda k, bound, *others: told(k * (1 + 2 * bound), 0 * bound, *others),
                          lambda: check_densities(2, {})),
    'any eigenvalue': (proved_predictions, 'largest_eigenvalue', lambda a: a[0, 0], lambda: check_rate('generic')),
}


@pytest.mark.parametrize('name', MUTANTS)
def test_mutants_are_noticed(name, monkeypatch):
    owner, target, mutant, checked = MUTANTS[name]
    checked()
    monkeypatch.setattr(owner, target, mutant)
    with pytest.raises(AssertionError):
        checked()
