"""Pools and strided convolutions that commute with shifts, at the usual price.

Each scores the polyphase components of its *input*, shifts the selected one to the
origin and runs the usual strided operation: "input-select". The result equals one
component of the operation at stride 1, so it is exactly shift-equivariant, and
nothing is computed that a strided network would not compute.
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import polyphase
from eqnets.nn.filters import he_normal
from eqnets.nn.sampling import AdaptivePolyphaseDown, LearnablePolyphaseDown
from eqnets.polyphase.conv_scores import dense_conv
from eqnets.polyphase.phases import (
    AnyArray,
    Number,
    check_divisible,
    mixed_window,
    phase_window,
)


def input_select(
    operation: Callable[[Array], Array],
    x: Float[AnyArray, "..."],
    weights: Float[AnyArray, "*batch p"],
    *,
    size: int,
    stride: int = 2,
    hard: bool = True,
    padding: str = "circular",
    ndim: int = 2,
) -> Float[Array, "..."]:
    """Run a strided operation at the selected component of its input.

    Args:
        operation: a strided operation *without padding* on ``[..., *space, C]``.
        x: ``[..., *space, C]``.
        weights: ``[..., P]``; soft weights mix the shifted inputs, which for a linear
            operation is the mixture of its outputs.
        size: the window of the operation, which decides the padding.
        stride: the stride of the operation.
        hard: the weights are one-hot.
        padding: how the border is padded.
        ndim: the number of spatial axes.

    Raises:
        ValueError: the stride does not divide a spatial size.

    >>> import jax.numpy as jnp
    >>> from eqnets import nn
    >>> x = jnp.arange(4.0).reshape(1, 4, 1)
    >>> every_other = lambda x: x[:, ::2]
    >>> second = jnp.array([[0.0, 1.0]])
    >>> nn.input_select(every_other, x, second, size=1, ndim=1).ravel().tolist()
    [1.0, 3.0]
    """
    check_divisible(x, stride, ndim)
    x = polyphase.pad(x, (size - 1) // 2, size // 2, padding=padding, ndim=ndim)
    if hard:
        index = jnp.argmax(weights, axis=-1)
        return operation(phase_window(x, index, stride, ndim=ndim))
    return operation(mixed_window(x, weights, stride, ndim=ndim))


def max_pool(
    x: Float[AnyArray, "..."],
    size: int = 2,
    *,
    stride: int = 2,
    p: int | float | str = 2,
    ndim: int = 2,
) -> Float[Array, "..."]:
    """A shift-equivariant max-pool of ``[b, *space, c]``: circular, phase by p-norm.

    The phase is chosen on the input; after the pool every component holds the
    largest value, and ``p = inf`` could not tell them apart.

    Args:
        x: ``[b, *space, c]``.
        size: of the window, in samples.
        stride: of the pool.
        p: the norm that chooses the phase.
        ndim: the number of spatial axes.

    Returns:
        ``[b, *space / stride, c]``.

    Raises:
        ValueError: the stride does not divide a spatial size.

    >>> import jax.numpy as jnp
    >>> from eqnets import nn
    >>> x = jnp.array([0.0, 4.0, 0.0, 2.0]).reshape(1, 4, 1)
    >>> nn.max_pool(x, ndim=1).ravel().tolist()
    [4.0, 2.0]
    >>> nn.max_pool(jnp.roll(x, 1, 1), ndim=1).ravel().tolist()  # moves along
    [2.0, 4.0]
    """
    return _pool(nnx.max_pool, x, size, stride, p, ndim)


def avg_pool(
    x: Float[AnyArray, "..."],
    size: int = 2,
    *,
    stride: int = 2,
    p: int | float | str = 2,
    ndim: int = 2,
) -> Float[Array, "..."]:
    """A shift-equivariant average pool; see `max_pool`.

    Args:
        x: ``[b, *space, c]``.
        size: of the window, in samples.
        stride: of the pool.
        p: the norm that chooses the phase.
        ndim: the number of spatial axes.

    Returns:
        ``[b, *space / stride, c]``.

    Raises:
        ValueError: the stride does not divide a spatial size.

    >>> import jax.numpy as jnp
    >>> from eqnets import nn
    >>> x = jnp.array([0.0, 4.0, 0.0, 2.0]).reshape(1, 4, 1)
    >>> nn.avg_pool(x, ndim=1).ravel().tolist()  # windows begin at the larger samples
    [2.0, 1.0]
    """
    return _pool(nnx.avg_pool, x, size, stride, p, ndim)


def _pool(
    pool: Callable,
    x: AnyArray,
    size: int,
    stride: int,
    p: int | float | str,
    ndim: int,
) -> Array:
    scores = polyphase.image_norm_scores(x, stride, p, ndim=ndim)
    return input_select(
        lambda y: pool(y, (size,) * ndim, (stride,) * ndim),
        x,
        polyphase.argmax_select(scores),
        size=size,
        stride=stride,
        ndim=ndim,
    )


class Conv(nnx.Module):
    """A convolution of ``[b, *space, c]`` padded by name to keep its size.

    Args:
        inputs: channels in.
        outputs: channels out.
        size: taps per axis.
        stride: keep every ``stride``-th sample.
        dilation: samples from one tap to the next.
        padding: ``"circular"`` commutes with circular shifts, ``"zeros"`` does not.
        ndim: the number of spatial axes.
        dtype: of the computation; None is that of the input.
        rngs: initialises the kernel ``[*size, inputs, outputs]``.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import nn
    >>> conv = nn.Conv(1, 2, 3, rngs=nnx.Rngs(0))
    >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> bool(jnp.allclose(conv(jnp.roll(x, 1, 2)), jnp.roll(conv(x), 1, 2)))
    True
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "circular",
        ndim: int = 2,
        dtype: jnp.dtype | type | None = None,
        rngs: nnx.Rngs,
    ):
        shape = (*(size,) * ndim, inputs, outputs)
        self.kernel = nnx.Param(he_normal(rngs.params(), shape))
        self.size, self.stride, self.dilation = size, stride, dilation
        self.padding, self.dtype, self.ndim = padding, dtype, ndim

    def __call__(self, x: Float[AnyArray, "..."]) -> Float[Array, "..."]:
        """Convolve."""
        return self._convolve(jnp.asarray(x, self.dtype), self.padding)

    def _convolve(self, x: Array, padding: str) -> Array:
        return dense_conv(
            x,
            self.kernel[...],
            stride=self.stride,
            dilation=self.dilation,
            padding=padding,
            ndim=self.ndim,
        )

    def at_phase(
        self,
        x: Float[AnyArray, "..."],
        weights: Float[AnyArray, "b p"],
        *,
        hard: bool,
    ) -> Float[Array, "..."]:
        """The strided convolution at a component of the input."""
        return input_select(
            lambda y: self._convolve(y, "valid"),
            jnp.asarray(x, self.dtype),
            weights,
            size=self.dilation * (self.size - 1) + 1,
            stride=self.stride,
            hard=hard,
            padding=self.padding,
            ndim=self.ndim,
        )


