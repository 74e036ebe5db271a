"""Contributions of all layers to a few numbers, by reverse mode."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .engine import Network, constants, needed_constants


class Reverse:
    """The compiled reverse pass of one network, for one image at a time.

    Args:
        network: what to run, traced with a batch of one.
    """

    def __init__(self, network: Network):
        self.network = network
        self.prepare = jax.jit(constants(network))
        self._pull = jax.jit(self._pulled)

    def __call__(
        self,
        consts: list[Array],
        x: Float[Array, "1 ..."],
        z: Float[Array, "_r ..."],
    ) -> Float[Array, "_r _l"]:
        """The products z . C for every layer, for ``r`` weightings z of the outputs."""
        return self._pull(self.prepare(consts), x, z)

    def _pulled(self, held: list[Array], x: Array, z: Array) -> Array:
        network = self.network
        values = dict(zip(needed_constants(network), held, strict=True))
        values[network.graph.inputs[0]] = x

        def output(eps: Array) -> Array:
            gates = dict(enumerate(eps))
            return network.run(range(len(network.ops)), values, gates)[network.output]

        zero = jnp.zeros(len(network.layers), jnp.promote_types(x.dtype, jnp.float32))
        _, pull = jax.vjp(output, zero)
        return jax.lax.map(lambda row: pull(row)[0], z)
