"""EQ-T and EQ-T_frac of every layer alone: the paper's layerwise baseline."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from eqnets.actions import Grid, translation

from .attribution.engine import Network, constants, needed_constants
from .attribution.graph import Value
from .attribution.layout import transformed
from .attribution.setup import prepare, uncommuted
from .lie import checked_input
from .translations import Draw, Shift, check_normalize, normalized


@dataclasses.dataclass(frozen=True)
class LayerErrors:
    """The error of each layer alone, on inputs that were moved.

    Attributes:
        names: of the layers with an image-shaped input, in the order they act.
        kinds: of what kind each is.
        per_example: [L, B].
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    per_example: Float[np.ndarray, "layers b"]

    @property
    def mean(self) -> Float[np.ndarray, " layers"]:
        """The mean over images, [L]."""
        return self.per_example.mean(1)

    @property
    def stderr(self) -> Float[np.ndarray, " layers"]:
        """Its standard error over images, [L]; nan for one image."""
        if self.per_example.shape[1] < 2:
            return np.full(len(self.names), np.nan)
        return self.per_example.std(1, ddof=1) / self.per_example.shape[1] ** 0.5


def eq_t_layers(
    model: Callable[[Array], Array],
    x: Array,
    key: Key[Array, ""],
    *,
    samples: int,
    whole_pixels: bool = True,
    depth: str | int = "module",
    max_fraction: float | int = 0.125,
    normalize: str = "none",
    periodic: bool = False,
) -> LayerErrors:
    """EQ-T (or EQ-T_frac) of every layer alone, the paper's layerwise baseline (D.1).

    Each layer is applied to its cached input moved by t, its output is moved back and
    compared with the cached one. Feature maps, tokens and attention maps all move where
    their samples lie; whole pixels are those of the layer's first input.

    Args:
        model: as in `layerwise`.
        x: images [B, H, W, C].
        key: for the translations; all layers of an image share them.
        samples: translations for each image.
        whole_pixels: False for EQ-T_frac.
        depth: of the layers, as in `layerwise`.
        max_fraction: see `eq_t`.
        normalize: see `eq_t`.
        periodic: see `eq_t`.

    Raises:
        TypeError: see `layerwise`.
        ValueError: the same, or an option or a number that does not fit.

    >>> import jax
    >>> from eqnets import measure
    >>> x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    >>> def net(x):
    ...     with jax.named_scope("double"):
    ...         x = 2 * x
    ...     with jax.named_scope("decimate"):
    ...         return x[:, ::2, ::2]
    >>> options = {"key": jax.random.key(1), "samples": 2, "max_fraction": 0.5}
    >>> errors = measure.eq_t_layers(net, x, periodic=True, **options)
    >>> errors.names, [bool(e > 1e-4) for e in errors.mean]
    (('double', 'decimate'), [False, True])
    """
    check_normalize(normalize)
    draw = Draw(samples, max_fraction, periodic, whole=whole_pixels)
    # Layers follow the image whatever the generator; a translation decides nothing.
    action = translation("x")
    x = checked_input([action], x)
    placed, consts = prepare(
        model, x[:1], action=action, action_out=None, depth=depth, layouts=()
    )
    network = uncommuted(placed)
    run, layers = _by_layer(network, draw)
    times = draw.times(key, len(x))
    rows = [run(consts, x[i : i + 1], times[:, i]) for i in range(len(x))]
    values = np.stack([normalized(normalize, *map(np.asarray, r)) for r in rows], 1)
    names, kinds = ([part[g] for g in layers] for part in (placed.names, placed.kinds))
    return LayerErrors(tuple(names), tuple(kinds), values)


