"""A layer of two inputs, for tests whose layers differ in `kernel` alone."""
from ntref.stax import Layer

__all__ = ['TwoInputs']


class TwoInputs(Layer, abstract=True):
    """Base of layers that make one output of a list of two inputs."""
    several = True

    def out(self, signals):
        return signals[0]

    def demand(self, demand):
        return [demand, demand]
