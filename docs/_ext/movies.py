"""Movies in the gallery as GIF files, which need no script from elsewhere; other figures as sphinx-gallery has them."""
from pathlib import Path

from matplotlib import pyplot
from matplotlib.animation import Animation
from sphinx_gallery.scrapers import figure_rst, matplotlib_scraper

__all__ = ['scraped']

DPI = 80


def scraped(block, block_vars, gallery_conf, **given):
    """Return the reStructuredText of the figures of a block of an example, and save them."""
    figures = list(map(pyplot.figure, pyplot.get_fignums()))          # numbers of closed ones are given anew
    movies = [value for value in block_vars['example_globals'].values()
              if isinstance(value, Animation) and value._fig in figures]
    paths = []
    for movie in movies:
        paths.append(Path(next(block_vars['image_path_iterator'])).with_suffix('.gif'))
        movie.save(paths[-1], 'pillow', dpi=DPI)
        pyplot.close(movie._fig)
    shown = figure_rst(paths, gallery_conf['src_dir']) if paths else ''
    return shown + matplotlib_scraper(block, block_vars, gallery_conf, **given)
