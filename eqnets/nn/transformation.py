"""The transformation layer: M_g of equation 7 of Lenc and Vedaldi (2019)."""

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import maps
from eqnets.maps.equivariance import mix


class TransformationLayer(nnx.Module):
    """z -> F_g * (P_g z) + b_g on features [B, h, w, D]; starts as P_g.

    P_g moves the sites as ``g`` moves the image and interpolates between 2 x 2 of them;
    the m x m filters F_g, D to D, permute and mix the channels. F_g and b_g are learned
    (`maps.fit_equivariance` finds them in closed form), P_g is fixed.

    Args:
        features: D.
        g: what happens to the image.
        grid: where the features sit on it, see `maps.receptive_grid`.
        m: the side of the filters, odd.
        sampler: ``"gather"`` or ``"splat"``, see `maps.permute_sites`.

    Raises:
        ValueError: ``m`` is even or not positive, or D is not positive.

    >>> import jax.numpy as jnp
    >>> from eqnets import maps, nn
    >>> layer = nn.TransformationLayer(1, maps.flip("x"), maps.centred_grid(1, 3))
    >>> layer(jnp.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1)).ravel().tolist()
    [3.0, 2.0, 1.0]
    """

    def __init__(
        self,
        features: int,
        g: maps.AffineMap,
        grid: maps.Grid,
        *,
        m: int = 3,
        sampler: str = "gather",
    ):
        if m < 1 or m % 2 == 0 or features < 1:
            raise ValueError(
                f"m must be odd and features positive; got m={m}, features={features}"
            )
        kernel = jnp.zeros((m, m, features, features))
        self.kernel = nnx.Param(kernel.at[m // 2, m // 2].set(jnp.eye(features)))
        self.bias = nnx.Param(jnp.zeros(features))
        self.g, self.grid, self.sampler = g, grid, sampler

    @classmethod
    def from_fit(cls, fit: maps.EquivarianceFit) -> "TransformationLayer":
        """The layer that a fit has found.

        Raises:
            ValueError: the fit is of features without sites.
        """
        if fit.grid is None:
            raise ValueError(
                "a transformation layer needs features on a grid [B, h, w, D]; this "
                "fit is of features [B, D]: use nnx.Linear with its kernel and bias"
            )
        m, d = fit.kernel.shape[0], fit.kernel.shape[-1]
        layer = cls(d, fit.transform.geometry, fit.grid, m=m, sampler=fit.sampler)
        layer.kernel[...] = jnp.asarray(fit.kernel, jnp.float32)
        layer.bias[...] = jnp.asarray(fit.bias, jnp.float32)
        return layer

    def __call__(self, z: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        """Map ``[B, h, w, D]`` to the same shape."""
        moved = maps.permute_sites(z, self.g, self.grid, sampler=self.sampler)
        return mix(moved, self.kernel[...], self.bias[...])
