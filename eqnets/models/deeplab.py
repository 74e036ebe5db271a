"""DeepLabV3+ on a residual network, shift-equivariant at every pixel if asked.

Chen et al., "Encoder-decoder with atrous separable convolution for semantic image
segmentation", 2018, with the plain convolutions and the output stride of Rojas-Gomez
et al., "Learnable Polyphase Sampling", 2022, section 5.4.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import nn, polyphase
from eqnets.models.blocks import batch_norm
from eqnets.models.resnet import Hidden, ResNet, resnet
from eqnets.models.sampling_options import Sampling
from eqnets.models.upsampling import Upsampling
from eqnets.polyphase.phases import AnyArray, Number

_DROPOUT = 0.1


class ConvNormReLU(nnx.Module):
    """Convolution, batch normalisation, ReLU (or the network's own activation).

    Args:
        inputs: channels in.
        outputs: channels out.
        size: taps per axis.
        dilation: pixels from one tap to the next.
        sampling: the network's sampling options, for padding and dtype.
        rngs: initialises the parameters.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        dilation: int = 1,
        sampling: Sampling,
        rngs: nnx.Rngs,
    ):
        self.conv = nn.Conv(
            inputs,
            outputs,
            size,
            dilation=dilation,
            padding=sampling.padding,
            dtype=sampling.dtype,
            rngs=rngs,
        )
        self.norm = batch_norm(outputs, sampling, rngs)
        self.sampling = sampling

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        """``[B, H, W, C] -> [B, H, W, D]``."""
        return self.sampling.activate(self.norm(self.conv(x)))


class ASPP(nnx.Module):
    """Atrous spatial pyramid pooling: a pixel, its surroundings at rates, the image.

    Args:
        inputs: channels in.
        width: channels of every branch and of the result.
        rates: the dilations of the 3 x 3 branches, in pixels of the features.
        sampling: the network's sampling options.
        rngs: initialises the parameters.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        rates: Sequence[int],
        sampling: Sampling,
        rngs: nnx.Rngs,
    ):
        options = {"sampling": sampling, "rngs": rngs}
        self.point = ConvNormReLU(inputs, width, 1, **options)
        self.atrous = nnx.List(
            [ConvNormReLU(inputs, width, 3, dilation=r, **options) for r in rates]
        )
        self.image = ConvNormReLU(inputs, width, 1, **options)
        self.project = ConvNormReLU((2 + len(rates)) * width, width, 1, **options)
        self.dropout = nnx.Dropout(_DROPOUT)
        self.exact = sampling.selects

    def __call__(
        self, x: Float[Array, "b h w c"], *, key: Array | None = None
    ) -> Float[Array, "b h w d"]:
        """``[B, h, w, C] -> [B, h, w, D]``, with dropout if there is a key."""
        mean = polyphase.invariant_mean if self.exact else _mean
        image = self.image(mean(x)[:, None, None])
        image = jnp.broadcast_to(image, (*x.shape[:3], image.shape[-1]))
        parts = [self.point(x), *(conv(x) for conv in self.atrous), image]
        y = self.project(jnp.concatenate(parts, axis=-1))
        return y if key is None else self.dropout(y, rngs=key)


def _mean(x: Array) -> Array:
    return jnp.mean(x, axis=(1, 2))


class DeepLabV3Plus(nnx.Module):
    """Dense prediction; build it with `deeplab_v3plus`, or on your own ResNet.

    Args:
        backbone: the residual network; its classifier is not used, and is left out.
        num_classes: ``K``.
        up: as for `deeplab_v3plus`.
        up_antialias: as for `deeplab_v3plus`.
        rates: as for `deeplab_v3plus`.
        rngs: initialises the head.

    Attributes:
        backbone: the residual network, without its ``fc``.
        aspp: the context module on the last features.
        low_project: the projection of the first stage's features.
        decoder: the 3 x 3 convolution on both.
        classifier: the logits of a pixel from its features.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> def predict():
    ...     backbone = models.resnet(18, 1, width=2, stem="cifar", rngs=nnx.Rngs(0))
    ...     net = models.DeepLabV3Plus(backbone, 5, up="bilinear", rngs=nnx.Rngs(1))
    ...     return net(jnp.zeros((1, 16, 16, 3)))
    >>> nnx.eval_shape(predict).shape
    (1, 16, 16, 5)
    """

    def __init__(
        self,
        backbone: ResNet,
        num_classes: int,
        *,
        up: str | None = None,
        up_antialias: str | None = "tri3",
        rates: Sequence[int] = (6, 12, 18),
        rngs: nnx.Rngs,
    ):
        sampling = backbone.sampling
        options = {"sampling": sampling, "rngs": rngs}
        low, out = backbone.channels[0], backbone.channels[-1]
        # 256 channels in the head and 48 from below at the usual 64 of the stem.
        width, below = 4 * backbone.width, max(1, 3 * backbone.width // 4)
        if hasattr(backbone, "fc"):
            del backbone.fc
        self.backbone = backbone
        self.aspp = ASPP(out, width, rates=rates, **options)
        self.low_project = ConvNormReLU(low, below, 1, **options)
        self.decoder = ConvNormReLU(below + width, width, 3, **options)
        self.classifier = nnx.Linear(
            width, num_classes, dtype=sampling.dtype, rngs=rngs
        )
        self.up = Upsampling(up, up_antialias, sampling)

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
            key: a random key to train selection and dropout; without one, evaluation.
            temperature: of the Gumbel softmax.

        Raises:
            ValueError: a network that selects components met a size that its strides
                do not divide.
        """
        keys = (None, None) if key is None else jax.random.split(key)
        stages, selections = self.backbone.features(
            x, key=keys[0], temperature=temperature
        )
        low, out = stages[0], stages[-1]
        y = self.up(self.aspp(out, key=keys[1]), selections[-3:], low.shape[1:3])
        y = jnp.concatenate([self.low_project(low), y], axis=-1)
        y = self.classifier(self.decoder(y))
        return self.up(y, selections[:-3], tuple(x.shape[1:3]))


