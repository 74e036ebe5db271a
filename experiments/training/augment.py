"""Random transformations of a batch on the device, one draw for each example."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from experiments.training.datasets import IGNORED, Spec


def prepare(spec: Spec, x: jax.Array) -> jax.Array:
    """Pixels to normalised float32, grey ones to three channels; vectors unchanged."""
    if spec.kind == "regression":
        return x
    x = x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else x
    x = (x - jnp.asarray(spec.mean)) / jnp.asarray(spec.std)
    return jnp.broadcast_to(x, (*x.shape[:-1], spec.shape[-1]))


def augment(
    key: jax.Array, x: jax.Array, y: jax.Array, kinds: Sequence[str]
) -> tuple[jax.Array, jax.Array]:
    """Transformed images ``[B, H, W, C]``; masks ``y [B, H, W]`` move with them."""
    masks = y.ndim == 3
    for kind in kinds:
        key, one = jax.random.split(key)
        keys = jax.random.split(one, x.shape[0])
        x = jax.vmap(lambda k, i, move=_MOVES[kind]: move(k, i, 0))(keys, x)
        if masks:
            planes = jax.vmap(
                lambda k, i, move=_MOVES[kind]: move(k, i[..., None], IGNORED)
            )(keys, y)
            y = planes[..., 0]
    return x, y


def _flip(key, image, fill):
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def _shift(key, image, fill):
    h, w = image.shape[:2]
    by = jax.random.randint(key, (2,), 0, jnp.array([h, w]))
    return jnp.roll(image, by, (0, 1))


def _crop(key, image, fill):
    frame = [n // 8 for n in image.shape[:2]]
    sides = [(n, n) for n in frame]
    framed = jnp.pad(image, [*sides, (0, 0)], constant_values=fill)
    corner = jax.random.randint(key, (2,), 0, 2 * jnp.array(frame) + 1)
    return jax.lax.dynamic_slice(framed, (*corner, 0), image.shape)


def _rotate90(key, image, fill):
    turned = [jnp.rot90(image, k) for k in range(4)]
    return jnp.stack(turned)[jax.random.randint(key, (), 0, 4)]


_MOVES = {"flip": _flip, "shift": _shift, "crop": _crop, "rotate90": _rotate90}
