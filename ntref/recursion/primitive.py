"""Kernels as a function that autograd differentiates: one primitive, whose first derivatives are stated."""
import warnings
from functools import cache
from importlib import import_module
from typing import Any

from ..derivatives import is_traced

__all__ = ['differentiable_kernels']


def differentiable_kernels(call: Any, x1: Any, x2: Any, *numbers: Any) -> Any:
    """Return call.values(x1, x2, *numbers), with derivatives.

    `call` has functions of x1, x2 and the numbers: `values`, the kernel; `whole`, the same for autograd to trace over
    whole arrays, for derivatives of second order; `backward`, for first ones; and `along`, for those in forward mode,
    which also takes {argument: its derivative} and may return None.
    """
    return _primitive()(call, x1, x2, *numbers)


@cache
def _primitive():
    """Return the one autograd primitive of all kernels; one for each call would stay in autograd's tables for ever."""
    extend = import_module('autograd.extend')
    core = import_module('autograd.core')
    kernels = extend.primitive(lambda call, *x: call.values(*x))

    def varied(args, argnums):
        """Return the kernel as a function of the tuple of the arguments `argnums`, for autograd to trace."""
        call = args[0]

        def f(values):
            x = list(args)
            for i, argnum in enumerate(argnums):
                x[argnum] = values[i]
            return call.whole(*x[1:])
        return f

    def vjp(argnums, ans, args, kwargs):
        call, *x = args

        def pull(g):
            if is_traced(g) or any(map(is_traced, x)):
                with warnings.catch_warnings():
                    warnings.filterwarnings('ignore', 'Output seems independent')
                    point = tuple(args[argnum] for argnum in argnums)
                    back, _ = core.make_vjp(varied(args, argnums), point)
                return tuple(back(g))
            found = call.backward(*x).gradients(g, 1 in argnums, 2 in argnums)
            return tuple(found[argnum - 1] for argnum in argnums)
        return pull

    def jvp(argnums, gs, ans, args, kwargs):
        call, *x = args
        if not any(map(is_traced, (*x, *gs))):
            found = call.along(*x, {argnum - 1: g for argnum, g in zip(argnums, gs)})
            if found is not None:
                return found
        f = varied(args, argnums)
        point = [args[argnum] for argnum in argnums]
        along = core.make_jvp(lambda t: f([x + t * g for x, g in zip(point, gs)]), 0.)
        return along(1.)[1]
    extend.defvjp_argnums(kernels, vjp)
    extend.defjvp_argnums(kernels, jvp)
    return kernels
