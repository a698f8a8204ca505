"""Conjugate gradients without the kernel in memory, against dense solves."""
import threading
from collections import namedtuple

import numpy as np
import pytest

from ntref import batch, predict, stax
from ntref.predict import ComputedKernel, NotConvergedError, NotPSDError, cg, gp_inference, gp_inference_iterative
from ntref.predict import out_of_core

Kernels = namedtuple('Kernels', 'nngp ntk')
RNG = np.random.default_rng(7)
N, M = 120, 9
X, X_TEST = RNG.normal(size=(N, 4)), RNG.normal(size=(M, 4))
Y = np.sin(X @ RNG.normal(size=(4, 3)))
NET = stax.serial(stax.Dense(8, 1.4, .1), stax.Relu(), stax.Dense(8, 1.4, .1), stax.Erf(), stax.Dense(1, 1.4, .1))
TRAIN, CROSS, TEST = (Kernels(*NET.kernel_fn(*xs, ('nngp', 'ntk'))) for xs in ((X, None), (X_TEST, X), (X_TEST, None)))
K = TRAIN.ntk
LINE = np.sort(RNG.uniform(0, 1, (300, 1)), 0)
GAUSS = np.exp(-(LINE - LINE.T) ** 2 / (2 * .1 ** 2))           # 35 eigenvalues above rounding
SMOOTH = np.stack([np.sin(9 * LINE[:, 0]), LINE[:, 0] ** 2], 1)


def dense(k, y, diag_reg=0., absolute=False):
    k = np.asarray(k, 'float64')
    return np.linalg.solve(k + diag_reg * (1. if absolute else np.trace(k) / len(k)) * np.eye(len(k)), y)


