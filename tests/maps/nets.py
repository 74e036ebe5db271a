"""Networks whose equivariance is known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

#: The eight symmetries of the square: flip left and right f times, then quarter turns.
ELEMENTS = [(turns, flips) for flips in (0, 1) for turns in range(4)]
G = len(ELEMENTS)


def act(element, x, axes=(0, 1)):
    """Move the content of an array by a symmetry, as images move."""
    turns, flips = element
    return jnp.rot90(jnp.flip(x, axes[1]) if flips else x, -turns, axes)


def _table():
    """compose[a][b] = index of a after b; inverse[a]."""
    seen = [np.asarray(act(e, np.arange(9).reshape(3, 3))).ravel() for e in ELEMENTS]
    index = {tuple(p): i for i, p in enumerate(seen)}
    compose = np.array(
        [
            [
                index[tuple(np.asarray(act(a, seen[j].reshape(3, 3))).ravel())]
                for j in range(G)
            ]
            for a in ELEMENTS
        ]
    )
    return compose, np.argmax(compose == 0, 1)


COMPOSE, INVERSE = _table()


def conv(x, kernel):
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=numbers
    )


class Lift(nnx.Module):
    """Images to functions on p4m: channel c, element g at c * 8 + g."""

    def __init__(self, inputs, features, *, rngs):
        shape = (3, 3, inputs, features)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), shape) / 3)

    def __call__(self, x):
        kernels = [act(g, self.kernel[...]) for g in ELEMENTS]
        stacked = jnp.stack(kernels, -1)
        return jax.nn.relu(conv(x, stacked.reshape(*stacked.shape[:3], -1)))


class GroupConv(nnx.Module):
    """Functions on p4m to functions on p4m."""

    def __init__(self, inputs, features, *, rngs):
        shape = (3, 3, inputs, G, features)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), shape) / 9)

    def __call__(self, z):
        w = self.kernel[...]
        # out[g] = sum_h conv(z[h], g . w[g^-1 h])
        stacked = jnp.stack(
            [act(e, w[:, :, :, COMPOSE[INVERSE[i]]]) for i, e in enumerate(ELEMENTS)],
            -1,
        )
        size = stacked.shape
        return jax.nn.relu(
            conv(z, stacked.reshape(3, 3, size[2] * G, size[4] * G)),
        )


class OrbitPool(nnx.Module):
    """The largest of the eight: channels that only move with the image."""

    def __call__(self, z):
        return z.reshape(*z.shape[:-1], -1, G).max(-1)


class P4MNet(nnx.Module):
    """Two layers on p4m, pooled over the group, a head that knows left from right."""

    def __init__(self, *, rngs):
        self.lift = Lift(1, 2, rngs=rngs)
        self.group = GroupConv(2, 2, rngs=rngs)
        self.pool = OrbitPool()
        self.head = nnx.Linear(2 * 64, 5, rngs=rngs)

    def __call__(self, x):
        z = self.pool(self.group(self.lift(x)))
        return self.head(z.reshape(len(z), -1))


def channel_permutation(element, features):
    """Output channel (c, g) of M reads (c, element^-1 g)."""
    e = ELEMENTS.index(element)
    order = COMPOSE[INVERSE[e]]
    small = np.eye(G)[order]
    return np.kron(np.eye(features), small)
