"""What nonlinearities and normalizations ask of their input."""
from ...recursion.signal import Signal

__all__ = ['check_gaussian']


def check_gaussian(signal: Signal) -> None:
    """Raise ValueError if the input is not Gaussian: its kernel does not follow from covariances then."""
    if not signal.is_gaussian:
        raise ValueError(
            'expected a Gaussian input, which a layer with weights gives; got the network input or '
            'the output of a nonlinearity. Insert Dense before it.')