@functools.lru_cache(maxsize=16)
def _by_layer(network: Network, draw: Draw) -> tuple[Callable, tuple[int, ...]]:
    """A compiled function to the errors of all layers with a moving input, and these.

    It takes the arrays of the network, one image [1, H, W, C] and translations [S, 2].
    """
    ports = {g: _ports(network, g) for g in range(len(network.layers))}
    layers = tuple(
        g for g, (into, out) in ports.items() if out and _sizes(network, into)
    )
    made = jax.jit(constants(network))

    @jax.jit
    def run(held: list[Array], x: Array, times: Float[Array, "s 2"]) -> tuple:
        fixed = dict(zip(needed_constants(network), held, strict=True))
        start = {**fixed, network.graph.inputs[0]: x}
        values = network.run(range(len(network.ops)), start, {})

        def at(t: Float[Array, " 2"]) -> tuple[Array, Array]:
            found = [_alone(network, draw, g, ports[g], values, t) for g in layers]
            return tuple(jnp.stack(column) for column in zip(*found, strict=True))

        peaks = [
            max_ - min_
            for g in layers
            for max_, min_ in [_range([values[v] for v in ports[g][1]])]
        ]
        return *jax.lax.map(at, times), jnp.stack(peaks)

    return lambda consts, x, times: run(made(consts), x, times), layers


def _ports(network: Network, g: int) -> tuple[list[Value], list[Value]]:
    """What a layer reads of others, and what of floating dtype it leaves to them."""
    ops = [network.ops[i] for i in network.layers[g].ops]
    reads = {v: None for op in ops for v in op.moving_inputs()}
    into = [v for v in reads if network.layer_of.get(v) != g]
    out = [
        v
        for op in ops
        for v in op.outputs
        if network.crosses(v) and jnp.issubdtype(v.aval.dtype, jnp.floating)
    ]
    return into, out


def _sizes(network: Network, into: list[Value]) -> tuple[int, int] | None:
    """Height and width of the first input that holds an image."""
    for value in into:
        layout = network.places[value]
        if not (layout.spatial and layout.whole):
            continue
        held = [f for d in layout.dims if d for f in d.factors if f.axis]
        return tuple(next(f.size for f in held if f.axis.name == n) for n in "yx")
    return None


def _alone(
    network: Network,
    draw: Draw,
    g: int,
    ports: tuple[list[Value], list[Value]],
    cached: dict[Value, Array],
    t: Float[Array, " 2"],
) -> tuple[Array, Array]:
    """Squared error and entries compared of one layer on its input moved by ``t``."""
    into, out = ports
    t = draw.rounded(t, _sizes(network, into))

    def flow(images: Array, grid: Grid, sign: int) -> Array:
        return draw.moved(images, sign * _own(images, grid, t))

    def inside(images: Array, grid: Grid) -> Array:
        mask = draw.inside(images.shape[1:3], _own(images, grid, t))
        return images * mask[..., None]

    def place(value: Value, y: Array, move: Callable) -> Array:
        return transformed(move, y, network.places[value], network.extent)

    floating = [v for v in into if jnp.issubdtype(v.aval.dtype, jnp.floating)]
    forth, back = (functools.partial(flow, sign=s) for s in (1, -1))
    values = {**cached, **{v: place(v, cached[v], forth) for v in floating}}
    values = network.run(network.layers[g].ops, values, {})
    square = count = jnp.zeros(())
    for v in out:
        y = cached[v]
        mask = place(v, jnp.ones_like(y), inside)
        gap = place(v, values[v], back) - y
        square = square + jnp.sum((mask * gap**2).astype(jnp.float32))
        count = count + jnp.sum(mask.astype(jnp.float32))
    return square, count


def _own(images: Array, grid: Grid, t: Float[Array, " 2"]) -> Shift:
    """``t``, in fractions of the input, in fractions of the axes of a feature map."""
    ratio = [
        extent / spacing / n
        for extent, spacing, n in zip(
            grid.extent, grid.spacing, images.shape[1:3], strict=True
        )
    ]
    return jnp.broadcast_to(t * jnp.asarray(ratio, t.dtype), (len(images), 2))


def _range(arrays: list[Array]) -> tuple[Array, Array]:
    """The largest and the smallest entry of several arrays."""
    return (
        functools.reduce(jnp.maximum, map(jnp.max, arrays)),
        functools.reduce(jnp.minimum, map(jnp.min, arrays)),
    )
