"""Low-pass layers, and the names under which other layers ask for one."""

import re
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import polyphase
from eqnets.polyphase.adaptive import adaptive_logits, filter_patches
from eqnets.polyphase.phases import (
    AnyArray,
    check_divisible,
    mixed_window,
    phase_window,
)

_FIXED = {"rect": 2, "tri": 3}


def parse_antialias(name: str | None) -> tuple[str, int] | None:
    """The kind and size that a filter's name stands for.

    ``"rect2"``, ``"tri3"``, ``"bin1"`` to ``"bin7"`` are binomial filters,
    ``"adaptive3"`` (any odd size) is DDAC; ``None`` is no filter.

    Raises:
        ValueError: any other name.

    >>> parse_antialias("tri3")
    ('binomial', 3)
    """
    if name is None:
        return None
    match = re.fullmatch(r"(rect|tri|bin|adaptive)(\d)", name)
    if match:
        kind, size = match[1], int(match[2])
        if kind == "adaptive" and size % 2:
            return "adaptive", size
        if kind != "adaptive" and size == _FIXED.get(kind, size) and 1 <= size <= 7:
            return "binomial", size
    raise ValueError(
        'antialias must be None, "rect2", "tri3", "bin1" to "bin7" or "adaptive3", '
        f"got {name!r}"
    )


class LowPass(nnx.Module):
    """A binomial low-pass of ``[..., *space, C]``, without parameters.

    See `polyphase.lowpass`.

    Args:
        size: taps per axis, 1 to 7, or a name such as ``"tri3"``.
        padding: how the border is padded.
        stride: keep every ``stride``-th sample.
        gain: a factor per axis.
        ndim: the number of spatial axes.

    Raises:
        ValueError: an unknown size, name or padding, or an adaptive filter.

    >>> import jax.numpy as jnp
    >>> from eqnets import nn
    >>> x = jnp.array([0.0, 0.0, 4.0, 0.0])[:, None]
    >>> nn.LowPass("tri3", ndim=1)(x).ravel().tolist()
    [0.0, 1.0, 2.0, 1.0]
    """

    def __init__(
        self,
        size: int | str,
        *,
        padding: str = "circular",
        stride: int = 1,
        gain: int | float = 1.0,
        ndim: int = 2,
    ):
        if isinstance(size, str):
            kind, size = parse_antialias(size)
            if kind != "binomial":
                raise ValueError("an adaptive filter is nn.AdaptiveLowPass")
        polyphase.binomial_kernel(size)
        self.size, self.padding, self.ndim = size, padding, ndim
        self.stride, self.gain = stride, gain

    def __call__(self, x: Float[AnyArray, "..."]) -> Float[Array, "..."]:
        """``[..., *space, C] -> [..., *ceil(space / stride), C]``."""
        return polyphase.lowpass(
            x,
            self.size,
            padding=self.padding,
            stride=self.stride,
            gain=self.gain,
            ndim=self.ndim,
        )


class AdaptiveLowPass(nnx.Module):
    """Input-adaptive filters per channel group (DDAC; Zou et al., 2020).

    Args:
        features: channels ``C``; the groups must divide them.
        size: taps per axis, odd.
        groups: channel groups that share their taps.
        padding: how the border is padded.
        ndim: the number of spatial axes.
        dtype: of the computation; None is that of the input.
        rngs: initialises the convolution that predicts the taps.

    Raises:
        ValueError: the groups do not divide the features, or an even size.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import nn
    >>> layer = nn.AdaptiveLowPass(1, groups=1, rngs=nnx.Rngs(0))
    >>> bool(jnp.allclose(layer(jnp.ones((1, 4, 4, 1))), 1, atol=1e-5))  # taps sum to 1
    True
    """

    def __init__(
        self,
        features: int,
        *,
        size: int = 3,
        groups: int = 8,
        padding: str = "circular",
        ndim: int = 2,
        dtype: jnp.dtype | type | None = None,
        rngs: nnx.Rngs,
    ):
        if features % groups or size % 2 == 0:
            raise ValueError(
                f"{groups} groups must divide the {features} features and the size "
                f"({size}) must be odd"
            )
        taps = groups * size**ndim
        init = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
        shape = (*(size,) * ndim, features, taps)
        self.kernel = nnx.Param(init(rngs.params(), shape, jnp.float32))
        self.norm = nnx.BatchNorm(
            taps, momentum=0.9, epsilon=1e-5, dtype=dtype, rngs=rngs
        )
        self.groups, self.padding, self.dtype = groups, padding, dtype
        self.ndim = ndim

    def __call__(self, x: Float[AnyArray, "..."]) -> Float[Array, "..."]:
        """Filter every pixel with its own taps."""
        x = jnp.asarray(x, self.dtype)
        options = {"padding": self.padding, "ndim": self.ndim}
        logits = adaptive_logits(x, self.kernel[...], **options)
        return filter_patches(x, self.norm(logits), groups=self.groups, **options)


