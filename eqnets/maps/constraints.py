"""What the filters of a stitch may be: solved in closed form, kept in fine-tuning."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .alignment import match_permutation_from, procrustes_from
from .linear import LinearMap, least_squares_from
from .moments import Moments
from .selection import forward_select_from

CONSTRAINTS = ("permutation", "orthogonal", "low_rank", "sparse")


class Constraint(NamedTuple):
    """What the filters of a stitch may be.

    Attributes:
        kind: ``"permutation"`` of channels (times positive factors), ``"orthogonal"``,
            ``"low_rank"`` or ``"sparse"``.
        k: the rank, or the most non-zeros for each of the receiver's channels.

    >>> from eqnets import maps
    >>> maps.Constraint("low_rank", 8)
    Constraint(kind='low_rank', k=8)
    """

    kind: str
    k: int | None = None


def as_constraint(given: str | Constraint) -> Constraint:
    """A constraint by its name.

    Raises:
        ValueError: an unknown name, or a number missing, needless or below 1.
    """
    rule = Constraint(given) if isinstance(given, str) else given
    if rule.kind not in CONSTRAINTS:
        raise ValueError(
            f"constraint must be one of {', '.join(CONSTRAINTS)}; got {rule.kind!r}"
        )
    counted = rule.kind in ("low_rank", "sparse")
    if counted != (rule.k is not None) or (counted and rule.k < 1):
        raise ValueError(
            "low_rank and sparse, and they alone, need a number of at least 1, such as "
            f'Constraint("low_rank", 8); got {rule}'
        )
    return rule


def solve(pair: Moments, rule: Constraint | None) -> LinearMap:
    """The nearest map that the constraint allows, in closed form.

    Raises:
        ValueError: a permutation between different numbers of channels.
    """
    if rule is None:
        return least_squares_from(pair)
    if rule.kind == "sparse":
        return forward_select_from(pair, rule.k)
    if rule.kind == "low_rank":
        return _reduced_rank(pair, rule.k)
    if rule.kind == "orthogonal":
        return procrustes_from(pair)
    p, q = np.shape(pair.xy)
    if p != q:
        raise ValueError(
            f"a permutation needs as many channels on both sides; got {p} and {q}"
        )
    return match_permutation_from(pair, rescale=True)


def _reduced_rank(pair: Moments, k: int) -> LinearMap:
    """Reduced-rank regression: least squares projected on the k largest fitted axes.

    Of all A with rank(A) <= k the one of the least |Y - X A^T|_F (Eckart and Young on
    the fitted values, whose Gram matrix is A Sxx A^T).
    """
    full = least_squares_from(pair)
    fitted = full.A @ np.asarray(pair.xx) @ full.A.T
    _, axes = np.linalg.eigh((fitted + fitted.T) / 2)
    top = axes[:, -min(k, len(axes)) :]
    A = top @ (top.T @ full.A)
    return LinearMap(A, np.asarray(pair.mean_y) - A @ np.asarray(pair.mean_x))


def free(kernel: Array, rule: Constraint | None) -> tuple[Any, Callable[[Any], Array]]:
    """Parameters without constraint, and the filters that they stand for."""
    if rule is None:
        return kernel, lambda w: w
    if rule.kind in ("permutation", "sparse"):
        pattern = kernel != 0
        return kernel, lambda w: jnp.where(pattern, w, 0)
    matrix = kernel[0, 0]
    if rule.kind == "low_rank":
        u, s, vt = np.linalg.svd(np.asarray(matrix, np.float64), full_matrices=False)
        k = min(rule.k, len(s))
        scaled = (u[:, :k] * np.sqrt(s[:k]), np.sqrt(s[:k])[:, None] * vt[:k])
        params = jax.tree.map(lambda a: jnp.asarray(a, kernel.dtype), scaled)
        return params, lambda w: (w[0] @ w[1])[None, None]

    def turned(s: Array) -> Array:  # exp(S - S^T) is orthogonal
        rows = len(matrix)
        skew = s - s.T
        if len(skew) == rows:
            return (jax.scipy.linalg.expm(skew) @ matrix)[None, None]
        return (matrix @ jax.scipy.linalg.expm(skew))[None, None]

    side = max(matrix.shape)
    return jnp.zeros((side, side), kernel.dtype), turned
