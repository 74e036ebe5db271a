"""Pre-images: an image whose features are given ones."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class PreImage(NamedTuple):
    """What `invert` found.

    Attributes:
        image: ``[B, H, W, C]``.
        residual: |phi(x) - z| / |z| of each image, ``[B]``.
        losses: the objective at every step, ``[steps]``.
    """

    image: Float[Array, "b h w c"]
    residual: Float[Array, " b"]
    losses: Float[Array, " steps"]


def total_variation(x: Float[Array, "b h w c"]) -> Float[Array, " b"]:
    """Mean squared difference of neighbouring pixels, of each image.

    The regulariser of Mahendran and Vedaldi (2016) with beta = 2.
    """
    return sum(jnp.mean(jnp.diff(x, axis=axis) ** 2, (1, 2, 3)) for axis in (1, 2))


def invert(
    phi: Callable[[Array], Array],
    z: Array | np.ndarray,
    shape: tuple[int, int, int],
    *,
    key: Array,
    tv: float = 1e-2,
    steps: int = 300,
    rate: float = 0.05,
    limits: tuple[float, float] = (0.0, 1.0),
) -> PreImage:
    """Find images with features ``z``, by gradient descent from grey noise.

    Minimises |phi(x) - z|^2 / |z|^2 + tv TV(x) over images within ``limits`` (Mahendran
    and Vedaldi, 2016; figures 8 and 12 of Lenc and Vedaldi, 2019, show such images for
    phi(x), phi(g x) and M_g phi(x)). Adam, with a rate that falls as a cosine.

    Args:
        phi: images to features, differentiable; `hog` with soft bins is.
        z: features ``[B, ...]``.
        shape: of one image, ``(H, W, C)``.
        key: of the noise.
        tv: weight of the total variation.
        steps: of the descent.
        rate: the first learning rate, in units of the limits' distance.
        limits: smallest and largest value of a pixel.

    Raises:
        ValueError: phi of such images does not have the shape of ``z``.

    >>> import jax, jax.numpy as jnp
    >>> from eqnets import maps
    >>> phi = lambda x: x.mean((1, 2))  # features that say the mean colour alone
    >>> found = maps.invert(phi, jnp.array([[0.7]]), (2, 2, 1), key=jax.random.key(0))
    >>> found.image.shape, bool(found.residual[0] < 0.01)
    ((1, 2, 2, 1), True)
    """
    import optax

    z = jnp.asarray(z)
    low, high = limits
    noise = jax.random.normal(key, (len(z), *shape), z.dtype)
    start = (low + high) / 2 + 0.01 * (high - low) * noise
    made = jax.eval_shape(phi, start)
    if getattr(made, "shape", None) != z.shape:
        raise ValueError(
            f"phi of images {start.shape} gives {jax.tree.map(jnp.shape, made)}, the "
            f"features to invert are {z.shape}"
        )
    axes = tuple(range(1, z.ndim))
    scale = jnp.maximum(jnp.sum(z**2, axes), 1e-12)

    def distance(x: Array) -> Array:
        return jnp.sum((phi(x) - z) ** 2, axes) / scale

    def loss(x: Array) -> Array:
        return jnp.sum(distance(x) + tv * total_variation((x - low) / (high - low)))

    chain = optax.adam(optax.cosine_decay_schedule(rate * (high - low), steps))

    def step(pair, _):
        x, state = pair
        value, slope = jax.value_and_grad(loss)(x)
        change, state = chain.update(slope, state, x)
        return (jnp.clip(x + change, low, high), state), value

    @jax.jit
    def run(x: Array) -> tuple[Array, Array, Array]:
        (x, _), values = jax.lax.scan(step, (x, chain.init(x)), length=steps)
        return x, jnp.sqrt(distance(x)), values

    return PreImage(*run(start))
