"""Contributions of all layers to a few numbers, by reverse mode."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .engine import Network, constants, inject, needed_constants


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
        consts: list[Any],
        x: Float[Array, "1 ..."],
        z: Float[Array, "_r ..."],
    ) -> Float[Array, "_r _l"]:
        """The products z . C for every layer, and last z . L f, for ``r`` weightings z.

        Args:
            consts: the arrays of the network.
            x: one image.
            z: weightings of the outputs, [r, 1, *outputs].
        """
        return self._pull(self.prepare(consts), x, z)

    def _pulled(self, held: list[Array], x: Array, z: Array) -> Array:
        network = self.network
        values = dict(zip(needed_constants(network), held, strict=True))
        moves = network.action.tangent(x)

        def output(eps: Array) -> Array:
            *gates, whole = eps
            at = values | {network.graph.inputs[0]: inject(x, moves, whole)}
            ops = range(len(network.ops))
            return network.run(ops, at, dict(enumerate(gates)))[network.output]

        count = len(network.layers) + 1
        zero = jnp.zeros(count, jnp.promote_types(x.dtype, jnp.float32))
        y, pull = jax.vjp(output, zero)
        out = network.generator(network.output, y)
        rows = jax.lax.map(lambda row: pull(row)[0], z)
        if out is not None:
            rows = rows.at[:, -1].add(
                -jnp.einsum("ri,i->r", z.reshape(len(z), -1), out.ravel())
            )
        return rows
