"""U-Net with a choice of sampling, shift-equivariant at every pixel if asked.

Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation",
2015, padded to keep the size. Each level's upsampling reuses the selection of its
downsampling, so that the pair commutes with circular shifts (Rojas-Gomez et al., 2022,
claim 4).
"""

import itertools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets.models.deeplab import ConvNormReLU
from eqnets.models.sampling_options import Sampling
from eqnets.models.stem import sample_maxima
from eqnets.models.upsampling import Upsampling
from eqnets.polyphase.phases import AnyArray, Number


class DoubleConv(nnx.Module):
    """Two 3 x 3 convolutions, each with batch normalisation and ReLU.

    Args:
        inputs: channels in.
        outputs: channels out.
        sampling: the network's sampling options.
        rngs: initialises the parameters.
    """

    def __init__(
        self, inputs: int, outputs: int, *, sampling: Sampling, rngs: nnx.Rngs
    ):
        options = {"sampling": sampling, "rngs": rngs}
        self.first = ConvNormReLU(inputs, outputs, 3, **options)
        self.second = ConvNormReLU(outputs, outputs, 3, **options)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        """``[B, H, W, C] -> [B, H, W, D]``."""
        return self.second(self.first(x))


class UNet(nnx.Module):
    """A U-Net; build it with `unet`.

    Attributes:
        enter: the convolutions on the way down, the bottom included.
        pools: the sampling steps between them.
        lift: the convolutions that halve the channels after an upsampling.
        leave: the convolutions on the way up.
        classifier: the logits of a pixel from its features.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.unet(5, width=2, depth=1, down="aps", rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(lambda: make()(jnp.zeros((1, 8, 8, 3)))).shape
    (1, 8, 8, 5)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: int,
        depth: int,
        hidden: int | None,
        sampling: Sampling,
        up: Upsampling,
        rngs: nnx.Rngs,
    ):
        options = {"sampling": sampling, "rngs": rngs}
        widths = [width << i for i in range(depth + 1)]
        self.sampling, self.up, self.depth = sampling, up, depth
        pairs = list(itertools.pairwise(widths))
        self.enter = nnx.List(
            [DoubleConv(a, b, **options) for a, b in [(3, width), *pairs]]
        )
        self.pools = nnx.List(
            [sampling.pool(w, w, hidden, rngs) for w in widths[:-1]]
            if sampling.down != "strided"
            else []
        )
        self.lift = nnx.List([ConvNormReLU(b, a, 3, **options) for a, b in pairs])
        self.leave = nnx.List([DoubleConv(2 * a, a, **options) for a, _ in pairs])
        self.classifier = nnx.Linear(
            width, num_classes, dtype=sampling.dtype, rngs=rngs
        )

    def __call__(
        self,
        x: Float[AnyArray, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> Float[Array, "b h w k"]:
        """Logits of every pixel, ``[B, H, W, K]``.

        Args:
            x: images ``[B, H, W, 3]``.
            key: a random key to train the selection; without one, evaluation.
            temperature: of the Gumbel softmax.

        Raises:
            ValueError: ``2 ** depth`` does not divide a size of the image.
        """
        x = jnp.asarray(x, self.sampling.dtype)
        self._check_size(x)
        depth = self.depth
        keys = [None] * depth if key is None else jax.random.split(key, depth)
        skips, selections = [], []
        y = self.enter[0](x)
        for level in range(depth):
            skips.append(y)
            y, weights = self._down(level, y, keys[level], temperature)
            selections.append(weights)
            y = self.enter[level + 1](y)
        for level in reversed(range(depth)):
            skip = skips[level]
            y = self.up(y, [selections[level]], skip.shape[1:3])
            y = jnp.concatenate([skip, self.lift[level](y)], axis=-1)
            y = self.leave[level](y)
        return self.classifier(y)

    def _down(
        self, level: int, y: Array, key: Array | None, temperature: Number
    ) -> tuple[Array, Array | None]:
        if self.sampling.down == "strided":
            return nnx.max_pool(y, (2, 2), (2, 2)), None
        return sample_maxima(
            self.pools[level], y, self.sampling, key=key, temperature=temperature
        )

    def _check_size(self, x: Array) -> None:
        stride = 2**self.depth
        for size in x.shape[1:3]:
            if size % stride or size == 0:
                up = max(1, math.ceil(size / stride)) * stride
                raise ValueError(
                    f"a U-Net of depth {self.depth} halves the image {self.depth} "
                    f"times, so size {size} of {x.shape[1]} x {x.shape[2]} must be a "
                    f"multiple of {stride}: resize it to {up}, or take a smaller depth"
                )


def unet(
    num_classes: int,
    *,
    down: str = "lps",
    up: str | None = None,
    antialias: str | None = None,
    up_antialias: str | None = "tri3",
    hidden: int | None = None,
    width: int = 64,
    depth: int = 4,
    padding: str = "circular",
    select_on: str = "unfiltered",
    p: int | float | str = 2,
    groups: int = 8,
    dtype: jnp.dtype | type | None = None,
    rngs: nnx.Rngs,
) -> UNet:
    """A U-Net whose samplings are a choice.

    With a ``down`` that selects, ``up="lps"`` and circular padding the prediction of a
    circularly shifted image is the shifted prediction, at every pixel.

    Args:
        num_classes: ``K``.
        down: ``"strided"`` (2 x 2 max-pool), ``"lowpass"``, ``"ideal"`` (for
            fractional shifts), ``"aps"``, ``"lps"``, and ``"aps_input"``,
            ``"lps_input"``, which score the input of the max-pool.
        up: ``"lps"`` (LPU), ``"bilinear"`` or ``"ideal"``; None is ``"lps"`` where
            ``down`` selects, ``"ideal"`` where it is that.
        antialias: the filter of the downsamplings.
        up_antialias: the fixed filter of the upsamplings, or None.
        hidden: channels of the logits networks; None is those they see.
        width: channels of the first level; each level doubles them.
        depth: how many times the size is halved.
        padding: ``"circular"`` everywhere, or ``"zeros"`` everywhere.
        select_on: look at the ``"unfiltered"`` or the ``"filtered"`` components.
        p: the norm of ``aps``.
        groups: channel groups of the adaptive filter.
        dtype: of the computation; parameters are float32.
        rngs: initialises the parameters.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, H, W, K]``.

    Raises:
        ValueError: an option that does not exist, or two that contradict each other.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.unet(2, width=16, depth=3, rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(make).enter[3].second.conv.kernel.shape
    (3, 3, 128, 128)
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    sampling = Sampling(down, antialias, padding, select_on, p, groups, dtype)
    return UNet(
        num_classes,
        width=width,
        depth=depth,
        hidden=hidden,
        sampling=sampling,
        up=Upsampling(up, up_antialias, sampling),
        rngs=rngs,
    )
