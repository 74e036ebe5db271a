"""Solving in float64 whatever precision JAX is set to."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike


def solve_precisely(solve: Callable[..., Any], *arrays: ArrayLike | None) -> Any:
    """Call ``solve`` on float64 arrays; its arrays come back as NumPy float64.

    Regressions lose digits twice, in the products and in the solve, so concrete data
    are solved in float64 even where ``jax_enable_x64`` is off. Under a transformation
    (``jit``, ``vmap``, ``grad``) ``solve`` runs in the dtype it is given.
    """
    if _traced(arrays):
        return solve(*(None if a is None else jnp.asarray(a) for a in arrays))
    with jax.enable_x64(True):
        wide = [None if a is None else jnp.asarray(a, _wide(a)) for a in arrays]
        return jax.tree.map(np.asarray, solve(*wide))


def _traced(arrays: Sequence[ArrayLike | None]) -> bool:
    # Inside jit every operation is traced, also one on constants.
    return any(isinstance(a, jax.core.Tracer) for a in (*arrays, jnp.zeros(()) + 0))


def _wide(array: ArrayLike) -> jnp.dtype:
    dtype = np.asarray(array).dtype
    return dtype if dtype == np.bool_ else np.dtype(np.float64)


def epsilon(*arrays: ArrayLike) -> float:
    """The rounding unit of the coarsest of the arrays' dtypes (integers are exact)."""
    kinds = [
        jnp.asarray(a).dtype if not hasattr(a, "dtype") else a.dtype for a in arrays
    ]
    return max(
        float(jnp.finfo(k if jnp.issubdtype(k, jnp.floating) else np.float64).eps)
        for k in kinds
    )


def check_pair(x: ArrayLike, y: ArrayLike) -> None:
    """Refuse anything but finite-sized real X [n, p] and Y [n, q] with one row each.

    Raises:
        TypeError: not real numbers.
        ValueError: not two matrices with the same number of rows, or fewer than one.
    """
    for name, array in (("X", x), ("Y", y)):
        dtype = jnp.result_type(array)
        if not (
            jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
        ):
            raise TypeError(f"{name} must hold real numbers, got {dtype}")
        if jnp.ndim(array) != 2:
            raise ValueError(
                f"{name} must be a matrix, one example a row; got shape "
                f"{jnp.shape(array)}: flatten features with x.reshape(len(x), -1)"
            )
    check_rows(jnp.shape(x), jnp.shape(y))


def check_rows(x: Sequence[int], y: Sequence[int]) -> None:
    """Refuse matrices whose rows cannot be pairs of examples."""
    if x[0] != y[0] or x[0] < 1 or not x[1] or not y[1]:
        raise ValueError(
            "X [n, p] and Y [n, q] must have the same number n > 0 of rows, and p, q > "
            f"0; got {tuple(x)} and {tuple(y)}"
        )
