"""The dual of ReLU and its like on a GPU: one pass over memory, by a kernel of CuPy.

SOURCE is the formulas, in CUDA's C++; `ntref.duals.fast` has the same for NumPy, with the reasons. A form says what is
read beside K: the lack s - K; the gap; or, of gap and area, the area, behind which the lack is left. CuPy compiles a
kernel when it is first called.
"""
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from math import pi
from typing import Any

from ..types import Array, Number
from .angle import ZETA
from .geometry import MAX_LENGTH_RATIO

__all__ = ['FORMS', 'SOURCE', 'abrelu', 'kernel', 'outputs', 'with_tangent']

SERIES = ''.join(f'    total = (total + {2 * zeta / pi ** (2 * n)!r}) * tt;\n'
                 for n, zeta in reversed(list(enumerate(ZETA, 1))))

SOURCE = r'''
/* 1 - t cot t = 2 sum_n zeta(2 n) (t / pi)^(2 n), for t < 1/2. */
template <typename T> __device__ T one_minus_t_cot(T t)
{
    T tt = t * t;
    T total = 0;
''' + SERIES + r'''    return total;
}

/* The dual of phi(u) = a min(u, 0) + b max(u, 0) for a b >= 0, with t = min(theta, pi - theta) and j = A - t |K|:

   K' = c K + e j,    lack' = c lack - e j,                           slope = c - e t     where K >= 0,
   K' = a b K + e j,  lack' = (a + b)^2 / 2 s - a b (s + K) - e j,    slope = a b + e t   where K < 0. */
template <typename T> __device__ void abrelu(T a, T b, T s, T area, T minus, T plus, T& k, T& lack, T& slope)
{
    T c = (a * a + b * b) / 2;
    T e = (a - b) * (a - b) / 2 / T(3.14159265358979323846);
    T size = k < 0 ? -k : k;
    T t = area > 0 || size > 0 ? atan2(area, size) : T(1.57079632679489661923);
    T j = t < T(.5) ? area * one_minus_t_cot(t) : area - t * size;
    bool is_acute = k >= 0;
    lack = is_acute ? c * minus - e * j : (a + b) * (a + b) / 2 * s - a * b * plus - e * j;
    lack = lack > 0 ? lack : T(0);
    slope = is_acute ? c - e * t : a * b + e * t;
    k = (is_acute ? c : a * b) * k + e * j;
}

template <typename T> __device__ T root_of_product(T x, T y)
{
    return x > 0 && y > 0 ? sqrt(x) * sqrt(y) : T(0);
}

/* s - K, from K itself where lengths are so different that most of the gap is theirs. */
template <typename T> __device__ T lack_of_gap(T s, T d, T k, T gap)
{
    return d * d > LENGTH_RATIO * s ? s - k : (gap - d * d) / 2;
}

/* K' from the gap' where that is small, q = Q + Q': errors of K' would be amplified. */
template <typename T> __device__ T settled(T q, T gap, T k)
{
    return 4 * gap < q ? (q - gap) / 2 : k;
}
'''.replace('LENGTH_RATIO', f'T({MAX_LENGTH_RATIO})')

LACK = '''
    T s = n1 * n2;
    T next = k;
    T less = lack;
    T slope;
    abrelu(a, b, s, root_of_product(less, s + k), less, s + k, next, less, slope);
    k_out = next;
    lack_out = less;'''

GAP = '''
    T s = n1 * n2;
    T d = n1 - n2;
    T minus = lack_of_gap(s, d, k, gap);
    T next = k;
    T less;
    T slope;
    abrelu(a, b, s, root_of_product(minus, s + k), minus, s + k, next, less, slope);
    T c = (a * a + b * b) / 2;
    T apart = c * d * d + 2 * less;
    k_out = settled(c * (n1 * n1 + n2 * n2), apart, next);
    gap_out = apart;'''

AREA = '''
    T s = n1 * n2;
    T far = k < 0 ? s - k : s + k;
    T close = far > 0 ? area * (area / far) : T(0);
    T minus = k < 0 ? far : close;
    T plus = k < 0 ? close : far;
    T next = k;
    T less;
    T slope;
    abrelu(a, b, s, T(area), minus, plus, next, less, slope);
    k_out = next;
    lack_out = less;'''

FORMS = {'lack': (LACK, 'lack'), 'gap': (GAP, 'gap'), 'area': (AREA, 'lack')}
"""What is read beside K: what a kernel does with it, and what is carried behind."""

TANGENT = '''
    ntk_out = slope * ntk;'''


@lru_cache(maxsize=None)
def kernel(form: str, has_tangent: bool) -> Any:
    """Return the kernel of CuPy for a form and with Theta or without it."""
    operation, behind = FORMS[form]
    tangent = ['ntk'] if has_tangent else []
    given = ', '.join(f'T {name}' for name in ('n1', 'n2', 'k', form, *tangent, 'a', 'b'))
    found = ', '.join(f'T {name}_out' for name in ('k', behind, *tangent))
    title = '_'.join(['ntref_abrelu_k', form, *tangent])
    operation += TANGENT if has_tangent else ''
    return import_module('cupy').ElementwiseKernel(given, found, operation, title, preamble=SOURCE)


def abrelu(p: Any, ntk: Array | None, a: Number, b: Number) -> tuple[dict[str, Array], Any]:
    """Return {name: array} of `duals.abrelu`, K' and what is carried along beside it, and Theta' = slope Theta.

    For a b >= 0. Where pairs stay opposite, behind a b > 0, the lack does not know their angle: see `fast.abrelu`.
    """
    form = 'lack' if p.cov.lack is not None else 'area' if p.cov.area is not None else 'gap'
    given = with_tangent({'k': p.k, form: p.gap if form == 'gap' else getattr(p.cov, form)}, ntk)
    outs = outputs(p, given, given)
    kernel(form, 'ntk' in given)(p.n1, p.n2, *given.values(), float(a), float(b), *outs.values())
    tangent = outs.pop('ntk', ntk)
    return {'k': outs['k'], FORMS[form][1]: outs[form]}, tangent


def with_tangent(carried: dict[str, Array], ntk: Any) -> dict[str, Array]:
    """Return what is carried, and Theta if there is an array of it."""
    return carried if ntk is None or isinstance(ntk, int) else carried | {'ntk': ntk}


def outputs(p: Any, given: dict[str, Array], names: Iterable[str]) -> dict[str, Array]:
    """Return arrays for results of these names: those of the same name that are given, if p is spare, or new ones."""
    return {name: given[name] if p.is_spare and name in given else p.xp.empty_like(p.k) for name in names}
