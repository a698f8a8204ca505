"""Pictures of kernels, networks and predictions, by matplotlib: each function takes axes and returns them."""
from ..arguments import unknown_name
from .gaussians import posterior, prior
from .kernels import heatmap, kernel_against_angle, spectrum
from .networks import depth, width_convergence
from .phases import phase_diagram
from .trained import training, training_movie

__all__ = ['depth', 'heatmap', 'kernel_against_angle', 'phase_diagram', 'posterior', 'prior', 'spectrum', 'training',
           'training_movie', 'width_convergence']
__getattr__ = unknown_name(__name__, {'animation': 'Take training_movie.'})
