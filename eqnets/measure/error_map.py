"""Where in the image an equivariance error comes from."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from eqnets.actions import Action, identity

from .lee import require_batch_axis
from .lie import Function, along, checked_input, output_actions
from .program import Program, trace


def error_map(f: Function, action: Action, x: Array) -> Float[Array, "b h w"]:
    """Signed share of every pixel in |L_X f(x)|; the shares of an image sum to it.

    For an output that must not move, L_X f(x) = sum over pixels u of
    df/dx(u) [X x](u). Along z = L_X f / |L_X f| that is one number a pixel,
    (J^T z)(u) . [X x](u), summed over channels: one forward and one reverse pass.

    Args:
        f: a function of images whose outputs do not move (logits, probabilities).
        action: the one-parameter action.
        x: images [B, H, W, C].

    Returns:
        [B, H, W]; all zero where the error of an image is zero.

    Raises:
        TypeError: see `lie_derivative`.
        ValueError: the same, or an output that moves with the image.

    >>> import jax
    >>> from eqnets import actions, measure
    >>> x = jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    >>> corner = lambda x: x[:, 0, 0]  # looks at one pixel
    >>> where = measure.error_map(corner, actions.brightness(), x)
    >>> bool(abs(where[0, 0, 0]) > 0), bool(abs(where).sum() == abs(where[0, 0, 0]))
    (True, True)
    """
    x = checked_input((action,), x)
    program, consts = trace(f, x)
    require_batch_axis(program, len(x))
    for (out,) in output_actions(program.out, (action,), None, x.shape):
        if out != identity():
            raise ValueError(
                "error_map needs outputs that do not move with the image, got one of "
                "image shape: reduce it first, e.g. lambda x: f(x).mean((1, 2))"
            )
    return _shares(program, consts, x, action.tangent(x))


@functools.partial(jax.jit, static_argnums=0)
def _shares(
    program: Program, consts: list[Array], x: Array, velocity: Array
) -> Float[Array, "b h w"]:
    _, error = along(program, consts, x, velocity)
    norm = jnp.sqrt(sum(jnp.sum(e.reshape(len(x), -1) ** 2, -1) for e in error))
    # an image without error has no direction; its map is zero
    safe = jnp.where(norm > 0, norm, 1)
    z = [e / safe.reshape(-1, *(1,) * (e.ndim - 1)).astype(e.dtype) for e in error]
    (back,) = jax.vjp(functools.partial(program, consts), x)[1](z)
    return jnp.sum(back * velocity, -1)
