"""A model traced, grouped into layers and placed on the image, ready to be run."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqnets.actions import Action

from ..lie import output_actions
from ..program import Program, trace
from .commuting import absorb
from .engine import Network
from .graph import Graph, Value, flatten
from .grouping import Layer, group
from .layout import Extent, Layout, image, of_input
from .placement import place

Axes = tuple[int, int] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Placed:
    """A network that is ready to run, and the layers to report.

    Attributes:
        network: without the layers that commute with the action.
        layers: all layers.
        rows: for each of them its row in what the network gives, -1 for zero.
    """

    network: Network
    layers: tuple[Layer, ...]
    rows: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the layers."""
        return tuple(layer.name for layer in self.layers)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the layers."""
        return tuple(layer.kind for layer in self.layers)

    def spread(self, rows: np.ndarray) -> np.ndarray:
        """What the network gives, [rows, ...], as [L, ...]."""
        zero = np.zeros((1, *rows.shape[1:]), rows.dtype)
        return np.concatenate([rows, zero])[self.rows]


@functools.lru_cache(maxsize=16)
def uncommuted(placed: Placed) -> Network:
    """The network with those layers that commute with the action apart again."""
    return dataclasses.replace(placed.network, layers=placed.layers)


def prepare(
    model: Callable[[Array], Any],
    x: Array,
    *,
    action: Action,
    action_out: Action | None,
    depth: str | int,
    layouts: tuple[tuple[str, Axes], ...],
) -> tuple[Placed, list[Any]]:
    """``model`` at the shape of ``x``, and the arrays it closes over.

    Raises:
        TypeError: several outputs, or one of no floating dtype.
        ValueError: a layout that nobody knows, or outputs without the batch axis.
    """
    program, consts = trace(with_paths(model), x, origin=model)
    leaves = jax.tree.leaves(program.out)
    if len(leaves) != 1:
        raise TypeError(
            f"layerwise follows one output, the function returns {len(leaves)} arrays "
            f"({jax.tree.structure(program.out)}): choose one, e.g. lambda x: f(x)[0]"
        )
    ((out,),) = output_actions(program.out, (action,), action_out, x.shape)
    if not leaves[0].shape or leaves[0].shape[0] != len(x):
        raise ValueError(
            f"the output {list(leaves[0].shape)} must have one entry for each of the "
            f"{len(x)} images along its first axis"
        )
    names = tuple((op.scope, op.call) for op in flatten(program.jaxpr).ops)
    return _placed(program, names, x.shape, action, out, depth, layouts), consts


def with_paths(model: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """The model with its module paths as scopes, where it is a Flax NNX module."""
    nnx = sys.modules.get("flax.nnx")
    if nnx is None or not isinstance(model, nnx.Module):
        return model
    from eqnets import functional

    return functional.named(model)


@functools.lru_cache(maxsize=16)
def _placed(
    program: Program,
    names: Hashable,
    shape: tuple[int, ...],
    action: Action,
    action_out: Action,
    depth: str | int,
    layouts: tuple[tuple[str, Axes], ...],
) -> Placed:
    """A network by what it computes and how its parts are called."""
    del names  # part of the key: two programs may differ in nothing else
    graph = flatten(program.jaxpr)
    output = graph.outputs[0]
    if not (isinstance(output, Value) and output.moving) or output is graph.inputs[0]:
        raise ValueError(
            "the function returns its input or ignores it: there is no layer to "
            "attribute an error to"
        )
    layers = tuple(group(graph, depth))
    layout, extent = of_input(action, shape)
    stated = _stated(graph, layers, layouts, extent)
    places = place(graph, layout, stated)
    joined, rows = absorb(graph, layers, places, action)
    network = Network(graph, joined, places, action, action_out, extent)
    for value in (*network.layer_of, graph.inputs[0]):
        if value is not output and network.crosses(value):
            _require_place(network, value)
    return Placed(network, layers, rows)


def _stated(
    graph: Graph,
    layers: tuple[Layer, ...],
    layouts: tuple[tuple[str, Axes], ...],
    extent: Extent,
) -> dict[Value, Layout]:
    """The layouts that the user gave, for the outputs of the layers named."""
    ops = [op for op in graph.ops if op.moving]
    by_name = {layer.name: layer for layer in layers}
    stated = {}
    for name, axes in layouts:
        if name not in by_name:
            raise ValueError(
                f"layouts names {name!r}, which is no layer; the layers are "
                f"{', '.join(by_name)}"
            )
        inside = set(by_name[name].ops)
        read = {
            v for i, op in enumerate(ops) if i not in inside for v in op.moving_inputs()
        }
        for i in inside:
            for value in ops[i].outputs:
                if value not in read:
                    continue
                ndim = len(value.shape)
                if axes is None:
                    stated[value] = Layout((None,) * ndim)
                elif max(axes) < ndim:
                    stated[value] = image(value.shape, axes, extent)
                else:
                    raise ValueError(
                        f"layouts says {axes} for {name!r}, whose output has the shape "
                        f"{list(value.shape)}"
                    )
    return stated


def _require_place(network: Network, value: Value) -> None:
    """Raise if nobody can say how ``value`` moves."""
    layout = network.places[value]
    if not jnp.issubdtype(value.aval.dtype, jnp.floating):
        return
    half = layout.open and layout.spatial and not layout.whole
    if layout.lost is None and not half:
        return
    made = network.layer_of.get(value)
    name = network.layers[made].name if made is not None else "the input"
    what = layout.lost or "a sum over one axis of the image"
    raise ValueError(
        f"layerwise cannot follow the image through {what}: it does not know how the "
        f"output {list(value.shape)} of layer {name!r} moves. Say which of its axes "
        f"are the height and the width, layouts={{{name!r}: (1, 2)}}, or that it does "
        f"not move, layouts={{{name!r}: None}}; or take a coarser depth= that keeps "
        "the operation inside one layer"
    )
