"""Which layer breaks equivariance: the Lie derivative split over the layers."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from eqnets.actions import Action

from ..lee import batches
from ..lie import checked_input
from .engine import Network
from .forward import Forward
from .reverse import Reverse
from .setup import Axes, Placed, prepare

METHODS = ("auto", "forward", "reverse")


@dataclasses.dataclass(frozen=True)
class Attribution:
    """What each layer adds to the equivariance error.

    Attributes:
        names: of the layers, in the order in which they act.
        kinds: of what kind each is, one of ``KINDS``.
        norms: root mean square over images of the norm over outputs, [L].
        stderr: standard error of ``norms``, [L]: over images where the contributions
            are exact (nan for one image), of the estimate where they are not.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    norms: Float[np.ndarray, " layers"]
    stderr: Float[np.ndarray, " layers"]


@dataclasses.dataclass(frozen=True)
class ExactAttribution(Attribution):
    """Signed contributions, which sum to the Lie derivative.

    Attributes:
        contributions: [L, B, K], or [L, B, ...] for outputs of another shape.
        total: the Lie derivative, [B, K], by a derivative of its own.
    """

    contributions: Float[np.ndarray, "layers b ..."]
    total: Float[np.ndarray, "b ..."]

    @property
    def residual(self) -> float:
        """The distance of the sum of the contributions from the total, relative.

        |sum_g C_g - L f| / max_g |C_g| over the images; rounding alone.
        """
        gap = np.linalg.norm(self.contributions.sum(0) - self.total)
        flat = self.contributions.reshape(len(self.names), -1)
        parts = np.linalg.norm(flat, axis=1)
        scale = max(float(parts.max()), float(np.linalg.norm(self.total)))
        return float(gap) / scale if scale else 0.0


