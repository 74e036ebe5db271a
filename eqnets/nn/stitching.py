"""The stitching layer between two networks (Lenc and Vedaldi, 2019, section 6)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import maps


class StitchingLayer(nnx.Module):
    """From one network's features [B, h, w, D] to another's [B, h', w', E].

    Sites are resized (nearest to fewer, bilinear to more), then m x m filters mix
    channels. `maps.stitch` finds them in closed form; this layer trains
    them in a loop of your own.

    Args:
        features_in: D.
        features_out: E.
        size: (h', w') of the receiver; None for a receiver of features [B, E], for
            which D counts all sites, h w D.
        kernel: m, odd.
        rngs: random keys; the filters start by Glorot and Bengio (2010), as the
            paper's.

    Raises:
        ValueError: an even or non-positive ``kernel``, or no features.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import nn
    >>> layer = nn.StitchingLayer(2, 3, size=(2, 2), rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((1, 4, 4, 2))).shape
    (1, 2, 2, 3)
    """

    def __init__(
        self,
        features_in: int,
        features_out: int,
        *,
        size: tuple[int, int] | None = None,
        kernel: int = 1,
        rngs: nnx.Rngs,
    ):
        if kernel < 1 or kernel % 2 == 0 or min(features_in, features_out) < 1:
            raise ValueError(
                "kernel must be odd and the features positive; got "
                f"kernel={kernel}, features {features_in} to {features_out}"
            )
        shape = (kernel, kernel, features_in, features_out)
        start = jax.nn.initializers.glorot_uniform()
        self.kernel = nnx.Param(start(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(features_out))
        self.size = size

    @classmethod
    def from_map(cls, found: maps.StitchMap) -> "StitchingLayer":
        """The layer of a stitch, ``from_map(maps.stitch(...).layer)``."""
        m, _, d, e = found.kernel.shape
        layer = cls(d, e, size=found.size, kernel=m, rngs=nnx.Rngs(0))
        layer.kernel[...] = jnp.asarray(found.kernel, jnp.float32)
        layer.bias[...] = jnp.asarray(found.bias, jnp.float32)
        return layer

    def __call__(self, z: Float[Array, "b *sites d"]) -> Float[Array, "b *out e"]:
        """Map the donor's features to the receiver's."""
        return maps.StitchMap(self.kernel[...], self.bias[...], self.size)(z)
