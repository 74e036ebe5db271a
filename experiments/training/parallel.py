"""Devices as one mesh; what is replicated on them, and what is split over them."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ("data", "model")
AUTO = (AxisType.Auto,) * len(AXES)
LARGE = 4096  # entries of a kernel; splitting smaller ones saves no memory to speak of

AnyMesh = Mesh | AbstractMesh


def device_mesh(model: int = 1) -> Mesh:
    """All devices of all processes: ``data`` splits a batch, ``model`` large kernels.

    Raises:
        ValueError: ``model`` does not divide the devices of a process, so that
            processes would have to share examples.
    """
    if jax.local_device_count() % model:
        raise ValueError(
            f"model_axis must divide the {jax.local_device_count()} devices of a "
            f"process, got {model}"
        )
    shape = (jax.device_count() // model, model)
    return jax.make_mesh(shape, AXES, axis_types=AUTO)


def abstract_mesh(devices: int, model: int = 1) -> AbstractMesh:
    """The same of so many devices that need not be there."""
    return AbstractMesh((devices // model, model), AXES, axis_types=AUTO)


def replicated(mesh: AnyMesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: AnyMesh) -> NamedSharding:
    """The first axis over the axis ``data``."""
    return NamedSharding(mesh, PartitionSpec("data"))


def placements(state, mesh: AnyMesh):
    """Large kernels split over ``model`` by their last axis, all else replicated.

    Momenta have the shapes of their kernels, and are split alike.
    """
    parts = mesh.shape["model"]

    def placement(v) -> NamedSharding:
        if parts == 1 or v.ndim < 2 or v.size < LARGE or v.shape[-1] % parts:
            return replicated(mesh)
        return NamedSharding(mesh, PartitionSpec(*[None] * (v.ndim - 1), "model"))

    return jax.tree.map(placement, state)


def place(state, mesh: Mesh):
    """Host arrays, equal in all processes, on the devices of their `placements`."""

    def put(value, sharding):
        value = np.asarray(value)
        return jax.make_array_from_callback(value.shape, sharding, lambda at: value[at])

    return jax.tree.map(put, state, placements(state, mesh))


def on_mesh(train: Callable, state, mesh: AnyMesh) -> Callable:
    """``(state, batch) -> (state, loss)``, the state in its places and donated.

    Args:
        train: the function of one step.
        state: arrays or their shapes.
        mesh: of the devices.
    """
    out = (placements(state, mesh), replicated(mesh))
    return jax.jit(train, donate_argnums=0, out_shardings=out)


def distribute(batch, mesh: Mesh):
    """This process's part of a batch, as part of a global array."""
    sharding = split(mesh)
    return jax.tree.map(
        lambda v: jax.make_array_from_process_local_data(sharding, v), batch
    )


def whole(state, mesh: Mesh):
    """The same with every array whole on every device; all processes must call it."""
    if mesh.shape["model"] == 1:
        return state
    return jax.jit(lambda v: v, out_shardings=replicated(mesh))(state)


def local(tree):
    """One device's copy of replicated arrays."""
    return jax.tree.map(lambda v: v.addressable_data(0), tree)
