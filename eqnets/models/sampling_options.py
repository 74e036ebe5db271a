"""How a network downsamples: one immutable record that its blocks share."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from eqnets import nn, polyphase
from eqnets.nn.filters import parse_antialias

DOWN = ("strided", "lowpass", "ideal", "aps", "lps", "aps_input", "lps_input")


# Filter, then keep component 0.
FIRST = ("lowpass", "ideal")


@dataclasses.dataclass(frozen=True)
class Sampling:
    """The options of `models.resnet` that concern sampling.

    Attributes:
        down: one of ``DOWN``.
        antialias: a filter's name, or None.
        padding: ``"circular"`` or ``"zeros"``, everywhere.
        select_on: ``"unfiltered"`` or ``"filtered"`` components.
        p: the norm of ``aps``.
        groups: channel groups of an adaptive filter.
        dtype: of the computation; None is float32 parameters' promotion.
    """

    down: str = "strided"
    antialias: str | None = None
    padding: str = "circular"
    select_on: str = "unfiltered"
    p: int | float | str = 2
    groups: int = 8
    dtype: jnp.dtype | type | None = None

    def __post_init__(self):
        if self.down not in DOWN:
            raise ValueError(f"down must be one of {DOWN}, got {self.down!r}")
        if self.padding not in ("circular", "zeros"):
            raise ValueError(
                f'padding must be "circular" or "zeros", got {self.padding!r}'
            )
        parse_antialias(self.antialias)
        if self.down == "ideal" and (self.antialias or self.padding != "circular"):
            raise ValueError(
                'down="ideal" has its own filter, on a circle: take antialias=None and '
                f'padding="circular", got {self.antialias!r} and {self.padding!r}'
            )
        if self.down == "strided" and self.antialias is not None:
            raise ValueError(
                'down="strided" has no place for a filter: '
                f'use down="lowpass" with antialias={self.antialias!r}'
            )
        if self.select_on not in ("unfiltered", "filtered"):
            raise ValueError(
                f'select_on must be "unfiltered" or "filtered", got {self.select_on!r}'
            )

    @property
    def selects(self) -> bool:
        """Whether a component is chosen by content, so that shifts commute."""
        return self.down not in ("strided", *FIRST)

    @property
    def from_input(self) -> bool:
        """Whether the choice looks at the input of a block."""
        return self.down.endswith("_input")

    @property
    def conv_stride(self) -> int:
        """The stride of the convolution before the sampling step."""
        if self.down == "strided" or (self.from_input and self.antialias is None):
            return 2
        return 1

    def without_filter(self) -> "Sampling":
        """The same without antialiasing: the first sampling of the ImageNet stem."""
        return dataclasses.replace(self, antialias=None)

    def activate(self, x: Array) -> Array:
        """ReLU; with ``"ideal"`` GELU between a finer grid and an ideal low-pass."""
        if self.down == "ideal":
            return polyphase.alias_free(jax.nn.gelu, x)
        return jax.nn.relu(x)

    def sampler(self, features: int, rngs: nnx.Rngs) -> nn.PhaseSampler | nn.IdealDown:
        """The filter and decimation of a shortcut."""
        if self.down == "ideal":
            return nn.IdealDown()
        return nn.PhaseSampler(
            self.antialias,
            padding=self.padding,
            features=features,
            groups=self.groups,
            rngs=rngs,
        )

    def pool(
        self, features: int, scored: int, hidden: int | None, rngs: nnx.Rngs
    ) -> nnx.Module | None:
        """The sampling step of a main branch.

        Args:
            features: channels that are sampled.
            scored: channels of the block's input.
            hidden: channels of the logits network; None is those it sees.
            rngs: initialises the parameters.
        """
        if self.down == "strided":
            return None
        if self.down in FIRST:
            return self.sampler(features, rngs)
        common = {
            "antialias": self.antialias,
            "padding": self.padding,
            "select_on": "unfiltered" if self.from_input else self.select_on,
            "groups": self.groups,
            "rngs": rngs,
        }
        if self.down.startswith("aps"):
            return nn.AdaptivePolyphaseDown(p=self.p, features=features, **common)
        seen = scored if self.from_input else features
        return nn.LearnablePolyphaseDown(
            seen, hidden=hidden, filter_features=features, **common
        )
