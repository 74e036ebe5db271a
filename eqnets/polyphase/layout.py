"""Where the polyphase components of an array lie, so that none has to be moved.

Scores reduce every component over its own samples. On CPU it is several times
cheaper to reduce an array where it lies, over a part of its axes, than to slice the
components out first.
"""

import dataclasses
import math

import jax.numpy as jnp
from jax import Array
from jaxtyping import Shaped

from eqnets.polyphase.phases import AnyArray, check_divisible, spatial_shape


@dataclasses.dataclass(frozen=True)
class Layout:
    """Axes of an array ``[*batch, (phase and space axes), C]``, counted from the end.

    Attributes:
        phase: the axes that number the components; none for a single component.
        space: the axes within a component.
    """

    phase: tuple[int, ...]
    space: tuple[int, ...]

    def join(
        self, reduced: Shaped[Array, "..."], *, trailing: int
    ) -> Shaped[Array, "..."]:
        """``[*batch, *phase, *rest] -> [*batch, P, *rest]``.

        Args:
            reduced: the array after a reduction over ``space``.
            trailing: the number of axes in ``rest``.
        """
        cut = reduced.ndim - trailing - len(self.phase)
        shape = reduced.shape
        end = cut + len(self.phase)
        return reduced.reshape(*shape[:cut], math.prod(shape[cut:end]), *shape[end:])


def component(ndim: int) -> Layout:
    """``[..., *space, C]``: one component."""
    return Layout((), tuple(range(-ndim - 1, -1)))


def stacked(ndim: int) -> Layout:
    """``[..., P, *space, C]``: what `polyphase.split` returns."""
    return Layout((-ndim - 2,), tuple(range(-ndim - 1, -1)))


def interleaved(ndim: int) -> Layout:
    """``[..., H / s, s, W / s, s, C]``: what `interleave` returns."""
    first = -2 * ndim - 1
    return Layout(tuple(range(first + 1, -1, 2)), tuple(range(first, -2, 2)))


def interleave(
    x: Shaped[AnyArray, "..."], stride: int, ndim: int
) -> Shaped[Array, "..."]:
    """View ``[..., H, W, C]`` as ``[..., H / s, s, W / s, s, C]``; nothing moves.

    Raises:
        ValueError: the stride does not divide every spatial size.
    """
    check_divisible(x, stride, ndim)
    space = spatial_shape(x, ndim)
    pairs = [m for n in space for m in (n // stride, stride)]
    return jnp.reshape(x, (*x.shape[: -ndim - 1], *pairs, x.shape[-1]))
