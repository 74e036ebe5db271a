"""Residual networks with a choice of sampling, truly shift-invariant ones among them.

The stride moves from the convolution to a sampling step behind it, and the shortcut
shares the main branch's selection (Rojas-Gomez et al., 2022, section 5).
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import polyphase
from eqnets.models.blocks import BasicBlock, Bottleneck
from eqnets.models.sampling_options import Sampling
from eqnets.models.stem import CifarStem, ImageNetStem
from eqnets.polyphase.phases import AnyArray, Number

_STAGES = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
_STEMS = {"imagenet": ImageNetStem, "cifar": CifarStem}

Hidden = int | Sequence[int | None] | None


class ResNet(nnx.Module):
    """A residual network; build it with `resnet`.

    Attributes:
        depth: 18, 34, 50, 101 or 152.
        stem: the first layers.
        layer1: the blocks of the first stage, and so on to ``layer4``.
        fc: the classifier.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.resnet(
    ...     18, 10, width=2, stem="cifar", down="aps", rngs=nnx.Rngs(0))
    >>> stages, selections = nnx.eval_shape(
    ...     lambda: make().features(jnp.zeros((1, 16, 16, 3))))
    >>> [y.shape[1:] for y in stages], [w.shape for w in selections]
    ([(16, 16, 2), (8, 8, 4), (4, 4, 8), (2, 2, 16)], [(1, 4), (1, 4), (1, 4)])
    """

    def __init__(
        self,
        depth: int,
        num_classes: int,
        *,
        stem: str,
        width: int,
        hidden: tuple[int | None, ...],
        sampling: Sampling,
        rngs: nnx.Rngs,
    ):
        block, counts = _STAGES[depth]
        options = {"sampling": sampling, "rngs": rngs}
        self.depth, self.sampling, self.width = depth, sampling, width
        self.stem = _STEMS[stem](width, hidden=hidden[0], **options)
        channels = width
        for i, count in enumerate(counts):
            blocks = []
            for j in range(count):
                stride = 2 if i and not j else 1
                blocks.append(
                    block(
                        channels,
                        width << i,
                        stride=stride,
                        hidden=hidden[i],
                        **options,
                    )
                )
                channels = block.expansion * (width << i)
            setattr(self, f"layer{i + 1}", nnx.List(blocks))
        self.fc = nnx.Linear(channels, num_classes, dtype=sampling.dtype, rngs=rngs)

    @property
    def channels(self) -> list[int]:
        """The channels of the four stages."""
        expansion = type(self.layer1[0]).expansion
        return [expansion * (self.width << i) for i in range(4)]

    @property
    def stride(self) -> int:
        """Input pixels per sample of the last stage."""
        return 8 * self.stem.stride

    def features(
        self,
        x: Float[AnyArray, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> tuple[list[Float[Array, "b _h _w _c"]], list[Float[Array, "b p"]]]:
        """The outputs of the four stages, and the selections in order of execution.

        Raises:
            ValueError: a network that selects components met a size that its strides
                do not divide.
        """
        x = jnp.asarray(x, self.sampling.dtype)
        self._check_size(x)
        stages = [getattr(self, f"layer{i}") for i in range(1, 5)]
        keys = [None] * 5 if key is None else jax.random.split(key, 5)
        x, selections = self.stem(x, key=keys[0], temperature=temperature)
        outputs = []
        for stage, stage_key in zip(stages, keys[1:], strict=True):
            for block in stage:
                x, weights = block(x, key=stage_key, temperature=temperature)
                if weights is not None:
                    selections.append(weights)
            outputs.append(x)
        return outputs, selections

    def __call__(
        self,
        x: Float[AnyArray, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> Float[Array, "b k"]:
        """Logits ``[B, K]``.

        Args:
            x: images ``[B, H, W, 3]``.
            key: a random key to train the selection; without one, evaluation.
            temperature: of the Gumbel softmax.

        Raises:
            ValueError: as `features`.
        """
        outputs, _ = self.features(x, key=key, temperature=temperature)
        if self.sampling.selects:
            return self.fc(polyphase.invariant_mean(outputs[-1]))
        return self.fc(jnp.mean(outputs[-1], axis=(1, 2)))

    def _check_size(self, x: Array) -> None:
        if not self.sampling.selects:
            return
        for size in x.shape[1:3]:
            if size % self.stride:
                up = math.ceil(size / self.stride) * self.stride
                raise ValueError(
                    f"an image of size {x.shape[1]} x {x.shape[2]} has no equal "
                    f"polyphase components at total stride {self.stride}, so no "
                    f"selection could be shift-invariant: size {size} must be a "
                    f"multiple of {self.stride}. Resize it to {up}, or crop it to "
                    f"{up - self.stride}."
                )


def resnet(
    depth: int,
    num_classes: int,
    *,
    down: str = "strided",
    antialias: str | None = None,
    hidden: Hidden = None,
    width: int = 64,
    stem: str = "imagenet",
    padding: str = "circular",
    select_on: str = "unfiltered",
    p: int | float | str = 2,
    groups: int = 8,
    dtype: jnp.dtype | type | None = None,
    rngs: nnx.Rngs,
) -> ResNet:
    """A residual network.

    Args:
        depth: 18, 34, 50, 101 or 152.
        num_classes: ``K``.
        down: ``"strided"``; ``"lowpass"`` (LPF and DDAC baselines); ``"ideal"``: ideal
            low-pass filters before strides and around GELUs in place of ReLUs, for
            fractional shifts; ``"aps"`` and
            ``"lps"`` select a component after the convolution, as published;
            ``"aps_input"`` and ``"lps_input"`` select it before, at about the price
            of the strided network.
        antialias: None, ``"rect2"``, ``"tri3"``, ``"bin5"`` or ``"adaptive3"``.
        hidden: channels of the logits networks: None for those they see, an int, or
            ``(stem, layer2, layer3, layer4)``.
        width: channels of the first stage.
        stem: ``"imagenet"`` (7x7 and max-pool) or ``"cifar"`` (3x3).
        padding: ``"circular"`` (exactly shift-invariant) or ``"zeros"``.
        select_on: look at the ``"unfiltered"`` or the ``"filtered"`` components.
        p: the norm of ``aps``.
        groups: channel groups of the adaptive filter.
        dtype: of the computation, such as ``jnp.bfloat16``; parameters are float32.
        rngs: initialises the parameters.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, K]``.

    Raises:
        ValueError: an option that does not exist, or two that contradict each other.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.resnet(18, 10, down="lps", stem="cifar", rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(make).fc.kernel.shape
    (512, 10)
    """
    if depth not in _STAGES:
        raise ValueError(f"depth must be one of {tuple(_STAGES)}, got {depth!r}")
    if stem not in _STEMS:
        raise ValueError(f"stem must be one of {tuple(_STEMS)}, got {stem!r}")
    sampling = Sampling(down, antialias, padding, select_on, p, groups, dtype)
    return ResNet(
        depth,
        num_classes,
        stem=stem,
        width=width,
        hidden=_hidden(hidden),
        sampling=sampling,
        rngs=rngs,
    )


def _hidden(hidden: Hidden) -> tuple[int | None, ...]:
    if hidden is None or isinstance(hidden, int):
        return (hidden,) * 4
    if len(hidden) != 4:
        raise ValueError(
            f"hidden must be an int or (stem, layer2, layer3, layer4), got {hidden!r}"
        )
    return tuple(hidden)
