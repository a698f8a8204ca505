"""LayerNorm, RMSNorm, Dropout and Identity."""
from dataclasses import dataclass, replace
from typing import Any

from ...arguments import as_axes, is_whole, suggestion
from ...arrays import generator, namespace
from ...derivatives import carried_root, is_traced
from ...duals.geometry import Cov
from ...recursion.signal import Axes, Signal, axis_of
from ...recursion.steps import Steps
from ...types import Array, Seed, Tree
from ..layer import Layer
from ..masking import average, in_layout
from .gaussian import check_gaussian

__all__ = ['Dropout', 'Identity', 'LayerNorm', 'RMSNorm']


@dataclass(frozen=True, repr=False)
class Identity(Layer):
    """The input as it is:  K' = K,  Theta' = Theta.

    Source
    ------
    By definition.
    """
    formula = r'K_+ = K,\quad \Theta_+ = \Theta'
    elementwise = True
    knows_flat = True

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, **given: Any) -> Array:
        return x

    def kernel(self, k: Steps) -> Steps:
        return k


@dataclass(frozen=True, repr=False)
class _Normalization(Layer, abstract=True):
    """Base of divisions by sqrt(mean of z^2 + eps) over the channels and other axes; `_centred` is what is divided."""
    formula = (
        r"K_+ = \frac{K}{\sqrt{(q + \epsilon)(q' + \epsilon)}},\quad "
        r"\Theta_+ = \frac{\Theta}{\sqrt{(q + \epsilon)(q' + \epsilon)}}")
    axis: int | tuple = -1
    eps: float = 1e-12
    batch_axis: int = 0
    channel_axis: int = -1

    def __post_init__(self):
        super().__post_init__()
        axes = as_axes(self.axis, f'{self.name}: axis')
        object.__setattr__(self, 'axis', axes[0] if is_whole(self.axis) else axes)
        if not self.eps > 0:
            raise ValueError(f'{self.name}: expected eps > 0, got {self.eps}.')

    @property
    def axes(self):
        return Axes(self.batch_axis, self.channel_axis)

    def tileable(self, signal: Signal) -> bool:
        return signal.axes.batch not in self._over(len(signal.shape))

    def _over(self, ndim):
        """Return the axes to normalize over, of arrays with `ndim` axes."""
        given = as_axes(self.axis, f'{self.name}: axis')
        return tuple(sorted({axis_of(axis, ndim) for axis in given}))

    def check(self, signal: Signal) -> None:
        ndim = len(signal.shape)
        if self.axes.of(ndim) != signal.axes or signal.axes.channel not in self._over(ndim):
            raise ValueError(
                f'expected the channel axis {signal.axes.channel} of shape {signal.shape} among '
                f'the axes to normalize over, got axis={self.axis} with '
                f'channel_axis={self.channel_axis}.')

    def out(self, signal: Signal) -> Signal:
        if 0 in [signal.shape[axis] for axis in self._over(len(signal.shape))]:
            raise ValueError(
                f'expected something to normalize over, got axis={self.axis} of shape '
                f'{signal.shape}.')
        return signal

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, *, mask: Array | None = None,
              **given: Any) -> Array:
        axis = self._over(x.ndim)
        mask = None if mask is None else in_layout(mask, self.axes.of(x.ndim))
        z = self._centred(x, axis, mask)
        return z / namespace(x).sqrt(self.eps + average(z * z, axis, mask))

    def _centred(self, x, axis, mask):
        """Return what is divided by the root of its mean square."""
        raise NotImplementedError

    def kernel(self, k: Steps) -> Steps:
        layout = k.signals[0].layout
        others = (axis for axis in self._over(len(k.shape1)) if axis != k.signals[0].axes.channel)
        over = tuple(layout.index(axis) for axis in others)

        def normal(q, mask):
            return (average(q, over, mask) if over else q) + self.eps
        return k.divide(normal(k.variances(1), k.mask1), normal(k.variances(2), k.mask2))


@dataclass(frozen=True, repr=False)
class LayerNorm(_Normalization):
    r"""Normalization to mean zero and variance one over the channels (and other axes), without scale and offset.

    .. math::
        h = (z - \bar z) / \sqrt{\mathrm{var}\, z + \epsilon}, \qquad
        K' = K / \sqrt{(q + \epsilon)(q' + \epsilon)}, \qquad \Theta' = \Theta / \sqrt{(q + \epsilon)(q' + \epsilon)} .

    If other axes than the channels are among them, q is the mean variance over these, without masked positions.

    Parameters
    ----------
    axis : int or tuple of int      axes to normalize over; the channel axis must be among them.
    eps : float                     > 0, added to the variance.                             [input^2]
    batch_axis, channel_axis : int

    Raises
    ------
    ValueError : channels not among the axes; an input that is not Gaussian; axes that differ from those of the input.

    Accuracy
    --------
    Accurate to rounding; a zero vector gives 0.

    Source
    ------
    Ba et al. 2016 (arXiv:1607.06450); docs/theory/dense.md#layer-norm.
    """

    def check(self, signal: Signal) -> None:
        super().check(signal)
        check_gaussian(signal)

    def _centred(self, x, axis, mask):
        return x - average(x, axis, mask)


