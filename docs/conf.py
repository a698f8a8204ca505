"""The site: `make -C docs html` writes it to docs/_build/html."""
import os
import sys
from importlib.metadata import files
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / '_ext'), str(HERE.parent)]

# Kernels of notebooks: with the settings of this project, not those of who builds the site, and quiet
PROFILE = HERE / '_build' / 'ipython' / 'profile_default'
PROFILE.mkdir(parents=True, exist_ok=True)
PROFILE.joinpath('ipython_kernel_config.py').write_text("c.IPKernelApp.log_level = 'ERROR'\n")
os.environ['IPYTHONDIR'] = str(PROFILE.parent)

import ntref                                            # noqa: E402

project = 'ntref'
author = copyright = 'the ntref authors'
version = release = ntref.__version__
root_doc = 'docs/index'
include_patterns = [
    'docs/**', 'validation/RESULTS.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'tests/README.md', 'tests/*/README.md']
exclude_patterns = ['.*', 'build', 'dist', 'docs/_build', 'docs/_ext', 'docs/gallery', 'docs/examples/**.ipynb']
extensions = [
    'myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.mathjax', 'numpydoc',
    'sphinx_copybutton', 'sphinx_design', 'sphinx_gallery.gen_gallery', 'sphinxcontrib.bibtex',
    'site_pages', 'api_entries']

# Pages
myst_enable_extensions = ['amsmath', 'colon_fence', 'deflist', 'dollarmath']
myst_heading_anchors = 6
myst_update_mathjax = False
nb_execution_mode = 'cache'
nb_execution_timeout = 300
nb_merge_streams = True
nb_output_stderr = 'remove'                  # bars of progress; warnings are errors where tests run the cells
copybutton_prompt_text = r'>>> |\.\.\. |\$ '
copybutton_prompt_is_regexp = True

# Gallery
sphinx_gallery_conf = {
    'examples_dirs': 'docs/gallery', 'gallery_dirs': 'docs/examples', 'within_subsection_order': 'gallery_order.Wanted',
    'parallel': True, 'abort_on_example_error': False, 'show_memory': False, 'show_signature': False,
    'subsection_order': [f'docs/gallery/{part}' for part in (
        'kernels', 'bayes', 'training', 'estimators', 'architectures', 'finite', 'checks', 'large')],
    'image_scrapers': 'movies.scraped',
    'download_all_examples': False, 'remove_config_comments': True, 'write_computation_times': False}

# Mathematics: MathJax from an installed package, so that no page asks another host for anything
MATHJAX, = [path.locate() for path in files('sphinx-mathjax-offline') if path.name == 'tex-svg-full.js']
mathjax_path = MATHJAX.name
mathjax3_config = {
    'tex': {'packages': {'[-]': ['noundefined', 'noerrors']},              # errors are seen, and counted by the tests
            'inlineMath': [[r'\(', r'\)'], ['$', '$']]},                   # as in tables of `net.explain`
    'options': {'ignoreHtmlClass': 'bd-article', 'processHtmlClass': 'math|output_area|output_html|text_html'}}

# Sources
bibtex_bibfiles = ['references.bib']
bibtex_reference_style = 'author_year'
bibtex_default_style = 'plain'

# Docstrings
autodoc_typehints = 'none'
autodoc_member_order = 'bysource'
numpydoc_show_class_members = False

# How it looks
html_theme = 'pydata_sphinx_theme'
html_title = 'ntref'
html_static_path = ['_static', str(MATHJAX)]
html_css_files = ['site.css']
html_show_sourcelink = False
html_context = {'default_mode': 'auto'}
html_theme_options = {
    'show_toc_level': 2,
    'navigation_with_keys': False,
    'secondary_sidebar_items': ['page-toc'],
    'footer_start': ['copyright'],
    'footer_end': [],
}
