"""Upsampling of dense predictions: to where the samples were taken, or bilinear."""

from collections.abc import Sequence

import jax
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import nn, polyphase
from eqnets.models.sampling_options import Sampling

UP = ("lps", "bilinear", "ideal")


class Upsampling(nnx.Module):
    """Undo samplings of stride 2.

    ``"lps"`` puts every sample where its sampling took it (LPU; Rojas-Gomez et al.,
    2022, equations 24 and 25) and low-passes; with a network that selects its samples
    and circular padding, sampling and this commute with circular shifts.
    ``"bilinear"`` looks at the sizes alone, ``"ideal"`` interpolates by trigonometric
    polynomials.

    Args:
        up: one of ``UP``; None is ``"lps"`` where the network selects, ``"ideal"``
            where its filters are.
        antialias: the low-pass of ``"lps"``: a fixed filter, or None.
        sampling: the sampling options of the network.

    Raises:
        ValueError: an unknown ``up``, or ``"lps"`` without selections.
    """

    def __init__(self, up: str | None, antialias: str | None, sampling: Sampling):
        if up is None:
            rest = "ideal" if sampling.down == "ideal" else "bilinear"
            up = "lps" if sampling.selects else rest
        if up not in UP:
            raise ValueError(f"up must be None or one of {UP}, got {up!r}")
        if up == "lps" and not sampling.selects:
            raise ValueError(
                f'up="lps" puts samples back where they were selected, but '
                f"down={sampling.down!r} selects nothing: take "
                'up="bilinear", or another down'
            )
        self.name = up
        layer = nn.PolyphaseUp(antialias=antialias, padding=sampling.padding)
        self.layer = layer if up == "lps" else None

    def __call__(
        self,
        y: Float[Array, "b h w c"],
        selections: Sequence[Float[Array, "b p"] | None],
        size: tuple[int, int],
    ) -> Float[Array, "b h_ w_ c"]:
        """Upsample to ``size``.

        Args:
            y: the features.
            selections: the weights of the samplings to undo, in order of execution;
                only ``"lps"`` looks at them.
            size: height and width of the result.
        """
        if self.name == "ideal":
            return polyphase.ideal_resize(y, size)
        if self.layer is None:
            shape = (y.shape[0], *size, y.shape[-1])
            return jax.image.resize(y, shape, "bilinear")
        for weights in reversed(selections):
            y = self.layer(y, weights)
        return y
