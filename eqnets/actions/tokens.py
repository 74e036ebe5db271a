"""Actions on sequences of tokens that lie on a known grid."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .base import Action, require_floating


@dataclasses.dataclass(frozen=True)
class TokenAction(Action):
    """An image action on tokens [B, prefix + h w, C]; the prefix tokens stay."""

    inner: Action
    grid: tuple[int, int]
    prefix: int = 0

    @property
    def name(self) -> str:
        """The name of the action on images."""
        return self.inner.name

    @property
    def units(self) -> str:
        """The units of the action on images."""
        return self.inner.units

    @property
    def stencil(self) -> str | None:
        """The stencil of the action on images."""
        return self.inner.stencil

    @property
    def annihilates_constants(self) -> bool:
        """As the action on images."""
        return self.inner.annihilates_constants

    def check(self, x: ArrayLike | jax.ShapeDtypeStruct) -> None:
        """Raise unless ``x`` is a floating array [B, prefix + h w, C]."""
        require_floating(x, self.name)
        h, w = self.grid
        if jnp.ndim(x) != 3 or jnp.shape(x)[1] != self.prefix + h * w:
            raise ValueError(
                f"{self.name} on tokens expects [B, {self.prefix} + {h} x {w}, C], got "
                f"{jnp.shape(x)}: give the grid and the number of prefix tokens"
            )

    def moves(self, shape: tuple[int, ...]) -> bool:
        """Whether the grid can change at all."""
        return self.inner.moves((shape[0], *self.grid, shape[-1]))

    def _split(self, x: Array) -> tuple[Array, Array]:
        self.check(x)
        image = x[:, self.prefix :].reshape(x.shape[0], *self.grid, x.shape[2])
        return x[:, : self.prefix], image

    def _join(self, fixed: Array, image: Array) -> Array:
        tokens = image.reshape(image.shape[0], -1, image.shape[-1])
        return jnp.concatenate([fixed, tokens], 1)

    def __call__(self, x: Array, t: float | Array) -> Float[Array, "b n c"]:
        """Transform the grid of tokens by ``t``."""
        fixed, image = self._split(jnp.asarray(x))
        return self._join(fixed, self.inner(image, t))

    def tangent(self, x: Array) -> Float[Array, "b n c"]:
        """The generator on the grid, zero on the prefix."""
        fixed, image = self._split(jnp.asarray(x))
        return self._join(jnp.zeros_like(fixed), self.inner.tangent(image))


def on_tokens(action: Action, grid: tuple[int, int], *, prefix: int = 0) -> TokenAction:
    """Let an image action move tokens [B, prefix + h w, C] as an h x w image.

    Args:
        action: an action on images.
        grid: (h, w), row by row.
        prefix: how many tokens before the grid (class, register) stay fixed.

    Raises:
        ValueError: a grid or a prefix that is not a positive (non-negative) whole
            number.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> image = actions.translation("x", boundary="wrap")
    >>> a = actions.on_tokens(image, (1, 4), prefix=1)  # a class token first
    >>> tokens = jnp.array([9.0, 0.0, 1.0, 2.0, 3.0]).reshape(1, 5, 1)
    >>> a(tokens, 0.25).ravel().astype(int).tolist()
    [9, 3, 0, 1, 2]
    """
    if len(grid) != 2 or min(grid) < 1 or prefix < 0:
        raise ValueError(
            f"grid must be two positive numbers (h, w) and prefix >= 0; got {grid}, "
            f"{prefix}"
        )
    return TokenAction(action, (int(grid[0]), int(grid[1])), int(prefix))
