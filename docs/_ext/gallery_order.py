"""The order of examples within a section of the gallery: what most readers want first."""
from pathlib import Path

__all__ = ['ORDER', 'Wanted']

ORDER = (
    # kernels
    'heatmap', 'depth', 'explain', 'spectrum', 'elementwise', 'elementwise_numerical', 'phase_diagram', 'trainability',
    # bayes
    'variance', 'calibration', 'evidence', 'ridge_sweep', 'laplace',
    # training
    'cookbook', 'infinite_fcn', 'movie', 'early_stopping', 'learning_rate', 'learning_curves', 'losses',
    'weight_space', 'function_space', 'optimizer', 'sample_then_optimize', 'inducing_points',
    # estimators
    'grid_search', 'support_vectors',
    # architectures
    'myrtle', 'patches', 'sequences', 'masked_text', 'attention', 'graphs',
    # finite
    'width', 'empirical_ntk', 'kernel_moves', 'monte_carlo',
    # checks
    'conformance', 'certified',
    # large
    'out_of_core', 'dask', 'cupy')
"""Names of the scripts, without 'plot_'."""


class Wanted:
    """The key of a script of the folder `src_dir`: its place in `ORDER`."""

    def __init__(self, src_dir):
        self.src_dir = src_dir

    def __call__(self, filename):
        return ORDER.index(Path(filename).stem.removeprefix('plot_'))
