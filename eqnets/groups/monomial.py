"""Matrices with one entry in each row and column, as a permutation and weights."""

import numpy as np
from jaxtyping import Int, Num

Form = tuple[np.ndarray, np.ndarray]


def monomial_form(matrices: Num[np.ndarray, "M d d"]) -> Form | None:
    """(permutation ``[M, d]``, weights ``[M, d]``), or None where a row has two.

    ``h e_j = weight[j] e_{permutation[j]}``.
    """
    nonzero = matrices != 0
    single = (nonzero.sum(1) == 1).all() and (nonzero.sum(2) == 1).all()
    if not single:
        return None
    perms = nonzero.argmax(1)
    weights = np.take_along_axis(matrices, perms[:, None, :], 1)[:, 0, :]
    return perms, weights


def dense_from_monomial(
    perms: Int[np.ndarray, "M d"], weights: Num[np.ndarray, "M d"]
) -> Num[np.ndarray, "M d d"]:
    """The dense matrices of a monomial form."""
    count, d = perms.shape
    out = np.zeros((count, d, d), weights.dtype)
    np.put_along_axis(out, perms[:, None, :], weights[:, None, :], 1)
    return out


def compose(a: Form, b: Form) -> Form:
    """The product matrix a b of two monomial forms (without a stack axis)."""
    return a[0][b[0]], a[1][b[0]] * b[1]


def invert(perms: Int[np.ndarray, "M d"], weights: Num[np.ndarray, "M d"]) -> Form:
    """The inverse matrices of a monomial form."""
    inverse = np.argsort(perms, axis=1)
    return inverse, 1.0 / np.take_along_axis(weights, inverse, 1)
