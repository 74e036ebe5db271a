"""The other scores of the public LPS code: skip, attention, graph, perceptron.

All map phases ``[..., P, *space, C]`` to ``[..., P]`` and are shift-permutation
equivariant (equation 11 of Rojas-Gomez et al., 2022), up to float rounding: their sums
over space are not in fixed point. A ``conv`` is
``{"kernel": [*k, C, h], "bias": [h]}``; a ``dense`` the same with kernel ``[n, m]``.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from eqnets.polyphase.conv_scores import dense_conv
from eqnets.polyphase.phases import AnyArray, check_phases

Params = Mapping[str, Mapping]


def skip_scores(
    phases: Float[AnyArray, "..."],
    params: Params,
    *,
    padding: str = "circular",
    ndim: int = 2,
) -> Float[Array, "*batch p"]:
    """The convolutional score with a skip: the mean of ``conv(relu(conv(x))) + x``.

    Args:
        phases: ``[..., P, *space, C]``.
        params: ``{"conv1", "conv2"}``, as of `polyphase.conv_scores`,
            with ``h = C`` or ``h = 1``.
        padding: a name of `polyphase.pad`.
        ndim: the number of spatial axes.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> phases = jnp.array([[1.0, 3.0], [2.0, 2.5]])[..., None]
    >>> conv = {"kernel": jnp.ones((1, 1, 1)), "bias": jnp.zeros(1)}
    >>> params = {"conv1": conv, "conv2": conv}
    >>> polyphase.skip_scores(phases, params, ndim=1).tolist()  # twice the mean
    [4.0, 4.5]
    """
    check_phases(phases, None, ndim)
    out = _two_convs(phases, params, padding, ndim) + phases
    return jnp.mean(out, axis=tuple(range(-ndim - 1, 0)))


def attention_scores(
    phases: Float[AnyArray, "..."],
    params: Params,
    *,
    padding: str = "circular",
    ndim: int = 2,
) -> Float[Array, "*batch p"]:
    """Self-attention over the components: ``softmax(phi psi^T) beta``.

    ``phi`` and ``psi`` are spatial means of two convolutions with a ReLU between, and
    ``beta`` the mean of a third such pair over space and channels.

    Args:
        phases: ``[..., P, *space, C]``.
        params: ``{"phi", "psi", "beta"}``, each ``{"conv1", "conv2"}``.
        padding: a name of `polyphase.pad`.
        ndim: the number of spatial axes.

    >>> import jax, jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> conv = {"kernel": jnp.ones((1, 2, 2)), "bias": jnp.zeros(2)}
    >>> params = {k: {"conv1": conv, "conv2": conv} for k in ("phi", "psi", "beta")}
    >>> phases = jax.random.normal(jax.random.key(0), (3, 4, 2))
    >>> scores = polyphase.attention_scores(phases, params, ndim=1)
    >>> swapped = polyphase.attention_scores(phases[::-1], params, ndim=1)
    >>> scores.shape, bool(jnp.allclose(swapped, scores[::-1], atol=1e-5))
    ((3,), True)
    """
    check_phases(phases, None, ndim)
    space = tuple(range(-ndim - 1, -1))
    phi, psi, beta = (
        jnp.mean(_two_convs(phases, params[name], padding, ndim), axis=space)
        for name in ("phi", "psi", "beta")
    )
    affinity = jax.nn.softmax(jnp.einsum("...ph,...qh->...pq", phi, psi), axis=-1)
    return jnp.einsum("...pq,...q->...p", affinity, beta.mean(-1))


def graph_scores(
    phases: Float[AnyArray, "..."],
    params: Params,
    *,
    padding: str = "circular",
    ndim: int = 2,
) -> Float[Array, "*batch p"]:
    """A graph network on the complete graph of the components.

    Nodes are spatial means of ``relu(conv(x))``; edges see sender and receiver through
    two ReLU layers; a component's score is a two-layer network of its mean message.

    Args:
        phases: ``[..., P, *space, C]``.
        params: ``{"conv", "edge1", "edge2", "out1", "out2"}``.
        padding: a name of `polyphase.pad`.
        ndim: the number of spatial axes.

    >>> import jax, jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> params = {"conv": {"kernel": jnp.ones((1, 2, 3)), "bias": jnp.zeros(3)}}
    >>> for name, shape in (("edge1", (6, 3)), ("edge2", (3, 3)), ("out1", (3, 3)),
    ...                     ("out2", (3, 1))):
    ...     params[name] = {"kernel": jnp.ones(shape), "bias": jnp.zeros(shape[1])}
    >>> phases = jax.random.normal(jax.random.key(0), (3, 4, 2))
    >>> scores = polyphase.graph_scores(phases, params, ndim=1)
    >>> swapped = polyphase.graph_scores(phases[::-1], params, ndim=1)
    >>> scores.shape, bool(jnp.allclose(swapped, scores[::-1], rtol=1e-5))
    ((3,), True)
    """
    check_phases(phases, None, ndim)
    features = jax.nn.relu(_conv(phases, params["conv"], padding, ndim))
    nodes = jnp.mean(features, axis=tuple(range(-ndim - 1, -1)))
    count = nodes.shape[-2]
    shape = (*nodes.shape[:-2], count, count, nodes.shape[-1])
    send = jnp.broadcast_to(nodes[..., :, None, :], shape)
    receive = jnp.broadcast_to(nodes[..., None, :, :], shape)
    edges = jnp.concatenate([send, receive], axis=-1)
    for name in ("edge1", "edge2"):
        edges = jax.nn.relu(_dense(edges, params[name]))
    messages = jnp.mean(edges, axis=-3)
    hidden = jax.nn.relu(_dense(messages, params["out1"]))
    return _dense(hidden, params["out2"])[..., 0]


def perceptron_scores(
    phases: Float[AnyArray, "..."],
    params: Mapping[str, AnyArray],
    *,
    ndim: int = 2,
) -> Float[Array, "*batch p"]:
    """One linear unit per pixel, averaged: the mean of a 1x1 convolution.

    Args:
        phases: ``[..., P, *space, C]``.
        params: a ``dense`` with kernel ``[C, 1]``.
        ndim: the number of spatial axes.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> phases = jnp.array([[1.0, 3.0], [2.0, 2.5]])[..., None]
    >>> params = {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}
    >>> polyphase.perceptron_scores(phases, params, ndim=1).tolist()
    [2.0, 2.25]
    """
    check_phases(phases, None, ndim)
    mean = jnp.mean(phases, axis=tuple(range(-ndim - 1, -1)))
    return _dense(mean, params)[..., 0]


def _conv(x: Array, conv: Mapping, padding: str, ndim: int) -> Array:
    return dense_conv(x, conv["kernel"], padding=padding, ndim=ndim) + conv["bias"]


def _two_convs(x: Array, params: Mapping, padding: str, ndim: int) -> Array:
    r = jax.nn.relu(_conv(x, params["conv1"], padding, ndim))
    return _conv(r, params["conv2"], padding, ndim)


def _dense(x: Array, dense: Mapping[str, AnyArray]) -> Array:
    return x @ dense["kernel"] + dense["bias"]