class StridedConv(nnx.Module):
    """A drop-in for a strided convolution, exactly shift-equivariant (input-select).

    It computes one component of the convolution at stride 1, chosen by a score of
    the input, at about the price of the strided convolution. It is a different
    function from "convolve, then select", the order of the paper.

    Args:
        inputs: channels in.
        outputs: channels out.
        size: taps per axis.
        stride: the stride.
        hidden: channels of a learnable score; 0 scores by the 2-norm instead.
        ndim: the number of spatial axes.
        rngs: initialises the parameters.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import nn
    >>> conv = nn.StridedConv(1, 2, hidden=0, rngs=nnx.Rngs(0))
    >>> x = jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    >>> total = lambda x: conv(x)[0].sum((1, 2))
    >>> bool(jnp.allclose(total(jnp.roll(x, 1, 1)), total(x), atol=1e-6))
    True
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int = 3,
        *,
        stride: int = 2,
        hidden: int = 8,
        ndim: int = 2,
        rngs: nnx.Rngs,
    ):
        options = {"stride": stride, "ndim": ndim}
        self.conv = Conv(inputs, outputs, size, **options, rngs=rngs)
        self.selector = (
            LearnablePolyphaseDown(inputs, hidden=hidden, **options, rngs=rngs)
            if hidden
            else AdaptivePolyphaseDown(**options)
        )

    def __call__(
        self,
        x: Float[AnyArray, "..."],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> tuple[Float[Array, "..."], Float[Array, "b p"]]:
        """The convolved component, and the weights by which it was chosen."""
        weights, hard = self.selector.choose(x, key=key, temperature=temperature)
        return self.conv.at_phase(x, weights, hard=hard), weights
