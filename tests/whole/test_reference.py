"""The reference on the site: every public name is on one page, with a formula; docstrings become what they say."""
import importlib
import inspect
import re

import pytest
from api_docstrings import Docstring, aligned, sections
from api_formulas import DUALS, MODULES, NETWORKS, OTHERS, has_formula, head
from places import ROOT
from site_pages import CONTENTS, entries, in_prose, names_of_sources, sidebar, with_years_linked

from ntref import stax

PAGES = sorted((ROOT / 'docs' / 'reference').glob('*.md'))
BLOCK = re.compile(r'```\{names\} (\S+)\n(.*?)```', re.S)
LISTED = [(page.stem, *block) for page in PAGES for block in BLOCK.findall(page.read_text())]
NAMED = [(page, module, name) for page, module, text in LISTED
         for name in text.split('\n\n', 1)[-1].split() if module in MODULES]

WITHOUT_FORMULA = {
    # errors, warnings, names of choices, types
    'LayerError', 'FitError', 'NotConvergedError', 'NotReachedError', 'NotPSDError', 'NegativeVarianceError',
    'SingularKernelWarning', 'QuadratureError', 'AttentionMechanism', 'PositionalEmbedding', 'AggregateImplementation',
    'Padding', 'Bool', 'Diagonal', 'NtkImplementation', 'Array', 'Number', 'Tree', 'Shape', 'Get', 'Seed', 'Generator',
    'KernelFn', 'HasKernel',
    # what holds results of functions that have formulas
    'Gaussian', 'ODEState', 'Stats', 'KernelGradient', 'Fit', 'LeaveOneOut', 'RidgeSweep', 'Solution', 'State',
    'Expectation', 'Certified', 'Case', 'Conformance', 'Outcome', 'LayerValues', 'MaskedArray', 'StoredKernel',
    'ComputedKernel', 'Signal', 'Axes', 'Demand',
    # what makes, keeps, runs, tries or describes things
    'Layer', 'Slice', 'layer', 'requires', 'supports_masking', 'unmask_fn', 'from_spec', 'save_kernel', 'load_kernel',
    'save_predictor', 'load_predictor', 'save_estimator', 'load_estimator', 'in_threads', 'conform', 'certify_predict',
    'conformance_cases', 'check_layer', 'CONTRACTS', 'EPS_MULTIPLES', 'LEVEL', 'assert_close', 'axes_of',
    'chance', 'check_mean', 'compare', 'draws', 'laid_out', 'ntk_scale', 'taken', 'variances', 'KINKS', 'kinks_of',
    'is_constant_in_parts', 'NNGPClassifier'}


def thing(module, name):
    return getattr(importlib.import_module(module), name)


def test_every_public_name_is_on_one_page():
    public = {(name, id(thing(module, name))): f'{module}.{name}' for module in reversed(MODULES)
              for name in importlib.import_module(module).__all__ if not inspect.ismodule(thing(module, name))}
    pages = {}
    for page, module, name in NAMED:
        pages.setdefault((name, id(thing(module, name))), []).append(page)
    assert sorted(public[key] for key in public.keys() - pages.keys()) == [], 'are on no page of docs/reference'
    assert {public[key]: found for key, found in pages.items() if len(found) > 1} == {}
    assert pages.keys() <= public.keys() and len(pages) > 190


def test_every_name_has_a_formula_or_needs_none():
    without = {name for _, module, name in NAMED
               if not has_formula(thing(module, name)) and not head(module, name, thing(module, name))}
    assert without == WITHOUT_FORMULA


def test_tables_of_formulas_name_what_is_there_and_has_no_other():
    stated = {f'{module}.{name}' for _, module, name in NAMED if not has_formula(thing(module, name))}
    assert OTHERS.keys() <= stated
    assert {f'ntref.duals.{name}' for name in DUALS} <= stated and set(DUALS.values()) <= set(stax.__all__)
    assert {f'ntref.stax.{name}' for name in NETWORKS} <= stated


def test_the_head_of_a_layer_is_its_own_formula():
    assert head('ntref.stax', 'Rbf', stax.Rbf) == stax.Rbf().formula
    assert head('ntref.stax', 'AvgPool', stax.AvgPool) == (
        r'h_+(i) = \frac1k \sum_a h(i + a),\quad ' + stax.AvgPool((2,)).formula)
    assert head('ntref.stax', 'Dense', stax.Dense) == '', 'its docstring has one'
    assert head('ntref.duals', 'rbf', None) == stax.Rbf().formula


