"""The equivariance error of a network cut off behind each of its layers."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqnets.actions import Action

from .attribution.engine import Network, constants, needed_constants
from .attribution.graph import Value
from .attribution.setup import Axes, prepare, uncommuted
from .lee import batches
from .lie import checked_input

#: Part of the mean variance of a layer's channels that is added to each of them.
EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class SubnetworkErrors:
    """The local equivariance error of the network cut off behind each layer.

    Attributes:
        names: of the layers, in the order in which they act.
        kinds: of what kind each is.
        lee: mean over images, [L].
        stderr: its standard error over images, [L].
        per_example: [L, B].
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    lee: Float[np.ndarray, " layers"]
    stderr: Float[np.ndarray, " layers"]
    per_example: Float[np.ndarray, "layers b"]


def subnetwork_lee(
    model: Callable[[Array], Array],
    action: Action,
    x: Float[Array, "b ..."],
    *,
    depth: str | int = "module",
    action_out: Action | None = None,
    layouts: Mapping[str, Axes] | None = None,
    batch_size: int = 1,
    progress: Callable[[int], None] | None = None,
) -> SubnetworkErrors:
    """LEE of every subnetwork from the input to a layer, outputs batch-normalised.

    Subnetwork i maps x to h_i, the activation that layer i leaves to others. Its error
    is the mean over the entries of h_i of (L h_i)^2 / var, where var is the variance of
    the entry's channel over images and places, held fixed (Gruver et al. 2022,
    appendix D.2, figure 8). A channel is an entry of the axes that hold no image; a
    hundred-thousandth of the layer's mean variance is added to each. All subnetworks
    together cost one Lie derivative. Unlike the contributions of
    `measure.layerwise`, the errors of layers with outputs of different
    kinds cannot be compared, and they do not sum to anything.

    Args:
        model: as in `measure.layerwise`.
        action: how the input moves.
        x: images, at least two.
        depth: of the layers, as in `measure.layerwise`.
        action_out: how the output moves; None decides by shape.
        layouts: of layers behind which the image could not be followed.
        batch_size: images in memory at once.
        progress: called with the number of images done.

    Raises:
        ValueError: fewer than two images, a channel without variance that moves, and
            as `measure.layerwise`.

    >>> import jax
    >>> from eqnets import actions, measure
    >>> x = jax.random.normal(jax.random.key(0), (3, 8, 8, 1))
    >>> def net(x):
    ...     with jax.named_scope("double"):
    ...         x = 2 * x
    ...     with jax.named_scope("decimate"):
    ...         return x[:, ::4, ::4].mean((1, 2))
    >>> shift = actions.translation("x", boundary="wrap")
    >>> errors = measure.subnetwork_lee(net, shift, x)
    >>> bool(errors.lee[0] < 1e-8 < errors.lee[1])  # doubling is equivariant
    True
    """
    x = checked_input([action], x)
    if len(x) < 2:
        raise ValueError(
            "batch normalisation of the outputs needs at least two images, got "
            f"{len(x)}: give more"
        )
    stated = tuple((layouts or {}).items())
    moments: list[list[Moments]] = []
    done = 0
    for batch in batches(x, batch_size):
        placed, consts = prepare(
            model,
            batch,
            action=action,
            action_out=action_out,
            depth=depth,
            layouts=stated,
        )
        whole = uncommuted(placed)
        run = _moments(whole)
        moments.append([Moments(*map(np.asarray, m)) for m in run(consts, batch)])
        done += len(batch)
        if progress is not None:
            progress(done)
    errors = [
        _normalised(Moments(*map(np.concatenate, zip(*column, strict=True))))
        for column in zip(*moments, strict=True)
    ]
    return _by_layer(placed.names, placed.kinds, whole, errors)


@dataclasses.dataclass(frozen=True)
class Moments:
    """Sums over the places of one activation, for each image and channel.

    Attributes:
        mean: of the activation, [B, C].
        variance: of the activation within the image, [B, C].
        error: mean square of its Lie derivative, [B, C].
    """

    mean: Float[np.ndarray, "b c"]
    variance: Float[np.ndarray, "b c"]
    error: Float[np.ndarray, "b c"]

    def __iter__(self):
        return iter((self.mean, self.variance, self.error))


def _normalised(m: Moments) -> Float[np.ndarray, "b channels"]:
    """The squared Lie derivative of each image and channel over the channel's variance.

    Every image has as many places, so variances within and between images add up.
    """
    mean, within, error = (part.astype(np.float64) for part in m)
    variance = within.mean(0) + mean.var(0)
    floor = EPSILON * variance.mean()
    if floor == 0 and error.any():
        raise ValueError(
            "a layer gives the same for all images and still moves, so its output "
            "cannot be batch-normalised: give images that differ"
        )
    return error / (variance + floor if floor else 1.0)


def _cuts(network: Network) -> list[Value]:
    """The activations that a layer leaves to others, in order."""
    values = [v for op in network.ops for v in op.outputs]
    return [
        v
        for v in values
        if v.moving
        and network.crosses(v)
        and jnp.issubdtype(v.aval.dtype, jnp.floating)
    ]


@functools.lru_cache(maxsize=16)
def _moments(network: Network) -> Callable[[list[Array], Array], list]:
    """A compiled function to the moments of every activation between two layers."""
    cuts = _cuts(network)
    prepare = jax.jit(constants(network))

    @jax.jit
    def run(held: list[Array], x: Array) -> list:
        fixed = dict(zip(needed_constants(network), held, strict=True))

        def activations(x: Array) -> list[Array]:
            start = {**fixed, network.graph.inputs[0]: x}
            values = network.run(range(len(network.ops)), start, {})
            return [values[v] for v in cuts]

        y, dy = jax.jvp(activations, (x,), (network.action.tangent(x),))
        return [_sums(network, *each) for each in zip(cuts, y, dy, strict=True)]

    return lambda consts, x: run(prepare(consts), x)


def _sums(network: Network, value: Value, y: Array, dy: Array) -> tuple[Array, ...]:
    """Mean, variance and squared Lie derivative over the places of an activation."""
    move = network.generator(value, y)
    error = dy if move is None else dy - move
    dims = network.places[value].dims
    places = tuple(i for i, dim in enumerate(dims) if dim is not None and i > 0)
    wide = jnp.promote_types(y.dtype, jnp.float32)
    y, error = y.astype(wide), error.astype(wide)
    parts = (y.mean(places), y.var(places), (error**2).mean(places))
    return tuple(part.reshape(len(y), -1) for part in parts)


def _by_layer(
    names: tuple[str, ...],
    kinds: tuple[str, ...],
    network: Network,
    errors: list[Float[np.ndarray, "b _c"]],
) -> SubnetworkErrors:
    """The mean over the channels of all that a layer leaves to others."""
    cuts = _cuts(network)
    rows = []
    for g in range(len(names)):
        mine = [
            e for v, e in zip(cuts, errors, strict=True) if network.layer_of[v] == g
        ]
        rows.append(np.concatenate(mine, 1).mean(1) if mine else None)
    kept = [g for g, row in enumerate(rows) if row is not None]
    per_example = np.stack([rows[g] for g in kept])
    return SubnetworkErrors(
        tuple(names[g] for g in kept),
        tuple(kinds[g] for g in kept),
        per_example.mean(1),
        per_example.std(1, ddof=1) / per_example.shape[1] ** 0.5,
        per_example,
    )
