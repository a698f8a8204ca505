"""validation/run.py and its studies, at their smallest sizes: numbers that would be others if a kernel were wrong."""

import numpy
import pytest
import run
from studies import by_architecture, common, ensembles, monte_carlo, phases, small_data, tangent_kernel

from ntref.stax import Dense, Erf, serial

MOST = 150 * 1024               # bytes of a figure


def is_figure(path):
    """A PNG that is neither empty nor large."""
    return path.read_bytes()[:4] == b'\x89PNG' and 5000 < path.stat().st_size < MOST


# ------------------------------------------------------------------ each study, small

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


def test_tangent_kernel(tmp_path):
    rows = tangent_kernel.measure(**tangent_kernel.QUICK)
    lines = tangent_kernel.slopes(rows)
    for name, expected in tangent_kernel.EXPECTED.items():
        assert abs(lines[name].slope - expected) < 4 * lines[name].error < .9, name
    assert max(r.loss for r in rows) < .1 and lines[tangent_kernel.WITH_RELU].slope < -.4
    tangent_kernel.draw(rows, lines, tmp_path / 'figure.png')
    assert is_figure(tmp_path / 'figure.png')


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
    assert '**It shows**' in sections['conformance'] and '**It cannot show**' in sections['conformance']
    for name in set(run.PARTS) - {'conformance'}:
        assert f'(figures/{name}.png)' in sections[name] and is_figure(run.FIGURES / f'{name}.png')
        assert '**It shows**' in sections[name] and '**It cannot show**' in sections[name]
    assert run.page_of(sections) == run.PAGE.read_text()
