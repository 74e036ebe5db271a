"""Affine maps between feature spaces, and the dense regressions that fit them.

All fit centred data: b = mean(y) - A mean(x) is never penalised (Lenc and Vedaldi,
2019, equation 3, with R(A) = |A|_F^2).
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .moments import Moments
from .precision import check_pair, epsilon, solve_precisely

AnyArray = Array | np.ndarray


class LinearMap(NamedTuple):
    """The affine map x -> A x + b on the last axis; a pytree.

    Attributes:
        A: ``[q, p]``.
        b: ``[q]``.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> double = maps.LinearMap(A=2 * np.eye(2), b=np.ones(2))
    >>> double(np.array([3.0, 4.0])).tolist()
    [7.0, 9.0]
    """

    A: Float[AnyArray, "q p"]
    b: Float[AnyArray, " q"]

    def __call__(self, x: Float[AnyArray, "*batch p"]) -> Float[AnyArray, "*batch q"]:
        """Map ``[..., p]`` to ``[..., q]``.

        Raises:
            ValueError: the last axis is not p.

        >>> LinearMap(np.array([[0.0, 2.0]]), np.array([1.0]))(np.array([3.0, 4.0]))
        array([9.])
        """
        if jnp.ndim(x) < 1 or jnp.shape(x)[-1] != self.A.shape[-1]:
            raise ValueError(
                f"the map takes vectors of {self.A.shape[-1]} numbers on the last "
                f"axis; got shape {jnp.shape(x)}"
            )
        return x @ self.A.T + self.b


def least_squares(X: ArrayLike, Y: ArrayLike) -> LinearMap:
    """The affine map of least squares; of all minimisers that of the least |A|_F.

    Singular values of the centred X up to max(n, p) eps sigma_max count as zero, eps
    being that of the data's dtype.

    Args:
        X: ``[n, p]``, an example a row.
        Y: ``[n, q]``.

    Raises:
        TypeError: not real numbers.
        ValueError: not two matrices of the same number of rows.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    >>> f = maps.least_squares(x, 3 * x[:, :1] + 1)
    >>> f.A.round(6), f.b.round(6)
    (array([[1.5, 1.5]]), array([1.]))
    """
    check_pair(X, Y)
    return solve_precisely(functools.partial(_pseudo_inverse, eps=epsilon(X, Y)), X, Y)


def ridge(X: ArrayLike, Y: ArrayLike, lam: float | int) -> LinearMap:
    """The minimiser of lam |A|_F^2 + 1/n sum |y_i - A x_i - b|^2.

    Args:
        X: ``[n, p]``.
        Y: ``[n, q]``.
        lam: the weight, not negative; 0 is `least_squares`.

    Raises:
        TypeError: not real numbers.
        ValueError: ``lam`` is negative, or see `least_squares`.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.array([[-1.0], [1.0]])
    >>> [maps.ridge(x, x, lam).A.round(6).item() for lam in (0.0, 1.0, 3.0)]
    [1.0, 0.5, 0.25]
    """
    return ridge_path(X, Y, [lam])[0]


def ridge_path(
    X: ArrayLike, Y: ArrayLike, lams: Sequence[float | int]
) -> list[LinearMap]:
    """`ridge` for every one of several weights, from one factorisation of X.

    Args:
        X: ``[n, p]``.
        Y: ``[n, q]``.
        lams: the weights, not negative.

    Raises:
        TypeError: not real numbers.
        ValueError: a negative weight, or see `least_squares`.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.array([[-1.0], [1.0]])
    >>> [f.A.round(6).item() for f in maps.ridge_path(x, x, [0.0, 1.0])]
    [1.0, 0.5]
    """
    check_pair(X, Y)
    lams = _checked(lams)
    return solve_precisely(
        functools.partial(_ridges, lams=lams, eps=epsilon(X, Y)), X, Y
    )


def least_squares_from(moments: Moments) -> LinearMap:
    """`least_squares` from accumulated `Moments`.

    Eigenvalues of the Gram matrix up to max(n, p) eps times the largest count as zero:
    in singular values of X that is the square root, coarser than `least_squares`.

    Args:
        moments: of X ``[n, p]`` and Y ``[n, q]``.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.arange(6.0).reshape(6, 1)
    >>> halves = [maps.moments(part, 3 * part + 1) for part in (x[:3], x[3:])]
    >>> f = maps.least_squares_from(maps.merge(*halves))
    >>> f.A.round(6).tolist(), f.b.round(6).tolist()
    ([[3.0]], [1.0])
    """
    return ridge_path_from(moments, [0.0])[0]


def ridge_path_from(moments: Moments, lams: Sequence[float | int]) -> list[LinearMap]:
    """`ridge_path` from accumulated `Moments`, one eigendecomposition for all.

    Args:
        moments: of X ``[n, p]`` and Y ``[n, q]``.
        lams: the weights, not negative.

    Raises:
        ValueError: a negative weight.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.array([[-1.0], [1.0]])
    >>> path = maps.ridge_path_from(maps.moments(x, x), [0.0, 1.0])
    >>> [f.A.round(6).item() for f in path]
    [1.0, 0.5]
    """
    lams = _checked(lams)
    eps = epsilon(moments.xx)
    return solve_precisely(
        lambda *parts: _ridges_from(Moments(*parts), lams, eps), *moments
    )


def _checked(lams: Sequence[float | int]) -> tuple[float, ...]:
    if not len(lams) or any(not 0 <= float(lam) < np.inf for lam in lams):
        raise ValueError(
            f"lam must be a finite number that is not negative; got {list(lams)}"
        )
    return tuple(float(lam) for lam in lams)


def with_bias(A: Array, mean_x: Array, mean_y: Array) -> LinearMap:
    """The map with matrix ``A`` that sends the mean of x to the mean of y."""
    return LinearMap(A, mean_y - A @ mean_x)


@functools.partial(jax.jit, static_argnames="eps")
def _pseudo_inverse(x: Array, y: Array, eps: float) -> LinearMap:
    mean_x, mean_y = x.mean(0), y.mean(0)
    inverse = jnp.linalg.pinv(x - mean_x, rtol=max(x.shape) * eps)
    return with_bias((inverse @ (y - mean_y)).T, mean_x, mean_y)


@functools.partial(jax.jit, static_argnames=("lams", "eps"))
def _ridges(x: Array, y: Array, lams: tuple[float, ...], eps: float) -> list[LinearMap]:
    mean_x, mean_y = x.mean(0), y.mean(0)
    u, s, vt = jnp.linalg.svd(x - mean_x, full_matrices=False)
    kept = s > max(x.shape) * eps * s[0]
    projected = u.T @ (y - mean_y)
    maps = []
    for lam in lams:
        shrunk = jnp.where(kept, s / jnp.where(kept, s**2 + len(x) * lam, 1), 0)
        A = (vt.T @ (shrunk[:, None] * projected)).T
        maps.append(with_bias(A, mean_x, mean_y))
    return maps


@functools.partial(jax.jit, static_argnames=("lams", "eps"))
def _ridges_from(
    moments: Moments, lams: tuple[float, ...], eps: float
) -> list[LinearMap]:
    values, vectors = jnp.linalg.eigh(moments.xx)
    size = jnp.maximum(moments.n, len(values))
    kept = values > size * eps * values[-1]
    projected = vectors.T @ moments.xy
    maps = []
    for lam in lams:
        bottom = jnp.where(kept, values + moments.n * lam, 1)
        A = (vectors @ (jnp.where(kept, 1 / bottom, 0)[:, None] * projected)).T
        maps.append(with_bias(A, moments.mean_x, moments.mean_y))
    return maps
