"""Networks explained: where a number comes from, what the layers are, a diagram for notebooks."""
from collections.abc import Callable, Sequence
from typing import Any

from ..types import Get, Tree
from .boxes import box, diagram
from .explained import Explanation, explained
from .summarized import Summary, summarized
from .written import Written

__all__ = ['Shown']


class Shown(Written, abstract=True):
    """Base of networks that show themselves: `explain`, `summary`, and what a notebook displays."""
    formula: str
    kernel_fn: Any

    def explain(self, x1: Tree, x2: Tree = None, pair: Sequence[int] | None = None, *,
                position: Sequence[int] | None = None, diagonal_spatial: bool | None = None, pattern: Any = None,
                mask_constant: float | None = None) -> Explanation:
        """Explain the kernel of two inputs, layer by layer: formulas, and the numbers after each layer.

        Parameters
        ----------
        x1, x2 : as for `kernel_fn`         inputs; x2=None: x2 is x1.
        pair : (int, int), optional         which of x1 and which of x2. None: the first of each or, with x2=None, the
            first two of x1.
        position : tuple of int, optional   the position at which covariances are shown, the same for both inputs. None:
            the middle of each layer, h // 2 of every spatial axis.
        diagonal_spatial, pattern, mask_constant : as for `kernel_fn`

        Returns
        -------
        Explanation
            `print` writes it as a table, a notebook displays it with the formulas; `rows` are its numbers, `plot`
            draws the angle.

        Raises
        ------
        ValueError : a pair or a position that is not there; and as for `kernel_fn`. TypeError : as for `kernel_fn`.

        Accuracy
        --------
        The numbers are those of kernel_fn(x1[i:i + 1], x2[j:j + 1], get=None), to the last bit: the same computation,
        watched. In a network that mixes the batch they are those of all inputs together.

        Source
        ------
        `formula` of each layer; docs/explain-and-plot.md.

        Examples
        --------
        >>> import numpy
        >>> from ntref import stax
        >>> net = stax.serial(stax.Dense(512, 2., .5), stax.Relu(), stax.Dense(1, 2., .5))
        >>> net.explain(numpy.array([[1., 2.], [2., 1.]]))
        x1[0] with x1[1]: variances q, q', covariance K, angle [rad] and gap after each layer, tangent kernel Θ
        <BLANKLINE>
           layer                     q     q'        K     angle     gap        Θ
           input                   2.5    2.5        2  0.643501       1        0
        0  Dense(512, 2.0, 0.5)  10.25  10.25     8.25  0.635326       4     8.25
        1  Relu()                5.125  5.125   4.2589  0.589885  1.7322   3.2908
        2  Dense(1, 2.0, 0.5)    20.75  20.75  17.2856  0.586214  6.9288  30.4488
        <BLANKLINE>
        0, 2  Dense: K₊ = σ_w² K + σ_b², Θ₊ = K₊ + σ_w² Θ
        1  Relu: φ(z) = max(z, 0), K₊ = (√(q q') / (2 π)) (sin θ + (π - θ) cos θ), Θ₊ = ((π - θ) / (2 π)) Θ
        """
        options = dict(diagonal_spatial=diagonal_spatial, pattern=pattern, mask_constant=mask_constant)
        return explained(self, x1, x2, pair, position, options)

    def summary(self, shape: Tree, get: Get = 'ntk') -> Summary:
        """Summarize the network: layers, shapes, parameters, which covariances are needed, and what the kernel costs.

        Parameters
        ----------
        shape : tuple, or a list of them    shape of the inputs, with their number; -1 for it: no estimate of the cost
        get : as for `kernel_fn`            the kernels that the cost is of

        Returns
        -------
        Summary
            Bytes and seconds in it are estimates, see `KernelFunction.cost`: a trial that takes as long as a few tiles.

        Raises
        ------
        ValueError, TypeError : as for `KernelFunction.cost`.

        Examples
        --------
        >>> from ntref import stax
        >>> net = stax.serial(stax.Conv(64, (3, 3)), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(10))
        >>> net.summary((-1, 8, 8, 3))
           layer                      shape  parameters                         needed  entries
           input              (-1, 8, 8, 3)           0        gap; pairs of positions    4,096
        0  Conv(64, (3, 3))  (-1, 6, 6, 64)       1,728  gap, area; pairs of positions    1,296
        1  Relu()            (-1, 6, 6, 64)           0        gap; pairs of positions    1,296
        2  GlobalAvgPool()         (-1, 64)           0                      gap, area        1
        3  Dense(10)               (-1, 10)         640                      gap, area        1
        <BLANKLINE>
        2,368 parameters
        """
        return summarized(self, shape, get)

    def mapped(self, f: Callable, path: tuple[int, ...] = ()) -> Any:
        """Return the network with f(layer, its place) in place of each layer that is not made of others."""
        return f(self, path)

    def diagram(self) -> str:
        """Return the network as HTML: a box for each layer."""
        return box(repr(self))

    def _repr_html_(self) -> str:
        return diagram(self.diagram())
