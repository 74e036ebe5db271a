"""Which layers, and which of their channels, are invariant to a transformation."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .affine import as_transform
from .cut import cut
from .equivariance import EquivarianceFit, batches, fit_equivariance

RULES = ("relative", "absolute")


class LayerInvariance(NamedTuple):
    """Classification errors with the transformation undone at one layer.

    Attributes:
        layer: its name.
        permuted: of psi(P_g phi(g^-1 x)).
        mapped: of psi(M_g phi(g^-1 x)).
        fit: M_g.
    """

    layer: str
    permuted: float
    mapped: float
    fit: EquivarianceFit


class InvarianceProfile(NamedTuple):
    """What `invariance_profile` found.

    Attributes:
        clean: error of f(x).
        transformed: error of f(g^-1 x).
        layers: one entry for each layer.
    """

    clean: float
    transformed: float
    layers: tuple[LayerInvariance, ...]


def invariance_profile(
    model: Callable,
    layers: Sequence[str],
    action_or_transform: Any,
    train: tuple[ArrayLike, ArrayLike],
    test: tuple[ArrayLike, ArrayLike],
    **options: Any,
) -> InvarianceProfile:
    """P_g against M_g by layer (Lenc and Vedaldi, 2019, section 5.3.4, figure 10).

    Where moving the sites alone is as good as M_g, the channels are invariant to g.

    Args:
        model: to cut; logits ``[B, K]``.
        layers: where; see `maps.cut`.
        action_or_transform: g.
        train: images and labels that M_g is fitted to.
        test: images and labels that errors are counted on.
        **options: of `fit_equivariance`.

    Raises:
        TypeError, ValueError: as `fit_equivariance`.

    >>> import jax
    >>> from eqnets import maps
    >>> x = jax.random.normal(jax.random.key(0), (8, 4, 4, 2))
    >>> net = lambda x: maps.tag(x[..., ::-1], "swapped").mean((1, 2))
    >>> data = (x, net(x).argmax(-1))
    >>> options = {"m": 1, "grid": maps.centred_grid(4, 4)}
    >>> found = maps.invariance_profile(
    ...     net, ["swapped"], maps.flip("x"), data, data, **options)
    >>> found.clean, found.transformed  # a mean does not see the flip
    (0.0, 0.0)
    """
    (x, labels), (tested, truth) = train, test
    tested = jnp.asarray(tested)
    size = options.get("batch_size", 64)
    g = as_transform(action_or_transform, tested.shape, t=options.pop("t", None))
    rows = []
    for layer in layers:
        fit = fit_equivariance(cut(model, layer), g, x, labels, **options)

        def permuted(part: Array, fit: EquivarianceFit = fit) -> Array:
            return fit.cut.psi(fit.permute(fit.cut.phi(g.undo(part))))

        errors = (
            error_rate(f, tested, truth, size) for f in (permuted, fit.compensated)
        )
        rows.append(LayerInvariance(layer, *errors, fit))
    run = jax.jit(lambda part: model(part))
    return InvarianceProfile(
        error_rate(run, tested, truth, size),
        error_rate(lambda part: run(g.undo(part)), tested, truth, size),
        tuple(rows),
    )


def error_rate(
    f: Callable[[Array], Array], x: ArrayLike, labels: ArrayLike, batch_size: int = 64
) -> float:
    """The fraction of images whose largest output is not their label.

    Args:
        f: images to logits ``[B, K]``.
        x: images ``[n, H, W, C]``, or features of them.
        labels: integers ``[n]``.
        batch_size: images at a time.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> maps.error_rate(lambda z: z, np.eye(4), np.array([0, 1, 2, 2]))
    0.25
    """
    x, labels = jnp.asarray(x), np.asarray(labels)
    guesses = [np.asarray(f(part).argmax(-1)) for part in batches(x, batch_size)]
    return float(np.mean(np.concatenate(guesses) != labels))


class InvariantChannels(NamedTuple):
    """What `invariant_channels` found.

    Attributes:
        count: channels taken as invariant.
        total: all channels D.
        scores: |F_c| / |F_c without its diagonal|, ``[D]``; infinite where nothing else
            predicts the channel.
        accuracy: with the count's rows replaced.
        base: accuracy with the whole M_g.
    """

    count: int
    total: int
    scores: Float[np.ndarray, " d"]
    accuracy: float
    base: float


def invariant_channels(
    fit: EquivarianceFit,
    x: ArrayLike,
    labels: ArrayLike,
    *,
    tolerance: float = 0.05,
    rule: str = "relative",
    batch_size: int = 64,
) -> InvariantChannels:
    """Count the channels that predict themselves (Lenc and Vedaldi, 2019, table 3).

    The p channels with the best scores have their filters replaced by the diagonal
    entry alone; the largest p at which the accuracy on g^-1 x stays near that of M_g
    counts.

    Args:
        fit: of `fit_equivariance`.
        x: images ``[n, H, W, C]``.
        labels: integers ``[n]``.
        tolerance: how much accuracy may be lost.
        rule: ``"relative"``: accuracy >= (1 - tolerance) of M_g's; ``"absolute"``:
            accuracy >= M_g's - tolerance.
        batch_size: images at a time.

    Raises:
        ValueError: an unknown rule or a tolerance outside [0, 1).

    >>> import jax
    >>> from eqnets import maps
    >>> x = jax.random.normal(jax.random.key(0), (8, 4, 4, 2))
    >>> net = lambda x: maps.tag(x[..., ::-1], "swapped").mean((1, 2))
    >>> fit = maps.fit_equivariance(maps.cut(net, "swapped"), maps.flip("x"), x, m=1,
    ...                             grid=maps.centred_grid(4, 4))
    >>> found = maps.invariant_channels(fit, x, net(x).argmax(-1))
    >>> found.count, found.total
    (2, 2)
    """
    if rule not in RULES or not 0 <= tolerance < 1:
        raise ValueError(
            f"rule is one of {', '.join(RULES)} and tolerance in [0, 1); got {rule!r}, "
            f"{tolerance}"
        )
    kernel, bias = jnp.asarray(fit.kernel), jnp.asarray(fit.bias)
    scores, own = channel_scores(np.asarray(kernel))
    order = np.argsort(-scores, kind="stable")
    sources = [
        fit.cut.phi(fit.transform.undo(part))
        for part in batches(jnp.asarray(x), batch_size)
    ]

    @jax.jit
    def guess(kernel: Array, z: Array) -> Array:
        return fit.cut.psi(fit.replace(kernel, bias)(z)).argmax(-1)

    def accuracy(p: int) -> float:
        alone = np.zeros(len(order), bool)
        alone[order[:p]] = True
        changed = jnp.where(alone, own, kernel)
        found = np.concatenate([np.asarray(guess(changed, z)) for z in sources])
        return float(np.mean(found == np.asarray(labels)))

    base = accuracy(0)
    least = base * (1 - tolerance) if rule == "relative" else base - tolerance
    for p in range(len(order), -1, -1):
        reached = accuracy(p) if p else base
        if reached >= least:
            break
    return InvariantChannels(p, len(order), scores, reached, base)


def channel_scores(
    kernel: Float[np.ndarray, "m m d d"],
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "m m d d"]]:
    """The score of every output channel, and the kernel with diagonals alone."""
    m, d = kernel.shape[0], kernel.shape[-1]
    middle = (m - 1) // 2
    own = np.zeros_like(kernel)
    i = np.arange(d)
    own[middle, middle, i, i] = kernel[middle, middle, i, i]
    whole, rest = (np.sqrt((k**2).sum((0, 1, 2))) for k in (kernel, kernel - own))
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(rest > 0, whole / rest, np.inf)
    return scores, own