class PhaseSampler(nnx.Module):
    """Filter and downsample by given weights: what a block's two branches share.

    A fixed filter is evaluated only at the selected component.

    Args:
        antialias: a filter's name, or None; adaptive filters need ``features``
            and ``rngs``.
        stride: the sampling stride.
        padding: how the filter pads the border.
        ndim: the number of spatial axes.
        features: the channels, for an adaptive filter.
        groups: the channel groups of an adaptive filter.
        rngs: for an adaptive filter.

    Raises:
        ValueError: an unknown filter, or an adaptive one without features and rngs.

    >>> import jax.numpy as jnp
    >>> from eqnets import nn
    >>> x, second = jnp.arange(4.0)[:, None], jnp.array([0.0, 1.0])
    >>> nn.PhaseSampler(None, ndim=1)(x, second, hard=True).ravel().tolist()
    [1.0, 3.0]
    >>> nn.PhaseSampler("rect2", ndim=1)(x, second, hard=True).ravel().tolist()
    [1.5, 1.5]
    """

    def __init__(
        self,
        antialias: str | None,
        *,
        stride: int = 2,
        padding: str = "circular",
        ndim: int = 2,
        features: int | None = None,
        groups: int = 8,
        rngs: nnx.Rngs | None = None,
    ):
        self.stride, self.padding, self.ndim = stride, padding, ndim
        kind, self.size = parse_antialias(antialias) or ("binomial", 1)
        adaptive = kind == "adaptive"
        if adaptive and (features is None or rngs is None):
            raise ValueError("an adaptive filter needs features and rngs")
        self.adaptive = (
            AdaptiveLowPass(
                features,
                size=self.size,
                groups=groups,
                padding=padding,
                ndim=ndim,
                rngs=rngs,
            )
            if adaptive
            else None
        )

    def filtered(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The filter at every position."""
        if self.adaptive is not None:
            return self.adaptive(x)
        return polyphase.lowpass(x, self.size, padding=self.padding, ndim=self.ndim)

    def __call__(
        self,
        x: Float[Array, "..."],
        weights: Float[Array, "*batch p"],
        *,
        hard: bool,
        filtered: bool = False,
    ) -> Float[Array, "..."]:
        """Filter (unless ``filtered`` already), then keep the weighted component.

        Args:
            x: ``[..., *space, C]``.
            weights: ``[..., P]``.
            hard: the weights are one-hot: look only at the selected component.
            filtered: ``x`` has been through `filtered`.
        """
        check_divisible(x, self.stride, self.ndim)
        size = 1 if filtered or self.adaptive is not None else self.size
        if self.adaptive is not None and not filtered:
            x = self.adaptive(x)
        x = polyphase.pad(
            x, (size - 1) // 2, size // 2, padding=self.padding, ndim=self.ndim
        )
        if hard:
            index = jnp.argmax(weights, axis=-1)
            x = phase_window(x, index, self.stride, ndim=self.ndim)
        else:
            x = mixed_window(x, weights, self.stride, ndim=self.ndim)
        return polyphase.lowpass(
            x, size, padding="valid", stride=self.stride, ndim=self.ndim
        )

    def first(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Filter and keep component 0 of any size: the LPF baseline."""
        if self.adaptive is not None:
            return polyphase.lowpass(
                self.adaptive(x), 1, stride=self.stride, ndim=self.ndim
            )
        return polyphase.lowpass(
            x, self.size, padding=self.padding, stride=self.stride, ndim=self.ndim
        )


@partial(jax.jit, static_argnums=1)
def he_normal(key: Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Normal initialisation with variance ``2 / fan_out``, for ReLU networks."""
    init = jax.nn.initializers.variance_scaling(2.0, "fan_out", "normal")
    return init(key, shape, jnp.float32)