def off(a, b):
    assert np.shape(a) == np.shape(b)
    return np.abs(np.asarray(a, 'float64') - b).max() / np.abs(b).max()


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of 32: 120 is no multiple, and the corners are looked at."""
    monkeypatch.setattr(out_of_core, 'SIDE', 32)
    monkeypatch.setattr(out_of_core, 'CORNER', 5)


# ------------------------------------------------------------------ solutions

@pytest.mark.parametrize('tol', [1e-3, 1e-6, 1e-10])
@pytest.mark.parametrize('diag_reg, absolute', [(0., False), (1e-2, False), (.3, True)])
@pytest.mark.parametrize('rank, preconditioner', [
    (0, 'cholesky'), (7, 'cholesky'), (500, 'cholesky'), (7, 'nystrom'), (500, 'nystrom')])
def test_dense_solutions(small_tiles, tol, diag_reg, absolute, rank, preconditioner):
    a, residual, steps, _ = cg(K, Y, diag_reg, absolute, tol=tol, rank=rank, preconditioner=preconditioner)
    shift = diag_reg * (1. if absolute else np.trace(K) / N)
    r = Y - K @ a - shift * a
    np.testing.assert_allclose(residual, np.linalg.norm(r, axis=0) / np.linalg.norm(Y, axis=0), rtol=1e-3, atol=1e-14)
    assert (residual <= tol).all() and a.dtype == 'float64'
    error = np.linalg.norm(a - dense(K, Y, diag_reg, absolute), axis=0)
    smallest = np.linalg.eigvalsh(K)[0] + shift
    assert (error <= 1.01 * tol * np.linalg.norm(Y, axis=0) / smallest).all()
    assert steps <= 3 if rank == 500 else steps > 3


def test_one_right_hand_side_is_a_vector():
    solution = cg(K, Y[:, 0], .1)
    assert solution.a.shape == (N,) and isinstance(solution.residual, float)
    assert off(solution.a, cg(K, Y, .1).a[:, 0]) < 1e-6


def test_float32_is_solved_in_float64():
    k, y = K.astype('float32'), Y.astype('float32')
    a = cg(k, y, .01, tol=1e-9).a
    assert a.dtype == 'float32' and off(a, dense(k, y, .01)) < 1e-6
    assert cg(k, Y, .01).a.dtype == cg(K, y, .01).a.dtype == 'float64'


@pytest.mark.parametrize('preconditioner', ['cholesky', 'nystrom'])
@pytest.mark.parametrize('reg, steps', [(1e-10, 4), (1e-12, 12)])
def test_badly_conditioned(reg, steps, preconditioner):
    assert np.linalg.cond(GAUSS + reg * np.eye(300)) > 5e11
    solution = cg(GAUSS, SMOOTH, reg, True, tol=1e-8, rank=60, preconditioner=preconditioner)
    assert (solution.residual <= 1e-8).all() and solution.steps <= steps
    assert off(GAUSS @ solution.a, GAUSS @ dense(GAUSS, SMOOTH, reg, True)) < 1e-8


def test_what_rounding_forbids_is_said():
    """Noise makes |a| = |y| / reg, and a residual below eps |K| |a| / |y| is out of reach of a dense solve too."""
    y = np.cos(np.arange(300.) ** 2)[:, None]
    with pytest.raises(NotConvergedError, match='Rounding allows no less') as e:
        cg(GAUSS, y, 1e-12, True, tol=1e-8, rank=60)
    r = y - GAUSS @ dense(GAUSS, y, 1e-12, True) - 1e-12 * dense(GAUSS, y, 1e-12, True)
    assert 1e-8 < e.value.residual[0] < 10 * np.linalg.norm(r) / np.linalg.norm(y) and e.value.steps < 200


def test_steps_drop_with_rank():
    steps = [cg(GAUSS, SMOOTH, 1e-4, True, rank=rank).steps for rank in (0, 5, 10, 15, 20)]
    assert steps == sorted(steps, reverse=True) and len(set(steps)) == 5 and steps[-1] <= 4 < 40 < steps[0]


def test_each_right_hand_side_has_its_own_steps():
    """Easy, hard and zero together: what is solved does not move any more, as if alone."""
    w, v = np.linalg.eigh(K)
    y = np.stack([v[:, -1], Y[:, 0], 0 * Y[:, 0], 1e-200 * Y[:, 1], 1e100 * Y[:, 2]], 1)
    solution = cg(K, y, tol=1e-9, rank=3)
    assert (solution.residual <= 1e-9).all() and solution.residual[2] == 0 and (solution.a[:, 2] == 0).all()
    for i in (0, 1, 4):
        assert off(solution.a[:, i], dense(K, y[:, i])) < 1e-5
    assert cg(K, y[:, :1], tol=1e-9, rank=0).steps <= 3 < 20 < cg(K, y[:, :2], tol=1e-9, rank=0).steps


# ------------------------------------------------------------------ kernels that are not in memory

def kernel(x1, x2):
    return NET.kernel_fn(x1, x2, 'ntk')


@pytest.fixture(params=['stored', 'zarr', 'dask', 'computed', 'computed get'])
def elsewhere(request, tmp_path):
    if request.param == 'stored':
        return batch(NET.kernel_fn, 16, out=tmp_path / 'k')(X, None, 'ntk')
    if request.param == 'zarr':
        zarr = pytest.importorskip('zarr')
        array = zarr.create_array(tmp_path / 'k.zarr', shape=K.shape, chunks=(40, 25), dtype='float64')
        array[:] = K
        return array
    if request.param == 'dask':
        return pytest.importorskip('dask.array').from_array(K, chunks=((50, 40, 30), (70, 50)))
    return ComputedKernel(kernel, X) if request.param == 'computed' else ComputedKernel(NET.kernel_fn, X, get='ntk')


def test_kernels_that_are_not_in_memory(small_tiles, elsewhere):
    here, there = (cg(k, Y, 1e-2, rank=30, tol=1e-10) for k in (K, elsewhere))
    assert abs(there.steps - here.steps) <= 2 and off(there.a, here.a) < 1e-8 and (there.residual <= 1e-10).all()


@pytest.mark.parametrize('preconditioner', ['cholesky', 'nystrom'])
def test_memory_and_work(small_tiles, preconditioner):
    """Tiles of at most 32 x 32, rows for the pivots only, and the upper half once in each step."""
    seen = []

    def kernel_fn(x1, x2):
        seen.append((len(x1), len(x1 if x2 is None else x2)))
        return kernel(x1, x2)
    k = ComputedKernel(kernel_fn, X)
    del seen[:]
    steps = cg(k, Y, 1e-3, rank=10, preconditioner=preconditioner).steps
    rows = 10 if preconditioner == 'cholesky' else 0
    passes = 1 + steps + 1 + (preconditioner == 'nystrom')           # diagonal, steps, true residual, columns
    assert sorted(set(seen) - {(1, 1), (5, 5), (1, 120)}) == [(24, 24), (32, 24), (32, 32)]
    assert seen.count((1, 120)) == rows and seen.count((24, 24)) == passes


class Meeting:
    """An array in chunks, of which two parts are read at the same time, or not at all."""

    shape, dtype, chunks = (64, 64), K.dtype, (32, 32)

    def __init__(self, monkeypatch):
        monkeypatch.setattr(out_of_core, 'number_of_threads', lambda: 2)
        self.barrier = threading.Barrier(2, timeout=30)

    def __getitem__(self, index):
        self.barrier.wait()
        return K[index]


def test_kernels_on_disk_are_read_by_threads(small_tiles, monkeypatch):
    """As many tiles at a time as there are threads; the product is the same to the last bit."""
    k = Meeting(monkeypatch)
    places = [(slice(i, i + 32), slice(j, j + 32)) for i in (0, 32) for j in (0, 32)]
    in_order = [(rows, columns) for rows, columns, _ in out_of_core.Tiles('k', k).read(places)]
    assert in_order == places
    assert (out_of_core.Tiles('k', k) @ Y[:64] == out_of_core.Tiles('k', K[:64, :64]) @ Y[:64]).all()
    stored = out_of_core.Tiles('k', pytest.importorskip('dask.array').from_array(K, chunks=32))
    assert (stored.times(Y) == out_of_core.Tiles('k', K).times(Y)).all()


def test_computed_kernel_is_like_an_array():
    k = ComputedKernel(NET.kernel_fn, X_TEST, X, 'ntk')
    assert k.shape == (M, N) and len(k) == M and k.ndim == 2 and k.dtype == 'float64'
    assert off(np.asarray(k), CROSS.ntk) < 1e-14 and off(k[2:4, 5:8], CROSS.ntk[2:4, 5:8]) < 1e-14
    assert off(k[2:4], CROSS.ntk[2:4]) < 1e-14
    with pytest.raises(TypeError, match="returns an array .* get='nngp' or get='ntk'"):
        ComputedKernel(NET.kernel_fn, X)
    with pytest.raises(ValueError, match='at least one input'):
        ComputedKernel(kernel, X, X[:0])


def test_a_kernel_that_has_no_blocks():
    """Its tiles would be kernels of few inputs, which LayerNorm over the batch makes others."""
    net = stax.serial(stax.Dense(1, 1.5, .1), stax.LayerNorm((0, 1)), stax.Relu(), stax.Dense(1))
    whole = net.kernel_fn(X, None, 'nngp')
    assert off(net.kernel_fn(X[:5], None, 'nngp'), whole[:5, :5]) > .01
    for x1, x2 in (X, None), (X_TEST, X):
        with pytest.raises(ValueError, match='each input is for itself, got one with a layer that mixes the batch'):
            ComputedKernel(net.kernel_fn, x1, x2, 'nngp')


def test_indices_of_a_computed_kernel():
    """Each of the rows with each of the columns. A single number would take positions of an image for inputs."""
    k, images = ComputedKernel(kernel, X), ComputedKernel(kernel, np.stack([X, -X], 1))
    i, third = np.array([3, 0, 3]), np.arange(N) % 3 == 0
    assert off(k[[3, 0, 3], third], K[i][:, third]) < 1e-14 and off(k[i], K[i]) < 1e-14
    assert off(images[2:3, 4:], kernel(np.stack([X, -X], 1), None)[2:3, 4:]) < 1e-14
    for index in 3, (3, 3), (slice(2), 3), ..., (slice(2), slice(2), 0), None, 'a', (slice(2),):
        with pytest.raises(TypeError, match='slices or lists of numbers of inputs, got .* slice.i, i . 1.'):
            images[index]


def test_a_diagonal_of_its_own(small_tiles):
    """Noise that an input shares with itself alone, which rows of pivots, computed as x1, x2, do not have."""
    k = ComputedKernel(lambda x1, x2: kernel(x1, x2) + (np.eye(len(x1)) if x2 is None else 0.), X)
    for preconditioner in 'cholesky', 'nystrom':
        for rank, steps in ((10, 200), (N, 2)):
            solution = cg(k, Y, 1e-3, rank=rank, preconditioner=preconditioner)
            assert solution.steps <= steps and off(solution.a, dense(K + np.eye(N), Y, 1e-3)) < 1e-6


# ------------------------------------------------------------------ restarts

@pytest.mark.parametrize('preconditioner', ['cholesky', 'nystrom'])
def test_restart_equals_uninterrupted(tmp_path, preconditioner):
    given = dict(tol=1e-9, rank=5, preconditioner=preconditioner)
    whole = cg(K, Y, 1e-3, **given)
    state, rounds = None, 0
    while rounds < 100:
        rounds += 1
        try:
            parts = cg(K, Y, 1e-3, max_steps=4, state=state, **given)
            break
        except NotConvergedError as e:
            assert e.steps == 4 * rounds and e.residual.max() > 1e-9
            np.savez(tmp_path / 'state.npz', **e.state._asdict())
            with np.load(tmp_path / 'state.npz') as kept:
                state = predict.State(**kept)
    assert rounds == -(-whole.steps // 4) > 2
    assert (parts.a == whole.a).all() and parts.steps == whole.steps and (parts.residual == whole.residual).all()


def test_a_state_holds_what_the_preconditioner_is_made_of():
    """A restart reads no rows and makes no columns; a state of the other preconditioner has neither."""
    for preconditioner, other in (('cholesky', 'nystrom'), ('nystrom', 'cholesky')):
        state = cg(K, Y, 1e-3, tol=1e-4, rank=5, preconditioner=preconditioner).state
        assert state.lower.shape == (5, N) and state.preconditioner == preconditioner
        found = {name: cg(K, Y, 1e-3, tol=1e-9, rank=5, state=state, preconditioner=name).state.lower
                 for name in (preconditioner, other)}
        fresh = cg(K, Y, 1e-3, tol=1e-4, rank=5, preconditioner=other).state.lower
        assert found[preconditioner] is state.lower and (found[other] == fresh).all()
        assert off(fresh, state.lower) > .01


def test_states_of_before_there_was_another_preconditioner():
    state = cg(K, Y, 1e-3, tol=1e-4, rank=5).state
    whole, on = (cg(K, Y, 1e-3, tol=1e-9, rank=5, state=s) for s in (state, tuple(state)[:-1]))
    assert (on.a == whole.a).all() and on.steps == whole.steps
    with pytest.raises(TypeError, match='expected state to be the State'):
        cg(K, Y, 1e-3, state=tuple(state)[:-2])


def test_going_on_otherwise():
    """A smaller tolerance, another rank, another diag_reg: from the solution so far."""
    first = cg(K, Y, 1e-3, tol=1e-4, rank=5)
    for rank, diag_reg in ((5, 1e-3), (30, 1e-3), (0, 1e-3), (5, 2e-3)):
        states = []
        on = cg(K, Y, diag_reg, tol=1e-10, rank=rank, state=first.state, progress=states.append)
        a = states[0].a
        assert off(states[0].r, Y - K @ a - diag_reg * np.trace(K) / N * a) < 1e-8
        assert on.steps > first.steps and off(on.a, dense(K, Y, diag_reg)) < 1e-7
    assert cg(K, Y, 1e-3, tol=1e-4, rank=5, state=first.state).steps == first.steps


def test_progress_is_shown(capsys):
    cg(K, Y, 1e-3, rank=5)
    assert capsys.readouterr().err == ''
    solution = cg(K, Y, 1e-3, rank=5, progress=True)
    shown = capsys.readouterr().err
    assert f'conjugate gradients: {solution.steps}step' in shown and 'residual' in shown


def test_progress_is_called_with_states():
    states = []
    solution = cg(K, Y, 1e-3, rank=5, progress=states.append)
    assert [s.steps for s in states] == list(range(1, solution.steps + 1))
    np.testing.assert_allclose(states[2].r, Y - K @ states[2].a - 1e-3 * np.trace(K) / N * states[2].a, atol=1e-10)


def test_states_of_something_else_are_refused():
    state = cg(K, Y, 1e-3).state
    for k, y in ((K, Y + 1), (K, Y[:, :2]), (2 * K, Y)):
        with pytest.raises(ValueError, match='expected a state of this kernel and these right-hand sides, got one for'):
            cg(k, y, 1e-3, state=state)


# ------------------------------------------------------------------ predictions

@pytest.mark.parametrize('get', ['nngp', 'ntk', 'ntkgp', None])
@pytest.mark.parametrize('form, diag_reg, absolute', [
    ('arrays', 1e-3, False), ('arrays', .05, True), ('computed', .05, True)])
def test_predictions(monkeypatch, get, form, diag_reg, absolute):
    monkeypatch.setattr(out_of_core, 'SIDE', 32 if form == 'arrays' else 64)
    monkeypatch.setattr('ntref.predict.iterative_gaussian.COLUMNS', 4)

    def kernels(x1, x2):
        return Kernels(*(ComputedKernel(NET.kernel_fn, x1, x2, name) for name in ('nngp', 'ntk')))
    train, cross, test = (kernels(X, None), kernels(X_TEST, X), kernels(X_TEST, None)) if form == 'computed' else (
        TRAIN, CROSS, TEST)
    exact = gp_inference(TRAIN, Y, diag_reg, absolute)(get, CROSS, TEST)
    predict_fn = gp_inference_iterative(train, Y, diag_reg, absolute, tol=1e-9, rank=20 if form == 'arrays' else 110)
    got, means = predict_fn(get, cross, test), predict_fn(get, cross)
    variances = predict_fn(get, cross, Kernels(*(np.diagonal(k) for k in TEST)))
    if get is not None:
        exact, got, means, variances = ([a] for a in (exact, got, means, variances))
    for one, e in enumerate(exact):
        assert off(got[one].mean, e.mean) < 1e-7 and (means[one] == got[one].mean).all()
        assert off(got[one].covariance, e.covariance) < 1e-7
        assert (got[one].covariance == got[one].covariance.T).all()
        assert off(variances[one].covariance, np.diagonal(e.covariance)) < 1e-7


def test_variances_are_better_than_the_tolerance():
    exact = np.diagonal(gp_inference(TRAIN.nngp, Y, .01)('nngp', CROSS.nngp, TEST.nngp).covariance)
    errors = [gp_inference_iterative(TRAIN.nngp, Y, .01, tol=tol, rank=5)(
        'nngp', CROSS.nngp, np.diagonal(TEST.nngp)).covariance - exact for tol in (1e-2, 1e-4)]
    smallest = np.linalg.eigvalsh(TRAIN.nngp)[0] + .01 * np.trace(TRAIN.nngp) / N
    for tol, e in zip((1e-2, 1e-4), errors):
        assert (-1e-14 < e).all() and (e <= tol ** 2 * (CROSS.nngp ** 2).sum(1) / smallest).all()
    assert errors[0].max() > 1e-9


def test_predictions_of_kernels_with_more_axes(small_tiles):
    """Targets (n, c, o), kernels (n, n, c, c)."""
    x, x_test = RNG.normal(size=(40, 3, 2)), RNG.normal(size=(5, 3, 2))
    k, cross, test = (points_and_positions(*xs) for xs in ((x, None), (x_test, x), (x_test, None)))
    assert k.shape == (40, 40, 3, 3)
    y = RNG.normal(size=(40, 3, 2))
    exact = gp_inference(k, y, .01)('nngp', cross, test)
    predict_fn = gp_inference_iterative(k, y, .01, tol=1e-10)
    got = predict_fn('nngp', cross, test)
    assert off(got.mean, exact.mean) < 1e-7 and off(got.covariance, exact.covariance) < 1e-7
    diagonal = np.einsum('mmcc->mc', test)
    assert off(predict_fn('nngp', cross, diagonal).covariance, np.einsum('mmcc->mc', exact.covariance)) < 1e-7


def points_and_positions(x1, x2):
    """Made up, positive."""
    z1, z2 = (np.moveaxis(x, 1, 0) for x in (x1, x1 if x2 is None else x2))
    return np.exp(-((z1[:, None, :, None] - z2[None, :, None]) ** 2).sum(-1) / 2).transpose(2, 3, 0, 1)


def test_predictions_with_the_other_preconditioner():
    exact = gp_inference(TRAIN, Y, 1e-3)('nngp', CROSS, TEST)
    calls = [gp_inference_iterative(TRAIN, Y, 1e-3, tol=1e-9, rank=20, max_steps=most, preconditioner=name)
             for name, most in (('cholesky', 1000), ('nystrom', 1000), ('nystrom', 2))]
    for predict_fn in calls[:2]:
        got = predict_fn('nngp', CROSS, TEST)
        assert off(got.mean, exact.mean) < 1e-7 and off(got.covariance, exact.covariance) < 1e-7
    with pytest.raises(NotConvergedError) as e:
        calls[2]('nngp', CROSS)
    assert e.value.state.preconditioner == 'nystrom' and e.value.state.lower.shape == (20, N)


def test_predictions_go_on_after_an_error():
    predict_fn, steps, whole = gp_inference_iterative(TRAIN, Y, 1e-3, rank=2, max_steps=6), [], None
    for _ in range(200):
        try:
            whole = predict_fn('nngp', CROSS, np.diagonal(TEST.nngp))
            break
        except NotConvergedError as e:
            steps.append(e.steps)
    exact = gp_inference(TRAIN, Y, 1e-3)('nngp', CROSS, TEST.nngp)
    assert steps[:3] == [6, 12, 18] and steps.count(6) == 2          # the targets, then the test points
    assert off(whole.mean, exact.mean) < 1e-6 and off(whole.covariance, np.diagonal(exact.covariance)) < 1e-6


def test_float32_predictions():
    train, cross, test, y = (a.astype('float32') for a in (TRAIN.nngp, CROSS.nngp, TEST.nngp, Y))
    got, exact = (f(train, y, .1)('nngp', cross, test) for f in (gp_inference_iterative, gp_inference))
    assert got.mean.dtype == got.covariance.dtype == 'float32'
    assert off(got.mean, exact.mean) < 1e-6 and off(got.covariance, exact.covariance) < 1e-6


# ------------------------------------------------------------------ errors

def with_nan(i, j):
    k = K.copy()
    k[i, j] = k[j, i] = np.nan
    return k


@pytest.mark.parametrize('error, match, call', [
    (ValueError, r'a square kernel \(n, n\) as k, got shape \(120, 119\)', lambda: cg(K[:, 1:], Y)),
    (ValueError, r'y of shape \(120,\) or \(120, o\) .* got \(119, 3\)', lambda: cg(K, Y[1:])),
    (ValueError, r'y of shape .* got \(120, 3, 1\)', lambda: cg(K, Y[..., None])),
    (ValueError, r'y of shape .* got \(120, 0\)', lambda: cg(K, Y[:, :0])),
    (ValueError, 'finite numbers, got y', lambda: cg(K, np.where(Y > .9, np.nan, Y))),
    (ValueError, 'finite numbers, got k', lambda: cg(with_nan(3, 3), Y)),
    (ValueError, 'finite numbers, got k with NaN or infinite in 2 rows, the first 3',
     lambda: cg(with_nan(3, 99), Y, rank=0)),
    (ValueError, 'symmetric kernel', lambda: cg(np.triu(K), Y)),
    (ValueError, 'symmetric kernel', lambda: cg(K + 9 * np.eye(N, k=N - 1), Y)),
    (ValueError, 'diag_reg >= 0, got -1', lambda: cg(K, Y, -1)),
    (ValueError, 'tol > 0, got 0', lambda: cg(K, Y, tol=0)),
    (ValueError, 'rank is expected to be a whole number >= 0', lambda: cg(K, Y, rank=-1)),
    (ValueError, 'max_steps is expected to be a whole number >= 1', lambda: cg(K, Y, max_steps=0)),
    (ValueError, "preconditioner to be one of cholesky, nystrom, got 'nystroem'. Did you mean 'nystrom'",
     lambda: cg(K, Y, preconditioner='nystroem')),
    (ValueError, 'preconditioner to be one of cholesky, nystrom, got 3', lambda: cg(K, Y, preconditioner=3)),
    (ValueError, 'finite numbers, got k with NaN or infinite in 2 rows, the first 3',
     lambda: cg(with_nan(3, 99), Y, preconditioner='nystrom')),
    (TypeError, 'k to be an array, in memory or on disk', lambda: cg(K.tolist(), Y)),
    (TypeError, 'k to be an array, in memory or on disk', lambda: cg(TRAIN, Y)),
    (TypeError, 'expected an array', lambda: cg(K, Y.tolist())),
    (TypeError, 'k of real numbers', lambda: cg(K + 0j, Y)),
    (ValueError, 'expected k_test_train, got None', lambda: gp_inference_iterative(TRAIN, Y)('nngp')),
    (ValueError, 'attributes nngp and ntk', lambda: gp_inference_iterative(K, Y)('ntk', CROSS.ntk, TEST.nngp)),
    (ValueError, "attribute ntk for get='ntkgp'", lambda: gp_inference_iterative(K, Y)('ntkgp', CROSS.ntk, TEST.ntk)),
    (ValueError, 'to have an attribute ntk', lambda: gp_inference_iterative(stax, Y)('ntk', CROSS)),
    (ValueError, r'k_test_train has shape \(9, 119\)', lambda: gp_inference_iterative(K, Y)('nngp', CROSS.nngp[:, 1:])),
    (ValueError, r'k_test_test has shape \(8, 8\)',
     lambda: gp_inference_iterative(K, Y)('nngp', CROSS.nngp, TEST.nngp[1:, 1:])),
    (ValueError, 'k_train_train has shape', lambda: gp_inference_iterative(K, Y[1:])('nngp', CROSS)),
])
def test_errors(small_tiles, error, match, call):
    with pytest.raises(error, match=match):
        call()


def test_not_converged_says_what_to_do():
    with pytest.raises(NotConvergedError, match=r'got .* in 3 of 3 right-hand sides after 2 steps with rank 4.*'
                                                r'state= to go on.*larger rank or a larger diag_reg') as e:
        cg(K, Y, max_steps=2, rank=4)
    r = Y - K @ e.value.state.a
    np.testing.assert_allclose(e.value.residual, np.linalg.norm(r, axis=0) / np.linalg.norm(Y, axis=0), rtol=1e-10)
    assert isinstance(e.value, RuntimeError)


@pytest.mark.parametrize('least', [-.5, -1e-6])
@pytest.mark.parametrize('rank, preconditioner', [(0, 'cholesky'), (20, 'cholesky'), (20, 'nystrom')])
def test_indefinite_kernels(least, rank, preconditioner):
    w, v = np.linalg.eigh(K)
    w[0] = least
    k = (v * w) @ v.T
    with pytest.raises(NotPSDError, match=r'expected a positive definite K \+ reg I, got p\^T \(K \+ reg I\) p') as e:
        cg((k + k.T) / 2, Y, rank=rank, tol=1e-13, preconditioner=preconditioner)
    assert 1.0001 * least <= e.value.smallest < 0 and e.value.absolute
    if rank == 0:
        assert cg((k + k.T) / 2, Y, 2 * abs(least), True, rank=rank).residual.max() <= 1e-8


def test_negative_diagonal():
    with pytest.raises(NotPSDError, match='got p.* = -2 for'):
        cg(np.diag([1., 2., -3.]), np.ones(3), 1., True)
    assert off(cg(np.diag([1., 2., -3.]), np.ones(3), 4., True).a, np.array([1 / 5, 1 / 6, 1.])) < 1e-7


def test_singular_kernels():
    """The pseudo-inverse's solution where there is one; a target outside of the range is not reached."""
    k, y = X @ X.T, X @ np.array([1., 2., 3., 4.])
    for preconditioner in 'cholesky', 'nystrom':
        assert off(k @ cg(k, y, rank=2, preconditioner=preconditioner).a, y) < 1e-8
    with pytest.raises((NotConvergedError, NotPSDError)):
        cg(k, Y, rank=2)
    for preconditioner in 'cholesky', 'nystrom':
        with pytest.raises(NotPSDError, match='= 0 for'):
            cg(np.zeros((2, 2)), np.ones(2), preconditioner=preconditioner)
        assert off(cg(np.zeros((2, 2)), np.ones(2), .5, True, preconditioner=preconditioner).a, [2., 2.]) < 1e-15