# ------------------------------------------------------------------ docstrings

DOCSTRING = r'''Sum of *all* entries x_i |x|, as in `Dense`.

Lines stay:

    indented lines * stay

.. math:: a = b, \qquad c = d

Parameters
----------
out_dim : int                   channels of the output (`None`: all).
x_train : the inputs, in any form that the kernel takes, which may be long, longer than a type is.
**more                          others.

Raises
------
ValueError : as for `Dense`.

Source
------
Lee et al. 2018 (arXiv:1711.00165); docs/theory/dense.md#dense.

Examples
--------
>>> 1 * 2
2
'''


@pytest.fixture
def docstring():
    return Docstring(DOCSTRING.split('\n'), {'Dense': 'ntref.stax.Dense'}, lambda text: text, '../')


def test_docstrings_become_markup_that_says_the_same(docstring):
    text = '\n'.join(docstring.lines)
    assert r'Sum of \*all\* entries x\_i \|x\|, as in \ :py:obj:`Dense <ntref.stax.Dense>`\ .' in text
    assert '::\n\n        indented lines * stay' in text
    assert '.. math::\n\n   a = b, \\qquad c = d' in text
    assert 'out_dim : int\n    channels of the output (\\ ``None``\\ : all).' in text
    assert 'x_train\n    the inputs, in any form' in text
    assert 'ValueError\n    as for' in text


def test_what_numpydoc_does_not_know_comes_behind(docstring):
    end = '\n'.join(docstring.end)
    assert '.. rubric:: Source\n' in end and '.. rubric:: Examples\n\n>>> 1 * 2\n2' in end
    assert '`arXiv:1711.00165 <https://arxiv.org/abs/1711.00165>`__' in end
    assert '`theory/dense <../theory/dense.html#dense>`__' in end


def test_sections_are_found():
    assert [name for name, _ in sections(DOCSTRING.split('\n'))] == ['', 'Parameters', 'Raises', 'Source', 'Examples']


def test_statements_of_a_formula_stand_below_each_other():
    long = 'K_+ = 123456789012345678901234567890'
    assert aligned(rf'{long},\quad {long}') == rf'\begin{{aligned}}& {long}, \\ & {long}\end{{aligned}}'
    assert aligned(r'a = b,\quad c = d') == r'a = b,\quad c = d'
    assert aligned(r'\begin{matrix} a, \quad b \\ c \end{matrix}') == r'\begin{matrix} a, \quad b \\ c \end{matrix}'


def test_tables_become_lists_of_rows():
    table = ['===  =======', 'get  value', '===  =======', "'a'  1 * 2", '     and 3', '===  =======']
    lines = Docstring(table, {}, str, '').lines
    assert [line.strip() for line in lines if line.strip()] == [
        '.. list-table::', ':header-rows: 1', '* - get', '- value', "* - 'a'", r'- 1 \* 2 and 3']


# ------------------------------------------------------------------ pages

def test_years_of_sources_become_links():
    sources = names_of_sources((ROOT / 'docs' / 'references.bib').read_text())
    assert sources['Lee 2018'] == 'lee2018' and sources['Garriga-Alonso 2019'] == 'garrigaalonso2019'
    text = 'Lee et al. 2018, Cho & Saul (2009), Rasmussen and Williams 2006; Nobody 2018'
    assert with_years_linked(text, sources, '<{}>') == (
        'Lee et al. <lee2018>, Cho & Saul (<cho2009>), Rasmussen and Williams <rasmussen2006>; Nobody 2018')


def test_code_and_formulas_are_left_alone():
    text = 'a\n```python\na\n```\n`a` $a$ [a](a) a\n'
    assert in_prose(text, lambda prose: prose.replace('a', 'B')) == 'B\n```python\na\n```\n`a` $a$ [B](a) B\n'


def test_every_page_is_in_the_sidebar():
    pages = {path.relative_to(ROOT).with_suffix('').as_posix() for path in (ROOT / 'docs').rglob('*.md')
             if not {'_build', 'examples'} & set(path.parts)}
    listed = {name.rpartition('<')[2].strip('/>') for parts in CONTENTS.values() for patterns in parts.values()
              for name in entries(ROOT, patterns)}
    assert pages - listed == {'docs/index'}
    assert '/docs/reference/weights' in sidebar(ROOT, 'docs/reference/index')
