"""Where the image is in an activation: which axes are spatial, and on which grid.

Each axis of an array is a product of factors, row by row: an image has its height and
its width on axes of their own, tokens have both on one axis, [B, prefix + h w, C], and
an attention map has them twice. A factor that samples the image carries the position
of its first sample and the spacing, in pixels of the input, through pads, strides and
crops, so that a rotation turns every feature map about the centre of the input.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from eqnets.actions import Action, Grid
from eqnets.actions.tokens import TokenAction


class Axis(NamedTuple):
    """Samples of one axis of the image.

    Attributes:
        name: ``"y"`` or ``"x"``.
        origin: position of the first sample, in pixels of the input.
        spacing: input pixels from one sample to the next.
    """

    name: str
    origin: float
    spacing: float


class Factor(NamedTuple):
    """A factor of an axis of an array.

    Attributes:
        size: how many samples.
        axis: the part of the image that it samples, or None.
    """

    size: int
    axis: Axis | None


@dataclasses.dataclass(frozen=True)
class Dim:
    """An axis of an array that holds a part of the image.

    Attributes:
        factors: whose product is the axis, slowest first.
        before: entries in front of the image, such as a class token.
        after: entries behind it.
    """

    factors: tuple[Factor, ...]
    before: int = 0
    after: int = 0

    @property
    def single(self) -> Axis | None:
        """The axis of the image, if this axis holds nothing else."""
        alone = len(self.factors) == 1 and not self.before and not self.after
        return self.factors[0].axis if alone else None

    @property
    def size(self) -> int:
        """The length of the axis."""
        return self.before + math.prod(f.size for f in self.factors) + self.after


@dataclasses.dataclass(frozen=True)
class Layout:
    """How an activation holds the image.

    Attributes:
        dims: for each axis of the array a `Dim`, or None.
        open: the image went into a sum with weights (a dense layer over tokens, a
            resize): whether it is still there only a later use can tell.
        lost: the operation behind which nobody knows, or None.
    """

    dims: tuple[Dim | None, ...]
    open: bool = False
    lost: str | None = None

    @property
    def spatial(self) -> bool:
        """Whether some axis holds a part of the image."""
        return any(d is not None for d in self.dims)

    @property
    def whole(self) -> bool:
        """Whether height and width are there equally often."""
        names = [f.axis.name for d in self.dims if d for f in d.factors if f.axis]
        return names.count("y") == names.count("x")


def plain(ndim: int) -> Layout:
    """The layout of an array that does not move."""
    return Layout((None,) * ndim)


def image(shape: tuple[int, ...], axes: tuple[int, int], extent: "Extent") -> Layout:
    """An array whose ``axes`` (height, width) sample the whole input evenly."""
    dims: list[Dim | None] = [None] * len(shape)
    for name, axis, pixels in zip("yx", axes, extent, strict=True):
        spacing = pixels / shape[axis]
        place = Axis(name, (spacing - 1) / 2, spacing)
        dims[axis] = Dim((Factor(shape[axis], place),))
    return Layout(tuple(dims))


class Extent(NamedTuple):
    """Pixels of the input."""

    height: int
    width: int


def of_input(action: Action, shape: tuple[int, ...]) -> tuple[Layout, Extent]:
    """The layout of the network's input, and the size of the image.

    Raises:
        ValueError: an input that is neither an image nor tokens with a known grid.
    """
    if isinstance(action, TokenAction):
        extent = Extent(*action.grid)
        factors = tuple(
            Factor(n, Axis(name, 0.0, 1.0))
            for name, n in zip("yx", action.grid, strict=True)
        )
        return Layout((None, Dim(factors, action.prefix), None)), extent
    if len(shape) != 4:
        raise ValueError(
            f"layerwise follows images [B, H, W, C] through the network, got an input "
            f"of shape {shape}: add the missing axis, or declare the grid of tokens "
            "with actions.on_tokens(action, grid=(h, w))"
        )
    extent = Extent(shape[1], shape[2])
    return image(shape, (1, 2), extent), extent


def tangent(action: Action, y: Array, layout: Layout, extent: Extent) -> Array | None:
    """X y: how an activation moves under the action; None where it does not.

    An activation with the image on it twice (an attention map) moves on both sides.
    An axis without its partner is not an image and does not move.
    """
    if not (layout.spatial and layout.whole) or not jnp.issubdtype(
        y.dtype, jnp.floating
    ):
        return None
    inner = action.inner if isinstance(action, TokenAction) else action
    generator = inner.tangent_on
    return sum(
        _on_images(generator, y, layout, h, w, extent) for h, w in _pairs(layout)
    )


Move = Callable[[Array, Grid], Array]


def transformed(move: Move, y: Array, layout: Layout, extent: Extent) -> Array:
    """``y`` with ``move(images, grid)`` in place of the images that it holds.

    What is no image stays: class tokens, and an axis without its partner.
    """
    if not (layout.spatial and layout.whole):
        return y
    change = lambda images, grid: move(images, grid) - images  # noqa: E731
    for h, w in _pairs(layout):
        y = y + _on_images(change, y, layout, h, w, extent)
    return y


Place = tuple[int, Factor]


def _pairs(layout: Layout) -> list[tuple[Place, Place]]:
    """The factors that hold the heights, with those of their widths."""
    where: dict[str, list[Place]] = {"y": [], "x": []}
    for i, dim in enumerate(layout.dims):
        for factor in dim.factors if dim else ():
            if factor.axis:
                where[factor.axis.name].append((i, factor))
    return list(zip(where["y"], where["x"], strict=True))


def _on_images(
    move: Move,
    y: Array,
    layout: Layout,
    rows: Place,
    columns: Place,
    extent: Extent,
) -> Array:
    """A linear map of one height and one width of ``y``, each on an axis of ``y``.

    It gives zero for what stands around them on their axes (a class token); other axes
    are carried along whole, their class tokens included.
    """
    axes = {rows[0], columns[0]}
    held = [d if i in axes else None for i, d in enumerate(layout.dims)]
    fringe = [(d.before, d.after) if d else (0, 0) for d in held]
    core = y[
        tuple(slice(lo, n - hi) for (lo, hi), n in zip(fringe, y.shape, strict=True))
    ]
    factors = [
        (i, f)
        for i, (d, n) in enumerate(zip(held, core.shape, strict=True))
        for f in (d.factors if d else (Factor(n, None),))
    ]
    i, j = factors.index(rows), factors.index(columns)
    z = core.reshape([f.size for _, f in factors])
    place = min(i, j)
    near = jnp.moveaxis(z, (i, j), (place, place + 1))
    (_, h), (_, w) = rows, columns
    images = near.reshape(math.prod(near.shape[:place]), h.size, w.size, -1)
    grid = Grid(
        extent,
        origin=(h.axis.origin, w.axis.origin),
        spacing=(h.axis.spacing, w.axis.spacing),
    )
    moved = move(images, grid).reshape(near.shape)
    moved = jnp.moveaxis(moved, (place, place + 1), (i, j))
    return jnp.pad(moved.reshape(core.shape), fringe)
