"""Layers with PyTorch's conventions that several networks share."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


def conv(
    inputs: int,
    outputs: int,
    size: int,
    *,
    stride: int = 1,
    padding: int | None = None,
    use_bias: bool = False,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A convolution with ``padding`` zeros on every side; None: (size - 1) // 2."""
    return nnx.Conv(
        inputs,
        outputs,
        (size, size),
        strides=stride,
        padding=(size - 1) // 2 if padding is None else padding,
        use_bias=use_bias,
        kernel_init=nnx.initializers.he_normal(),
        rngs=rngs,
    )


def batch_norm(features: int, *, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """Batch normalisation with PyTorch's constants."""
    return nnx.BatchNorm(features, momentum=0.9, epsilon=1e-5, rngs=rngs)


class Relu(nnx.Module):
    """max(x, 0), as a layer with a name."""

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """``max(x, 0)``."""
        return jax.nn.relu(x)


class MaxPool(nnx.Module):
    """The maximum of windows; what lies beyond the edge does not count.

    Args:
        size: side of a window, in pixels.
        stride: between windows.
        padding: pixels beyond the edge that windows may cover.
    """

    def __init__(self, size: int, stride: int, padding: int = 0):
        self.size, self.stride, self.padding = size, stride, padding

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
        """Map ``[B, H, W, C]`` to ``[B, H', W', C]``."""
        window, strides = ((n, n) for n in (self.size, self.stride))
        return nnx.max_pool(x, window, strides, ((self.padding,) * 2,) * 2)


class PooledHead(nnx.Module):
    """The mean over the pixels, and a linear classifier."""

    def __init__(self, width: int, num_classes: int, *, rngs: nnx.Rngs):
        self.fc = nnx.Linear(width, num_classes, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        """Map ``[B, h, w, C]`` to logits ``[B, K]``."""
        return self.fc(jnp.mean(x, (1, 2)))