def layerwise(
    model: Callable[[Array], Array],
    action: Action,
    x: ArrayLike,
    *,
    depth: str | int = "module",
    action_out: Action | None = None,
    probes: int | None = None,
    key: Array | None = None,
    method: str = "auto",
    layouts: Mapping[str, Axes] | None = None,
    batch_size: int | None = None,
    chunk: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Attribution:
    """Split the Lie derivative of a network over its layers, exactly.

    Let v_y = X y be the action on activation y. With y + (eps_g - eps_h) v_y on every
    edge from layer h to layer g, the output is a function F of eps, and
    C_g = dF/d eps_g is what layer g adds: sum_g C_g = L_X f identically. On a chain C_g
    is the error of layer g alone, carried to the output by the layers behind it (Gruver
    et al. 2022, appendix A). The generator acts on a feature map where its samples lie
    on the input, through pads, strides and crops; it acts on tokens on their grid, on
    both sides of an attention map, and not on what is no longer an image.

    Args:
        model: a function of images [B, H, W, C] that treats them apart; a Flax NNX
            module (its evaluation view) or a bound Linen module lends its layers their
            paths, other functions their ``jax.named_scope``.
        action: how the input moves.
        x: images, which may be sharded over devices along the first axis.
        depth: ``"operation"``, ``"module"``, ``"block"`` or how many components of
            the path; see `measure.attribution.grouping.group`.
        action_out: how the output moves; None decides by shape, as
            `measure.lie_derivative` does.
        probes: estimate the norms by this many random weightings of the outputs
            instead, as the paper does; the relative error is 1 / sqrt(2 probes).
        key: a random key, for ``probes``.
        method: ``"forward"`` costs about half a forward pass for each layer,
            ``"reverse"`` two to three for each output; ``"auto"`` takes the cheaper.
        layouts: for layers behind which the image could not be followed: (axis of the
            height, axis of the width) of their outputs, or None if these do not move.
        batch_size: images in memory at once; None: one on CPU, 8 elsewhere, all where
            ``x`` is sharded.
        chunk: tangents pushed at once in forward mode, at least 2; None: 8 on CPU, 64
            elsewhere.
        progress: called with the number of images done.

    Returns:
        `ExactAttribution` with ``.names``, ``.contributions``, ``.total`` and
        ``.norms``; `Attribution` with ``.norms`` and ``.stderr`` for ``probes``.

    Raises:
        TypeError: an input or an output of no floating dtype, or several outputs.
        ValueError: as `measure.lie_derivative`; an operation behind which
            the image cannot be followed (the message says what to do); unknown options.

    >>> import jax, jax.numpy as jnp
    >>> from eqnets import actions, measure
    >>> def net(x):
    ...     with jax.named_scope("pool"):
    ...         x = x[:, ::4, ::4]
    ...     with jax.named_scope("mean"):
    ...         return x.mean((1, 2))
    >>> x = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    >>> parts = measure.layerwise(net, actions.translation("x", boundary="wrap"), x)
    >>> parts.names
    ('pool', 'mean')
    >>> parts.contributions.shape, bool(parts.norms[1] < 1e-5 * parts.norms[0])
    ((2, 2, 1), True)
    """
    x = checked_input([action], x)
    _check_options(method, probes, key, batch_size, chunk)
    spread = len(getattr(x, "sharding", x.devices()).device_set) > 1
    cpu = jax.default_backend() == "cpu"
    size = batch_size or (len(x) if spread else 1 if cpu else 8)
    setup = functools.partial(
        prepare,
        model,
        action=action,
        action_out=action_out,
        depth=depth,
        layouts=tuple((layouts or {}).items()),
    )
    placed, consts = setup(x[:size])
    outputs = math.prod(placed.network.output.shape[1:])
    if method == "auto":
        cheap = 2.5 * outputs < 0.5 * len(placed.network.layers)
        method = "reverse" if cheap and not spread else "forward"
    if (method == "reverse" or probes is not None) and size > 1:
        size = 1
        placed, consts = setup(x[:1])
    if probes is not None:
        return _estimate(placed, consts, x, probes, key, progress)
    if method == "reverse":
        run = functools.partial(_by_output, _reverse(placed.network))
    else:
        run = _forward(placed.network, chunk or (8 if cpu else 64))
    parts, totals, done = [], [], 0
    for batch in batches(x, size):
        whole = _filled(batch, min(size, len(x)))
        part, total = (np.asarray(a) for a in run(consts, whole))
        parts.append(placed.spread(part)[:, : len(batch)])
        totals.append(total[: len(batch)])
        done += len(batch)
        if progress is not None:
            progress(done)
    contributions = np.concatenate(parts, 1)
    norms = _norms(contributions)
    return ExactAttribution(
        placed.names, placed.kinds, *norms, contributions, np.concatenate(totals)
    )


def _filled(batch: Array, size: int) -> Array:
    """A last batch as long as the others; what its filling gives is dropped."""
    missing = size - len(batch)
    return jnp.concatenate([batch, jnp.repeat(batch[-1:], missing, 0)])


def _by_output(run: Reverse, consts: list[Any], x: Array) -> tuple[Array, Array]:
    """All contributions to each output in turn, and the total, for one image."""
    shape = run.network.output.shape
    count = math.prod(shape)
    z = jnp.eye(count, dtype=run.network.output.aval.dtype).reshape(count, *shape)
    rows = run(consts, x, z).T.reshape(-1, *shape)
    return rows[:-1], rows[-1]


def _check_options(
    method: str,
    probes: int | None,
    key: Array | None,
    batch_size: int | None,
    chunk: int | None,
) -> None:
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    for name, value in (
        ("probes", probes),
        ("batch_size", batch_size),
        ("chunk", chunk),
    ):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be a positive whole number, got {value}")
    if (probes is None) != (key is None):
        raise ValueError(
            "probes and key go together: the stochastic estimator needs a random key, "
            "e.g. layerwise(f, action, x, probes=100, key=jax.random.key(0)), and the "
            "exact one needs neither"
        )


@functools.lru_cache(maxsize=16)
def _forward(network: Network, chunk: int) -> Forward:
    return Forward(network, chunk)


@functools.lru_cache(maxsize=16)
def _reverse(network: Network) -> Reverse:
    return Reverse(network)


def _norms(
    contributions: Float[np.ndarray, "layers b ..."],
) -> tuple[Float[np.ndarray, " layers"], Float[np.ndarray, " layers"]]:
    """Root mean square over images of the norm over outputs, and its error."""
    flat = contributions.astype(np.float64).reshape(*contributions.shape[:2], -1)
    squares = (flat**2).sum(-1)
    return _root(squares.mean(1), _spread(squares))


def _spread(samples: Float[np.ndarray, "layers n"]) -> Float[np.ndarray, " layers"]:
    """The standard error of the mean over the last axis; nan for one sample."""
    n = samples.shape[1]
    if n < 2:
        return np.full(len(samples), np.nan)
    return samples.std(1, ddof=1) / n**0.5


def _root(
    square: Float[np.ndarray, " layers"], error: Float[np.ndarray, " layers"]
) -> tuple[Float[np.ndarray, " layers"], Float[np.ndarray, " layers"]]:
    """Square roots with their standard errors, to first order."""
    norm = np.sqrt(square)
    return norm, np.divide(error, 2 * norm, out=np.zeros_like(norm), where=norm > 0)


def _estimate(
    placed: Placed,
    consts: list[Array],
    x: Array,
    probes: int,
    key: Array,
    progress: Callable[[int], None] | None,
) -> Attribution:
    """E (z . C_g)^2 = |C_g|^2 for z ~ N(0, 1): the estimator of the paper."""
    squares = []
    output = placed.network.output
    run = _reverse(placed.network)
    for i, one in enumerate(batches(x, 1)):
        each = jax.random.fold_in(key, i)
        z = jax.random.normal(each, (probes, *output.shape), output.aval.dtype)
        products = np.asarray(run(consts, one, z), np.float64)[:, :-1]
        squares.append(placed.spread(products.T) ** 2)
        if progress is not None:
            progress(i + 1)
    values = np.stack(squares)  # [B, L, probes]
    errors = np.stack([_spread(s) for s in values])
    error = np.sqrt((errors**2).sum(0)) / len(values)
    return Attribution(placed.names, placed.kinds, *_root(values.mean((0, 2)), error))
