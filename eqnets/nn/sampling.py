"""Downsampling that commutes with shifts, and its inverse.

The layers return what they kept and the weights by which they chose it, so that a
shortcut or an upsampling layer can share the choice::

    down = nn.LearnablePolyphaseDown(64, rngs=rngs)
    y, weights = down(x)             # evaluation: the component of the highest logit
    y, weights = down(x, key=key)    # training: a Gumbel-softmax mixture
    u = nn.PolyphaseUp(antialias="tri3")(y, weights)
"""

import abc
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import polyphase
from eqnets.nn.filters import PhaseSampler, parse_antialias
from eqnets.polyphase.phases import AnyArray, Number

Select = Callable[[Array, Array, Number], Array]


class _PolyphaseDown(nnx.Module):
    """Score, select, filter, sample. Subclasses say what the score is.

    Selection looks at the unfiltered components by default: binomial filters have a
    zero at the Nyquist frequency, so filtered components have equal means and many
    scores would be structural ties.
    """

    def __init__(self, sampler: PhaseSampler, select_on: str):
        if select_on not in ("unfiltered", "filtered"):
            raise ValueError(
                f'select_on must be "unfiltered" or "filtered", got {select_on!r}'
            )
        self.sampler = sampler
        self.select_on = select_on

    @abc.abstractmethod
    def scores(self, x: Float[AnyArray, "..."]) -> Float[Array, "*batch p"]:
        """One score per component of ``x``, ``[..., P]``."""

    def weigh(
        self, scores: Array, key: Array | None, temperature: Number
    ) -> tuple[Array, bool]:
        """Weights ``[..., P]`` and whether they are one-hot."""
        return polyphase.argmax_select(scores), True

    def choose(
        self,
        x: Float[AnyArray, "..."],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> tuple[Float[Array, "*batch p"], bool]:
        """The weights for ``x`` as it is, and whether they are one-hot."""
        return self.weigh(self.scores(x), key, temperature)

    def sample(
        self,
        x: Float[AnyArray, "..."],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> tuple[Float[Array, "..."], Float[Array, "*batch p"], bool]:
        """As ``__call__``, and whether the weights are one-hot."""
        x = jnp.asarray(x)
        on_filtered = self.select_on == "filtered"
        filtered = on_filtered or self.sampler.adaptive is not None
        source = self.sampler.filtered(x) if filtered else x
        scores = self.scores(source if on_filtered else x)
        weights, hard = self.weigh(scores, key, temperature)
        y = self.sampler(source, weights, hard=hard, filtered=filtered)
        return y, weights, hard

    def __call__(
        self,
        x: Float[AnyArray, "..."],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> tuple[Float[Array, "..."], Float[Array, "*batch p"]]:
        """Downsample ``[..., *space, C]``.

        Args:
            x: the input; the stride must divide its spatial sizes.
            key: a random key for training; without one, evaluation.
            temperature: of the Gumbel softmax.

        Returns:
            ``[..., *space / stride, C]`` and the weights ``[..., P]``.

        Raises:
            ValueError: the stride does not divide a spatial size.
        """
        return self.sample(x, key=key, temperature=temperature)[:2]


class LearnablePolyphaseDown(_PolyphaseDown):
    """Keep the component that a small network prefers (LPD; Rojas-Gomez et al., 2022).

    Logits are ``mean(conv(relu(conv(component))))``. Do not decay their weights.

    Args:
        features: channels of the input.
        hidden: channels of the logits network; None is ``features``.
        stride: the sampling stride.
        antialias: a filter before the sampling: None, ``"rect2"``, ``"tri3"``,
            ``"bin5"``, ``"adaptive3"``.
        ndim: the number of spatial axes.
        padding: of the logits network and the filter.
        select_on: score the ``"unfiltered"`` or the ``"filtered"`` components.
        train_select: ``(key, scores, temperature) -> weights`` in training.
        filter_features: channels that an adaptive filter meets, where the sampled
            array is not the scored one; None is ``features``.
        groups: channel groups of an adaptive filter.
        rngs: initialises the parameters.

    Raises:
        ValueError: an unknown filter or ``select_on``.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import nn
    >>> down = nn.LearnablePolyphaseDown(1, rngs=nnx.Rngs(0))
    >>> x = jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    >>> y, weights = down(x)  # evaluation: one component
    >>> y.shape, weights.max().item()
    ((1, 2, 2, 1), 1.0)
    >>> y, weights = down(x, key=jax.random.key(1), temperature=2.0)  # training
    >>> bool(0 < weights.max() < 1)  # a mixture
    True
    """

    def __init__(
        self,
        features: int,
        *,
        hidden: int | None = None,
        stride: int = 2,
        antialias: str | None = None,
        ndim: int = 2,
        padding: str = "circular",
        select_on: str = "unfiltered",
        train_select: Select = polyphase.gumbel_select,
        filter_features: int | None = None,
        groups: int = 8,
        rngs: nnx.Rngs,
    ):
        sampler = PhaseSampler(
            antialias,
            stride=stride,
            padding=padding,
            ndim=ndim,
            features=features if filter_features is None else filter_features,
            groups=groups,
            rngs=rngs,
        )
        super().__init__(sampler, select_on)
        hidden = features if hidden is None else hidden
        self.conv1 = _LogitConv(features, hidden, ndim, rngs)
        self.conv2 = _LogitConv(hidden, hidden, ndim, rngs)
        self.padding, self.train_select = padding, train_select

    def scores(self, x: Float[AnyArray, "..."]) -> Float[Array, "*batch p"]:
        """The logits of the components of ``x``."""
        dtype = jnp.asarray(x).dtype
        params = {
            name: {
                "kernel": conv.kernel[...].astype(dtype),
                "bias": conv.bias[...].astype(dtype),
            }
            for name, conv in (("conv1", self.conv1), ("conv2", self.conv2))
        }
        return polyphase.image_conv_scores(
            x,
            self.sampler.stride,
            params,
            padding=self.padding,
            ndim=self.sampler.ndim,
        )

    def weigh(
        self, scores: Array, key: Array | None, temperature: Number
    ) -> tuple[Array, bool]:
        """The best component without a key, a random mixture with one."""
        if key is None:
            return polyphase.argmax_select(scores), True
        return self.train_select(key, scores, temperature), False


class SelectionParam(nnx.Param):
    """A parameter of a selection network: leave it out of weight decay.

    ``nnx.state(model, nn.SelectionParam)`` is the state that holds these alone.

    >>> import jax
    >>> from flax import nnx
    >>> from eqnets import nn
    >>> down = nn.LearnablePolyphaseDown(1, rngs=nnx.Rngs(0))
    >>> sorted(nnx.to_pure_dict(nnx.state(down, nn.SelectionParam)))
    ['conv1', 'conv2']
    """


class _LogitConv(nnx.Module):
    """The parameters of one convolution of the logits network."""

    def __init__(self, inputs: int, outputs: int, ndim: int, rngs: nnx.Rngs):
        # The bounds that torch gives a convolution, kernel and bias alike.
        bound = (inputs * 3**ndim) ** -0.5
        shape = (*(3,) * ndim, inputs, outputs)
        draw = jax.random.uniform
        self.kernel = SelectionParam(
            draw(rngs.params(), shape, minval=-bound, maxval=bound)
        )
        self.bias = SelectionParam(
            draw(rngs.params(), (outputs,), minval=-bound, maxval=bound)
        )


class AdaptivePolyphaseDown(_PolyphaseDown):
    """Keep the component of the largest norm (APS; Chaman and Dokmanic, 2021).

    Args:
        p: the norm: at least 1, ``math.inf``, or ``"min"`` for the smallest 2-norm.
        stride: the sampling stride.
        antialias: a filter before the sampling.
        ndim: the number of spatial axes.
        padding: of the filter.
        select_on: score the ``"unfiltered"`` or the ``"filtered"`` components.
        features: channels, for ``antialias="adaptive3"``.
        groups: channel groups of an adaptive filter.
        rngs: for ``antialias="adaptive3"``.

    Raises:
        ValueError: an unknown filter or ``select_on``, or an adaptive filter without
            ``features`` and ``rngs``.

    >>> import jax.numpy as jnp
    >>> from eqnets import nn
    >>> down = nn.AdaptivePolyphaseDown()
    >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> y, weights = down(x)
    >>> shifted, _ = down(jnp.roll(x, 1, 1))  # one pixel down: the same samples
    >>> y.shape, bool((jnp.sort(y.ravel()) == jnp.sort(shifted.ravel())).all())
    ((1, 2, 2, 1), True)
    """

    def __init__(
        self,
        *,
        p: int | float | str = 2,
        stride: int = 2,
        antialias: str | None = None,
        ndim: int = 2,
        padding: str = "circular",
        select_on: str = "unfiltered",
        features: int | None = None,
        groups: int = 8,
        rngs: nnx.Rngs | None = None,
    ):
        sampler = PhaseSampler(
            antialias,
            stride=stride,
            padding=padding,
            ndim=ndim,
            features=features,
            groups=groups,
            rngs=rngs,
        )
        super().__init__(sampler, select_on)
        self.p = p

    def scores(self, x: Float[AnyArray, "..."]) -> Float[Array, "*batch p"]:
        """The norms of the components of ``x``."""
        return polyphase.image_norm_scores(
            x, self.sampler.stride, self.p, ndim=self.sampler.ndim
        )


class PolyphaseUp(nnx.Module):
    """Put samples back where a polyphase layer took them (LPU).

    Args:
        stride: the upsampling factor per axis.
        antialias: a low-pass after it, with gain ``stride`` per axis. Without one a
            constant image is not upsampled equivariantly.
        ndim: the number of spatial axes.
        padding: of the filter.

    Raises:
        ValueError: an unknown filter, or an adaptive one.

    >>> import jax.numpy as jnp
    >>> from eqnets import nn
    >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> y, weights = nn.AdaptivePolyphaseDown()(x)
    >>> up = nn.PolyphaseUp()(y, weights)
    >>> bool(((up == x) | (up == 0)).all())  # back where they came from
    True
    """

    def __init__(
        self,
        *,
        stride: int = 2,
        antialias: str | None = None,
        ndim: int = 2,
        padding: str = "circular",
    ):
        kind, self.size = parse_antialias(antialias) or ("none", 1)
        if kind == "adaptive":
            raise ValueError("PolyphaseUp takes a fixed filter, such as tri3")
        self.gain = stride if kind == "binomial" else 1
        self.stride, self.ndim, self.padding = stride, ndim, padding

    def __call__(
        self, y: Float[AnyArray, "..."], weights: Float[AnyArray, "*batch p"]
    ) -> Float[Array, "..."]:
        """``[..., *space, C] -> [..., *space * stride, C]`` (paper, 24 and 25)."""
        x = polyphase.upsample(y, weights, self.stride, ndim=self.ndim)
        return polyphase.lowpass(
            x, self.size, padding=self.padding, gain=self.gain, ndim=self.ndim
        )
