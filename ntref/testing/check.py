"""A check of all contracts of a layer in one call."""
from collections.abc import Iterable
from typing import Any

import numpy

from ..arguments import as_whole
from ..stax import Layer
from ..types import Shape
from .comparing import accepts, after_dense, axes_of
from .contracts import (
    blocks, coincidences, compose, derivatives, diagonal, float32, gaps, get, read_only, same,
    shapes, swap, text, tiles)
from .finite import ROUND, finite_nngp, finite_ntk

__all__ = ['CONTRACTS', 'check_layer']

KERNEL = shapes, swap, same, diagonal, blocks, gaps, get, compose, read_only, coincidences, float32, tiles
ARGUMENTS = text, derivatives
FINITE = finite_nngp, finite_ntk
CONTRACTS = {f.__name__: f for f in (*KERNEL, *ARGUMENTS, *FINITE)}
"""{name: contract}, functions of a network and inputs (n, ...); n >= 5."""


def check_layer(
        layer: Any, input_shape: Shape, *, without: Iterable[str] = (), most: int = 2048,
        notices: float = .15) -> dict:
    """Check the contracts of a layer: alone if it takes any input, and behind `Dense`, whose outputs are Gaussian.

    =============  ==================================================================================================
    shapes         `init_fn`, `apply_fn` and `kernel_fn` agree on the shape of the outputs
    swap           k(y, x) is the transpose of k(x, y)
    same           k(x) is k(x, x)
    diagonal       `cov1` is the diagonal of `nngp`
    blocks         the kernel of some inputs is that part of the kernel of all; not asked if layers mix the batch
    gaps           gap and area, if they are stated, are those of the covariances
    get            `get` returns what it names
    compose        a `Kernel` can be fed to the next layer, as in `serial`
    read_only      given inputs and states are not changed
    coincidences   zero, equal, opposite and tiny inputs give finite numbers
    float32        float32 inputs give float32, and the numbers of float64 to its digits
    tiles          kernels of many inputs, in tiles, equal those of the whole `Kernel`
    text           `from_spec` undoes `to_spec`; not asked if the arguments are not plain
    derivatives    derivatives in float arguments, by autograd, are those of finite differences
    finite_nngp    NNGP is the mean over finite networks as they grow; only Gaussian outputs are is_gaussian
    finite_ntk     NTK is that mean of products of Jacobians, behind `Dense` and in front of `Dense`
    =============  ==================================================================================================

    Parameters
    ----------
    layer : Layer, or function of the width that gives one
        Pass a function if the layer has weights: finite networks use it at widths 64 and 128.
    input_shape : tuple
        As for `init_fn`; its number of inputs does not matter. A few positions and channels suffice, and are quick.
    without : tuple of str
        Contracts that are not to be run.
    most : int                largest number of networks to draw
    notices : float           relative error of the kernel that these networks must be able to show

    Returns
    -------
    dict                      {contract: 'kept', or why it was not asked}

    Raises
    ------
    AssertionError : a contract is broken; the message has its name and the numbers.
    TypeError, ValueError : not a layer, or one with a list of inputs; unknown names of contracts.

    Accuracy
    --------
    Numbers that should agree must do so to `EPS_MULTIPLES`. Random networks are the same in each call; a kernel that is
    right is refused with a probability of 1e-4 (`LEVEL`), and networks are drawn until an error of `notices` would be
    refused.

    Examples
    --------
    >>> from ntref import stax
    >>> from ntref.testing import check_layer
    >>> kept = check_layer(stax.Relu(), (6, 5))
    >>> kept['finite_ntk']
    'kept'
    >>> check_layer(stax.Elementwise(lambda z: 1.3 * z, lambda k, q1, q2: k, lambda k, q1, q2: 1 + 0 * k), (6, 5))
    Traceback (most recent call last):
        ...
    AssertionError: Elementwise(<lambda>, <lambda>, <lambda>) breaks the contract finite_nngp, NNGP is the mean ...
    """
    is_function = callable(layer) and not isinstance(layer, type)
    one = layer if isinstance(layer, Layer) else layer(2) if is_function else None
    if not isinstance(one, Layer):
        raise TypeError(
            f'expected a layer such as Relu(), or a function from the width to one, got {layer!r}.')
    if one.several:
        raise ValueError(
            f'expected a layer with one input, got {one!r}. Put FanOut and branches before it, in '
            'serial.')
    unknown = set(without) - set(CONTRACTS)
    most = as_whole(most, 'most', ROUND)
    if unknown:
        raise ValueError(
            f'expected `without` out of {", ".join(CONTRACTS)}, got '
            f'{", ".join(map(repr, unknown))}.')
    shape = list(input_shape)
    shape[axes_of(one)[0]] = 6
    x = numpy.random.default_rng(0).standard_normal(shape)
    nets = [after_dense(one, x.shape)] + [one] * accepts(one, x)
    result = {}
    for name, contract in CONTRACTS.items():
        if name in without:
            continue
        cases = nets if contract in KERNEL else [one] if contract in ARGUMENTS else [layer]
        more = dict(most=most, notices=notices) if contract in FINITE else {}
        try:
            reasons = [contract(case, x, **more) for case in cases]
        except Exception as e:
            said = '' if isinstance(e, AssertionError) else f'{type(e).__name__}: '
            about = str(contract.__doc__).split('\n')[0]
            raise AssertionError(
                f'{one!r} breaks the contract {name}, {about} Got {said}{e}') from e
        result[name] = reasons[0] or 'kept'
    return result