# ------------------------------------------------------------------ numbers of all sizes

@pytest.mark.parametrize('rank, preconditioner', [
    (0, 'cholesky'), (3, 'cholesky'), (100, 'cholesky'), (3, 'nystrom'), (100, 'nystrom')])
@pytest.mark.parametrize('of_y', (1e-300, 1e-155, 1., 1e155, 1e300))
def test_scales(of_y, rank, preconditioner):
    """c K a = s y has s/c times the solution of K a = y; what is out of range is refused, and all calls end."""
    rng = np.random.default_rng(0)
    half, y = rng.standard_normal((6, 8)), rng.standard_normal((6, 2))
    k = half @ half.T
    right = np.linalg.solve(k + .1 * np.trace(k) / 6 * np.eye(6), y)
    given = dict(rank=rank, max_steps=100, preconditioner=preconditioner)
    for of_k in (1e-300, 1e-155, 1., 1e155, 1e300):
        if np.log10(of_y) - np.log10(of_k) > 300:
            with pytest.raises(ValueError, match='expected a solution in the range of float64'):
                cg(k * of_k, y * of_y, .1, **given)
        else:
            found = cg(k * of_k, y * of_y, .1, **given)
            assert (found.residual <= 1e-8).all() and found.steps <= 12
            if np.log10(of_y) - np.log10(of_k) > -290:
                np.testing.assert_allclose(found.a / of_y * of_k, right, rtol=1e-6)
            again = cg(k * of_k, y * of_y, .1, tol=1e-12, state=found.state, **given)
            assert (again.residual <= 1e-12).all()


def test_a_state_holds_the_solution_in_the_units_of_y():
    y = np.array([[1e200, 3e-200], [2e200, 1e-200]])
    with pytest.raises(NotConvergedError) as error:
        cg(np.array([[2., 1.], [1., 3.]]), y, rank=0, max_steps=1, tol=1e-12)
    assert (error.value.state.y == y).all() and 1e198 < abs(error.value.state.a[:, 0]).max() < 1e201
    found = cg(np.array([[2., 1.], [1., 3.]]), y, rank=0, tol=1e-12, state=error.value.state)
    np.testing.assert_allclose(found.a / y.max(0), np.linalg.solve([[2., 1.], [1., 3.]], y / y.max(0)), rtol=1e-11)


def test_a_trace_beyond_the_range_is_refused():
    with pytest.raises(ValueError, match='trace is in the range of float64'):
        cg(np.diag([1e308, 1e308, 1e308]), np.ones(3))
