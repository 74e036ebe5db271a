"""The filter bank of a stitch: what it does to features, however it was found."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .equivariance import mix

AnyArray = Array | np.ndarray
Size = tuple[int, int] | None


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("kernel", "bias"),
    meta_fields=("size",),
)
@dataclasses.dataclass(frozen=True)
class StitchMap:
    """The filter bank between two networks: resize, then z -> F * z + b; a pytree.

    Attributes:
        kernel: F, ``[m, m, D, E]`` from the donor's to the receiver's channels.
        bias: b, ``[E]``.
        size: the receiver's (h, w); None for features without sites.
    """

    kernel: Float[AnyArray, "m m d e"]
    bias: Float[AnyArray, " e"]
    size: Size = None

    def __call__(self, z: Array) -> Array:
        """Map the donor's features to the receiver's."""
        return mix(fitted_sites(z, self.size), self.kernel, self.bias)


def fitted_sites(z: Array, size: Size) -> Array:
    """Features on the receiver's sites: nearest to fewer, bilinear to more.

    Features [B, h, w, D] become [B, h w D] where the receiver has no sites.
    """
    z = jnp.asarray(z)
    if size is None:
        return z.reshape(len(z), -1)
    for axis, new in zip((1, 2), size, strict=True):
        shape = tuple(new if i == axis else n for i, n in enumerate(z.shape))
        if new != z.shape[axis]:
            how = "nearest" if new < z.shape[axis] else "bilinear"
            z = jax.image.resize(z, shape, how)
    return z
