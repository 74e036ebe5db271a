"""Finite transformations that permute pixels, exact to the bit."""

import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped


def _images(x: Array, name: str) -> Array:
    if jnp.ndim(x) != 4:
        raise ValueError(
            f"{name} acts on images [B, H, W, C], got an array of shape {jnp.shape(x)}"
        )
    return jnp.asarray(x)


def roll(
    x: Array, dy: int | Int[Array, ""], dx: int | Int[Array, ""]
) -> Shaped[Array, "b h w c"]:
    """Circular shift: the content moves ``dy`` pixels down and ``dx`` right."""
    return jnp.roll(_images(x, "roll"), (dy, dx), (1, 2))


def hflip(x: Array) -> Shaped[Array, "b h w c"]:
    """Mirror left and right."""
    return _images(x, "hflip")[:, :, ::-1]


def vflip(x: Array) -> Shaped[Array, "b h w c"]:
    """Mirror top and bottom."""
    return _images(x, "vflip")[:, ::-1]


def rot90(x: Array, k: int = 1) -> Shaped[Array, "b h2 w2 c"]:
    """Rotate by k quarter turns in the positive sense, +x (right) to +y (down).

    ``rot90(x)`` of a square image is ``rotation()(x, pi / 2)``.
    """
    return jnp.rot90(_images(x, "rot90"), -k, (1, 2))
