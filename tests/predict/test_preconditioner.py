"""Low-rank approximations of kernels against Schur complements, definitions and 40 digits; steps that they save."""
import mpmath
import numpy as np
import pytest
from places import ROOT

from ntref import batch, stax
from ntref.predict import ComputedKernel, cg, out_of_core
from ntref.predict.preconditioner import EPS, SEED, Preconditioner, nystrom, pivoted_cholesky

RNG = np.random.default_rng(7)
N = 120
X = RNG.normal(size=(N, 4))
Y = np.sin(X @ RNG.normal(size=(4, 3)))
NET = stax.serial(stax.Dense(8, 1.4, .1), stax.Relu(), stax.Dense(8, 1.4, .1), stax.Erf(), stax.Dense(1, 1.4, .1))
K = NET.kernel_fn(X, None, 'ntk')
LINE = np.sort(RNG.uniform(0, 1, (300, 1)), 0)
GAUSS = np.exp(-(LINE - LINE.T) ** 2 / (2 * .1 ** 2))           # 35 eigenvalues above rounding
SCALED = K * np.outer(1 + np.arange(N), 1 + np.arange(N))


def off(a, b):
    assert np.shape(a) == np.shape(b)
    return np.abs(np.asarray(a, 'float64') - b).max() / np.abs(b).max()


def rows_of(k, rank, name):
    """L^T of a kernel in memory."""
    if name == 'cholesky':
        return pivoted_cholesky(np.diagonal(k), k.__getitem__, rank)[0]
    return nystrom(np.diagonal(k), k.__matmul__, rank)


# ------------------------------------------------------------------ pivoted Cholesky

def literal_pivoted_cholesky(k, rank):
    """Schur complements of the whole matrix."""
    k, columns, pivots = k.copy(), [], []
    for _ in range(rank):
        i = int(np.argmax(np.diagonal(k)))
        columns.append(k[i] / np.sqrt(k[i, i]))
        k -= np.outer(columns[-1], columns[-1])
        pivots.append(i)
    return np.array(columns), k, pivots


@pytest.mark.parametrize('k', [K, GAUSS, SCALED])
def test_pivots(k):
    lower, rest, pivots = pivoted_cholesky(np.diagonal(k), k.__getitem__, 12)
    expected, schur, order = literal_pivoted_cholesky(k, 12)
    assert pivots == order and len(set(pivots)) == 12
    assert off(lower, expected) < 1e-10 and np.abs(rest - np.diagonal(schur)).max() < 1e-12 * k.max()


def test_pivoting_ends_where_nothing_is_left():
    k = X @ X.T
    lower, rest, pivots = pivoted_cholesky(np.diagonal(k), k.__getitem__, 50)
    assert lower.shape == (4, N) and len(pivots) == 4 and off(lower.T @ lower, k) < 1e-13 and rest.max() < 1e-12


# ------------------------------------------------------------------ Nystrom

def columns(n, rank):
    """Omega, of which the definition needs the span alone."""
    return np.random.default_rng(SEED).standard_normal((n, rank))


def literal_nystrom(k, rank):
    """K Omega (Omega^T K Omega)^-1 Omega^T K at 40 digits."""
    with mpmath.workdps(40):
        whole, omega = mpmath.matrix(k.tolist()), mpmath.matrix(columns(len(k), rank).tolist())
        y = whole * omega
        found = y * mpmath.inverse(omega.T * y) * y.T
        return np.array(found.tolist(), float)


@pytest.mark.parametrize('k', [K[:60, :60], SCALED[:60, :60], GAUSS[::5, ::5]], ids=['ntk', 'scaled', 'gauss'])
@pytest.mark.parametrize('rank', [1, 12])
def test_definition(k, rank):
    """In rounding of the largest eigenvalue, no more: nu is smaller, and the inverse does not amplify."""
    lower = nystrom(np.diagonal(k), k.__matmul__, rank)
    assert lower.shape == (rank, 60)
    assert abs(lower.T @ lower - literal_nystrom(k, rank)).max() < 100 * EPS * np.trace(k)


@pytest.mark.parametrize('k', [K, GAUSS, SCALED], ids=['ntk', 'gauss', 'scaled'])
@pytest.mark.parametrize('rank', [1, 10, 40, 120, 1000])
def test_eigenvectors_with_the_largest_first_and_a_positive_rest(k, rank):
    lower = nystrom(np.diagonal(k), k.__matmul__, rank)
    among = lower @ lower.T
    level = 100 * EPS * np.trace(k)
    assert len(lower) == min(rank, len(k)) and (np.diff(np.diagonal(among)) <= level).all()
    assert abs(among - np.diag(np.diagonal(among))).max() < level
    rest = np.linalg.eigvalsh(k - lower.T @ lower)
    assert rest[0] > -level
    assert rank < len(k) or rest[-1] < level


ONE_FEATURE = LINE[:40]
SPECIAL = {
    'generic': X[:40], 'one feature': ONE_FEATURE, 'parallel': np.outer(1 + np.arange(40), X[0]),
    'repeated': np.repeat(X[:8], 5, 0), 'zero rows': np.vstack([X[:20], 0 * X[:20]]),
    'opposite': np.vstack([X[:20], -X[:20]])}


