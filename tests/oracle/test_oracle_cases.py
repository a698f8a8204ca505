"""The cases of the conformance suite: what they cover, that ntref passes them, that they can be made again."""
import json
import os
import subprocess
import sys
from collections import Counter, namedtuple
from dataclasses import replace
from datetime import date
from unittest import mock

import mpmath
import numpy
from places import ROOT
import pytest
import reference
import reference_conv

from ntref import duals, empirical_kernel_fn, predict, stax
from ntref.duals.geometry import Cov
from ntref.oracle import cases, conformance_cases, definitions, generate as making
from ntref.oracle.cases import CLASSES, DATA, digits
from ntref.oracle.catalogue import INPUTS, catalogue
from ntref.oracle.definitions import PREDICTIONS, settled
from ntref.recursion import start
from ntref.trees import rebuilt

CASES = conformance_cases()
FAMILIES = sorted({case.name.partition('/')[0] for case in CASES})
WITHOUT = {'AggregateImplementation', 'AttentionMechanism', 'Bool', 'Diagonal', 'Layer', 'LayerError', 'MaskedArray',
           'Padding', 'PositionalEmbedding', 'from_spec', 'layer', 'requires', 'supports_masking', 'unmask_fn'}
"""No layers."""
FUNCTIONS = {'Elementwise', 'ElementwiseNumerical'}
"""Made of functions, which JSON cannot hold."""


# ------------------------------------------------------------------ ntref passes

def cast(a, dtype):
    if isinstance(a, list):
        return [cast(part, dtype) for part in a]
    return a.astype(dtype) if getattr(getattr(a, 'dtype', None), 'kind', '') == 'f' else a


def given(case, dtype='float64'):
    return {name: cast(a, dtype) for name, a in case.inputs.items()}, dict(case.options)


def kernel(case, dtype):
    arrays, options = given(case, dtype)
    if 'pattern1' in arrays:
        options['pattern'] = arrays['pattern1'], arrays['pattern2']
    return stax.from_spec(case.spec).kernel_fn(arrays['x1'], arrays['x2'], tuple(options.pop('get')), **options)


def finite(case, dtype):
    arrays, options = given(case, dtype)
    net, get = stax.from_spec(case.spec), tuple(options.pop('get'))
    params = rebuilt(net.init_fn(0, arrays['x1'].shape)[1], arrays['params'])
    return empirical_kernel_fn(net.apply_fn, **options)(arrays['x1'], arrays['x2'], get, params)


def prediction(case, dtype):
    arrays, options = given(case, dtype)
    return globals()[options.pop('function')](arrays, options, dtype)


def gradient_descent_mse(inputs, options, dtype):
    train = inputs.pop('k_train_train'), inputs.pop('y_train')
    f = predict.gradient_descent_mse(*train, **{k: v for k, v in options.items() if k != 't'})
    both = f(options['t'], **({'fx_train_0': 0.} | inputs))
    return dict(zip(('fx_train', 'fx_test'), both if isinstance(both, tuple) else (both,)))


def gradient_descent(arrays, options, dtype):
    assert options.pop('loss') == 'mse'
    k, y, t = arrays['k_train_train'], arrays['y_train'], options.pop('t')
    f = predict.gradient_descent(lambda f, y: ((f - y) ** 2).mean() / 2, k, y, **options)
    return dict(zip(('fx_train', 'fx_test'), f(t, *(arrays[name] for name in (
        'fx_train_0', 'fx_test_0', 'k_test_train')))))


def gradient_descent_mse_steps(arrays, options, dtype):
    k, y, steps = arrays['k_train_train'], arrays['y_train'], options.pop('steps')
    f = predict.gradient_descent_mse_steps(k, y, **options)
    return dict(zip(('fx_train', 'fx_test'), f(steps, *(arrays[name] for name in (
        'fx_train_0', 'fx_test_0', 'k_test_train')))))


