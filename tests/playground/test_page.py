"""The playground, and the pages without a server, in a real browser: Chromium, driven by Playwright."""
import sys
import threading
from importlib import import_module
from urllib.parse import urlsplit

import numpy
from places import ROOT
import pytest

from ntref import stax
from ntref.playground import Server, State, infinite, script
from ntref.playground.state import read

PATIENCE = 120_000          # ms: of a machine with much else to do


@pytest.fixture(scope='module')
def url():
    with Server(0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


@pytest.fixture
def page(browser):
    """An empty page; at the end nothing has failed in it, and nothing was asked of another host."""
    context = browser.new_context(viewport={'width': 1300, 'height': 1000})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    errors, asked = [], []
    page.on('pageerror', lambda error: errors.append(str(error)))
    page.on('console', lambda message: errors.append(message.text) if message.type == 'error' else None)
    page.on('request', lambda request: asked.append(request.url))
    yield page
    context.close()
    assert not errors
    assert {urlsplit(url).hostname for url in asked if not url.startswith(('data:', 'file:'))} <= {'127.0.0.1'}


def opened(page, url, query=''):
    page.goto(url + query)
    page.wait_for_selector('body[data-shown]')


def until(page, query):
    """Wait until the page shows what a link with this query shows."""
    page.wait_for_selector(f'body[data-shown="{query}"]')
    assert urlsplit(page.url).query == query


def slide(page, name, value):
    page.locator(f'#{name}').fill(str(value))


def drawn(page, selector):
    """The numbers (x, y) along a line, in pixels."""
    d = page.locator(selector).first.get_attribute('d')
    return numpy.array([[float(a) for a in pair.split()] for pair in d[1:].split('L')])


def test_what_is_drawn_is_what_is_computed(page, url):
    opened(page, url, '?depth=3&W_std=2.0')
    state = State(depth=3, W_std=2.)
    mean, _ = infinite.posterior(state)
    line = drawn(page, '#posterior .line.a')
    height = float(page.locator('#posterior .inside').get_attribute('height'))
    assert abs(3 - line[:, 1] / height * 6 - mean).max() <= .06 / height * 6           # a decimal of a pixel
    assert page.locator('#posterior circle.point').count() == 5
    assert page.locator('#prior .line.thin').count() == 5 and page.locator('#angle .line').count() == 2
    assert page.locator('#code').text_content() == script.script(state)
    assert 'chaos' in page.locator('#phase').text_content()


def test_sliders_and_choices(page, url):
    opened(page, url)
    slide(page, 'depth', 4)
    until(page, 'depth=4')
    slide(page, 't', 31)                                                                # 10^(-1 + 30/10)
    until(page, 'depth=4&t=100.0')
    page.locator('#activation').select_option('Relu')
    until(page, 'activation=Relu&depth=4&t=100.0')
    page.locator('#get').select_option('nngp')
    until(page, 'activation=Relu&depth=4&get=nngp&t=100.0')
    assert page.locator('label:has(#t) output').text_content() == '100'
    page.locator('#depth').press('ArrowRight')                                          # by the keyboard
    until(page, 'activation=Relu&depth=5&get=nngp&t=100.0')
    page.locator('#again').click()
    until(page, 'activation=Relu&depth=5&get=nngp&t=100.0&seed=1')
    page.locator('#reset').click()
    until(page, '')


def test_points_are_dragged_added_and_removed(page, url):
    opened(page, url, '?points=0.0,0.0;1.0,1.0')
    first = page.locator('#posterior circle.point').first
    box = first.bounding_box()
    x, y = box['x'] + box['width'] / 2, box['y'] + box['height'] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 40, y - 30, steps=5)
    page.mouse.up()
    page.wait_for_selector('body:not([data-shown^="points=0.0,0.0;"])')
    first.press('ArrowUp')
    first.press('Shift+ArrowRight')
    plot = page.locator('#posterior .inside')
    width, height = (float(plot.get_attribute(name)) for name in ('width', 'height'))
    expected = numpy.array([-40 / width * 6 + .25, 30 / height * 6 + .05])
    page.locator('#add').click()
    page.wait_for_selector('#posterior circle.point >> nth=2')
    page.locator('body[data-shown*=";1.0,1.0;"]').wait_for()
    points = read(urlsplit(page.url).query).points
    assert len(points) == 3 and abs(numpy.array(points[0]) - expected).max() <= .01 and points[1] == (1., 1.)
    first.press('Delete')
    page.locator('body[data-shown^="points=1.0,1.0;"]').wait_for()
    inside = plot.bounding_box()
    page.mouse.click(inside['x'] + inside['width'] * .25, inside['y'] + inside['height'] * .5)
    page.locator('#posterior circle.point >> nth=2').wait_for()
    assert page.locator('#posterior circle.point').count() == 3


def test_the_last_point_stays(page, url):
    opened(page, url, '?points=0.0,0.5')
    page.locator('circle.point').press('Delete')
    slide(page, 'depth', 3)
    until(page, 'depth=3&points=0.0,0.5')
    assert page.locator('circle.point').count() == 1 and page.locator('#remove').is_disabled()


