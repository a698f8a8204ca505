"""Matrices of balls: products, solutions, exponentials, pivots and the largest eigenvalue, all enclosed.

    matrix(a)      an array of balls as `flint.arb_mat`, with operators + - *       array(m)   back

Nothing here decides by a guess: what balls leave open raises `Undecided`.

Sources: Johansson 2017 (IEEE Trans. Comput. 66); Higham 2008, Functions of Matrices, section 10.7.
"""
from collections.abc import Iterator
from typing import Any

import numpy

from ..arrays import load
from ..balls import Ball, Undecided, flint

__all__ = ['array', 'decay_and_growth', 'largest_eigenvalue', 'log_determinant', 'matrix', 'pivots', 'power',
           'solved']


def matrix(a: Any) -> Any:
    """Return an array of balls (m, n) as `arb_mat`."""
    return flint().arb_mat(*a.shape, [x.arb for x in a.ravel()])


def array(m: Any) -> Any:
    """Return `arb_mat` as an array of balls (m, n)."""
    entries = numpy.array([Ball(x) for x in m.entries()], dtype=object)
    return entries.reshape(m.nrows(), m.ncols())


def solved(A: Any, b: Any) -> Any:
    """Return A^-1 b; A is proved to be regular."""
    try:
        return A.solve(b)
    except ZeroDivisionError:
        raise Undecided('expected a regular matrix, got balls that hold a singular one.') from None


def decay_and_growth(A: Any, tau: Any) -> tuple[Any, Any]:
    """Return exp(-A tau), and the integral of exp(-A s) for s from 0 to tau, with no inverse: A may be singular.

    exp of the blocks (-A tau, 1; 0, 0) is (exp(-A tau), growth / tau; 0, 1).
    """
    n = A.nrows()
    xp = load('flint')
    blocks = xp.zeros((2 * n, 2 * n))
    blocks[:n, :n] = array(-A * tau)
    blocks[:n, n:] = xp.eye(n)
    both = array(matrix(blocks).exp())
    return matrix(both[:n, :n]), matrix(both[:n, n:]) * tau


def power(A: Any, k: int) -> Any:
    """Return A^k for a whole number k >= 0 of any size, by squares."""
    product = matrix(load('flint').eye(A.nrows()))
    for bit in bin(k)[2:]:
        product = product * product * A if bit == '1' else product * product
    return product


def pivots(a: Any) -> Iterator[Any]:
    """Yield the pivots of elimination of a symmetric array of balls, which is positive definite if all are > 0.

    If one is < 0 after others that are > 0, it has a negative eigenvalue.
    """
    while len(a):
        pivot = a[0, 0]
        yield pivot
        a = a[1:, 1:] - a[1:, :1] * (a[:1, 1:] / pivot)


def log_determinant(a: Any) -> Any:
    """Return log |a| of a positive definite array of balls."""
    return Ball(sum((pivot.arb.log() for pivot in pivots(a)), flint().arb(0)))


def largest_eigenvalue(a: Any) -> Any:
    """Return the largest eigenvalue x of a symmetric array of balls, to three quarters of the working digits.

    x + d - a has pivots > 0 alone, x - d - a has one < 0: so it is within d of x.
    """
    f = flint()
    try:
        values = f.acb_mat(matrix(a)).eig(algorithm='approx')
    except ValueError as e:
        raise Undecided(f'expected eigenvalues, got {e}.') from None
    x = Ball(max((value.real.mid() for value in values), key=float))
    d = abs(x) * Ball(f.arb(2) ** -(3 * f.ctx.prec // 4))
    one = load('flint').eye(len(a))
    is_above = all(pivot > 0 for pivot in pivots((x + d) * one - a))
    is_below = any(not pivot > 0 for pivot in pivots((x - d) * one - a))
    if not (is_above and is_below):
        raise Undecided(f'expected the largest eigenvalue next to {float(x)}, got another one.')
    return Ball(x.arb + d.arb * f.arb(0, 1))
