"""validation/run.py and its studies, at their smallest sizes: numbers that would be others if a kernel were wrong."""

import re
import sys

import bench
import bench_tasks
import benched
import drawn
import numpy
import peers
import performance
import pictures
import pytest
import run
import scale
from places import ROOT
from studies import (
    by_architecture, common, ensembles, estimators, inducing_points, mnist, monte_carlo, phases, small_data,
    tangent_kernel)

from ntref import stax
from ntref.plot.phases import fixed_points
from ntref.stax import Dense, Erf, Layer, serial

MOST = 150 * 1024               # bytes of a figure


def is_figure(path):
    """A PNG that is neither empty nor large."""
    return path.read_bytes()[:4] == b'\x89PNG' and 5000 < path.stat().st_size < MOST


# ------------------------------------------------------------------ each study, small

@pytest.mark.slow
def test_ensembles(tmp_path):
    narrow, wide = rows = ensembles.measure(**ensembles.QUICK)
    assert narrow.p < 1e-9 < wide.error < narrow.error / 4
    (ratio, error), (far, _) = wide.variance, narrow.variance
    assert abs(ratio - 1) < 4 * error < .6 < far - 1
    ensembles.draw(rows, tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')


def test_mean_and_variance_are_those_of_samples_that_have_them(rng):
    factor = rng.standard_normal((61, 61)) + 9 * numpy.eye(61)
    mean, covariance, z = rng.standard_normal(61), factor @ factor.T, rng.standard_normal((400, 61))
    row = ensembles.Row(1, 1, mean + z @ factor.T, mean, covariance)
    ratio, error = row.variance
    assert row.p > 1e-4 and abs(ratio - 1) < 4 * error and error == pytest.approx((2 / (5 * 399)) ** .5)
    shifted = row._replace(outputs=row.outputs + .3 * covariance.diagonal() ** .5)
    assert shifted.p < 1e-4 and row._replace(covariance=1.5 * covariance).variance[0] == pytest.approx(ratio / 1.5)


@pytest.mark.slow
def test_monte_carlo(tmp_path):
    rows = monte_carlo.measure(**monte_carlo.QUICK)
    lines = monte_carlo.slopes(rows)
    assert len(lines) == 4
    for line in lines.values():
        assert abs(line.slope + .5) < 4 * line.error < .6, line
    monte_carlo.draw(rows, lines, tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')


def test_a_wrong_kernel_has_another_slope(monkeypatch):
    """Estimates of networks with other weights do not get nearer."""
    def wrong(name, width):
        net = right(name, width)
        return type('Wrong', (), {'init_fn': net.init_fn, 'apply_fn': net.apply_fn, 'kernel_fn': staticmethod(
            lambda *args: 2 * net.kernel_fn(*args))})
    right = monte_carlo.network
    monkeypatch.setattr(monte_carlo, 'network', wrong)
    for line in monte_carlo.slopes(monte_carlo.measure(**{**monte_carlo.QUICK, 'repeats': 6})).values():
        assert line.slope > -.2


@pytest.mark.slow
def test_tangent_kernel(tmp_path):
    rows = tangent_kernel.measure(**tangent_kernel.QUICK)
    lines = tangent_kernel.slopes(rows)
    for name, expected in tangent_kernel.EXPECTED.items():
        assert abs(lines[name].slope - expected) < 4 * lines[name].error < .9, name
    assert max(r.loss for r in rows) < .1 and lines[tangent_kernel.WITH_RELU].slope < -.4
    tangent_kernel.draw(rows, lines, tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')


@pytest.mark.slow
def test_phases(tmp_path):
    rows = phases.measure(**phases.QUICK)
    deep = {(r.w2, r.b2): r.accuracy for r in rows if r.depth == phases.DEPTH}
    assert deep[1.05, .01] > .6 and deep[.3, .01] < .3 and deep[3., .01] < deep[1.05, .01] - .2
    assert min(r.accuracy for r in rows if r.depth == 1) > .6
    phases.draw(rows, phases.QUICK['b2_of_depths'], tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')


def test_by_architecture(tmp_path):
    rows = by_architecture.measure(**by_architecture.QUICK)
    assert len(rows) == 4
    for r in rows:
        assert .6 < numpy.mean(r.accuracies) < .95 and len(r.accuracies) == 2
    by_architecture.draw(rows, tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')


def test_small_data(tmp_path):
    rows = small_data.measure(**small_data.QUICK)
    assert [r.method for r in rows[:4]] == ['NTK', 'NNGP', 'RBF', 'random forest']
    for r in rows:
        assert .92 < r.accuracy <= 1
    small_data.draw([r._replace(error=0.) for r in rows], tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')


def test_estimators(tmp_path):
    """All but the finite networks, whose time is theirs."""
    rows = estimators.probabilities(('wine',), networks=0)
    assert [row.method for row in rows if row.accuracy < .9] == [] and len(rows) == 5
    assert .2 < rows[0].log_loss < .4 and max(row.log_loss for row in rows[1:4]) < .15            # Laplace is cautious
    assert rows[0].calibration > .15 > .08 > max(row.calibration for row in rows[1:4])
    estimators.draw(rows, tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')


@pytest.mark.slow
def test_estimators_searched():
    rows = estimators.measure(**{name: estimators.QUICK[name] for name in ('names', 'repeats')})
    assert len(rows) == 10
    for row in rows:
        assert .75 < row.score <= 1


def test_calibration_errors():
    p = numpy.array([[.95, .05], [.95, .05], [.45, .55], [.35, .65]])
    found = estimators.reliability(p, numpy.array([0, 1, 1, 1]))
    assert found == [pytest.approx((.55, 1., 1)), pytest.approx((.65, 1., 1)), pytest.approx((.95, .5, 2))]
    assert estimators.calibration_error(found) == pytest.approx((.45 + .35 + 2 * .45) / 4)


def test_inducing_points(tmp_path):
    (row,), whole = inducing_points.measure(**inducing_points.QUICK)
    assert len(row.losses) == inducing_points.QUICK['steps'] + 1 and (numpy.diff(row.losses) < 0).all()
    mean, error = row.random
    assert mean + 3 * error < row.after and row.before + .15 < row.after < whole + .02
    assert all(accuracy > row.before + .1 for accuracy in row.others.values())
    before, after = row.images
    assert before.shape == after.shape == (10, 64) and abs(after - before).max() < 2 * inducing_points.RATE * 30
    inducing_points.draw([row], whole, tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')


@pytest.mark.slow
def test_mnist(tmp_path, capsys):
    section = mnist.run(tmp_path / 'figure.png', **mnist.QUICK)
    assert is_figure(tmp_path / 'figure.png')
    assert capsys.readouterr().out.count('mnist, ') == len(mnist.PARTS) == 6
    assert section.measured.endswith('with 50 images') and .55 < float(section.measured[:6]) < .8
    tables = re.findall(r'(?:^\|.*\n)+', section.text, re.M)
    assert [len(found.splitlines()) - 2 for found in tables] == [2, 2, 3, 2, 2, 2]
    for correlation in re.findall(r'^\| (?:Relu|Erf), 20 layers \| (\S+) ', tables[3], re.M):
        assert .4 < float(correlation) < .8


def test_accuracy_of_digits_by_hand(rng):
    """NNGP of one hidden layer of Relu by the textbook's arccosines, and its nearest mean of targets."""
    x, labels = mnist.images()
    assert x.shape == (10000, 784) and abs(x.mean(1)).max() < 1e-12 and numpy.allclose(x.var(1), 1)
    (train, test), (others, _) = mnist.splits_of(2, 40, 100, 0)
    assert len({*train, *test}) == 140 and set(train) != set(others)
    cosine = ((x @ x[train].T)[[*train, *test]] / 784).clip(-1, 1)
    k = 2 * (numpy.sqrt(1 - cosine ** 2) + (numpy.pi - numpy.arccos(cosine)) * cosine) / (2 * numpy.pi) + .01
    mean = k[40:] @ numpy.linalg.solve(k[:40], common.one_hot(labels[train]))
    net = serial(Dense(1, 1., 0.), stax.Relu(), Dense(1, 2 ** .5, .1))
    found = mnist.by_size(net.kernel_fn, x, labels, (train, test), (40,))
    assert found[40, 'nngp'] == (mean.argmax(-1) == labels[test]).mean()


def test_small_digits():
    x, _ = mnist.images(pixels=4)
    stored = numpy.load(benched.DATA / 'mnist.npz')['images'][3, 8:12, 12:16].mean()
    own = numpy.load(benched.DATA / 'mnist.npz')['images'][3]
    blocks = numpy.array([[own[4 * i:4 * i + 4, 4 * j:4 * j + 4].mean() for j in range(7)] for i in range(7)])
    assert stored == blocks[2, 3]
    numpy.testing.assert_allclose(x[3].reshape(7, 7), (blocks - blocks.mean()) / blocks.std(), rtol=0, atol=1e-12)


# ------------------------------------------------------------------ what they compute with

def test_power_law():
    x, y, relative = numpy.array([1., 2., 4., 8., 16.]), numpy.array([3., 2.2, 1.4, 1.1, .7]), numpy.array(
        [.1, .2, .1, .3, .2])
    (slope, start), covariance = numpy.polyfit(numpy.log(x), numpy.log(y), 1, w=1 / relative, cov='unscaled')
    line = common.power_law(x, y, relative)
    assert line[:3] == pytest.approx((slope, covariance[0, 0] ** .5, start))
    assert line(x) == pytest.approx(numpy.exp(start) * x ** slope) and line.chi2 < 1
    (_, _), scaled = numpy.polyfit(numpy.log(x), numpy.log(y), 1, w=10 / relative, cov=True)
    assert common.power_law(x, y, relative / 10).error == pytest.approx(scaled[0, 0] ** .5)


def test_uncertainty_of_a_root_mean_square(rng):
    squares = rng.standard_normal((4000, 30)) ** 2
    roots, errors = zip(*map(common.root_mean_square, squares))
    assert numpy.mean(roots) == pytest.approx(1, rel=.02)
    assert numpy.mean(errors) == pytest.approx(numpy.std(roots), rel=.1)


@pytest.mark.parametrize('w2, b2', [(.6, .1), (1.1, .2), (2.5, .02), (3., .4)])
def test_fixed_points_are_those_of_deep_kernels(w2, b2, rng):
    dense, x = Dense(6, w2 ** .5, b2 ** .5), rng.standard_normal((2, 6))
    k, correlations = dense.kernel_fn(x), []
    for _ in range(120):
        k = serial(Erf(), dense).kernel_fn(k)
        correlations.append(k.nngp[0, 1] / (k.nngp[0, 0] * k.nngp[1, 1]) ** .5)
    q, c = phases.fixed_point(w2, b2)
    assert k.nngp[0, 0] == pytest.approx(q, rel=1e-6) and correlations[-1] == pytest.approx(c, rel=1e-5)
    at = next(i for i, correlation in enumerate(correlations) if abs(correlation - c) < 1e-5)
    ratio = abs(correlations[at + 4] - c) / abs(correlations[at] - c)
    assert -4 / numpy.log(ratio) == pytest.approx(phases.depth_scale(w2, b2), rel=.02)


@pytest.mark.parametrize('q', [.01, .3, 2.])
def test_critical_line(q):
    """There chi(1) = sigma_w^2 E[phi'(u)^2] = 1 and q is the fixed point, by Gauss-Hermite quadrature."""
    from scipy.special import erf
    w2, b2 = phases.critical_line(q)
    nodes, weights = numpy.polynomial.hermite_e.hermegauss(120)
    u, weights = q ** .5 * nodes, weights / (2 * numpy.pi) ** .5
    assert w2 * weights @ (2 / numpy.pi ** .5 * numpy.exp(-u ** 2)) ** 2 == pytest.approx(1, rel=1e-9)
    assert w2 * weights @ erf(u) ** 2 + b2 == pytest.approx(q, rel=1e-9)


@pytest.mark.slow
def test_fixed_points_on_a_grid(tmp_path):
    """From q* as the parameter, against iteration; NaN where variances grow without end."""
    w_std, b_std = numpy.linspace(.6, 2.9, 7), numpy.linspace(.1, .9, 5)
    q, chi = fixed_points(Erf(), w_std, b_std)
    w2, b2 = w_std ** 2, b_std[:, None] ** 2
    assert abs(q / phases.fixed_point(w2, b2)[0] - 1).max() < 3e-5
    assert abs(chi / phases.growth(w2, q, 1.) - 1).max() < 3e-5
    q, chi = fixed_points(stax.Relu(), w_std, b_std)
    finite = w2 + 0 * b2 < 1.9
    assert (numpy.isnan(q) == (w2 + 0 * b2 > 2)).all()
    assert abs(q / (b2 / (1 - w2 / 2)) - 1)[finite].max() < 3e-5 and abs(chi / (w2 / 2) - 1)[finite].max() < 1e-12
    for draw in (pictures.first, pictures.phases, pictures.angles):
        draw(tmp_path / 'figure.png')
        assert is_figure(tmp_path / 'figure.png')


def test_kernels_with_fixed_layers(rng):
    """Theta of Arora et al. 2020: 0 up to the last fixed layer, then K + Theta K', in the textbook's arccosines."""
    def relu(k):
        length = k.diagonal() ** .5
        norms, cosine = length * length[:, None], k / length / length[:, None]
        angle = numpy.arccos(cosine.clip(-1, 1))
        return (norms * (numpy.sin(angle) + (numpy.pi - angle) * cosine) / (2 * numpy.pi),
                (numpy.pi - angle) / (2 * numpy.pi))

    def ntk(x, depth, fixed):
        h, theta = x @ x.T / 4, numpy.zeros((5, 5))
        for i in range(depth):
            k = 2 * h + .01
            theta = 2 * theta + k if i >= fixed else 0 * theta
            h, derivative = relu(k)
            theta = theta * derivative
        return h + .01 + theta
    x = rng.standard_normal((5, 4))
    found = small_data.kernels(x, (1, 3))['NTK']
    expected = [small_data.normalized(ntk(x, depth, fixed)) for depth in (1, 3) for fixed in range(depth)]
    assert len(found) == 4
    numpy.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_support_and_its_gradient(rng):
    """K(x, s) (K(s, s) + reg)^-1 y, written out; the loss along a line through the first step of Adam."""
    kernel_fn, get = kernel = inducing_points.kernels()['NTK, Erf']
    x, support, y = rng.standard_normal((30, 5)), rng.standard_normal((10, 5)), common.one_hot(numpy.arange(10))
    labels = rng.integers(10, size=30)

    def loss(support):
        k = kernel_fn(support, get=get)
        a = k + inducing_points.REG * k.trace() / 10 * numpy.eye(10)
        f = kernel_fn(x, support, get) @ numpy.linalg.solve(a, y)
        assert abs(inducing_points.outputs(kernel, x, support, y) - f).max() < 1e-9 * abs(f).max()
        return ((f - common.one_hot(labels)) ** 2).sum(-1).mean() / 2
    step, losses = inducing_points.learnt(kernel, (x, labels), support, y, 1)
    assert losses == pytest.approx([loss(support), loss(step)], rel=1e-9)
    for i, j in ((0, 0), (3, 4), (9, 2)):                   # the first step of Adam is RATE down each slope
        h = 1e-5 * (numpy.arange(50).reshape(10, 5) == 5 * i + j)
        slope = loss(support + h) - loss(support - h)
        assert abs((step - support)[i, j] + inducing_points.RATE * numpy.sign(slope)) < 1e-5


def test_support_has_as_many_of_each_class(rng):
    labels = rng.integers(10, size=300)
    for order in (None, rng):
        some = inducing_points.chosen(labels, 50, order)
        assert numpy.bincount(labels[some]).tolist() == [5] * 10 and len(set(some.tolist())) == 50
    first = inducing_points.chosen(labels, 10)
    assert [labels[:i].tolist().count(labels[i]) for i in first] == [0] * 10


def test_scores():
    rows = [small_data.Row(d, m, a, 0.) for d, each in (('a', (.8, .4, .75)), ('b', (.5, 1., .5))) for m, a in
            zip('xyz', each)]
    assert small_data.scores(rows)['x'] == pytest.approx((1.75, .65, .5, .5, .75))
    assert small_data.scores(rows)['y'] == pytest.approx((2., .7, .5, .5, .75))
    assert small_data.scores(rows)['z'] == pytest.approx((2.25, .625, .5, 0., (.75 / .8 + .5) / 2))


# ------------------------------------------------------------------ the page

def section(text):
    return common.Section(f'Title of {text}', 'expected', f'measured {text}', f'Text of {text}.')


def test_a_section_is_rewritten_and_others_stay(tmp_path):
    page = tmp_path / 'RESULTS.md'
    for name, text in (('other', 'one'), ('phases', 'two'), ('ensembles', 'three'), ('phases', 'four')):
        run.rewrite(name, section(text), page, has_figure=name == 'phases')
    text = page.read_text()
    assert [text.count(f'Text of {n}.') for n in ('one', 'two', 'three', 'four')] == [1, 0, 1, 1]
    assert text.index('Text of three') < text.index('Text of four') < text.index('Text of one')     # unknown ones last
    assert text.count('(figures/') == 1 and '| [Title of four](#title-of-four) | expected | measured four |' in text
    run.rewrite('ensembles', section('three'), page, has_figure=False)
    assert page.read_text() == text


def test_main(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, 'PAGE', tmp_path / 'RESULTS.md')
    monkeypatch.setattr(run, 'FIGURES', tmp_path / 'figures')
    monkeypatch.setattr(run, 'rewrite', lambda *args, rewrite=run.rewrite, **given: rewrite(*args, run.PAGE, **given))

    def part(figure, quick):
        figure.write_bytes(b'png')
        return section('quick' if quick else 'full')
    monkeypatch.setattr(run, 'PARTS', {'one': part, 'two': lambda figure, quick: section('two')})
    monkeypatch.setattr(run, 'run_script', lambda name: print(f'script {name}'))
    assert run.main(['--quick']) == 0 and not run.PAGE.exists()
    assert run.main([]) == 0 and (tmp_path / 'figures' / 'one.png').read_bytes() == b'png'
    assert 'measured full' in run.PAGE.read_text() and '(figures/one.png)' in run.PAGE.read_text()
    out = capsys.readouterr().out
    assert 'two, 0 s: measured two' in out and out.count('script ') == len(run.SCRIPTS) == out.count('\nscript ')
    assert all((run.HERE / f'{name}.py').exists() for name in run.SCRIPTS)
    with pytest.raises(SystemExit):
        run.main(['three'])
    assert 'expected names among one, two, accuracy, pictures, performance, got three' in capsys.readouterr().err


def test_the_page_that_is_here_has_all_parts():
    sections = run.sections_of(run.PAGE.read_text())
    assert set(run.PARTS) <= set(sections)
    for name in run.PARTS:
        assert name in ('conformance', 'peers') or f'(figures/{name}.png)' in sections[name] and is_figure(
            run.FIGURES / f'{name}.png')
        assert '**It shows**' in sections[name] and '**It cannot show**' in sections[name]
    assert run.page_of(sections) == run.PAGE.read_text()


def test_the_section_of_other_libraries(monkeypatch):
    """Causes by name and reason; what is not supported does not count; what is not known says so."""
    def case(name, verdict, digits, reason=''):
        return {'name': name, 'verdict': verdict, 'digits': {'nngp': digits} if digits is not None else {},
                'reason': reason}
    cases = [case('a/b/zeros', 'fail', 0., 'nngp: nan at (0, 0)'), case('a/b/same', 'fail', 7.), case('c', 'pass', 15.),
             case('d', 'unsupported', None)]
    jax = [case('x/RectifiedMonomial-0/edge', 'fail', 7.8), case('y', 'crashed', None, 'ValueError')]
    found = peers.section_of([{'versions': {'botorch': '1.0'}, 'cases': cases},
                              {'versions': {'gpjax': '2.0'}, 'cases': jax}])
    assert found.measured == '1 of 5 cases pass' and '(`InfiniteWidthBNNKernel`) | 3 | 1 | 7.0 | 0.0 |' in found.text
    for row in (f'| botorch | {peers.NO_LENGTH} | 1 | `a/b/zeros` |', f'| gpjax | {peers.ANGLE} | 1 |',
                '| gpjax | crashed, no cause is known | 1 | `y` |', '(`acos_eps`): 7 digits where inputs'):
        assert row in found.text
    monkeypatch.delenv('NTREF_PEERS', raising=False)
    with pytest.raises(ValueError, match='environment variable NTREF_PEERS, got none'):
        peers.part()


# ------------------------------------------------------------------ times

class Recorder:
    """stax, which remembers what a network took of it."""

    def __init__(self):
        self.taken = set()

    def __getattr__(self, name):
        self.taken.add(name)
        return getattr(stax, name)


def taken_by(case):
    recorder = Recorder()
    case.network(recorder)
    return recorder.taken


@pytest.mark.parametrize('name', benched.CASES)
def test_each_network_of_the_bench_has_a_kernel(name):
    case = benched.CASES[name]
    x, _, given = case.arrays('float32', 2)
    if x.ndim == 4:
        x = x[:, :16, :16]
    k = case.network(stax).kernel_fn(x, None, 'ntk', **given)
    assert k.shape == (2, 2) and k.dtype == 'float32' and numpy.isfinite(k).all() and (k.diagonal() > 0).all()


def test_the_bench_has_every_layer():
    layers = {name for name in stax.__all__ if isinstance(getattr(stax, name), type)
              and issubclass(getattr(stax, name), Layer)} - {'Layer'}
    taken = set().union(*map(taken_by, benched.CASES.values()))
    assert not layers - taken, 'no case of benched.py has these'


def test_what_the_bench_times_without_neural_tangents():
    """Layers that it lacks, and what stands beside another row."""
    without = {name for name, case in benched.CASES.items() if not case.has_nt}
    lacking = {name for name, case in benched.CASES.items() if taken_by(case) & benched.NT_LACKS}
    assert without - lacking == {name for name in benched.CASES if name.endswith(', definition')}
    assert lacking <= without and benched.NT_LACKS <= set().union(*(taken_by(benched.CASES[n]) for n in lacking))


def test_images_of_the_bench():
    stored = numpy.load(benched.DATA / 'mnist.npz')
    digits = stored['images']
    labels = stored['labels']
    assert digits.shape == (10000, 28, 28) and digits.dtype == 'uint8' and digits.min() == 0 < 254 < digits.max()
    assert labels.shape == (10000,) and set(labels.tolist()) == set(range(10))
    assert sum(path.stat().st_size for path in benched.DATA.iterdir()) < 2 ** 21
    x = benched.mnist(20).draw()
    assert x.shape == (20, 784) and numpy.allclose(x.mean(1), 0, atol=1e-14) and numpy.allclose(x.var(1), 1)
    numpy.testing.assert_array_equal(benched.mnist(20, is_image=True).draw().reshape(20, -1), x)
    patches = benched.photographs(64).draw()
    assert numpy.allclose(patches.mean((0, 1, 2)), 0, atol=1e-13) and numpy.allclose(patches.var((0, 1, 2)), 1)
    numpy.testing.assert_array_equal(benched.photographs(4).draw(), patches[::16])


def test_the_patches_are_cut_as_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (benched.DATA / 'README.md').read_text()
    exec(page.partition('```python\n')[2].partition('```')[0])
    made, kept = (numpy.load(folder / 'photographs.npz')['images'] for folder in (tmp_path, benched.DATA))
    numpy.testing.assert_array_equal(made, kept)


def test_inputs_of_the_bench():
    near = benched.grid(5).draw()
    numpy.testing.assert_array_equal(near, [[-3.], [-1.5], [0.], [1.5], [3.]])
    lengths = (benched.padded(3, 8, 2, constant=100.).draw() != 100).all(-1).sum(-1)
    numpy.testing.assert_array_equal(lengths, [4, 6, 8])
    edges = benched.graphs(3, 20).draw()
    numpy.testing.assert_array_equal(edges, edges.swapaxes(1, 2))
    assert (edges.diagonal(axis1=1, axis2=2) == 1).all() and .05 < (edges.mean() - .05) / .95 < .15


def prepared_for_few(name, n, get='ntk', **options):
    case = benched.CASES[name]
    return case._replace(options=case.options | options).prepared(bench_tasks.ours(), 'float64', get, n)()


def test_the_gradient_of_the_bench(rng):
    case = benched.CASES['gradient, 100 of 1000']
    x1, x2, _ = case.arrays('float64', 3)
    value, gradient = prepared_for_few('gradient, 100 of 1000', 3)
    kernel_fn, step = case.network(stax).kernel_fn, 1e-5 * rng.standard_normal(x1.shape)
    after, before = (numpy.sum(kernel_fn(x1 + a * step, x2, 'ntk') ** 2) for a in (1, -1))
    assert value == pytest.approx((after + before) / 2)
    assert (after - before) / 2 == pytest.approx(numpy.sum(gradient * step))


def test_finite_networks_of_the_bench():
    structured, definition = (prepared_for_few(name, 2) for name in ('3 x 256', '3 x 256, definition'))
    assert structured.shape == (2, 2, 10, 10)
    numpy.testing.assert_allclose(structured, definition, rtol=0, atol=1e-12 * abs(definition).max())


def test_training_of_the_bench():
    nngp, ntk = prepared_for_few('ensemble, t = None', 20, None)
    assert nngp.covariance.shape == ntk.covariance.shape == (20, 20)
    assert prepared_for_few('ensemble, 3 times', 20, None).ntk.mean.shape == (3, 20, 10)
    flow, heavy = (prepared_for_few(f'cross-entropy{name}', 20, t=1.) for name in ('', ', momentum'))
    assert numpy.isfinite([flow, heavy]).all() and abs(flow - heavy).max() > 1e-3


class Clock:
    """Stands for the module time; only `advance` makes it later."""

    def __init__(self):
        self.now = 0.

    def perf_counter(self):
        return self.now

    def process_time(self):
        return self.now / 2

    def advance(self):
        self.now += .03


def test_seconds_of_a_call(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(bench, 'time', clock)
    measure = bench.Timed(clock.advance)
    assert clock.now == pytest.approx(2 * .03), 'one to warm up, one to know how often'
    assert measure() == pytest.approx([.03, .015]) and clock.now == pytest.approx((2 + 3) * .03)
    assert bench.best(clock.advance, 4) == pytest.approx(.03)


def test_the_least_of_the_repeats():
    ours, theirs = iter([[3., 2.], [1., 4.]]), iter([[5., 7.], [6., 6.]])
    assert bench.in_turn([ours.__next__, theirs.__next__], 2) == [1., 5.]
    assert bench.in_turn([lambda: [3., 2.], None], 2, is_cpu=True) == bench.in_turn([lambda: [2., 0.]], 1) == [2., None]
    assert bench.in_turn([iter([[11., 0.], [12., 0.]]).__next__], 3) == [11., None], 'enough of a long one'


def row(group, name, seconds, nt_seconds):
    return bench.Row(group, name, '2x3', 'float64', 'ntk', seconds, nt_seconds)


ROWS = row('a', 'one', 1., 4.), row('a', 'two', 1., 1.), row('b', 'three', 2., 1.), row('b', 'alone', 1., None)


def test_the_summary_of_the_bench(capsys):
    assert [(s.group, s.count, s.mean, s.worst.name) for s in bench.summaries(ROWS)] == [
        ('b', 1, .5, 'three'), ('a', 2, 2., 'two')]
    bench.print_summary(ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line] == ['worst', 'b', 'a', 'three', 'two', 'one']


def test_pages_of_times_are_led_by_the_worst():
    _, *parts = performance.beside_nt('python', ROWS).split('### ')
    assert [part.splitlines()[0] for part in parts] == ['The slowest beside it', 'Means', 'A', 'B']
    assert [line.split()[1] for line in parts[0].splitlines()[4:7]] == ['three', 'two', 'one']
    assert [line.split()[1] for line in parts[3].splitlines()[4:6]] == ['three', 'alone']
    assert performance.beside_nt(None, ROWS).startswith('### A')


@pytest.mark.slow
def test_growth_is_measured_and_drawn(tmp_path, monkeypatch):
    rows = list(scale.growth((200, 300)))
    assert all(row.seconds > 0 and row.seconds_on_disk > 0 and row.bytes >= 0 for row in rows)
    monkeypatch.setattr(scale, 'free_memory', lambda: 8 * 300 ** 2)
    rows += scale.growth((300,))
    assert rows[2].seconds is rows[2].bytes is None and rows[2].seconds_on_disk > 0
    assert [line.split(' | ')[1] == 'does not fit' for line in performance.growth(rows).splitlines()[2:]] == [
        False, False, True]
    drawn.growth(rows, tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')


def test_a_part_of_a_kernel():
    found = scale.part(20000, 1)
    assert found.of == 210 and 0 < found.tiles < 210 and found.memory > 2 ** 26
    assert 1e6 * found.tiles < found.bytes < 8.4e6 * found.tiles
    assert found.times * found.tiles == pytest.approx(210)


@pytest.mark.slow
def test_solutions_on_disk():
    whole, *others = scale.solved(300, tol=1e-6, rank=20)
    assert whole.steps is None and whole.distance == 0 and whole.seconds > 0
    assert [row.how for row in others] == ["`cg`, 'cholesky', rank 20", "`cg`, 'nystrom', rank 20"]
    assert all(0 < row.steps < 100 and 0 < row.distance < 1e-3 for row in others)


@pytest.mark.slow
def test_other_libraries_compute_the_same(tmp_path, monkeypatch):
    pythons = {'ntref': sys.executable, 'scikit-ntk': sys.executable}
    times = []
    for kernel in 'twice', 'squared':
        wrong = scale.SETUPS['ntref', 'ntk'] + f"""
ours = kernel
twice = lambda x: 2 * ours(x)
squared = lambda x: ours(x) ** 2
kernel = {kernel}
"""
        monkeypatch.setitem(scale.SETUPS, ('scikit-ntk', 'ntk'), wrong)
        if kernel == 'twice':
            times = scale.against(pythons, 'ntk', (20, 30))
        else:
            with pytest.raises(RuntimeError, match='expected scikit-ntk to compute the same kernel'):
                scale.against(pythons, 'ntk', (20,))
    assert [[n for n, seconds in rows if seconds > 0] for rows in times.values()] == [[20, 30]] * 2
    drawn.against_n({'NTK': times}, tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')
    assert performance.against_n({'NTK': times}).splitlines()[2] == '| n | ntref | scikit-ntk |'


def test_sections_are_written_one_by_one(tmp_path, monkeypatch):
    page = tmp_path / 'docs' / 'page.md'
    monkeypatch.setattr(performance, 'SECTIONS', {
        name: (name.upper(), lambda pythons, pictures, name=name: f'\n{name} {times}, {[*pythons]}\n')
        for name in ('a', 'b', 'c')})
    for times, names in ('once', ['c', 'a']), ('twice', ['b', 'c']):
        performance.main(['--page', str(page), '--nt', 'python', '--only', *names])
    libraries = "['ntref', 'Neural Tangents']"
    lines = [line for line in page.read_text().splitlines() if line]
    assert lines[0] == '# Performance' and lines[2::3] == ['## A', '## B', '## C']
    assert lines[3::3] == [f'a once, {libraries}', f'b twice, {libraries}', f'c twice, {libraries}']
    assert (page.parent / 'pictures').is_dir()


def test_ratios_are_drawn(tmp_path):
    drawn.ratios(ROWS, tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')


FAKE = """#!{python}
import sys
sys.path[:0] = [{root!r}, {validation!r}]
import bench, bench_tasks
bench_tasks.neural_tangents = bench_tasks.ours
sys.exit(bench.main(sys.argv[4:]))
"""


def fake(folder, text=FAKE):
    """An interpreter in which Neural Tangents is ntref."""
    path = folder / 'python'
    path.write_text(text.format(python=sys.executable, root=str(ROOT), validation=str(ROOT / 'validation')))
    path.chmod(0o755)
    return str(path)


@pytest.mark.slow
def test_the_bench_beside_another_process(tmp_path, capsys):
    names = '2 dense, 10', '2 RMSNorm'
    argv = ['--only', *names, '--get', 'nngp', '--float32', '--repeat', '1', '--nt', fake(tmp_path)]
    assert bench.main(argv) == 0
    out = capsys.readouterr().out
    assert re.search(r'^-- small\n2 dense, 10 +10x20 +float32 +nngp +\S+ +\S+ +\S+x$', out, re.M)
    assert re.search(r'^-- networks\n2 RMSNorm +1500x100 +float32 +nngp +\S+$', out, re.M)
    assert re.search(r'^small +1 ', out, re.M) and not re.search(r'^networks', out, re.M)


def test_a_process_that_cannot_run_neural_tangents(tmp_path):
    with pytest.raises(RuntimeError, match='could not run Neural Tangents'):
        bench.NeuralTangents(fake(tmp_path, '#!/bin/sh\n'))


def test_what_neural_tangents_cannot_do_has_an_empty_column(tmp_path, capsys):
    small = '2 dense, 10', 'float64', 'ntk'
    with bench.NeuralTangents(fake(tmp_path)) as theirs:
        assert theirs.timed('no such case', 'float64', 'ntk') is None
        assert 'no such case, float64, ntk: KeyError' in capsys.readouterr().err
        measure = theirs.timed(*small)
        assert min(measure()) > 0
        theirs.process.kill()
        assert bench.in_turn([lambda: [1., 1.], measure], 2) == [1., None]
        assert min(theirs.timed(*small)()) > 0, 'another process'


def test_a_process_that_ends_while_it_prepares(tmp_path, capsys):
    with bench.NeuralTangents(fake(tmp_path, '#!/bin/sh\necho ready\nread line\n')) as theirs:
        assert theirs.timed('Relu', 'float64', 'ntk') is None
    assert 'NT, Relu, float64, ntk: its process has ended' in capsys.readouterr().err


def test_which_rows_of_the_bench(capsys):
    def names(*argv):
        return [case.name for case in bench.chosen(bench.parsed(argv))]
    assert names('--all') == list(benched.CASES) and names('--only', 'Tanh', '2 dense, 10') == ['2 dense, 10', 'Tanh']
    assert {benched.CASES[name].group for name in names()} == {'dense', 'images'}
    assert names('--group', 'finite')[:2] == ['3 x 256', '3 x 256, definition']
    mnist, tanh = benched.CASES['MNIST, 10 dense'], benched.CASES['Tanh']
    assert bench.asked_for([mnist, tanh], ['float64'], ['ntk']) == [(c, 'float64', 'ntk') for c in (mnist, tanh)]
    assert len(bench.asked_for([mnist, tanh])) == 1 + 4
    assert bench.main(['--list']) == 0 and '\nfinite:\n  3 x 256\n' in capsys.readouterr().out
