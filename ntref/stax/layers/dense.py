"""Dense: every channel of the output is a weighted sum of all channels of the input."""
from dataclasses import dataclass, replace
from typing import Any

from ...arguments import as_whole
from ...arrays import namespace
from ...recursion.signal import Axes, Signal
from ...recursion.steps import Steps
from ...types import Array, Generator, Seed, Tree
from .weighted import Weighted

__all__ = ['Dense']


@dataclass(frozen=True, repr=False)
class Dense(Weighted):
    r"""Fully connected layer. On inputs with positions (images) it acts on each alone, and positions stay.

    The input has n channels, and the entries of W and b are independent and standard normal ('ntk' parameterization):

    .. math::
        z = \sigma_w W h / \sqrt n + \sigma_b b, \qquad
        K' = \sigma_w^2 K + \sigma_b^2, \qquad  \Theta' = K' + \sigma_w^2 \Theta .

    With 'standard', W and b have standard deviations sigma_w / sqrt n and sigma_b, z = W h + b, and the tangent kernel
    is that of the finite width n:  Theta' = n K + sigma_w^2 Theta (+ 1 with a bias).

    Parameters
    ----------
    out_dim : int                   channels of the output (without effect on the kernel in 'ntk').
    W_std, b_std : float            sigma_w and sigma_b; b_std=None: no bias. Only their squares enter the kernel.
    batch_axis, channel_axis : int  axes of inputs and outputs; the other axes are positions, which stay.
    parameterization : str          'ntk' or 'standard'.
    s : (float, float)              'standard' only: the network is s[0] times wider than n before the layer, s[1] times
                                    wider than out_dim after it, with z = W h / sqrt s[0] + b; s[0] is 1 at the input,
                                    s[1] is 1 at the output. n in Theta' is the width without the factor.

    Raises
    ------
    ValueError : unknown parameterization, out_dim < 1, axes that differ from those of the input.

    Accuracy
    --------
    K is accurate to rounding; gap and area are computed without cancellation (docs/accuracy.md).

    Source
    ------
    Jacot et al. 2018 (arXiv:1806.07572) theorem 1; standard parameterization: Sohl-Dickstein et al. 2020
    (arXiv:2001.07301); docs/theory/dense.md#dense.

    Examples
    --------
    >>> import numpy
    >>> Dense(8, W_std=2., b_std=1.).kernel_fn(numpy.ones((1, 3)), get=('nngp', 'ntk'))
    AnalyticKernel(nngp=array([[5.]]), ntk=array([[5.]]))
    """
    out_dim: int
    W_std: float = 1.
    b_std: float | None = None
    batch_axis: int = 0
    channel_axis: int = -1
    parameterization: str = 'ntk'
    s: tuple = (1, 1)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, 'out_dim', as_whole(self.out_dim, 'Dense: out_dim', 1))

    @property
    def axes(self):
        return Axes(self.batch_axis, self.channel_axis)

    def out(self, signal: Signal) -> Signal:
        self.check_axes(signal, self.axes.of(len(signal.shape)))
        self._check_channels(signal)
        return replace(signal.with_channels(self._widened(self.out_dim)), is_gaussian=True)

    def init(self, rng: Generator, signal: Signal) -> Tree:
        n = signal.channels
        m = self.out(signal).channels
        bias_shape = [m if axis == signal.axes.channel else 1 for axis in range(len(signal.shape))]
        return self._drawn(rng, (n, m), n, bias_shape)

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, **given: Any) -> Array:
        W, b = self.parts(params, 2)
        xp = namespace(x, W)
        signal = Signal(tuple(x.shape), self.axes.of(x.ndim))
        n = signal.channels
        self.check_weights(W, (n, self._widened(self.out_dim)), signal)
        Wh = xp.moveaxis(x, self.channel_axis, -1) @ W
        return self._scaled(xp.moveaxis(Wh, -1, self.channel_axis), b, n)

    def kernel(self, k: Steps) -> Steps:
        return self._affine(k)