def named(gaussians, options):
    """{'mean_nngp': array, ...}."""
    found = {}
    for get in options['get']:
        both = getattr(gaussians, get)
        parts = zip(('mean', 'covariance'), both if options.get('compute_cov') else (both,))
        found |= {f'{part}_{get}': a for part, a in parts}
    return found


def gp_inference(inputs, options, dtype):
    pair = namedtuple('Pair', 'nngp ntk')
    tt, st, ss = (pair(*(inputs[f'{name}_{which}'] for name in ('nngp', 'ntk')))
                  for which in ('train_train', 'test_train', 'test_test'))
    how = {k: v for k, v in options.items() if k not in ('get', 'compute_cov')}
    f = predict.gp_inference(tt, inputs['y_train'], **how)
    return named(f(tuple(options['get']), st, ss if options.get('compute_cov') else None), options)


def gradient_descent_mse_ensemble(inputs, options, dtype):
    how = {k: v for k, v in options.items() if k in ('learning_rate', 'diag_reg')}
    f = predict.gradient_descent_mse_ensemble(
        stax.from_spec(options['spec']).kernel_fn, inputs['x_train'], inputs['y_train'], **how)
    return named(f(options['t'], inputs['x_test'], tuple(options['get']), options['compute_cov']), options)


def max_learning_rate(inputs, options, dtype):
    return {'max_learning_rate': numpy.asarray(predict.max_learning_rate(inputs['ntk_train_train'], **options), dtype)}


ANSWER = {'kernel': kernel, 'predict': prediction, 'empirical': finite}


@pytest.mark.filterwarnings('ignore::ntref.predict.SingularKernelWarning')        # of a kernel in float32: it is said
@pytest.mark.parametrize('dtype', ['float64', 'float32'])
@pytest.mark.parametrize('family', FAMILIES)
def test_ntref_passes(family, dtype):
    for case in conformance_cases(f'{family}/*', dtype=dtype):
        case.check(ANSWER[case.kind](case, dtype), dtype)


