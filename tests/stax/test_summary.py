"""`net.summary`, what networks display as, and the watched copy that both `summary` and `explain` look at."""
import re
import xml.etree.ElementTree as ElementTree

import numpy
import pytest
from examples import NETWORKS, POSITIONS, draw

from ntref.stax import (
    Aggregate, Conv, Dense, ElementwiseNumerical, FanInSum, FanOut, Flatten, GlobalAvgPool, LayerError, Relu, parallel,
    repeat, serial)
from ntref.stax.watched import watched
from ntref.trees import leaves

IMAGES = serial(Conv(16, (3, 3), None, 'SAME', 1.3, .2), Relu(), Conv(8, (2, 2)), Relu(), GlobalAvgPool(), Dense(10))
RESIDUAL = serial(Dense(8), FanOut(2), parallel(repeat(serial(Relu(), Dense(8)), 2), Dense(8)), FanInSum())


@pytest.mark.parametrize('name, net', NETWORKS, ids=[f'{name}: {net!r}' for name, net in NETWORKS])
def test_shapes_and_parameters(name, net, rng):
    """Those of `init_fn`."""
    axes = net.asked(None).axes
    shape = list(draw(rng, net, 3, POSITIONS).shape)
    shape[axes.batch if axes else 0] = -1
    shape = tuple(shape)
    found = net.summary(shape)
    out, params = net.init_fn(0, shape)
    assert found.rows[-1].shape == out and found.rows[0].shape == shape and found.cost is None
    assert found.parameters == sum(p.size for p in leaves(params))


def test_what_is_needed():
    rows = IMAGES.summary((-1, 6, 6, 3)).rows
    assert [row.parameters for row in rows] == [0, 9 * 3 * 16 + 16, 0, 4 * 16 * 8, 0, 0, 80]
    assert [row.entries for row in rows] == [36 ** 2] * 3 + [25 ** 2] * 2 + [1] * 2
    assert rows[2].needed == 'gap; pairs of positions' and rows[1].needed == 'gap, area; pairs of positions'
    flat = serial(*IMAGES.layers[:4], Flatten(), Dense(10)).summary((-1, 6, 6, 3)).rows
    assert [row.entries for row in flat] == [36] * 3 + [25] * 2 + [1] * 2
    assert flat[2].needed == 'gap; equal positions' and flat[-1].needed == 'gap, area'
    first = serial(Flatten(), Dense(10)).summary((-1, 6, 6, 3)).rows[0]
    assert first.needed == 'gap, area; mean over positions' and first.entries == 36


def test_branches_and_lists():
    rows = RESIDUAL.summary((-1, 5)).rows
    assert [row.place for row in rows] == ['', '0', '1', '2.0.0.0', '2.0.0.1', '2.0.1.0', '2.0.1.1', '2.1', '3']
    assert rows[2].shape == [(-1, 8)] * 2 and rows[2].entries == 2 and rows[2].needed == 'gap, area'
    rows = parallel(Dense(8), Dense(4)).summary([(-1, 5), (-1, 3)]).rows
    assert rows[0].shape == [(-1, 5), (-1, 3)] and [row.parameters for row in rows] == [0, 40, 12]


def test_the_cost_is_that_of_the_kernel():
    net = serial(Dense(64), Relu(), Dense(1))
    found = net.summary((30_000, 5), 'nngp')
    assert found.cost.bytes == pytest.approx(net.kernel_fn.cost((30_000, 5), None, 'nngp').bytes, rel=.01)
    table, _, notes = str(found).partition('\n\n')
    assert notes.startswith('384 parameters\nestimated for kernel_fn(x, None, \'nngp\') of 30,000 inputs, by a trial: ')
    per_pair = float(re.search('that is ([0-9.]+) bytes', notes)[1])
    assert per_pair == pytest.approx(found.cost.bytes / 30_000 ** 2, rel=.01) and per_pair >= 8
    assert table.splitlines()[2].split() == ['0', 'Dense(64)', '(30000,', '64)', '320', 'gap,', 'area', '1']
    assert found._repr_html_().count('<tr>') == 5 and 'estimated' in found._repr_html_()


def test_refused():
    with pytest.raises(LayerError, match='layer 1.1, Relu'):
        serial(Dense(8), serial(Relu(), Relu())).summary((-1, 5))
    with pytest.raises(TypeError, match='expected a shape'):
        RESIDUAL.summary(5)


# ------------------------------------------------------------------ what a notebook displays

def texts(html):
    return [element.text for element in ElementTree.fromstring(html.replace('&#8594;', '→')).iter('code')]


def test_the_diagram_has_each_layer():
    html = RESIDUAL._repr_html_()
    assert texts(html) == ['Dense(8)', 'FanOut(2)', 'Relu()', 'Dense(8)', 'Dense(8)', 'FanInSum()']
    assert html.count('&#8594;') == 4 and '× 2' in html
    assert texts(Dense(8)._repr_html_()) == ['Dense(8)']


def test_the_diagram_has_the_colours_of_the_page():
    html = RESIDUAL._repr_html_() + RESIDUAL.summary((-1, 5))._repr_html_()
    assert set(re.findall(r'(?<![-\w])(?:color|background):([^;"]+)', html)) == {'inherit', 'none'}
    assert set(re.findall(r'border[-\w]*:1px \w+ ([^;"]+)', html)) == {'currentColor', 'rgba(128,128,128,.3)'}


def test_text_of_layers_is_escaped_and_shortened():
    layer = ElementwiseNumerical(lambda z: z, 25)
    html = serial(Dense(8), layer, Dense(8, 1 / 3, 1 / 3, parameterization='standard'))._repr_html_()
    assert '<lambda>' not in html and 'ElementwiseNumerical(&lt;lambda&gt;, 25)' in html
    assert texts(html)[2] == 'Dense(8, 0.3333333333333333, 0.33333333…' and 'standard' in html


# ------------------------------------------------------------------ the watched copy

def test_a_watched_network_is_the_same(rng):
    x = rng.standard_normal((70, 5))
    looked = []
    copy, seen = watched(RESIDUAL, lambda one, before, after: looked.append(one))
    assert numpy.array_equal(copy.kernel_fn(x, get='ntk'), RESIDUAL.kernel_fn(x, get='ntk'))
    looked.clear()
    copy.kernel_fn(x)
    assert [one.place for one in seen] == [row.place for row in RESIDUAL.summary((-1, 5)).rows[1:]]
    assert looked == seen and all(one.signals and one.demand for one in seen)
    assert not any(set(vars(one.layer)) & {'propagate', 'trace', '_to_meet'} for one in seen)


def test_a_repetition_without_layers():
    assert [one.layer for one in watched(serial(Dense(8), repeat(Relu(), 0)))[1]] == [Dense(8)]
    assert len(serial(Aggregate()).explain(numpy.ones((2, 3, 4))).rows) == 2