@pytest.mark.parametrize('inputs', SPECIAL)
@pytest.mark.parametrize('more', [0, 1, 30])
def test_low_rank_is_exact(inputs, more):
    """x^T (K + nu - its Nystrom) x = min_z (x - Omega z)^T (K + nu) (x - Omega z) <= nu (1 + 1 / sigma)^2 x^T x.

    The last by z = (V^T Omega)^+ V^T x, with which K (x - Omega z) = 0; sigma is the least singular value of V^T Omega,
    V the eigenvectors of K. Rounding is amplified as nu is.
    """
    x = SPECIAL[inputs]
    k = x @ x.T
    exact = np.linalg.matrix_rank(x)
    v = np.linalg.svd(x)[0][:, :exact]
    sigma = np.linalg.svd(v.T @ np.linalg.qr(columns(40, exact + more))[0])[1][-1]
    bound = 2 * EPS * np.trace(k) * (1 + 1 / sigma) ** 2
    lower = nystrom(np.diagonal(k), k.__matmul__, exact + more)
    assert abs(lower.T @ lower - k).max() < bound < 1e-9 * k.max()
    assert (np.diagonal(lower @ lower.T)[exact:] < bound).all()
    if exact > 1:
        less = nystrom(np.diagonal(k), k.__matmul__, exact - 1)
        assert abs(less.T @ less - k).max() > .01 * k.max()


@pytest.mark.parametrize('k', [K, GAUSS], ids=['ntk', 'gauss'])
def test_trace_of_the_rest(monkeypatch, k):
    """The bound holds for the mean over Omega: here of 20; the best approximation of this rank is below."""
    w, rank, traces = np.linalg.eigvalsh(k)[::-1], 20, []
    for seed in range(20):
        monkeypatch.setattr('ntref.predict.preconditioner.SEED', seed)
        lower = nystrom(np.diagonal(k), k.__matmul__, rank)
        traces.append(np.trace(k) - (lower ** 2).sum())
    bound = min((1 + r / (rank - r - 1)) * w[r:].sum() for r in range(rank - 1))
    assert w[rank:].sum() <= min(traces) < max(traces) and np.mean(traces) <= bound < np.trace(k) / 2


def test_kernels_that_are_indefinite_by_rounding():
    """In float32 35 of 300 eigenvalues are right, and half of the others negative, which Cholesky refuses."""
    k = GAUSS.astype('float32').astype('float64')
    assert np.linalg.eigvalsh(k)[0] < -1e-7
    omega = np.linalg.qr(columns(300, 200))[0]
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(omega.T @ k @ omega)
    lower = nystrom(np.diagonal(k), k.__matmul__, 200)
    assert abs(lower.T @ lower - k).max() < 1e-4
    assert (cg(GAUSS.astype('float32'), Y[:1, 0].repeat(300), 1e-5, rank=200, preconditioner='nystrom').residual < 1e-8)


def test_the_same_columns_each_time():
    first, again = (nystrom(np.diagonal(K), K.__matmul__, 10) for _ in range(2))
    assert (first == again).all()


def test_tiles_are_read_once(monkeypatch, tmp_path):
    """Of kernels on disk and of those that are computed, the upper half."""
    monkeypatch.setattr(out_of_core, 'SIDE', 32)
    stored = batch(NET.kernel_fn, 16, out=tmp_path / 'k')(X, None, 'ntk')
    computed = ComputedKernel(NET.kernel_fn, X, get='ntk')
    right = rows_of(K, 10, 'nystrom')
    for k in stored, computed:
        tiles, seen = out_of_core.Tiles('k', k), []
        monkeypatch.setattr(tiles, 'tile', lambda rows, columns, f=tiles.tile, seen=seen: (
            seen.append((rows.start, columns.start)) or f(rows, columns)))
        lower = nystrom(np.diagonal(K), tiles.times, 10)
        assert sorted(seen) == [(i, j) for i in range(0, N, 32) for j in range(i, N, 32)]
        assert off(lower.T @ lower, right.T @ right) < 1e-12


# ------------------------------------------------------------------ the preconditioner

@pytest.mark.parametrize('shift', [1e-9, 1e-3, 10.])
@pytest.mark.parametrize('name', ['cholesky', 'nystrom'])
def test_preconditioner_is_the_inverse(shift, name):
    """U (Lambda + shift) U^T + (lambda + shift) (I - U U^T), lambda the smallest of Nystrom's, 0 of Cholesky's."""
    lower = rows_of(K, 20, name)
    w, u = np.linalg.eigh(lower.T @ lower)
    w, u = w[-20:], u[:, -20:]
    rest = w[0] if name == 'nystrom' else 0.
    p = (u * (w + shift)) @ u.T + (rest + shift) * (np.eye(N) - u @ u.T)
    got = p @ Preconditioner(name, lower, shift)(Y)
    assert off(got, Y) < 1e-14 * np.linalg.cond(p) + 1e-12
    assert off(Preconditioner(name, lower[:0], shift)(Y), Y / shift) < 1e-15


def digits(n):
    """The first digits of MNIST, each with mean 0 and variance 1."""
    images = np.load(ROOT / 'validation' / 'data' / 'mnist.npz')['images'][:n].reshape(n, -1).astype(float)
    images -= images.mean(1, keepdims=True)
    return images / images.std(1, keepdims=True)


def test_steps_on_digits():
    """An NNGP of one layer of Erf: its condition number is 1e4, and the fewest steps are with Nystrom."""
    x = digits(600)
    k = stax.serial(stax.Dense(8, 1.2, .1), stax.Erf(), stax.Dense(1)).kernel_fn(x, None, 'nngp')
    assert np.linalg.cond(k) > 1e4
    y = (x[:, 350] > 0) + 0.
    none = cg(k, y, 1e-6, rank=0)
    steps = {}
    for name in 'cholesky', 'nystrom':
        for rank in 50, 150:
            found = cg(k, y, 1e-6, rank=rank, preconditioner=name)
            steps[name, rank] = found.steps
            assert found.residual <= 1e-8 and off(found.a, none.a) < 1e-4
    assert steps['nystrom', 50] < .8 * steps['cholesky', 50] < .8 * none.steps
    assert steps['nystrom', 150] < .8 * steps['cholesky', 150] < .4 * none.steps
