"""The site as it is built: no warning, no dead link, no formula in error, nothing wider than a phone.

It needs the extra `docs`; formulas and widths need Playwright and a Chromium besides.
"""
import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from places import ROOT

NEEDED = 'sphinx', 'myst_nb', 'numpydoc', 'pydata_sphinx_theme', 'sphinx_gallery', 'sphinx_copybutton', 'sphinx_design'
PHONE, DESK = 390, 1280

LOOK = """() => ({
    formulas: document.querySelectorAll('.math').length,
    drawn: document.querySelectorAll('mjx-container').length,
    errors: [...document.querySelectorAll('[data-mml-node="merror"]')].map(e => e.dataset.mjxError),
    width: document.documentElement.scrollWidth})"""
"""What a page in the browser has: formulas, drawn ones, messages of the renderer, its width in pixels."""


@pytest.fixture(scope='module')
def site():
    """The folder of the site, built anew; what was executed is taken from docs/_build if nothing changed."""
    missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
    if missing:
        pytest.skip(f'{", ".join(missing)} not installed: the site needs the extra docs')
    run = subprocess.run(['make', '-C', 'docs', 'html', f'PYTHON={sys.executable}', 'MORE=-E'], cwd=ROOT,
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return ROOT / 'docs' / '_build' / 'html'


def pages(site):
    """The pages of the site but for its first, which leads on to docs/index.html."""
    return sorted(path for path in site.rglob('*.html') if '_static' not in path.parts and path.parent != site)


class Page(HTMLParser):
    """The anchors of a page, what it links to, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ('id', 'name') if given.get(name)}
        if tag == 'a' and given.get('href'):
            self.links.append(given['href'])
        if tag in ('script', 'img', 'iframe') and given.get('src'):
            self.loaded.append(given['src'])
        if tag == 'link' and given.get('rel') == 'stylesheet':
            self.loaded.append(given['href'])


def dead(folder, parsed):
    """Return (page, link) of what leads nowhere within the folder; links to other hosts are not followed."""
    for path, page in parsed.items():
        for link in page.links:
            target = urlsplit(link)
            if target.scheme or target.netloc:
                continue
            aim = (path.parent / unquote(target.path)).resolve() if target.path else path
            there = parsed.get(aim)
            if not aim.exists() or target.fragment and there and unquote(target.fragment) not in there.anchors:
                yield str(path.relative_to(folder)), link


@pytest.mark.slow
def test_links_and_anchors_lead_somewhere(site):
    parsed = {path: Page(path.read_text()) for path in pages(site)}
    assert list(dead(site, parsed)) == []
    assert sum(len(page.links) for page in parsed.values()) > 5000


@pytest.mark.slow
def test_nothing_is_loaded_from_another_host(site):
    loaded = {source for path in pages(site) for source in Page(path.read_text()).loaded}
    assert [source for source in loaded if urlsplit(source).netloc] == []


@pytest.mark.slow
def test_formulas_are_drawn_without_an_error(site, browser):
    tab = browser.new_page(viewport={'width': DESK, 'height': 900})
    asked, seen = [], {}
    tab.on('request', lambda request: asked.append(request.url))
    for path in pages(site):
        tab.goto(path.as_uri())
        tab.evaluate('() => window.MathJax?.startup?.promise')
        seen[str(path.relative_to(site))] = tab.evaluate(LOOK)
    tab.close()
    assert {name: look['errors'] for name, look in seen.items() if look['errors']} == {}
    assert {name: look for name, look in seen.items() if look['drawn'] < look['formulas']} == {}
    assert sum(look['formulas'] for look in seen.values()) > 2000
    assert [url for url in asked if not url.startswith(('file:', 'data:', 'blob:'))] == []


@pytest.mark.slow
def test_no_page_is_wider_than_a_phone(site, browser):
    tab = browser.new_page(viewport={'width': PHONE, 'height': 800})
    wide = {}
    for path in pages(site):
        tab.goto(path.as_uri())
        tab.evaluate('() => window.MathJax?.startup?.promise')
        if (width := tab.evaluate(LOOK)['width']) > PHONE:
            wide[str(path.relative_to(site))] = width
    tab.close()
    assert wide == {}


@pytest.mark.slow
def test_the_search_finds_names(site, browser):
    tab = browser.new_page()
    tab.goto((site / 'search.html').as_uri() + '?q=LayerNorm')
    tab.wait_for_selector('#search-results li')
    found = tab.locator('#search-results li').all_inner_texts()
    tab.close()
    assert any('LayerNorm' in text for text in found)


# ------------------------------------------------------------------ the readers of this file

def test_the_reader_of_pages_sees_dead_links(tmp_path):
    text = '<h1 id="a"></h1><a href="#a">1</a><a href="#b">2</a><a href="no.html">3</a><a href="https://x/y">4</a>'
    path = tmp_path / 'page.html'
    path.write_text(text + '<script src="https://x/y.js"></script>')
    page = Page(path.read_text())
    assert list(dead(tmp_path, {path: page})) == [('page.html', '#b'), ('page.html', 'no.html')]
    assert page.loaded == ['https://x/y.js']


@pytest.mark.slow
def test_the_look_at_a_page_sees_errors(site, browser, tmp_path):
    script = next(site.rglob('tex-svg-full.js')).as_uri()
    path = tmp_path / 'page.html'
    path.write_text(
        '<script>window.MathJax = {tex: {packages: {"[-]": ["noundefined", "noerrors"]}}}</script>'
        rf'<script src="{script}"></script><article><span class="math">\(\nothing\)</span> \(\frac12\)</article>')
    tab = browser.new_page()
    tab.goto(path.as_uri())
    tab.evaluate('() => window.MathJax.startup.promise')
    look = tab.evaluate(LOOK)
    tab.close()
    assert look['drawn'] == 2 and len(look['errors']) == 1


def test_makefile_takes_warnings_for_errors():
    text = (ROOT / 'docs' / 'Makefile').read_text()
    options = re.search(r'^OPTIONS \?= (.*)$', text, re.M)[1].split()
    assert {'-n', '-W', '--keep-going'} <= set(options)
