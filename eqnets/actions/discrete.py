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
    """Circular shift: the content moves ``dy`` pixels down and ``dx`` right.

    Args:
        x: images [B, H, W, C].
        dy: pixels down; negative is up.
        dx: pixels right.

    Raises:
        ValueError: ``x`` is not [B, H, W, C].

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> x = jnp.arange(4).reshape(1, 1, 4, 1)
    >>> actions.roll(x, 0, 1).ravel().tolist()
    [3, 0, 1, 2]
    """
    return jnp.roll(_images(x, "roll"), (dy, dx), (1, 2))


def hflip(x: Array) -> Shaped[Array, "b h w c"]:
    """Mirror images [B, H, W, C] left and right.

    Raises:
        ValueError: ``x`` is not [B, H, W, C].

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> x = jnp.array([[1, 2], [3, 4]])[None, :, :, None]
    >>> actions.hflip(x)[0, :, :, 0].tolist()
    [[2, 1], [4, 3]]
    """
    return _images(x, "hflip")[:, :, ::-1]


def vflip(x: Array) -> Shaped[Array, "b h w c"]:
    """Mirror images [B, H, W, C] top and bottom.

    Raises:
        ValueError: ``x`` is not [B, H, W, C].

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> x = jnp.array([[1, 2], [3, 4]])[None, :, :, None]
    >>> actions.vflip(x)[0, :, :, 0].tolist()
    [[3, 4], [1, 2]]
    """
    return _images(x, "vflip")[:, ::-1]


def rot90(x: Array, k: int = 1) -> Shaped[Array, "b h2 w2 c"]:
    """Rotate by k quarter turns in the positive sense, +x (right) to +y (down).

    ``rot90(x)`` of a square image is ``rotation()(x, pi / 2)``.

    Args:
        x: images [B, H, W, C]; the result is [B, W, H, C] for odd k.
        k: quarter turns, of either sign.

    Raises:
        ValueError: ``x`` is not [B, H, W, C].

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> x = jnp.array([[1, 2], [3, 4]])[None, :, :, None]
    >>> actions.rot90(x)[0, :, :, 0].tolist()
    [[3, 1], [4, 2]]
    """
    return jnp.rot90(_images(x, "rot90"), -k, (1, 2))
