"""What ``eqnets maps`` computes, stage by stage."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqnets import io, maps, report

from . import network
from .errors import CommandError
from .job import versions
from .options import Maps, parse_transform
from .progress import Stages
from .reporting import Outcome, reported


@reported
def run(options: Maps, stages: Stages, command: str) -> Outcome:
    """What undoing the transformation does at every layer."""
    m = measure_maps(options, stages, command)
    return Outcome(lambda: report.maps_page(m), m.to_json, report.maps_table(m))


def measure_maps(options: Maps, stages: Stages, command: str) -> report.MapsMeasurement:
    """Everything the report shows.

    Raises:
        CommandError: too few images, or a layer that cannot be cut or mapped.
    """
    with stages.stage("reading the photographs"):
        found = io.load_images(options.images) if options.images else None
        names, photographs = found or io.sample_photographs()
    if len(names) < 2:
        raise CommandError("fitting and measuring take at least 2 images; there is 1")
    with stages.stage(f"loading {options.model}"):
        net = network.load(options.model, options.weights, size=options.size)
        inputs = [net.input(p) for p in photographs]
        if len({x.shape for x in inputs}) > 1:
            raise CommandError("the preprocessing gives inputs of different shapes")
        x = jnp.asarray(np.stack(inputs))
    g = _transform(options.transform)
    fit, tested = x[::2], x[1::2]
    with stages.stage("classifying"):
        labels = predictions(net.scores, tested, options.batch_size)
        moved = predictions(net.scores, g.inverse(tested), options.batch_size)
    rows = []
    for layer in options.layers:
        with stages.stage(f"the map behind {layer}"):
            rows.append(_row(options, net, layer, (g, fit, tested, labels)))
    return report.MapsMeasurement(
        model=options.model,
        transform=options.transform,
        fitted=len(fit),
        measured=tuple(names[1::2]),
        size=tuple(x.shape[1:3]),
        m=options.m,
        transformed=float(np.mean(moved != labels)),
        layers=tuple(rows),
        settings=options.settings() | {"layers": ", ".join(options.layers)},
        versions=versions(),
        command=command,
        seconds=stages.seconds,
    )


def _transform(text: str) -> maps.AffineMap:
    name, value = parse_transform(text)
    if name in ("hflip", "vflip"):
        return maps.flip("x" if name == "hflip" else "y")
    # Beyond the border the image goes on, mirrored: black corners would be learned.
    made = maps.rotate if name == "rotate" else maps.scale
    return made(value, boundary="reflect")


def _row(
    options: Maps, net: network.Network, layer: str, data: tuple[Any, ...]
) -> report.LayerMaps:
    chosen = {"m": options.m, "lam": options.lam, "batch_size": options.batch_size}
    try:
        return layer_maps(net.scores, layer, *data, **chosen)
    except (ValueError, TypeError) as error:
        raise CommandError(str(error)) from error


def layer_maps(
    scores: Callable[[Array], Array],
    layer: str,
    g: maps.AffineMap,
    x: Array,
    tested: Array,
    labels: np.ndarray,
    *,
    batch_size: int = 8,
    **options: Any,
) -> report.LayerMaps:
    """Fit M_g at a layer to images ``x`` and measure it on ``tested``.

    Args:
        scores: the network, to logits.
        layer: where it is cut.
        g: the transformation.
        x: images ``[n, H, W, C]``.
        tested: other images.
        labels: what the network takes these for.
        batch_size: images at a time.
        **options: of `maps.fit_equivariance`.
    """
    step = batch_size
    cut = maps.cut(scores, layer, x=x[:step])
    fit = maps.fit_equivariance(cut, g, x, batch_size=step, **options)
    made: dict[str, list[np.ndarray]] = {"permuted": [], "mapped": []}
    rest, spread = dict.fromkeys(made, 0.0), 0.0
    features = [cut.phi(tested[i : i + step]) for i in range(0, len(tested), step)]
    channels = tuple(range(features[0].ndim - 1))
    mean = sum(f.sum(channels) for f in features) / sum(
        f[..., 0].size for f in features
    )
    for i, target in enumerate(features):
        source = cut.phi(g.inverse(tested[i * step : (i + 1) * step]))
        spread += float(jnp.sum((target - mean) ** 2))
        for kind, moved in (("permuted", fit.permute(source)), ("mapped", fit(source))):
            made[kind].append(np.asarray(cut.psi(moved).argmax(-1)))
            rest[kind] += float(jnp.sum((moved - target) ** 2))
    changed = {k: float(np.mean(np.concatenate(v) != labels)) for k, v in made.items()}
    if not spread > 0:
        raise ValueError(f"the features of {layer!r} are the same for all images")
    fvu = {f"{k}_fvu": v / spread for k, v in rest.items()}
    return report.LayerMaps(layer, tuple(features[0].shape[1:]), **changed, **fvu)


def predictions(
    scores: Callable[[Array], Array], x: Float[Array, "b h w c"], step: int
) -> np.ndarray:
    """The likeliest class of every image."""
    parts = [scores(x[i : i + step]) for i in range(0, len(x), step)]
    return np.concatenate([np.asarray(p.argmax(-1)) for p in parts])
