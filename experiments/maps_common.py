"""What the experiments on equivariance maps share: data, results, a small network."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

from eqnets import io

from . import fashion_mnist

RESULTS = Path(__file__).parent / "results"


def save(name: str, figures: dict) -> None:
    """Write one JSON file, whole; called after every finished part."""
    text = json.dumps(figures, indent=1) + "\n"
    io.atomic_write_text(RESULTS / f"{name}.json", text)


def load(name: str, settings: dict) -> dict:
    """What an interrupted run with the same settings has left, or a new start."""
    path = RESULTS / f"{name}.json"
    if path.exists():
        found = json.loads(path.read_text())
        if found.get("settings") == json.loads(json.dumps(settings)):
            return found
    return {"settings": settings}


def save_figure(name: str, figure) -> None:
    """Write one PNG, whole."""
    with io.atomic_write(RESULTS / f"{name}.png") as aside:
        figure.savefig(aside, dpi=110, bbox_inches="tight")


def photographs(split: str) -> list[np.ndarray]:
    """Every second of scikit-image's photographs, grey, in [0, 255]."""
    _, images = io.sample_photographs()
    start = {"train": 0, "test": 1}[split]
    return [i.astype(np.float32).mean(-1) for i in images[start::2]]


def patches(split: str, n: int, size: int, *, seed: int = 0) -> np.ndarray:
    """Random square patches of the photographs, ``[n, size, size, 1]``."""
    images = [i for i in photographs(split) if min(i.shape) >= size]
    rng = np.random.default_rng((seed, len(split)))
    made = []
    for i in range(n):
        image = images[i % len(images)]
        top, left = (rng.integers(0, s - size + 1) for s in image.shape)
        made.append(image[top : top + size, left : left + size])
    return np.stack(made)[..., None]


class FiveConv(nnx.Module):
    """Five 3 x 3 convolutions c1 ... c5, pools behind two, a linear head on all sites.

    ``c1`` to ``c5`` are cut before their ReLU.
    """

    def __init__(self, widths=(16, 32, 32, 32, 32), classes=10, *, rngs: nnx.Rngs):
        inputs = (1, *widths[:-1])
        for i, (a, b) in enumerate(zip(inputs, widths, strict=True), 1):
            setattr(self, f"c{i}", nnx.Conv(a, b, (3, 3), rngs=rngs))
        self.head = nnx.Linear(widths[-1] * 64, classes, rngs=rngs)

    def __call__(self, x):
        """Map ``[B, 32, 32, 1]`` to logits."""
        for i in range(1, 6):
            x = jax.nn.relu(getattr(self, f"c{i}")(x))
            if i <= 2:
                x = _pool(x)
        return self.head(x.reshape(len(x), -1))


def _pool(x):
    sizes = (1, 2, 2, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, sizes, sizes, "VALID")


LAYERS = ("c1", "c2", "c3", "c4", "c5")


def fashion(split: str, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Fashion-MNIST framed to ``[N, 32, 32, 1]`` in [0, 1], and labels."""
    x, y = fashion_mnist.load(split, limit)
    return x[..., :1], y


def trained(n: int, epochs: int, *, flips: bool, seed: int = 0) -> nnx.Module:
    """`FiveConv` on the first ``n`` images; ``flips`` mirrors them at random."""
    data = fashion("train", n)
    return taught(FiveConv(rngs=nnx.Rngs(seed)), data, epochs, flips=flips, seed=seed)


def taught(
    model: nnx.Module, data, epochs: int, *, flips: bool = False, seed: int = 0
) -> nnx.Module:
    """A model after Adam on the cross-entropy, in batches of 128."""
    x, y = data
    n = len(x)
    graph, params = nnx.split(model)
    steps = epochs * (n // 128)
    chain = optax.adam(optax.cosine_decay_schedule(2e-3, steps))

    @jax.jit
    def step(params, state, x, y):
        def loss(params):
            logits = nnx.merge(graph, params)(x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        slope = jax.grad(loss)(params)
        change, state = chain.update(slope, state, params)
        return optax.apply_updates(params, change), state

    state, rng = chain.init(params), np.random.default_rng(seed)
    for _ in range(epochs):
        for rows in rng.permutation(n)[: n // 128 * 128].reshape(-1, 128):
            part = x[rows]
            if flips:
                mirrored = rng.random(128) < 0.5
                part = np.where(mirrored[:, None, None, None], part[:, :, ::-1], part)
            params, state = step(params, state, part, y[rows])
    return nnx.merge(graph, params)
