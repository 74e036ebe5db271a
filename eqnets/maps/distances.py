"""Distances between features, for histograms and others; none has a free scale."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

AnyArray = Array | np.ndarray


def squared(
    x: Float[AnyArray, "*batch d"], y: Float[AnyArray, "*batch d"]
) -> Float[Array, "*batch"]:
    """|x - y|^2 over the last axis, ``[..., d] -> [...]``.

    >>> import jax.numpy as jnp
    >>> from eqnets import maps
    >>> float(maps.squared(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0])))
    25.0
    """
    return jnp.sum((x - y) ** 2, -1)


def hellinger(
    x: Float[AnyArray, "*batch d"], y: Float[AnyArray, "*batch d"]
) -> Float[Array, "*batch"]:
    """sqrt(sum (sqrt x - sqrt y)^2) over the last axis, ``[..., d] -> [...]``.

    As in Lenc and Vedaldi (2019), footnote 7: without the factor 1/sqrt 2. Negative
    entries are taken as 0: in a regressed histogram they stand for an empty bin.

    >>> import jax.numpy as jnp
    >>> from eqnets import maps
    >>> float(maps.hellinger(jnp.array([4.0, 0.0]), jnp.array([1.0, -3.0])))
    1.0
    """
    root = [jnp.sqrt(jnp.maximum(v, 0)) for v in (x, y)]
    return jnp.sqrt(squared(*root))


def chi2(
    x: Float[AnyArray, "*batch d"],
    y: Float[AnyArray, "*batch d"],
    *,
    eps: float = 1e-12,
) -> Float[Array, "*batch"]:
    """1/2 sum (x - y)^2 / (x + y + eps) over the last axis, ``[..., d] -> [...]``.

    For entries that are not negative, such as those of histograms.

    >>> import jax.numpy as jnp
    >>> from eqnets import maps
    >>> round(float(maps.chi2(jnp.array([3.0, 0.0]), jnp.array([1.0, 0.0]))), 6)
    0.5
    """
    return jnp.sum((x - y) ** 2 / (x + y + eps), -1) / 2