def test_finite_networks_are_drawn_one_after_the_other(page, url):
    opened(page, url, '?width=8&networks=2&t=1.0')
    page.wait_for_selector('body[data-networks="2"]')
    assert page.locator('#posterior .line.network').count() == 2
    assert page.locator('#trained').text_content() == 'finite networks of width 8: 2, trained to t = 1'
    assert page.locator('#posterior .line.b').count() == 0
    slide(page, 'networks', 1)
    slide(page, 't', 60)
    until(page, 'width=8&networks=1')
    page.wait_for_selector('body[data-networks="1"]')
    assert page.locator('#posterior .line.b').count() == 1                              # the mean at the time reached
    slide(page, 'networks', 0)
    until(page, 'width=8')
    assert page.locator('#posterior .line').count() == 1


def test_the_phase_diagram_sets_the_network(page, url):
    opened(page, url)
    box = page.locator('#phases image').bounding_box()
    page.mouse.click(box['x'] + box['width'] * .1, box['y'] + box['height'] * .5)
    page.wait_for_selector('body[data-shown^="W_std=0.7"]')
    assert 'order' in page.locator('#phase').text_content()


def test_a_link_that_is_none_says_so(browser, url):
    page = browser.new_page()
    opened(page, url, '?depth=99')
    assert page.locator('circle.point').count() == 5 and urlsplit(page.url).query == ''
    page.close()


@pytest.mark.parametrize('width', [390, 1300])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_it_fits(browser, url, width, scheme):
    """Nothing is wider than the window; text stands out from what is behind it, as WCAG asks."""
    context = browser.new_context(viewport={'width': width, 'height': 844}, color_scheme=scheme)
    page = context.new_page()
    opened(page, url)
    assert page.evaluate('() => document.documentElement.scrollWidth') <= width
    colours = page.evaluate('''() => ['h1', '.note'].map(name => getComputedStyle(document.querySelector(name)).color)
        .concat(getComputedStyle(document.querySelector('figure')).backgroundColor)''')
    title, note, behind = (luminance(colour) for colour in colours)
    for text in title, note:
        assert (max(text, behind) + .05) / (min(text, behind) + .05) >= 4.5
    context.close()


def luminance(colour):
    """Relative luminance of rgb(r, g, b)."""
    parts = numpy.array([int(part) / 255 for part in colour[4:-1].split(',')])
    linear = numpy.where(parts <= .04045, parts / 12.92, ((parts + .055) / 1.055) ** 2.4)
    return linear @ [.2126, .7152, .0722]


# ------------------------------------------------------------------ pages without a server

@pytest.fixture(scope='module')
def still(tmp_path_factory):
    """Paths of the pages, by name."""
    sys.path.insert(0, str(ROOT / 'docs' / 'play'))
    try:
        build = import_module('make').build
    finally:
        sys.path.pop(0)
    return {path.stem: path for path in build(tmp_path_factory.mktemp('play'))}


def heights(page, plot, selector):
    """Where a line is, from 0 at the bottom of its plot to 1 at the top."""
    height = float(page.locator(f'#{plot} .inside').get_attribute('height'))
    return 1 - drawn(page, f'#{plot} {selector}')[:, 1] / height


def test_pages_are_small_and_load_nothing(still):
    assert sorted(still) == ['kernel', 'posterior', 'training']
    for path in still.values():
        text = path.read_text()
        assert len(text.encode()) < 500_000 and 'NaN' not in text
        assert not any(word in text for word in ('src=', 'import(', 'fetch(', '@import', 'url('))


def test_kernel_without_a_server(page, still):
    page.goto(still['kernel'].as_uri())
    page.locator('#name').select_option('0')
    slide(page, 'depth', 2)
    page.locator('#depth').press('ArrowRight')
    slide(page, 'W_std', 4)
    page.wait_for_selector('body[data-shown="0 3 4"]')
    net = stax.serial(*[stax.Dense(1, 2.5, .2), stax.Relu()] * 4, stax.Dense(1, 2.5, .2))
    angles = numpy.radians(numpy.linspace(0, 180, 61))
    x = 2 ** .5 * numpy.stack([numpy.cos(angles), numpy.sin(angles)], -1)
    for get, name in ('nngp', 'a'), ('ntk', 'b'):
        k = net.kernel_fn(x[:1], x, get)[0]
        assert abs(2 * heights(page, get, f'.line.{name}') - 1 - k / k[0]).max() < .002
    assert page.locator('#nngp .earlier').count() == 3


def test_posterior_without_a_server(page, still):
    page.goto(still['posterior'].as_uri())
    slide(page, 'depth', 4)
    slide(page, 'W_std', 5)
    page.wait_for_selector('body[data-shown="1 4 5"]')
    mean, _ = infinite.posterior(State('Erf', 5, 2., .3, 'nngp', diag_reg=1e-3))
    assert abs(6 * heights(page, 'posterior', '.line.a') - 3 - mean[::2]).max() < .004
    assert page.locator('#posterior .target').count() == 5


def test_training_without_a_server(page, still):
    page.goto(still['training'].as_uri())
    slide(page, 'time', 13)                                                             # 10^(-1 + 12/6)
    page.locator('#get').select_option('1')
    page.wait_for_selector('body[data-shown="1 1 13 25"]')
    mean, sd = infinite.posterior(State('Erf', 2, 1.5, .3, 'nngp', t=10.))
    assert abs(6 * heights(page, 'now', '.line.a') - 3 - mean[::2]).max() < .004
    assert f'{mean[50]:.2f} ± {2 * sd[50]:.2f}' in page.locator('#said').text_content()
    slide(page, 'time', 36)
    page.locator('#play').click()
    page.wait_for_selector('body[data-shown="1 1 38 25"]')
    page.wait_for_selector('#play:text("Play")')
    assert page.locator('label:has(#time) output').text_content() == '∞'
