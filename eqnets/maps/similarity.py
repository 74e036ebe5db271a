"""How alike two sets of features of the same images are, up to what symmetry.

Beside stitching, which asks what the rest of a network can use, these only compare
geometry: CKA and Procrustes ignore rotations and a scale, SVCCA any invertible map.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .moments import products
from .precision import check_pair, solve_precisely


def cka(X: ArrayLike, Y: ArrayLike) -> float:
    """Linear centred kernel alignment (Kornblith et al. 2019), from 0 to 1.

    |Yc^T Xc|_F^2 / (|Xc^T Xc|_F |Yc^T Yc|_F): 1 if Y is X rotated, scaled and shifted.

    Args:
        X: features ``[n, p]``, an image a row; flatten sites first.
        Y: features of the same images, ``[n, q]``.

    Raises:
        TypeError: not real numbers.
        ValueError: not two matrices of the same number of rows, or constant features.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.random.default_rng(0).normal(size=(50, 4))
    >>> round(maps.cka(x, 2 * x[:, ::-1] + 1), 6)
    1.0
    """
    check_pair(X, Y)

    def value(x: Array, y: Array) -> Array:
        x, y = _centred(x), _centred(y)
        parts = (products(x, y), products(x, x), products(y, y))
        cross, own_x, own_y = (jnp.sum(p**2) for p in parts)
        return cross / jnp.sqrt(own_x * own_y)

    return _finite(solve_precisely(jax.jit(value), X, Y))


def svcca(X: ArrayLike, Y: ArrayLike, *, keep: float | int = 0.99) -> float:
    """Mean canonical correlation of the leading directions (Raghu et al. 2017).

    Each side is reduced to the fewest principal components that hold ``keep`` of its
    variance; the mean is over the smaller number of them.

    Args:
        X: features ``[n, p]``, an image a row.
        Y: features of the same images, ``[n, q]``.
        keep: fraction of the variance, in (0, 1].

    Raises:
        TypeError: not real numbers.
        ValueError: ``keep`` out of range, constant features, or too few images: with
            n up to the components of either side every correlation is 1.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.random.default_rng(0).normal(size=(50, 4))
    >>> round(maps.svcca(x, x @ np.diag([1.0, 2.0, 3.0, 4.0]), keep=1.0), 6)
    1.0
    """
    check_pair(X, Y)
    if not 0 < keep <= 1:
        raise ValueError(f"keep is a fraction of the variance in (0, 1]; got {keep}")

    def directions(x: Array) -> tuple[Array, Array]:
        u, s, _ = jnp.linalg.svd(_centred(x), full_matrices=False)
        return u, s

    sides = []
    for name, features in (("X", X), ("Y", Y)):
        u, s = solve_precisely(jax.jit(directions), features)
        share = (s**2).cumsum() / max((s**2).sum(), 1e-300)
        rank = int((s > s[0] * max(jnp.shape(features)) * 2e-16).sum())
        count = min(int((share < keep - 1e-12).sum()) + 1, rank)
        if not count:
            raise ValueError(f"{name} is constant: it has no direction to correlate")
        sides.append(u[:, :count])
    n, most = len(sides[0]), max(u.shape[1] for u in sides)
    if n - 1 <= most:
        raise ValueError(
            f"{n} images cannot tell {most} components apart: every correlation would "
            "be 1; take more images, or a smaller keep"
        )
    correlations = solve_precisely(
        lambda a, b: jnp.linalg.svd(a.T @ b, compute_uv=False), *sides
    )
    return float(correlations.clip(0, 1).mean())


def procrustes_distance(X: ArrayLike, Y: ArrayLike) -> float:
    """Least squared distance over rotations, both centred and of norm 1: in [0, 2].

    2 - 2 |Yc^T Xc|_* for the nuclear norm (Williams et al. 2021); a smaller side is
    filled with zeros.

    Args:
        X: features ``[n, p]``, an image a row.
        Y: features of the same images, ``[n, q]``.

    Raises:
        TypeError: not real numbers.
        ValueError: not two matrices of the same number of rows, or constant features.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.random.default_rng(0).normal(size=(20, 2))
    >>> turned = 3 * x @ np.array([[0.0, -1.0], [1.0, 0.0]])
    >>> round(abs(maps.procrustes_distance(x, turned)), 6)
    0.0
    """
    check_pair(X, Y)

    def value(x: Array, y: Array) -> Array:
        x, y = _centred(x), _centred(y)
        x, y = (v / jnp.linalg.norm(v) for v in (x, y))
        nuclear = jnp.sum(jnp.linalg.svd(products(x, y), compute_uv=False))
        return 2 - 2 * jnp.minimum(nuclear, 1)

    return _finite(solve_precisely(jax.jit(value), X, Y))


def relative_representation(X: ArrayLike, anchors: ArrayLike) -> Float[Array, "n a"]:
    """Cosines between features and those of anchor images (Moschella et al. 2023).

    Networks whose features differ by a rotation and a scale have the same; jit-able.

    Args:
        X: features ``[n, p]``.
        anchors: features of the anchor images, ``[a, p]``.

    Returns:
        ``[n, a]``, from -1 to 1; 0 for a feature that is zero.

    Raises:
        ValueError: other shapes.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> maps.relative_representation(np.array([[3.0, 0.0]]), np.eye(2)).tolist()
    [[1.0, 0.0]]
    """
    if jnp.ndim(X) != 2 or jnp.ndim(anchors) != 2 or X.shape[1] != anchors.shape[1]:
        raise ValueError(
            "features [n, p] and anchors [a, p] have the same p; got "
            f"{jnp.shape(X)} and {jnp.shape(anchors)}"
        )
    x, y = jnp.asarray(X), jnp.asarray(anchors)
    norms = jnp.linalg.norm(x, axis=1)[:, None] * jnp.linalg.norm(y, axis=1)
    return jnp.where(norms > 0, products(x.T, y.T) / jnp.where(norms > 0, norms, 1), 0)


def _centred(x: Array) -> Array:
    """Centred features; of more columns than rows, rotated into as many as rows."""
    x = x - x.mean(0)
    if x.shape[1] <= len(x):
        return x
    u, s, _ = jnp.linalg.svd(x, full_matrices=False)
    return u * s


def _finite(value: ArrayLike) -> float:
    if not jnp.isfinite(value):
        raise ValueError("constant features have no direction to compare")
    return float(value)
