"""Small networks for images of 16 x 16 pixels, to be cut before their ReLU."""

from collections.abc import Sequence

import jax
from flax import nnx


class Plain(nnx.Module):
    """Convolutions c1, c2, ... of 3 x 3, a pool of 2 x 2 behind some, a linear head.

    ``image`` passes the image on: cut there, the whole network is the receiver.
    """

    def __init__(
        self,
        widths: Sequence[int],
        pools: Sequence[int],
        *,
        classes: int = 10,
        rngs: nnx.Rngs,
    ):
        self.image = Pass()
        self.count, self.pools = len(widths), tuple(pools)
        inputs = (1, *widths[:-1])
        for i, (a, b) in enumerate(zip(inputs, widths, strict=True), 1):
            setattr(self, f"c{i}", nnx.Conv(a, b, (3, 3), rngs=rngs))
        sites = (16 >> len(pools)) ** 2
        self.head = nnx.Linear(widths[-1] * sites, classes, rngs=rngs)

    def __call__(self, x):
        """Map ``[B, 16, 16, 1]`` to logits."""
        x = self.image(x)
        for i in range(1, self.count + 1):
            x = jax.nn.relu(getattr(self, f"c{i}")(x))
            if i in self.pools:
                x = pooled(x)
        return self.head(x.reshape(len(x), -1))


class Residual(nnx.Module):
    """A convolution, then blocks b1 ... b6 of two around a skip, a linear head.

    Without normalisation: the last filters of a block start at a tenth.
    """

    def __init__(self, width: int = 24, *, rngs: nnx.Rngs):
        self.stem = nnx.Conv(1, width, (3, 3), rngs=rngs)
        for i in range(1, 7):
            setattr(self, f"b{i}", Block(width, rngs=rngs))
        self.head = nnx.Linear(width * 16, 10, rngs=rngs)

    def __call__(self, x):
        """Map ``[B, 16, 16, 1]`` to logits."""
        x = self.stem(x)
        for i in range(1, 7):
            x = getattr(self, f"b{i}")(x)
            if i in (2, 4):
                x = pooled(x)
        return self.head(jax.nn.relu(x).reshape(len(x), -1))


class Block(nnx.Module):
    """x + conv relu conv relu x."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.first = nnx.Conv(width, width, (3, 3), rngs=rngs)
        self.last = nnx.Conv(width, width, (3, 3), rngs=rngs)
        self.last.kernel[...] *= 0.1

    def __call__(self, x):
        """Keep the shape ``[B, h, w, C]``."""
        return x + self.last(jax.nn.relu(self.first(jax.nn.relu(x))))


class Pass(nnx.Module):
    """The identity, a place to cut."""

    def __call__(self, x):
        """X itself."""
        return x


def pooled(x):
    """The largest of 2 x 2; a reshape, whose derivative is fast on a CPU."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


def five(seed: int, *, classes: int = 10) -> Plain:
    """The network of five convolutions, on 16, 8, and three times 4 x 4 sites."""
    widths = (12, 24, 24, 24, 24)
    return Plain(widths, (1, 2), classes=classes, rngs=nnx.Rngs(seed))


def seven(seed: int) -> Plain:
    """A deeper and wider one, in pairs as VGG: 16, 16, 8, 8, and three times 4 x 4."""
    return Plain((16, 16, 32, 32, 48, 48, 48), (2, 4), rngs=nnx.Rngs(seed))
