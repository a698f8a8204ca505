"""Predictors in files, copied, shown, and pickled or not: same bits, and nothing read that is not checked."""
import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import autograd.numpy as anp
import mpmath
import numpy as np
import pytest
from kinds import to_kind

from ntref import batch, load_predictor, predict, save_predictor, stax
from ntref.engine.archive import read_archive, write_archive
from ntref.tuples import named_tuple

rng = np.random.default_rng(0)
X, X_TEST, Y = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)), rng.standard_normal((7, 2))
NET = stax.serial(stax.Dense(16, 1.4, .2), stax.Relu(), stax.Dense(2, 1., .1))
TRAIN, CROSS, TEST = (NET.kernel_fn(*pair, ('nngp', 'ntk')) for pair in ((X, None), (X_TEST, X), (X_TEST, None)))
K, K_TEST = TRAIN.ntk, CROSS.ntk
SINGLE, SINGLE_TEST, SINGLE_Y = (a.astype('float32') for a in (K, K_TEST, Y))
TWICE = X[[0, 1, 2, 2, 0]]                                                # repeated rows: a singular kernel
SKEW = np.float32([[2., 1.], [np.nextafter(np.float32(1), np.float32(2)), 2.]])        # its mean is no float32
CROSSED = np.einsum('ij,ab->ijab', K[:4, :4], [[2., .5], [.5, 1.]])
IMAGES = rng.standard_normal((4, 5, 5, 2))
POOLED = stax.serial(stax.Conv(4, (3, 3), padding='SAME'), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
PADDED = np.where(np.arange(6)[:, None] < np.array([6, 4, 5, 3])[:, None, None], rng.standard_normal((4, 6, 2)), np.nan)
WORDS = stax.serial(stax.Dense(4), stax.Relu(), stax.GlobalSumPool(), stax.Dense(1))
EDGES = (rng.random((4, 5, 5)) < .5).astype(float)
GRAPHS = stax.serial(stax.Dense(4), stax.Aggregate(1, 0, 2), stax.GlobalAvgPool(), stax.Dense(1))
TWO = stax.serial(stax.parallel(stax.Dense(4), stax.Dense(4)), stax.FanInSum(), stax.Relu(), stax.Dense(1))


def mse(f, y):
    return anp.mean((f - y) ** 2) / 2


def ensemble(net, x, y=Y, *call, **options):
    y = y[:len(x)] if isinstance(x, np.ndarray) else y
    return predict.gradient_descent_mse_ensemble(net, x, y, *call, **options)


CASES = {
    'flow': (lambda: predict.gradient_descent_mse(K, Y, .5, .1), ([1., np.inf], 0., 1., K_TEST), (
        None, 0., 0., K_TEST)),
    'flow, float32': (lambda: predict.gradient_descent_mse(SINGLE, SINGLE_Y), (3., 0., 0., SINGLE_TEST)),
    'flow, float32 kernel': (lambda: predict.gradient_descent_mse(SINGLE, Y, 1., .1), (3., 0., 0., SINGLE_TEST)),
    'flow, float32 not symmetric': (lambda: predict.gradient_descent_mse(SKEW, SINGLE_Y[:2]), (3.,), (None,)),
    'flow, vector': (lambda: predict.gradient_descent_mse(K, Y[:, 0], .5, .1, True), (2., 0., 0., K_TEST)),
    'flow, outputs apart': (lambda: predict.gradient_descent_mse(CROSSED, Y[:4], .5, .1, True, ()), (2.,), (None,)),
    'flow, first axis traced': (lambda: predict.gradient_descent_mse(K, Y.T, .5, .1, False, [0]), (
        2., 0., 0., K_TEST)),
    'steps': (lambda: predict.gradient_descent_mse_steps(K, Y, .1, .9, True), ([3, 50], 0., 0., K_TEST), (None,)),
    'laplace': (lambda: predict.laplace_inference(K, 1. * (Y[:, 0] > 0)), (K_TEST, np.diag(TEST.ntk).copy())),
    'laplace, classes': (lambda: predict.laplace_inference(K, np.eye(3)[[0, 1, 2, 0, 1, 2, 0]]), (
        K_TEST, np.diag(TEST.ntk).copy())),
    'inference': (lambda: predict.gp_inference(TRAIN, Y, .1), (None, CROSS, TEST), ('ntkgp',), ('ntk', CROSS)),
    'inference, nngp': (lambda: predict.gp_inference(SimpleNamespace(nngp=TRAIN.nngp), Y), ('nngp', CROSS, TEST)),
    'inference, one kernel': (lambda: predict.gp_inference(K, Y), (None, K_TEST), ('nngp', K_TEST, TEST.ntk)),
    'ensemble': (lambda: ensemble(NET, X, diag_reg=.1), (None, X_TEST, None, True), (3., X_TEST, 'ntk', True)),
    'ensemble of a kernel_fn': (lambda: ensemble(NET.kernel_fn, X), (3., X_TEST, 'ntk', True)),
    'one feature': (lambda: ensemble(NET, X[:, :1], diag_reg=1e-3), (None, X_TEST[:, :1], None, True)),
    'opposite and zero rows': (lambda: ensemble(NET, np.stack([X[0], -X[0], 0 * X[0]]), Y), (2., X_TEST, None, True)),
    'images': (lambda: ensemble(POOLED, IMAGES), (2., 1. + IMAGES, 'ntk', True)),
    'two branches': (lambda: ensemble(TWO, [X, 1. + X]), (2., [X_TEST, 1. + X_TEST], 'ntk', True)),
}
KEYWORDS = {
    'masks': (lambda: ensemble(WORDS, PADDED, mask_constant=np.nan), (2., PADDED[:2], 'ntk', True), {}),
    'graphs': (lambda: ensemble(GRAPHS, IMAGES[:, 0], pattern=EDGES), (2., IMAGES[:2, 0], 'ntk', True), {
        'pattern': EDGES[:2]}),
    'pairs': (lambda: ensemble(GRAPHS, IMAGES[:, 0], pattern=(EDGES, None)), (2., IMAGES[:2, 0], 'ntk', True), {
        'pattern': (EDGES[:2], None)}),
}


def numbers(result):
    return [a for part in result for a in numbers(part)] if isinstance(result, tuple) else [result]


def assert_same(a, b):
    for one, other in zip(numbers(a), numbers(b), strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)


# ------------------------------------------------------------------ files

@pytest.mark.parametrize('used', (False, True))
@pytest.mark.parametrize('name', CASES)
def test_what_is_read_predicts_the_same_bits(name, used, tmp_path):
    make, *calls = CASES[name]
    predict_fn = make()
    for call in calls if used else ():
        predict_fn(*call)
    save_predictor(tmp_path / 'a.npz', predict_fn)
    again = load_predictor(tmp_path / 'a.npz')
    assert type(again) is type(predict_fn) and repr(again) == repr(predict_fn)
    for call in calls:
        assert_same(again(*call), make()(*call))
    save_predictor(tmp_path / 'b.npz', again)                             # and so on
    assert_same(load_predictor(tmp_path / 'b.npz')(*calls[0]), make()(*calls[0]))


@pytest.mark.parametrize('name', KEYWORDS)
def test_keywords_of_the_kernel_function_are_kept(name, tmp_path):
    make, call, given = KEYWORDS[name]
    save_predictor(tmp_path / 'a.npz', make())
    assert_same(load_predictor(tmp_path / 'a.npz')(*call, **given), make()(*call, **given))


def test_factorizations_are_kept(tmp_path, monkeypatch):
    predict_fn = predict.gradient_descent_mse(K, Y)
    expected = predict_fn([1., 2.]), predict_fn(None, 0., 0., K_TEST)
    save_predictor(tmp_path / 'a.npz', predict_fn)
    again = load_predictor(tmp_path / 'a.npz')

    def computed_anew(*a, **options):
        raise AssertionError
    monkeypatch.setattr(np.linalg, 'cholesky', computed_anew)
    monkeypatch.setattr(np.linalg, 'eigh', computed_anew)
    xp = predict.closed_form.namespace(K)
    monkeypatch.setattr(xp, 'cholesky', computed_anew)
    monkeypatch.setattr(xp, 'eigh', computed_anew)
    assert_same((again([1., 2.]), again(None, 0., 0., K_TEST)), expected)


@pytest.mark.parametrize('used', (False, True))
def test_singular_kernels_stay_singular(used, tmp_path):
    predict_fn = ensemble(NET, TWICE)
    if used:
        with pytest.warns(predict.SingularKernelWarning):
            predict_fn(x_test=X_TEST, get='ntk')
    save_predictor(tmp_path / 'a.npz', predict_fn)
    with pytest.warns(predict.SingularKernelWarning) as again:
        found = load_predictor(tmp_path / 'a.npz')(None, X_TEST, 'ntk', True)
    with pytest.warns(predict.SingularKernelWarning) as right:
        assert_same(found, predict_fn(None, X_TEST, 'ntk', True))
    assert str(again[0].message) == str(right[0].message)


def test_files_of_another_process(tmp_path):
    save_predictor(tmp_path / 'a.npz', ensemble(NET, X))
    code = ('import sys, numpy, ntref\np = ntref.load_predictor(sys.argv[1])\n'
            'numpy.save(sys.argv[2], p(2., numpy.load(sys.argv[3]), "ntk"))')
    np.save(tmp_path / 'x.npy', X_TEST)
    subprocess.run([sys.executable, '-c', code, *(tmp_path / name for name in ('a.npz', 'b.npy', 'x.npy'))], check=True)
    assert_same(np.load(tmp_path / 'b.npy'), ensemble(NET, X)(2., X_TEST, 'ntk'))


def test_files_of_arrays_of_other_kinds(tmp_path, cupy):
    k, y, k_test = (to_kind('cupy', a) for a in (K, Y, K_TEST))
    save_predictor(tmp_path / 'a.npz', predict.gradient_descent_mse(k, y))
    again = load_predictor(tmp_path / 'a.npz')(2., 0., 0., K_TEST)
    right = predict.gradient_descent_mse(k, y)(2., 0., 0., k_test)[1].get()
    assert np.allclose(again[1], right, rtol=1e-13, atol=1e-13)
    with mpmath.workdps(30), pytest.raises(TypeError, match='expected an array of numbers, .* of Python objects'):
        save_predictor(tmp_path / 'b.npz', predict.gradient_descent_mse(to_kind('mpmath', K), to_kind('mpmath', Y)))
    assert not (tmp_path / 'b.npz').exists()


@pytest.mark.parametrize('predictor, error, text', [
    (lambda: predict.gradient_descent(mse, K, Y), TypeError, 'of gradient_descent: its loss is a function'),
    (lambda: predict.gp_inference_iterative(K, Y), TypeError, 'iterative: its kernel need not be in memory. Save the'),
    (lambda: ensemble(lambda x1, x2, get: x1 @ (x1 if x2 is None else x2).T, X), TypeError,
     'expected the kernel_fn of a network of ntref.stax, got <lambda>: a file has networks as JSON, and no functions'),
    (lambda: ensemble(batch(NET, 4), X), TypeError, 'expected the kernel_fn of a network'),
    (lambda: ensemble(stax.serial(stax.Dense(1), stax.ElementwiseNumerical(np.tanh, 9), stax.Dense(1)), X), ValueError,
     'expected fn to be a number, text or layer to write it as JSON'),
    (lambda: NET, TypeError, 'expected a predictor, as the functions of ntref.predict return it, got serial'),
    (lambda: predict.gp_inference, TypeError, 'expected a predictor, as the functions of ntref.predict return it, got '
     '<function')])
def test_what_no_file_can_have(predictor, error, text, tmp_path):
    with pytest.raises(error, match=text):
        save_predictor(tmp_path / 'a.npz', predictor())
    assert list(tmp_path.iterdir()) == []


def changed(path, change):
    """Apply a function to (manifest, arrays) of a file."""
    with np.load(path) as archive:
        arrays = dict(archive)
    about = json.loads(str(arrays.pop('manifest')))
    change(about, arrays)
    np.savez(path, manifest=np.array(json.dumps(about)), **arrays)


def resealed(change):
    """The change, and a checksum that fits."""
    from ntref.engine.store import sealed

    def both(about, arrays):
        change(about, arrays)
        about |= {'arrays': {name: [list(a.shape), a.dtype.str] for name, a in arrays.items()}}
        about |= sealed(about)
    return both


def network(name, value):
    def change(about, arrays):
        layers = about['tree']['dict']['parts']['dict']['network']['dict']['layers']
        layers[0]['dict'][name] = value
    return change


def array(name, f):
    def change(about, arrays):
        found, = [key for key in arrays if key.endswith(name)]
        arrays[found] = f(arrays[found])
    return change


@pytest.mark.parametrize('change, text', [
    (lambda about, arrays: about.update(format=2), 'in format 2; expected .* in format 1, which this version'),
    (lambda about, arrays: about.update(content='kernel'), "the content is 'kernel'"),
    (network('W_std', 1.5), 'manifest is damaged or was changed'),
    (resealed(network('W_std', 1.5)), 'to have the kernel of the file, but of the first inputs its nngp is another'),
    (resealed(network('W_std', 'x')), 'expected W_std to be a number'),
    (resealed(network('layer', 'Dens')), "Did you mean 'Dense'"),
    (array('x_train', lambda x: x[:, :2]), r'x_train in .* of shape \[7, 3\] and dtype <f8, got \(7, 2\)'),
    (resealed(array('x_train', lambda x: x[:5])), 'as many targets as inputs'),
    (resealed(array('x_train', lambda x: x + np.nan)), 'finite'),
    (array('x_train', lambda x: x.astype('float32')), 'of shape .* and dtype <f8, got .* and <f4'),
    (resealed(array('ntk.k_train_train', lambda k: k + np.triu(k))),
     'expected a symmetric kernel'),
    (resealed(array('lower', lambda a: 1.1 * a)), 'expected factorizations of the kernel that is with them'),
    (resealed(array('lower', lambda a: a[:3, :3])), 'expected a file of save_predictor'),
    (resealed(array('vectors', lambda a: a[:, ::-1])), 'expected factorizations of the kernel that is with them'),
    (resealed(array('values', lambda a: a + 1.)), 'expected factorizations of the kernel that is with them'),
    (resealed(lambda about, arrays: about['tree']['dict'].update(of='os.system')), "save_predictor, .*'os.system'"),
    (resealed(lambda about, _: about['tree']['dict']['parts']['dict'].pop('options')), 'save_predictor, .*options'),
    (lambda about, arrays: about.clear(), 'the content is None in format None')])
def test_files_that_were_changed(change, text, tmp_path):
    path = tmp_path / 'a.npz'
    predict_fn = ensemble(NET, X)
    predict_fn(None, X_TEST, 'ntk')
    predict_fn(1., X_TEST, 'ntk')
    save_predictor(path, predict_fn)
    changed(path, change)
    with pytest.raises(ValueError, match=text):
        load_predictor(path)


def test_a_changed_network_that_a_checksum_fits_is_seen_by_its_kernel(tmp_path):
    """With the mistakes that matter: another std, another bias, another nonlinearity, one more layer."""
    others = [stax.serial(stax.Dense(16, *of), stax.Relu(), stax.Dense(2, 1., .1)) for of in ((1.41, .2), (1.4, .21))]
    others += [stax.serial(stax.Dense(16, 1.4, .2), f, stax.Dense(2, 1., .1)) for f in (stax.Erf(), stax.Gelu())]
    others += [stax.serial(NET, stax.Relu(), stax.Dense(1))]
    for net in others:
        save_predictor(tmp_path / 'b.npz', ensemble(net, X))
        with np.load(tmp_path / 'b.npz') as archive:
            of_other = json.loads(str(archive['manifest']))['tree']['dict']['parts']['dict']['network']
        save_predictor(tmp_path / 'a.npz', ensemble(NET, X))
        changed(tmp_path / 'a.npz', resealed(
            lambda about, arrays: about['tree']['dict']['parts']['dict'].update(network=of_other)))
        with pytest.raises(ValueError, match='expected the network of the file to have the kernel of the file'):
            load_predictor(tmp_path / 'a.npz')


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_executed(tmp_path):
    sprung, objects = tmp_path / 'sprung', np.empty(1, object)
    objects[0] = Trap(sprung)
    save_predictor(tmp_path / 'a.npz', ensemble(NET, X))
    changed(tmp_path / 'a.npz', array('x_train', lambda x: objects))
    np.savez(tmp_path / 'b.npz', manifest=objects)
    (tmp_path / 'c.npz').write_bytes(pickle.dumps(objects))
    for name in 'abc':
        with pytest.raises(ValueError, match='expected a file with a predictor') as raised:
            load_predictor(tmp_path / f'{name}.npz')
        assert 'allow_pickle' not in str(raised.value)
    assert not sprung.exists()
    with open(tmp_path / 'c.npz', 'rb') as f:
        pickle.load(f)
    assert sprung.exists()                                                # it would have


def test_paths(tmp_path):
    predict_fn = predict.gradient_descent_mse(K, Y)
    for path in (tmp_path / 'a.zarr', tmp_path / 'a', 's3://bucket/a.npz'):
        with pytest.raises(ValueError, match='expected a path on this machine that ends in .npz'):
            save_predictor(path, predict_fn)
    (tmp_path / 'a.npz').mkdir()
    with pytest.raises(IsADirectoryError, match='expected a path where no directory is'):
        save_predictor(tmp_path / 'a.npz', predict_fn)
    with pytest.raises(FileNotFoundError):
        load_predictor(tmp_path / 'b.npz')
    save_predictor(tmp_path / 'b.npz', ensemble(NET, X))
    save_predictor((tmp_path / 'b.npz').as_uri(), predict_fn)             # replaced
    assert_same(load_predictor(str(tmp_path / 'b.npz'))(2.), predict_fn(2.))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.npz', 'b.npz']


# ------------------------------------------------------------------ archives

TREE = {'numbers': [1, 2.5, True, None, 'text', np.inf], 'tuple': ((), (1, [2]), {'a': {}}),
        'arrays': {'x': X, 'single': SINGLE, 'whole': np.arange(3), 'flag': np.array([True]), 'none': np.zeros((0, 3))},
        'x.y': X[0], 'x': {'y': X[1]}, 'number': np.float64(.1), 'array': {'array': [1]}, 'dict': {'tuple': (1,)}}


def assert_tree(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for name in a:
            assert_tree(a[name], b[name])
    elif isinstance(a, (list, tuple)):
        for one, other in zip(a, b, strict=True):
            assert_tree(one, other)
    elif isinstance(a, np.ndarray):
        assert_same(a, b)
    else:
        assert a == b


def test_trees_come_back_as_they_were(tmp_path):
    write_archive(tmp_path / 'a.npz', 'tree', TREE)
    assert_tree(read_archive(tmp_path / 'a.npz', 'tree'), TREE)
    with pytest.raises(ValueError, match="the content is 'tree' in format 1; expected 'estimator'"):
        read_archive(tmp_path / 'a.npz', 'estimator')


@pytest.mark.parametrize('value, text', [
    ({'a': {1: 2}}, 'expected names in tree.a, got 1'),
    ({'a': [len]}, 'expected tree.a.0 to be made of numbers, .*len'),
    ({'a': {1, 2}}, 'expected tree.a to be made of'), (Trap(''), 'expected tree to be made of .* of type Trap'),
    ({'a': np.ma.masked_array([1.], [True])}, 'MaskedArray'), ({'a': np.array([Trap('')])}, 'of Python objects'),
    ({'a': 1j}, 'of type complex')])
def test_what_is_no_tree(value, text, tmp_path):
    with pytest.raises(TypeError, match=text):
        write_archive(tmp_path / 'a.npz', 'tree', value)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ pickles, copies, text

def test_functions_without_a_name_are_refused_in_words():
    def inner(f, y):
        return mse(f, y)
    code = """
import pickle, numpy, ntref
def attempt(p):
    try:
        pickle.dumps(p)
    except pickle.PicklingError as e:
        print(e)
x = numpy.eye(2)
net = ntref.stax.serial(ntref.stax.Dense(1), ntref.stax.ElementwiseNumerical(lambda x: x ** 2, 9))
attempt(ntref.predict.gradient_descent_mse_ensemble(lambda x1, x2, get: x1, x, x))
attempt(ntref.predict.gradient_descent_mse_ensemble(net, x, x))
attempt(ntref.predict.gradient_descent(lambda f, y: ((f - y) ** 2).sum(), x, x))
attempt(ntref.predict.gradient_descent(None, x, x, grad=lambda f, y: f - y))
"""
    said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.splitlines()
    names = ['kernel_fn', 'kernel_fn', 'loss', 'grad']
    assert [line.split(' that ')[0] for line in said] == [f'expected a {name}' for name in names]
    assert all('write it with def at the top of a module' in line for line in said)


def test_other_pickles_have_functions_without_a_name():
    cloudpickle = pytest.importorskip('cloudpickle')
    predict_fn = predict.gradient_descent(lambda f, y: ((f - y) ** 2).sum(), K, Y)
    assert_same(pickle.loads(cloudpickle.dumps(predict_fn))(2.), predict_fn(2.))


@pytest.mark.parametrize('name', ['flow', 'steps', 'inference', 'ensemble'])
def test_copies(name):
    make, call, *_ = CASES[name]
    for copied in (copy.copy, copy.deepcopy):
        for used in (False, True):
            predict_fn = make()
            if used:
                predict_fn(*call)
            assert_same(copied(predict_fn)(*call), make()(*call))


def test_copies_have_functions_without_a_name():
    predict_fn = predict.gradient_descent(lambda f, y: ((f - y) ** 2).sum(), K, Y)
    for copied in (copy.copy, copy.deepcopy):
        assert_same(copied(predict_fn)(2.), predict_fn(2.))


def test_a_deep_copy_has_arrays_of_its_own():
    x = X.copy()
    predict_fn = ensemble(NET, x)
    again = copy.deepcopy(predict_fn)
    x += 1.
    assert_same(again(2., X_TEST, 'ntk'), ensemble(NET, X)(2., X_TEST, 'ntk'))
    assert not np.array_equal(predict_fn(2., X_TEST, 'ntk'), again(2., X_TEST, 'ntk'))


@pytest.mark.parametrize('predictor, text', [
    (predict.gradient_descent_mse(K, Y, .5, .1),
     '<predict_fn of gradient_descent_mse: targets (7, 2), diag_reg=0.1, learning_rate=0.5>'),
    (predict.gradient_descent_mse_steps(K, Y, .1, .9, True),
     '<predict_fn of gradient_descent_mse_steps: targets (7, 2), diag_reg=0, '
     'learning_rate=0.1, momentum=0.9, nesterov>'),
    (predict.laplace_inference(np.eye(2), np.eye(2)), '<predict_fn of laplace_inference: targets (2, 2)>'),
    (predict.gp_inference(TRAIN, Y), '<predict_fn of gp_inference: nngp and ntk, targets (7, 2), diag_reg=0>'),
    (predict.gp_inference(K, Y), '<predict_fn of gp_inference: one kernel, targets (7, 2), diag_reg=0>'),
    (predict.gp_inference(SimpleNamespace(ntk=K), Y), '<predict_fn of gp_inference: ntk, targets (7, 2), diag_reg=0>'),
    (predict.gp_inference_iterative(K, Y, .1), '<predict_fn of gp_inference_iterative: targets (7, 2), diag_reg=0.1, '
     'tol=1e-08>'),
    (ensemble(NET, X), f'<predict_fn of gradient_descent_mse_ensemble: {NET!r}, targets (7, 2), diag_reg=0, '
     'learning_rate=1>'),
    (ensemble(mse, X), '<predict_fn of gradient_descent_mse_ensemble: mse, targets (7, 2), diag_reg=0, '
     'learning_rate=1>'),
    (predict.gradient_descent(mse, K, Y), '<predict_fn of gradient_descent: mse, targets (7, 2), tau = 1 t>'),
    (predict.gradient_descent(mse, K, Y, 4., .5),
     '<predict_fn of gradient_descent: mse, targets (7, 2), tau = 2 t, damping=0.25>')])
def test_predictors_say_what_they_predict_from(predictor, text):
    assert repr(predictor) == text


@pytest.mark.parametrize('result', [
    TRAIN, predict.gp_inference(TRAIN, Y)(None, CROSS, TEST), named_tuple('Pair', {'a': 1, 'b': 2})])
def test_named_results_can_be_pickled_and_copied(result):
    for again in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        assert type(again) is type(result) and again._fields == result._fields and repr(again) == repr(result)
        assert_same(numbers(again)[0] * np.ones(1), numbers(result)[0] * np.ones(1))
    assert result._replace(**{result._fields[0]: None})[0] is None
