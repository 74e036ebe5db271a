"""Down- and upsampling by weights over the polyphase components."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Shaped

from eqnets.polyphase.phases import AnyArray, check_phases, merge, spatial_shape


def downsample(
    phases: Shaped[AnyArray, "..."],
    weights: Float[AnyArray, "*batch p"],
    *,
    ndim: int = 2,
) -> Shaped[Array, "..."]:
    """The weighted sum of the components (paper, equations 7 and 17).

    Args:
        phases: ``[..., P, *space, C]``.
        weights: ``[..., P]``; one-hot weights select a component exactly.
        ndim: the number of spatial axes.

    Returns:
        ``[..., *space, C]``, in the dtype of ``phases``.

    Raises:
        ValueError: ``phases`` and ``weights`` disagree about ``P``.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> phases = polyphase.split(jnp.arange(6.0)[:, None], 2, ndim=1)
    >>> polyphase.downsample(phases, jnp.array([0.0, 1.0]), ndim=1).ravel().tolist()
    [1.0, 3.0, 5.0]
    >>> polyphase.downsample(phases, jnp.array([0.5, 0.5]), ndim=1).ravel().tolist()
    [0.5, 2.5, 4.5]
    """
    phases, weights = jnp.asarray(phases), jnp.asarray(weights)
    check_phases(phases, weights.shape[-1], ndim)
    wide = jnp.result_type(phases, weights)
    total = jnp.zeros((), wide)
    for k in range(weights.shape[-1]):
        weight = weights[(..., k, *(None,) * (ndim + 1))]
        total = total + weight * jnp.take(phases, k, axis=-ndim - 2)
    return total.astype(phases.dtype)


def upsample(
    y: Shaped[AnyArray, "..."],
    weights: Float[AnyArray, "*batch p"],
    stride: int,
    *,
    ndim: int = 2,
) -> Shaped[Array, "..."]:
    """Place ``y`` at the selected component, zeros elsewhere (paper, 24 and 25).

    Soft weights place ``weights[k] * y`` at every component ``k``.

    Composed with the `downsample` of the same weights this is
    shift-equivariant (Claim 4), save where components are identical arrays: a
    constant image has no preferred component, and only a low-pass of size two or
    more after the upsampling makes its result equivariant too.

    Args:
        y: ``[..., *space, C]``.
        weights: ``[..., P]`` with ``P = stride ** ndim``.
        stride: the upsampling factor per axis.
        ndim: the number of spatial axes.

    Returns:
        ``[..., *space * stride, C]``, in the dtype of ``y``.

    Raises:
        ValueError: ``weights`` are not over ``stride ** ndim`` components.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> y, weights = jnp.array([[1.0], [3.0]]), jnp.array([0.0, 1.0])
    >>> polyphase.upsample(y, weights, 2, ndim=1).ravel().tolist()
    [0.0, 1.0, 0.0, 3.0]
    """
    y, weights = jnp.asarray(y), jnp.asarray(weights)
    spatial_shape(y, ndim)
    if weights.shape[-1] != stride**ndim:
        raise ValueError(
            f"stride {stride} in {ndim} dimensions has {stride**ndim} components, "
            f"got weights of shape {weights.shape}"
        )
    placed = weights[(..., *(None,) * (ndim + 1))] * jnp.expand_dims(y, -ndim - 2)
    return merge(placed.astype(y.dtype), stride, ndim=ndim)