@dataclass(frozen=True, repr=False)
class RMSNorm(_Normalization):
    r"""Division by the root of the mean square over the channels (and other axes): `LayerNorm` without the mean.

    .. math::
        h = z / \sqrt{\overline{z^2} + \epsilon}, \qquad
        K' = K / \sqrt{(q + \epsilon)(q' + \epsilon)}, \qquad \Theta' = \Theta / \sqrt{(q + \epsilon)(q' + \epsilon)} .

    q is the mean square over the channels, so that any input will do, also that of the network, and the output of a
    nonlinearity. Over other axes q is the mean over these, too, without masked positions. Behind a Gaussian input the
    kernel is that of `LayerNorm`, since the mean over infinitely many channels is zero there.

    Parameters
    ----------
    axis : int or tuple of int      axes to normalize over; the channel axis must be among them.
    eps : float                     > 0, added to the mean square.                          [input^2]
    batch_axis, channel_axis : int

    Raises
    ------
    ValueError : channels not among the axes; axes that differ from those of the input.

    Accuracy
    --------
    Accurate to rounding; a zero vector gives 0.

    Source
    ------
    Zhang & Sennrich 2019 (arXiv:1910.07467) eq. 4; docs/theory/dense.md#layer-norm.

    Examples
    --------
    >>> import numpy
    >>> RMSNorm().apply_fn((), numpy.array([[3., 4., 0., 0.]]))
    array([[1.2, 1.6, 0. , 0. ]])
    """

    def _centred(self, x, axis, mask):
        return x


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """Multiplication by independent Bernoulli(rate) / rate; `rate` is the probability to KEEP an entry, as in NT.

    K'(x, x) = K(x, x) / rate for an input with itself, at the same position; K' = K otherwise. Theta' likewise.

    Parameters
    ----------
    rate : float          probability to keep, 0 < rate <= 1.
    mode : str            'train', or 'test', which makes the layer the identity.

    Raises
    ------
    ValueError : another rate or mode; `apply_fn` without `rng` in training.

    Source
    ------
    Schoenholz et al. 2017 (arXiv:1611.01232); docs/theory/dense.md#dropout.
    """
    elementwise = True
    knows_flat = True

    rate: float
    mode: str = 'train'

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.rate <= 1:
            raise ValueError(
                f'Dropout: expected 0 < rate <= 1 (the probability to keep), got {self.rate}.')
        if not isinstance(self.mode, str) or self.mode not in ('train', 'test'):
            raise ValueError(f"Dropout: expected mode 'train' or 'test', got {self.mode!r:.100}."
                             + suggestion(self.mode, ('train', 'test')))

    @property
    def formula(self):
        if self.mode == 'test':
            return Identity.formula
        return (r'K_+ = K / r\text{ of an entry with itself},\quad '
                r'K_+ = K\text{ elsewhere},\quad \Theta_+\text{ likewise}')

    def out(self, signal: Signal) -> Signal:
        return signal if self.mode == 'test' else replace(signal, is_gaussian=False)

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, **given: Any) -> Array:
        if self.mode == 'test':
            return x
        if rng is None:
            raise ValueError(
                'expected rng, a seed or numpy Generator, for the random mask; got None.')
        xp = namespace(x)
        keep = generator(rng).random(tuple(x.shape)) < self.rate
        return xp.where(xp.asarray(keep), x / self.rate, 0)

    def kernel(self, k: Steps) -> Steps:
        if self.mode == 'test':
            return k
        xp = namespace(k.nngp, self.rate)
        same = k.coincidences()
        each = iter(same)
        new = k.map(lambda pair: self._covariance(pair, next(each)))
        if same[0] is None:
            return new
        return new.but(ntk=k.tangent(lambda ntk: xp.where(same[0], ntk / self.rate, ntk)))

    def _covariance(self, p, same):
        """Return K' = K, or K / rate where an entry meets itself; gap and area grow with the variances."""
        apart = self._apart(p)
        if same is None:
            return apart
        xp = namespace(p.k, self.rate)
        others = (None if c is None else xp.where(same, 0, c) for c in apart[1:])
        return Cov(xp.where(same, p.k / self.rate, p.k), *others)

    def _apart(self, p):
        """Return the Cov of inputs that are not the same."""
        xp = namespace(p.k, self.rate)
        r = self.rate
        if p.is_generic:
            return Cov(p.k)
        if p.cov.lack is not None:
            return Cov(p.k, lack=p.cov.lack + (1 / r - 1) * p.s)
        gap = p.gap + (1 / r - 1) * (p.q1 + p.q2)
        area = xp.hypot(p.area, xp.sqrt(1 / r ** 2 - 1 + 0 * p.s) * p.s)
        if is_traced(area):
            area = carried_root(area, p.squared + (1 / r ** 2 - 1) * p.q1 * p.q2)
        return Cov(p.k, gap, area)
