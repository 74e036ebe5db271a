"""What is known of a value of a network: does it move with the image?"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend import core

from eqnets import polyphase


@dataclasses.dataclass(frozen=True)
class Still:
    """A value that a shift of the image does not change.

    Attributes:
        varies: the axes along which its entries may differ.
    """

    varies: frozenset[int]


@dataclasses.dataclass(frozen=True)
class Frame:
    """An array that moves with the image.

    Attributes:
        axes: the axes of height and width.
        strides: of the samplings between the image and this frame.
        pads: ``(low, high)`` per axis of a circular border that is still to be made.
    """

    axes: tuple[int, int]
    strides: tuple[int, ...] = ()
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    @property
    def padded(self) -> bool:
        """Whether a border is still to be made."""
        return any(map(any, self.pads))

    def moved_to(self, axes: tuple[int, int]) -> "Frame":
        """The same frame on other axes."""
        return dataclasses.replace(self, axes=axes)


Kind = Still | Frame | None  # None: neither can be shown


@dataclasses.dataclass(frozen=True)
class Change:
    """One operation that is evaluated otherwise, or that ends the proof.

    Attributes:
        layer: the path of the module that it is in.
        operation: the name of the primitive.
        what: what was done, or why nothing could be.
    """

    layer: str
    operation: str
    what: str


@dataclasses.dataclass
class Run:
    """One evaluation: the norm that selects, the selections so far, what was found.

    Attributes:
        p: the norm that selects.
        replaced: operations evaluated otherwise.
        obstacles: operations after which nothing can be shown.
        index: the selected component of every frame.
        scope: the layer whose functions are being evaluated.
    """

    p: int | float | str = 2
    replaced: list[Change] = dataclasses.field(default_factory=list)
    obstacles: list[Change] = dataclasses.field(default_factory=list)
    index: dict[tuple[int, ...], Array] = dataclasses.field(default_factory=dict)
    scope: str = ""

    def select(self, x: Array, frame: Frame, stride: int) -> Array:
        """The selected component of ``x`` ``[B, H, W, C]``; one for all of a frame.

        The first operation that samples a frame decides for those that follow, so that
        a shortcut keeps step with its main branch.
        """
        key = (*frame.strides, stride)
        if key not in self.index:
            scores = polyphase.image_norm_scores(x, stride, self.p)
            self.index[key] = jnp.argmax(scores, axis=-1)
        return self.index[key]

    def replace(self, eqn: core.JaxprEqn, what: str) -> None:
        """Note an operation that is evaluated otherwise."""
        self._note(self.replaced, eqn, what)

    def stop(self, eqn: core.JaxprEqn, why: str) -> None:
        """Note an operation after which nothing can be shown."""
        self._note(self.obstacles, eqn, why)

    def _note(self, changes: list[Change], eqn: core.JaxprEqn, what: str) -> None:
        layer = self.layer_of(eqn) or "(top)"
        change = Change(layer, eqn.primitive.name, what)
        if change not in changes:  # the taps of one filter, for instance
            changes.append(change)

    def layer_of(self, eqn: core.JaxprEqn) -> str:
        """The module path of an operation, where the trace has one."""
        stack = str(eqn.source_info.name_stack)
        whole = "@" in stack or not self.scope
        parts = [] if whole else [self.scope]
        names = stack.split("@")[-1].split("/")
        parts += [n for n in names if n and not n.startswith(("jit(", "jvp("))]
        return ".".join(parts)


def still(value: Any) -> Still:
    """The kind of a parameter or constant."""
    return Still(frozenset(i for i, n in enumerate(jnp.shape(value)) if n != 1))


def bind(eqn: core.JaxprEqn, values: list) -> list:
    """The operation as it stands."""
    params = eqn.primitive.get_bind_params(eqn.params)
    out = eqn.primitive.bind(*values, **params)
    return list(out) if eqn.primitive.multiple_results else [out]


def border(x: Array, frame: Frame, extra: int = 0) -> Array:
    """Make the circular border, ``extra`` samples wider at the end."""
    widths = [(0, 0)] * x.ndim
    for axis, (low, high) in zip(frame.axes, frame.pads, strict=True):
        widths[axis] = (low, high + extra)
    return jnp.pad(x, widths, mode="wrap") if np.any(widths) else x
