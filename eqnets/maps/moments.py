"""Means and centred second moments of pairs of features, batch after batch."""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from .precision import check_pair, check_rows, solve_precisely

AnyArray = Array | np.ndarray
#: Columns from which on a Gram matrix is made of blocks, and into how many.
WIDE, BLOCKS = 512, 4


class Moments(NamedTuple):
    """What a linear regression needs of X [n, p] and Y [n, q]; a pytree.

    Attributes:
        n: the number of rows.
        mean_x: ``[p]``.
        mean_y: ``[q]``.
        xx: the Gram matrix of the centred X, ``[p, p]``.
        xy: centred X against centred Y, ``[p, q]``.
        yy: squared norms of the columns of the centred Y, ``[q]``.
    """

    n: Float[AnyArray, ""]
    mean_x: Float[AnyArray, " p"]
    mean_y: Float[AnyArray, " q"]
    xx: Float[AnyArray, "p p"]
    xy: Float[AnyArray, "p q"]
    yy: Float[AnyArray, " q"]


def moments(X: ArrayLike, Y: ArrayLike) -> Moments:
    """The moments of one batch, in float64; see `accumulate` for many.

    Args:
        X: ``[n, p]``, an example a row.
        Y: ``[n, q]``.

    Raises:
        TypeError: not real numbers.
        ValueError: not two matrices of the same number of rows.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> m = maps.moments(np.array([[1.0], [3.0]]), np.array([[0.0], [4.0]]))
    >>> m.mean_y.tolist(), m.xy.tolist()
    ([2.0], [[4.0]])
    """
    check_pair(X, Y)
    return solve_precisely(_moments, X, Y)


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of the rows of both (Chan, Golub and LeVeque, 1983).

    Raises:
        ValueError: they are of features of different sizes.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.arange(4.0).reshape(4, 1)
    >>> both = maps.merge(maps.moments(x[:3], x[:3]), maps.moments(x[3:], x[3:]))
    >>> float(both.n), both.mean_x.tolist(), both.xx.tolist()
    (4.0, [1.5], [[5.0]])
    """
    if jnp.shape(a.xy) != jnp.shape(b.xy):
        raise ValueError(
            "only moments of the same features can be merged; these are of [p, q] = "
            f"{list(jnp.shape(a.xy))} and {list(jnp.shape(b.xy))}"
        )
    merged = solve_precisely(
        lambda *parts: _merge(Moments(*parts[:6]), Moments(*parts[6:])), *a, *b
    )
    return merged


def accumulate(batches: Iterable[tuple[ArrayLike, ArrayLike]]) -> Moments:
    """The moments of many batches (X, Y), of which one is in memory at a time.

    Raises:
        ValueError: there is no batch, or their sizes differ.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.arange(6.0).reshape(6, 1)
    >>> m = maps.accumulate((x[i : i + 2], x[i : i + 2]) for i in (0, 2, 4))
    >>> float(m.n), m.mean_x, m.xx
    (6.0, array([2.5]), array([[17.5]]))
    """
    total = None
    for X, Y in batches:
        check_rows(jnp.shape(X), jnp.shape(Y))
        part = moments(X, Y)
        total = part if total is None else merge(total, part)
    if total is None:
        raise ValueError("batches must yield at least one pair (X, Y); got none")
    return total


@jax.jit
def _moments(x: Array, y: Array) -> Moments:
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    n = jnp.asarray(len(x), mean_x.dtype)
    return Moments(n, mean_x, mean_y, gram_matrix(x), products(x, y), jnp.sum(y**2, 0))


def products(x: Float[Array, "n p"], y: Float[Array, "n q"]) -> Float[Array, "p q"]:
    """X^T Y, in full precision on every device."""
    return jnp.matmul(x.T, y, precision=lax.Precision.HIGHEST)


def gram_matrix(x: Float[Array, "n p"]) -> Float[Array, "p p"]:
    """X^T X; of a wide X the blocks below the diagonal are those above, transposed."""
    p = x.shape[1]
    if p < WIDE:
        return products(x, x)
    cuts = [i * p // BLOCKS for i in range(BLOCKS + 1)]
    made = jnp.zeros((p, p), x.dtype)
    for start, stop in itertools.pairwise(cuts):
        strip = products(x[:, start:stop], x[:, start:])
        made = lax.dynamic_update_slice(made, strip, (start, start))
        below = strip[:, stop - start :].T
        made = lax.dynamic_update_slice(made, below, (stop, start))
    return made


@jax.jit
def _merge(a: Moments, b: Moments) -> Moments:
    n = a.n + b.n
    dx, dy = b.mean_x - a.mean_x, b.mean_y - a.mean_y
    weight = a.n * b.n / n
    return Moments(
        n,
        a.mean_x + dx * (b.n / n),
        a.mean_y + dy * (b.n / n),
        a.xx + b.xx + weight * jnp.outer(dx, dx),
        a.xy + b.xy + weight * jnp.outer(dx, dy),
        a.yy + b.yy + weight * dy**2,
    )
