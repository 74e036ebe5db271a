"""Devices as one mesh; what is replicated on them, and what is split over them."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def data_mesh() -> Mesh:
    """All devices of all processes along one axis, ``data``."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The first axis over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicate(tree, mesh: Mesh):
    """Host arrays, equal in all processes, on every device."""
    sharding = replicated(mesh)

    def place(value):
        value = np.asarray(value)
        return jax.make_array_from_callback(value.shape, sharding, lambda at: value[at])

    return jax.tree.map(place, tree)


def distribute(batch, mesh: Mesh):
    """This process's part of a batch, as part of a global array."""
    sharding = split(mesh)
    return jax.tree.map(
        lambda v: jax.make_array_from_process_local_data(sharding, v), batch
    )


def local(tree):
    """One device's copy of replicated arrays."""
    return jax.tree.map(lambda v: v.addressable_data(0), tree)