def deeplab_v3plus(
    num_classes: int,
    *,
    backbone: int = 18,
    down: str = "lps",
    up: str | None = None,
    antialias: str | None = None,
    up_antialias: str | None = "tri3",
    hidden: Hidden = None,
    width: int = 64,
    stem: str = "imagenet",
    padding: str = "circular",
    select_on: str = "unfiltered",
    p: int | float | str = 2,
    groups: int = 8,
    rates: Sequence[int] = (6, 12, 18),
    dtype: jnp.dtype | type | None = None,
    rngs: nnx.Rngs,
) -> DeepLabV3Plus:
    """A DeepLabV3+ whose samplings are a choice.

    With a ``down`` that selects, ``up="lps"`` and circular padding the prediction of a
    circularly shifted image is the shifted prediction, at every pixel: features return
    through the very components that the backbone selected, the last ones over its
    three strided stages, the logits over the two samplings of its stem.

    Args:
        num_classes: ``K``.
        backbone: the depth of the ResNet: 18, 34, 50, 101 or 152.
        down: as for `models.resnet`.
        up: ``"lps"`` (LPU), ``"bilinear"`` or ``"ideal"``; None is ``"lps"`` where
            ``down`` selects, ``"ideal"`` where it is that.
        antialias: the filter of the downsamplings.
        up_antialias: the fixed filter of the upsamplings. Without one (None) images
            with ties, such as constant ones, are not upsampled equivariantly.
        hidden: channels of the logits networks.
        width: channels of the first stage; the head has ``4 width``.
        stem: ``"imagenet"`` (features at strides 4 and 32) or ``"cifar"`` (1 and 8).
        padding: ``"circular"`` everywhere, or ``"zeros"`` everywhere.
        select_on: look at the ``"unfiltered"`` or the ``"filtered"`` components.
        p: the norm of ``aps``.
        groups: channel groups of the adaptive filter.
        rates: of the atrous convolutions.
        dtype: of the computation; parameters are float32.
        rngs: initialises the parameters.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, H, W, K]``.

    Raises:
        ValueError: an option that does not exist, or two that contradict each other.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.deeplab_v3plus(21, width=64, rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(make).decoder.conv.kernel.shape
    (3, 3, 304, 256)
    """
    body = resnet(
        backbone,
        1,  # the classifier is dropped
        down=down,
        antialias=antialias,
        hidden=hidden,
        width=width,
        stem=stem,
        padding=padding,
        select_on=select_on,
        p=p,
        groups=groups,
        dtype=dtype,
        rngs=rngs,
    )
    return DeepLabV3Plus(
        body, num_classes, up=up, up_antialias=up_antialias, rates=rates, rngs=rngs
    )