MISTAKES = {
    'nearly equal inputs taken for equal': (lambda: mock.patch.object(
        start, '_rejection', lambda x, y, k, i: 0 * k[i]), 'range/relu-3/near'),
    'slopes of Gelu by differences': (lambda: mock.patch.object(duals, 'gelu', lambda p, f=duals.gelu: (
        f(p)[0], f(p)[1] + p.n1 * 1e-16)), 'range/gelu-3/mixed-scales'),
    'a last digit of erf': (lambda: mock.patch.object(
        duals, 'erf', lambda p, *abc, f=duals.erf: (f(p, *abc)[0], f(p, *abc)[1] * (1 + 1e-12))),
        'nonlinearity/Erf/pair'),
    'a last digit of relu': (lambda: mock.patch.object(
        duals, 'abrelu', lambda p, *ab, f=duals.abrelu: (Cov(f(p, *ab)[0].k * (1 + 1e-12)), f(p, *ab)[1])),
        'dense/relu-1/pair'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_small_mistakes_are_noticed(name):
    mistake, where = MISTAKES[name]
    case, = conformance_cases(where)
    with mistake(), pytest.raises(AssertionError, match='digits agree'):
        case.check(kernel(case, 'float64'))


# ------------------------------------------------------------------ what is expected, by formulas of its own

SMOOTH = {'HardTanh', 'Relu6', 'Elu', 'Selu', 'Tanh', 'Sigmoid', 'Softplus', 'Swish', 'Mish'}
MIXING = {'LayerNorm', 'RMSNorm', 'Dropout', 'Index', 'ImageResize', 'DotGeneral', 'FanInConcat', 'Aggregate'}
"""That `reference`, or `reference_conv`, does not know: other tests have integrals and sums for them."""
OTHER = 'ConvTranspose-circular', 'attention/abs', 'attention/relu', 'flipped', 'axes/', 'NCHW', 'CHWN', 'letters'


def is_known(case):
    unknown = SMOOTH if case.inputs['x1'].ndim == 2 else SMOOTH | MIXING
    return (not any(part in case.name for part in OTHER) and case.expected['ntk'].ndim == 2
            and set(case.options) == {'get'} and 'pattern1' not in case.inputs
            and not unknown & {spec['layer'] for spec in specs(case.spec)})


def specs(part):
    """All layers of a network as JSON."""
    if isinstance(part, dict) and 'layer' in part:
        yield part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from specs(inner)


KNOWN = [case for case in CASES if case.kind == 'kernel' and is_known(case)]


@pytest.mark.parametrize('part', range(6))
def test_expected_values_are_those_of_textbook_formulas(part):
    """At 120 digits, correctly rounded; a few entries of each case."""
    for case in KNOWN[part::6]:
        x1, x2 = case.inputs['x1'], case.inputs['x2']
        own, x2 = x2 is None, x1 if x2 is None else x2
        for i, j in {(0, len(x2) - 1), (len(x1) - 1, min(1, len(x2) - 1)), (0, 0)}:
            if x1.ndim == 2:
                state = reference.kernel(case.spec, x1[i], x2[j], same=own and i == j)
                truth = {'nngp': state.k, 'ntk': state.t}
            else:
                truth = dict(zip(('nngp', 'ntk'), reference_conv.kernel(case.spec, x1[i], x2[j]).at()))
            for name, value in truth.items():
                expected, nothing = case.expected[name][i, j], 1e-30 * case.scale[name][i, j]
                assert expected == float(value) or max(abs(expected), abs(value)) <= nothing, (case, name, i, j)


def test_most_kernels_have_such_formulas():
    assert len(KNOWN) > 250 and {name.name.partition('/')[0] for name in KNOWN} >= {
        'dense', 'range', 'nonlinearity', 'branches', 'norm', 'conv', 'pool', 'attention'}


def test_predictions_of_one_input():
    """f = y (1 - exp(-k tau)), in numbers."""
    k, y, c = numpy.array([[2.]]), numpy.array([[3.]]), numpy.array([[.5]])
    inputs = {'k_train_train': k, 'y_train': y, 'k_test_train': c, 'fx_test_0': 0 * y, 'fx_train_0': 0 * y + 1}
    found, sure = settled(lambda: definitions.gradient_descent_mse(inputs, {'t': [.25, None], 'diag_reg': .5}), 30)
    with mpmath.workdps(50):
        decay = mpmath.exp(-mpmath.mpf('.75'))                                             # A = 2 + .5 * 2
        assert sure >= 50 and abs(found['fx_train'] - [[[3 - 2 * decay]], [[mpmath.mpf(3)]]]).max() < 1e-45
        assert abs(found['fx_test'] - [[[(1 - decay) / 3]], [[mpmath.mpf(1) / 3]]]).max() < 1e-45
        both = {f'{name}_{pair}': a for name in ('nngp', 'ntk') for pair, a in (
            ('train_train', k), ('test_train', c), ('test_test', k))} | {'y_train': y}
        options = dict(get=['nngp', 'ntk', 'ntkgp'], compute_cov=True, diag_reg=1., diag_reg_absolute_scale=True)
        found, _ = settled(lambda: definitions.gp_inference(both, options), 30)                  # A = 2 + 1, B = 1 / 6
        sixth = mpmath.mpf(1) / 6
        expected = {'mean': 3 * sixth, 'nngp': 2 - sixth / 2, 'ntk': 2 - sixth + 2 * sixth ** 2, 'ntkgp': 2 - sixth / 2}
        for get in ('nngp', 'ntk', 'ntkgp'):
            assert abs(found[f'mean_{get}'] - expected['mean']).max() < 1e-45
            assert abs(found[f'covariance_{get}'] - expected[get]).max() < 1e-45
    with pytest.raises(ArithmeticError, match='conditioned'):
        settled(lambda: {'a': numpy.array([mpmath.mpf(1) / 10 ** 50 + 1 - mpmath.mpf(1)])}, 30)


def test_steps_and_motion_of_one_input():
    inputs = {name: numpy.array([[value]]) for name, value in dict(
        k_train_train=2., y_train=3., k_test_train=.5, fx_train_0=1., fx_test_0=0.).items()}
    for nesterov, train, test in (False, [1, 3, 4], [0, .5, .75]), (True, [1, 4, 3], [0, .75, .5]):
        found = definitions.gradient_descent_mse_steps(inputs, {
            'learning_rate': .5, 'momentum': .5, 'nesterov': nesterov, 'steps': [0, 1, 2]})
        assert found['fx_train'].ravel().tolist() == train and found['fx_test'].ravel().tolist() == test
    flow, _ = settled(lambda: definitions.gradient_descent(inputs, {'t': [0., .5], 'learning_rate': 2.}), 30)
    same, _ = settled(lambda: definitions.gradient_descent_mse(inputs, {'t': [0., .5], 'learning_rate': 2.}), 30)
    ball, _ = settled(lambda: definitions.gradient_descent(inputs, {'t': [.5], 'momentum': 0.}), 30)
    with mpmath.workdps(60):
        assert all(abs(flow[name] - a).max() < 1e-40 for name, a in same.items())
        w, t = mpmath.sqrt(7) / 2, mpmath.mpf(.5)                                               # r'' + r' + 2 r = 0
        r = -2 * mpmath.exp(-t / 2) * (mpmath.cos(w * t) + mpmath.sin(w * t) / (2 * w))
        assert abs(ball['fx_train'] - 3 - r).max() < 1e-40 and abs(ball['fx_test'] - (r + 2) / 4).max() < 1e-40


def test_empirical_kernel_of_a_product():
    """f = 3 v relu(w x): df/dv = 3 relu(w x), df/dw = 3 v x."""
    net = stax.serial(stax.Dense(1, 3.), stax.Relu(), stax.Dense(1))
    inputs = {'x1': numpy.array([[2.], [-1.]]), 'x2': None, 'params': [numpy.array([[.5]]), numpy.array([[.25]])]}
    found, sure = settled(lambda: definitions.empirical(net, inputs, {'get': ['nngp', 'ntk']}), 30)
    assert sure >= 30 and found['ntk'].astype('float64').tolist() == [[9 + 2.25, 0.], [0., 0.]]
    assert found['nngp'].astype('float64').tolist() == [[.5625, 0.], [0., 0.]]


# ------------------------------------------------------------------ what they cover

def test_there_are_many_of_every_kind():
    kinds = Counter(case.kind for case in CASES)
    assert len(CASES) >= 150 and kinds['kernel'] >= 300 and kinds['predict'] >= 20 and kinds['empirical'] >= 10
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(set(case.name) <= set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./')
               and case.name.count('/') == 2 for case in CASES)
    assert Counter(case.options['function'] for case in CASES if case.kind == 'predict').keys() == set(PREDICTIONS)


def test_every_layer_has_cases_about_it():
    about = {name for case in CASES for name in case.layers}
    assert set(stax.__all__) - WITHOUT - FUNCTIONS == about - {'Slice'} - set(PREDICTIONS) | {'Slice'}
    inside = {spec['layer'] for case in CASES for spec in specs([case.spec, case.options])}
    assert all(set(case.layers) - {'Slice'} <= {spec['layer'] for spec in specs(case.spec)}
               for case in CASES if case.kind != 'predict') and inside >= about - {'Slice'} - set(PREDICTIONS)


def test_every_argument_is_given_somewhere():
    """But functions, and what has no effect."""
    seen = {(spec['layer'], name) for case in CASES for spec in specs([case.spec, case.options]) for name in spec}
    ours = {(name, argument) for name, cls in stax.Layer.registry.items() if cls.is_ours() and name not in FUNCTIONS
            for argument in cls.parameters()}
    assert ours - seen == {('Aggregate', 'to_dense'), ('DotGeneral', 'precision'), ('ImageResize', 'precision'),
                           ('GlobalSelfAttention', 'pos_emb_decay_fn'), ('GlobalSelfAttention', 'pos_emb_p_norm')}


def test_degenerate_inputs_are_what_they_say():
    def vectors(name):
        return INPUTS[f'vectors/{name}']['x1'], INPUTS[f'vectors/{name}']['x2']
    a, b = vectors('duplicates')
    assert (a[0] == a[2]).all() and (a[0] == b[0]).all() and not vectors('zeros')[0][0].any()
    a, b = vectors('antipodal')
    assert (a[0] == -a[1]).all() and (a[0] == -b[0]).all()
    a, b = vectors('near')
    distance = abs(b - a).max(1)
    assert distance[7] < 2e-15 < 1e-2 < distance[0] and (distance[:8] > 0).all() and (b[8:] == -b[:8]).all()
    for name, image in (('vectors/edge', False), ('images/edge', True)):
        a = INPUTS[name]['x1']
        assert (a[1] == a[0]).all() and (a[2] == -a[0]).all() and not a[3].any() and (a[4] == 2 * a[0]).all()
        assert 0 < abs(a[5] - a[0]).max() < 2e-10 and (a.ndim > 2) == image
    assert abs(vectors('huge')[0]).max() > 1e149 and abs(vectors('tiny')[0]).max() < 1e-148
    assert len(vectors('row')[0]) == 1 and INPUTS['images/pixel']['x1'].shape[1:3] == (1, 1)
    for name in ('zeros', 'duplicates', 'antipodal', 'near', 'huge', 'tiny', 'row', 'pixel', 'edge'):
        assert len([case for case in CASES if case.name.endswith('/' + name)]) >= 2, name


def test_all_but_a_few_are_exact():
    classes = Counter(row['tolerance'] for row in making.read()[0].values())
    assert classes['halved'] <= 3 and classes['integrated'] <= 4 and classes['double'] <= 12
    assert sum(classes.values()) == len(CASES)
    assert all(case.note for case in CASES if case.tolerance == CLASSES['halved'])
    assert all(case.sure >= 30 or case.layers[0] in SMOOTH and case.sure >= 20 for case in CASES)
    ode = {case.name for case in CASES if case.options.get('function') == 'gradient_descent'}
    for case in CASES:
        why = {'empirical': 'estimated: derivatives by differences'}.get(case.kind, 'proved')
        assert case.basis == ('estimated: no proof of differential equations' if case.name in ode else why)


def test_the_data_are_small_and_plain():
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 2e6
    assert {path.name for path in DATA.iterdir()} == {'cases.json', 'cases.npz'}
    with numpy.load(DATA / 'cases.npz', allow_pickle=False) as arrays:
        assert all(arrays[key].dtype.kind in 'fi' and numpy.isfinite(arrays[key]).all() for key in arrays)
    assert json.loads((DATA / 'cases.json').read_text())['version'] == cases.VERSION
    assert 'ntref.oracle = data/*' in (ROOT / 'setup.cfg').read_text()


# ------------------------------------------------------------------ they can be made again

@pytest.mark.slow
def test_a_sample_made_again_to_the_last_bit():
    """Every case twice a year: this week's."""
    known, arrays = making.read()
    week, definitions = date.today().isocalendar().week, catalogue()
    sample = definitions[week % 26::26]
    assert len(sample) > 12
    assert [d.name for d in sample if not making.same(d, known, arrays)] == []


def test_the_data_are_of_this_catalogue():
    known, _ = making.read()
    assert list(known) == [d.name for d in catalogue()]
    assert {name: row['fingerprint'] for name, row in known.items()} == {
        d.name: making.row_of(d)['fingerprint'] for d in catalogue()}


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Four cases, of every kind, and an empty folder for them."""
    names = 'dense/linear/pair', 'dense/no-bias/pair', 'empirical/standard/pair', 'dynamics/max_learning_rate/plain'
    definitions = [d for d in catalogue() if d.name in names]
    monkeypatch.setattr(making, 'catalogue', lambda: definitions)
    monkeypatch.setattr(making, 'DATA', tmp_path)
    monkeypatch.setattr(cases, 'DATA', tmp_path)
    return definitions


def test_generated_anew_and_kept(few, monkeypatch, capsys):
    assert making.main(['--select', 'dense/*']) == 0 and len(conformance_cases()) == 2
    made = []
    monkeypatch.setattr(making, 'certified', lambda d, f=making.certified: made.append(d.name) or f(d))
    assert making.main([]) == 0 and len(made) == 2 and [str(c) for c in conformance_cases()] == [d.name for d in few]
    for case in conformance_cases():
        known, = conformance_cases_of_the_package(case.name)
        assert all(numpy.array_equal(case.expected[name], a) for name, a in known.expected.items())
        assert json.dumps(case.spec) == json.dumps(known.spec) and case.sure == known.sure
    assert making.main([]) == 0 and len(made) == 2
    assert making.main(['--check']) == 0 and len(made) == 6 and '4 cases computed, 0 differ' in capsys.readouterr().out
    few[0] = replace(few[0], net=stax.Dense(16, 1.4, .4))
    assert making.main(['--check']) == 1 and few[0].name in capsys.readouterr().out
    made.clear()
    assert making.main([]) == 0 and made == [few[0].name] and making.main(['--check']) == 0
    few.pop()
    assert making.main([]) == 0 and len(conformance_cases()) == 3
    with numpy.load(making.DATA / 'cases.npz') as arrays:
        assert not any('empirical' in key for key in arrays)
    assert making.main(['--check', '--select', 'nothing']) == 1


def conformance_cases_of_the_package(name):
    return [case for case in CASES if case.name == name]


def test_what_was_done_is_kept_when_it_is_stopped(few, monkeypatch):
    def stopped(definition, f=making.certified):
        if definition.kind == 'empirical':
            raise KeyboardInterrupt
        return f(definition)
    monkeypatch.setattr(making, 'certified', stopped)
    with pytest.raises(KeyboardInterrupt):
        making.generate(progress=False)
    assert len(conformance_cases()) == 3


def test_a_value_that_is_not_certain_is_refused(few):
    kink = stax.serial(stax.Dense(4), stax.ElementwiseNumerical(abs, 4, numpy.sign))
    with pytest.raises(ArithmeticError, match='dense/linear/pair.*digits'):
        making.certified(replace(few[0], net=kink))


def test_a_bit_that_differs_is_seen(few):
    making.generate(progress=False)
    known, arrays = making.read()
    key = 'dense/linear/pair/expected/ntk'
    assert making.same(few[0], known, arrays)
    assert not making.same(few[0], known, arrays | {key: numpy.nextafter(arrays[key], 9.)})


# ------------------------------------------------------------------ comparing

def one(name='dense/linear/pair'):
    return conformance_cases(name)[0]


def test_digits_are_relative_to_the_value_or_the_scale():
    case = replace(one(), expected={'ntk': numpy.array([[2., 0., 1e-9, 0., 3., 3.]])},
                   scale={'ntk': numpy.array([[1., 4., 1., 0., 1., 1.]])})
    got = digits(numpy.array([[2. + 2e-5, 4e-7, 1e-9 + 1e-12, 0., numpy.nan, -numpy.inf]]), case, 'ntk')
    assert abs(got[0, :3] - [5, 7, 12]).max() < 1e-3 and got[0, 3:].tolist() == [17, 0, 0]
    assert digits(numpy.array([[2., 0., 1e-9, 1e-300, 3., -3.]]), case, 'ntk')[0].tolist() == [17, 17, 17, 0, 17, 0]


def test_check_says_what_is_wrong():
    case = one()
    good = {name: a.copy() for name, a in case.expected.items()}
    assert case.check(good) is None and case.check(namedtuple('K', good)(**good)) is None
    assert case.check({name: a.astype('float32') for name, a in good.items()}, 'float32') is None
    bad = good['ntk'].copy()
    bad[1, 2] *= 1 + 1e-9
    for result, dtype, text in [
            (good | {'ntk': bad}, 'float64', r'ntk: 9\.3 digits agree of 13\.0 at \(1, 2\).*too few in 1 of 12'),
            (good | {'ntk': good['ntk'].T}, 'float64', r'expected shape \(4, 3\), got \(3, 4\)'),
            (good, 'float32', 'expected dtype float32, got float64'),
            ({'nngp': bad}, 'float64', 'ntk: expected an array, got none'),
            (good['ntk'], 'float64', 'nngp: expected an array'),
            (good | {'ntk': numpy.nan * bad}, 'float64', r'nan at \(0, 0\), and at 12 of 12')]:
        with pytest.raises(AssertionError, match=text):
            case.check(result, dtype)
    single = one('empirical/standard/ntk')
    assert single.check(single.expected['ntk']) is None
    with pytest.raises(AssertionError, match=f'{single}'):
        single.check(single.expected['ntk'] + 1)
    with pytest.raises(ValueError, match='huge.*expected dtype to be one of float64, got'):
        one('range/linear/huge').check({}, 'float32')
    with pytest.raises(AssertionError, match='Behind an average the gap'):
        one('pool/GlobalAvgPool/edge').check({})


def test_selection():
    assert {case.kind for case in conformance_cases(kind='predict')} == {'predict'}
    assert all(case.name.startswith('conv/') for case in conformance_cases('conv/*'))
    singles = conformance_cases(dtype='float32')
    assert 0 < len(CASES) - len(singles) <= 12 and not any('huge' in case.name for case in singles)
    assert [str(case) for case in conformance_cases()] == [str(case) for case in CASES]
    assert repr(one()) == "Case('dense/linear/pair')"
    for wrong in dict(select='nothing/*'), dict(kind='kernels'), dict(dtype='float16'):
        with pytest.raises(ValueError, match='expected names of cases'):
            conformance_cases(**wrong)


def test_another_version_is_refused(monkeypatch, few):
    making.generate('dense/linear/*', progress=False)
    monkeypatch.setattr(cases, 'VERSION', 2)
    with pytest.raises(ValueError, match='expected version 2 of the cases, got 1'):
        conformance_cases()


THEIRS = """
import numpy
import pytest

from ntref.oracle import conformance_cases
from ntref.stax import from_spec


def kernel(case):
    k = from_spec(case.spec).kernel_fn(case.inputs['x1'], case.inputs['x2'], tuple(case.options['get']))
    return {name: getattr(k, name) + WRONG * ('no-bias' in case.name) for name in case.options['get']}


@pytest.mark.parametrize('case', conformance_cases('dense/*/pair'), ids=str)
def test_kernel(case):
    case.check(kernel(case))
"""


@pytest.mark.parametrize('wrong, status', [('0', 0), ('1e-9', 1)])
def test_in_the_suite_of_another_project(tmp_path, wrong, status):
    (tmp_path / 'test_theirs.py').write_text(THEIRS.replace('WRONG', wrong))
    env = os.environ | {'PYTHONPATH': str(ROOT)}
    run = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '--rootdir', '.', '-rA', '.'],
                         cwd=tmp_path, env=env, capture_output=True, text=True)
    n = len(conformance_cases('dense/*/pair'))
    assert run.returncode == status, run.stdout
    if status:
        assert f'1 failed, {n - 1} passed' in run.stdout and 'test_kernel[dense/no-bias/pair]' in run.stdout
        assert 'digits agree of 13.0 at' in run.stdout
    else:
        assert f'{n} passed' in run.stdout
