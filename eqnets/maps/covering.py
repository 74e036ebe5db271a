"""Which layers of one network cover which of another, beside the controls."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from .cut import Cut, cut
from .invariance import error_rate
from .stitch_map import AnyArray
from .stitching import (
    features,
    sites,
    split,
    stitch_features,
    unexplained,
)

Images = tuple[AnyArray, AnyArray]
#: Distance of the classes of clustered noise, in standard deviations of the noise.
CLUSTERED = 4.0
#: Where the random keys of noise begin, behind those of the stitches.
NOISE = 1 << 20


class Control(NamedTuple):
    """What a donor that proves nothing reaches.

    Attributes:
        error: ``[La, Lb]``, nan where there is nothing to measure.
        fvu: the same of the unexplained variance.
    """

    error: Float[np.ndarray, "la lb"]
    fvu: Float[np.ndarray, "la lb"]


@dataclasses.dataclass(frozen=True)
class Covering:
    """What `covering_matrix` found; rows are donors, columns receivers.

    Attributes:
        layers_a: of the donor.
        layers_b: of the receiver.
        clean: error of network b itself.
        errors: of every stitch by seed, ``[S, La, Lb]``.
        fvus: unexplained variance of the receiver's features, ``[S, La, Lb]``.
        controls: means over seeds: ``"identity"`` (a's features as they are),
            ``"random_donor"`` (a without its training), ``"clustered_noise"`` (noise
            around a point for each class), ``"noise"`` (the same without classes).
    """

    layers_a: tuple[str, ...]
    layers_b: tuple[str, ...]
    clean: float
    errors: Float[np.ndarray, "s la lb"]
    fvus: Float[np.ndarray, "s la lb"]
    controls: Mapping[str, Control]

    @property
    def error(self) -> Float[np.ndarray, "la lb"]:
        """Mean error over seeds."""
        return self.errors.mean(0)

    @property
    def fvu(self) -> Float[np.ndarray, "la lb"]:
        """Mean unexplained variance over seeds."""
        return self.fvus.mean(0)

    @property
    def flagged(self) -> Bool[np.ndarray, "la lb"]:
        """Stitches that explain the receiver no better than noise that knows the label.

        Their error, however small, says nothing about covering.
        """
        return ~(self.fvu < self.controls["clustered_noise"].fvu)

    def __str__(self) -> str:
        """A table: error in percent and unexplained variance, a ! where flagged."""
        rows = [["donor", *(f"{name} " for name in self.layers_b)]]
        rows += self._rows("", self, self.flagged)
        for name, control in self.controls.items():
            noise = "noise" in name
            shown = _first(control) if noise else control
            marked = np.full(shown.error.shape, noise)
            rows += self._rows(name.replace("_", " "), shown, marked)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            " ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        own = (
            f"error % (unexplained variance); receiver itself {100 * self.clean:.1f} %"
        )
        return "\n".join([own, *lines, "! explains no more than noise with classes"])

    def _rows(self, name: str, found: Any, marked: np.ndarray) -> list[list[str]]:
        names = self.layers_a if len(found.error) > 1 or not name else ("",)
        return [
            [f"{name} {layer}".strip(), *map(_cell, *values)]
            for layer, *values in zip(
                names, found.error, found.fvu, marked, strict=False
            )
        ]


def covering_matrix(
    model_a: Callable,
    model_b: Callable,
    layers_a: Sequence[str],
    layers_b: Sequence[str],
    x: ArrayLike,
    labels: ArrayLike,
    *,
    seeds: int = 1,
    test: tuple[ArrayLike, ArrayLike] | None = None,
    random_donor: Callable[[Array], Callable] | None = None,
    key: Array | None = None,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> Covering:
    """Stitch every layer of one network to every layer of another, with controls.

    A stitched network that does its task shows that the donor's features *determine the
    label*, not that they cover the receiver's: random donors and noise around a point
    for each class stitch well too. So these are always measured beside it, and so is
    the fraction of variance unexplained. Features of all layers are computed once and
    kept in the host's memory.

    Args:
        model_a: the donor; see `maps.cut` for what can be cut.
        model_b: the receiver, of logits ``[B, K]``.
        layers_a: where the donor is cut.
        layers_b: where the receiver is cut.
        x: images ``[n, H, W, C]``.
        labels: integers ``[n]``, of the receiver's classes.
        seeds: repetitions with other random donors, noise, fine-tuning and, without
            ``test``, another fifth of the images to measure on.
        test: images and labels to measure on.
        random_donor: from a key to the donor with random parameters; None: a Flax
            donor with new kernels (He et al. 2015), unit scales and zero biases.
        key: a random key; ``jax.random.key(0)`` if None.
        batch_size: images at a time.
        progress: called with the number of stitches measured so far, of S Lb (2 La + 2)
            in all, the controls' among them.
        **options: of `stitch`: ``kernel``, ``init``, ``steps``, ``constraint`` and
            ``rate``.

    Raises:
        TypeError: a donor that is no Flax module and no ``random_donor``.
        ValueError: as `stitch`, or no seed.

    >>> import jax, jax.numpy as jnp
    >>> from eqnets import maps
    >>> x = jax.random.normal(jax.random.key(0), (20, 2, 2, 2))
    >>> net = lambda x: 3 * maps.tag(x.mean((1, 2)), "mean")
    >>> labels = net(x).argmax(-1)
    >>> found = maps.covering_matrix(
    ...     net, net, ["mean"], ["mean"], x, labels, random_donor=lambda key: net)
    >>> found.error.tolist(), sorted(found.controls)  # a network covers itself
    ([[0.0]], ['clustered_noise', 'identity', 'noise', 'random_donor'])
    """
    if seeds < 1 or not layers_a or not layers_b:
        raise ValueError(
            f"seeds, layers_a and layers_b need at least one entry; got {seeds}, "
            f"{list(layers_a)}, {list(layers_b)}"
        )
    unknown = set(options) - {"kernel", "init", "steps", "constraint", "rate"}
    if unknown:
        raise TypeError(f"covering_matrix knows no option {sorted(unknown)[0]!r}")
    fresh = random_donor or _fresh_copy(model_a)
    receivers = [cut(model_b, layer) for layer in layers_b]
    donors = [cut(model_a, layer) for layer in layers_a]
    rounds, clean = [], []
    count = _counted(progress)
    for seed in range(seeds):
        own = jax.random.fold_in(jax.random.key(0) if key is None else key, seed)
        pairs = split(*_shuffled(x, labels, seed, test), test)
        bench = _Bench(receivers, pairs, own, options, batch_size, count)
        untrained = [cut(fresh(own), layer) for layer in layers_a]
        rounds.append(
            {
                "": bench.stitched(donors),
                "identity": bench.unchanged(donors),
                "random_donor": bench.stitched(untrained),
                "clustered_noise": bench.noise(CLUSTERED, len(donors)),
                "noise": bench.noise(0.0, len(donors)),
            }
        )
        clean.append(bench.clean)
    found = {
        name: Control(
            *(np.stack(v) for v in zip(*(r[name] for r in rounds), strict=True))
        )
        for name in rounds[0]
    }
    main = found.pop("")
    return Covering(
        tuple(layers_a),
        tuple(layers_b),
        float(np.mean(clean)),
        main.error,
        main.fvu,
        {name: Control(c.error.mean(0), c.fvu.mean(0)) for name, c in found.items()},
    )


class _Bench:
    """The receivers with their features, ready for donors."""

    def __init__(
        self,
        receivers: Sequence[Cut],
        pairs: tuple[Images, Images],
        key: Array,
        options: Mapping[str, Any],
        batch_size: int,
        count: Callable[[], None],
    ):
        self.count = count
        self.receivers, self.pairs, self.key = receivers, pairs, key
        self.options, self.batch_size = options, batch_size
        self.targets = [self._features(r) for r in receivers]
        measured = self.targets[0][1], pairs[1][1]
        self.psis = [jax.jit(r.psi) for r in receivers]
        self.clean = error_rate(self.psis[0], *measured, batch_size)

    def _features(self, part: Any) -> list[AnyArray]:
        return [features(part.phi, x, self.batch_size) for x, _ in self.pairs]

    def stitched(self, donors: Sequence[Any]) -> Control:
        """Every donor to every receiver."""
        rows = []
        for a, donor in enumerate(donors):
            source = self._features(donor)
            row = []
            for b, receiver in enumerate(self.receivers):
                size = sites(donor, receiver, self.pairs[0][0])
                key = jax.random.fold_in(self.key, a * len(self.receivers) + b)
                row.append(self._one(source, b, size, key))
            rows.append(row)
        return Control(*np.moveaxis(np.array(rows), -1, 0))

    def _one(self, source: list, b: int, size: Any, key: Array) -> tuple[float, float]:
        _, error, fvu, _ = stitch_features(
            source,
            self.targets[b],
            self.psis[b],
            [labels for _, labels in self.pairs],
            size,
            key=key,
            batch_size=self.batch_size,
            **self.options,
        )
        self.count()
        return error, fvu

    def unchanged(self, donors: Sequence[Any]) -> Control:
        """The donors' features in place of the receivers' of the same shape."""
        rows = []
        for donor in donors:
            _, source = self._features(donor)
            row = []
            for psi, (_, target) in zip(self.psis, self.targets, strict=True):
                if source.shape != target.shape:
                    row.append((np.nan, np.nan))
                    continue
                labels = self.pairs[1][1]
                error = error_rate(psi, source, labels, self.batch_size)
                row.append((error, unexplained(source, target)))
            rows.append(row)
        return Control(*np.moveaxis(np.array(rows), -1, 0))

    def noise(self, distance: float, rows: int) -> Control:
        """Noise of the receiver's own shape around a point for each class."""
        row = []
        for b, targets in enumerate(self.targets):
            key = jax.random.fold_in(self.key, NOISE + b)
            source = _clusters(key, targets, [y for _, y in self.pairs], distance)
            size = targets[0].shape[1:3] if targets[0].ndim == 4 else None
            row.append(self._one(source, b, size, key))
        values = np.array(row).T
        return Control(*(np.tile(v, (rows, 1)) for v in values))


def _clusters(
    key: Array,
    like: Sequence[AnyArray],
    labels: Sequence[AnyArray],
    distance: float,
) -> list[AnyArray]:
    """Unit normal noise, moved by a random vector of channels for each class."""
    classes = 1 + max(int(np.max(y)) for y in labels)
    first, *rest = jax.random.split(key, 1 + len(like))
    d = like[0].shape[-1]
    centres = jax.random.normal(first, (classes, d)) * distance / (2 * d) ** 0.5
    made = []
    for one, z, y in zip(rest, like, labels, strict=True):
        centre = centres[np.asarray(y)].reshape(len(y), *[1] * (z.ndim - 2), d)
        made.append(np.asarray(centre + jax.random.normal(one, z.shape)))
    return made


def _counted(progress: Callable[[int], None] | None) -> Callable[[], None]:
    """What tells ``progress`` of one more stitch."""
    done = itertools.count(1)
    return lambda: None if progress is None else progress(next(done))


def _shuffled(
    x: ArrayLike, labels: ArrayLike, seed: int, test: Any
) -> tuple[AnyArray, AnyArray]:
    """Another order for every seed, where a part of the images is measured on."""
    if test is not None or not seed:
        return x, labels
    order = np.random.default_rng(seed).permutation(len(x))
    return jnp.asarray(x)[order], np.asarray(labels)[order]


def _fresh_copy(model: Any) -> Callable[[Array], Callable]:
    """From a key to ``model`` before any training."""
    from eqnets import functional

    return lambda key: functional.reinitialized(model, key)


def _cell(error: float, fvu: float, marked: bool | np.bool) -> str:
    """One stitch; as wide as it is, for a table to line up."""
    if not np.isfinite(error):
        return "- "
    return f"{100 * error:.1f} ({fvu:.2f}){'!' if marked else ' '}"


def _first(control: Control) -> Control:
    return Control(control.error[:1], control.fvu[:1])
