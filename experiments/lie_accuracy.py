"""LEE against accuracy over networks trained here (in the form of Figs. 1, 5 and 9).

    python -m experiments.lie_accuracy   # about 15 minutes on one core

24 networks on the first 2048 images of Fashion-MNIST (32 pixels): convolutional
networks and vision transformers, each in two widths, without and with augmentation by
random translations of up to 3 pixels, seeds 0, 1, 2. Statistics: test accuracy on 2000
images; LEE of the class probabilities under each action on the first 100 test images.

Rules, stated beforehand. More accurate networks are more equivariant under an action if
Spearman's correlation of LEE and accuracy over the networks has a 95 % interval below
0. Transformers are more equivariant to translations, augmentation makes networks so,
and width does, each if the difference of log LEE over the pairs that are alike in all
else has an interval on that side of 0 (12 pairs each). Augmentation brings transformers
nearer to convolutional networks if the difference of that effect between the two has
an interval on that side (6 pairs).
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from flax import nnx

from eqnets import actions, measure, models

from .lie_common import correlation, interval, verdict
from .maps_common import FiveConv, fashion, load, save, save_figure

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "lie_accuracy"
KINDS, WIDTHS, AUGMENTED, SEEDS = ("cnn", "vit"), (1, 2), (False, True), (0, 1, 2)
TRAIN, TEST, SHOWN, EPOCHS, BATCH, REACH = 2048, 2000, 100, 10, 128, 3
ACTIONS = (
    "translation_x",
    "rotation",
    "shear_x",
    "stretch_x",
    "hyperbolic_rotation",
    "brightness",
)


class GreyViT(nnx.Module):
    """A small vision transformer of images with one channel."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.net = models.vit((8, width, 4, 4), 10, image_size=32, rngs=rngs)

    def __call__(self, x):
        """Map ``[B, 32, 32, 1]`` to logits."""
        return self.net(jnp.repeat(x, 3, -1))


images = functools.lru_cache(fashion)


def network(kind: str, width: int, key: jax.Array) -> nnx.Module:
    """One of the networks, untrained."""
    rngs = nnx.Rngs(key)
    if kind == "cnn":
        return FiveConv(tuple(width * c for c in (4, 8, 8, 8, 8)), rngs=rngs)
    return GreyViT(16 * width, rngs=rngs)


@functools.lru_cache
def compiled(kind: str, width: int):
    """Structure, initial weights, optimiser, compiled step and labels of a network."""
    start = jax.jit(lambda key: nnx.split(network(kind, width, key))[1])
    graph, _ = nnx.split(
        nnx.eval_shape(lambda: network(kind, width, jax.random.key(0)))
    )
    steps = EPOCHS * (TRAIN // BATCH)
    chain = optax.adam(optax.cosine_decay_schedule(2e-3, steps))

    @jax.jit
    def step(params, state, x, y):
        def loss(params):
            logits = nnx.merge(graph, params)(x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        change, state = chain.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, change), state

    labels = jax.jit(lambda params, x: nnx.merge(graph, params)(x).argmax(-1))
    return graph, start, chain, step, labels


def trained(kind: str, width: int, augmented: bool, seed: int) -> nnx.Module:
    """The network after EPOCHS of Adam."""
    x, y = images("train", TRAIN)
    graph, start, chain, step, _ = compiled(kind, width)
    params = start(jax.random.key(seed))
    state, rng = chain.init(params), np.random.default_rng(seed)
    for _ in range(EPOCHS):
        for rows in rng.permutation(TRAIN).reshape(-1, BATCH):
            part = x[rows]
            if augmented:
                shifts = rng.integers(-REACH, REACH + 1, (BATCH, 2))
                pairs = zip(part, shifts, strict=True)
                part = np.stack([moved(p, s) for p, s in pairs])
            params, state = step(params, state, part, y[rows])
    return nnx.merge(graph, params)


def moved(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """An image moved by whole pixels; what comes in is black."""
    wide = np.pad(image, ((REACH, REACH), (REACH, REACH), (0, 0)))
    top, left = REACH - shift
    return wide[top : top + image.shape[0], left : left + image.shape[1]]


def measured(kind: str, width: int, net: nnx.Module) -> dict:
    """Accuracy, and LEE under each action."""
    x, y = images("test", TEST)
    guess = compiled(kind, width)[-1](nnx.split(net)[1], x)
    standard = actions.standard()
    found = measure.lee_profile(
        measure.readout(net, "probs"),
        {a: standard[a] for a in ACTIONS},
        jnp.asarray(x[:SHOWN]),
        batch_size=50,
    )
    lee = {a: e.mean for a, e in found.items()}
    return {"accuracy": float(np.mean(np.asarray(guess) == y)), "lee": lee}


def findings(rows: dict) -> dict[str, dict[str, float]]:
    """The interval of each finding, positive where it reappears."""
    accuracy = [row["accuracy"] for row in rows.values()]
    found = {}
    for action in ACTIONS:
        lee = [row["lee"][action] for row in rows.values()]
        r = correlation(lee, accuracy)
        found[f"more accurate, less LEE under {action}"] = {
            "mean": -r["mean"],
            "low": -r["high"],
            "high": -r["low"],
        }

    def log(kind, width, augmented, seed):
        name = f"{kind} {width} {augmented} {seed}"
        return np.log(rows[name]["lee"]["translation_x"])

    product = itertools.product
    found["transformers have less translation LEE"] = interval(
        [log("cnn", *k) - log("vit", *k) for k in product(WIDTHS, AUGMENTED, SEEDS)]
    )
    effect = {
        kind: np.array(
            [
                log(kind, w, False, s) - log(kind, w, True, s)
                for w, s in product(WIDTHS, SEEDS)
            ]
        )
        for kind in KINDS
    }
    found["augmentation makes translation LEE less"] = interval(
        np.concatenate(list(effect.values()))
    )
    found["augmentation does more for transformers"] = interval(
        effect["vit"] - effect["cnn"]
    )
    found["width makes translation LEE less"] = interval(
        [
            log(k, 1, a, s) - log(k, 2, a, s)
            for k, a, s in product(KINDS, AUGMENTED, SEEDS)
        ]
    )
    return found


def draw(rows: dict):
    """LEE against accuracy under each action."""
    figure, axes = plt.subplots(2, 3, figsize=(10, 6), sharex=True)
    for axis, action in zip(axes.flat, ACTIONS, strict=True):
        for (kind, augmented), marker in zip(
            itertools.product(KINDS, AUGMENTED), "o.x+", strict=True
        ):
            chosen = [
                row
                for name, row in rows.items()
                if name.startswith(kind) and str(augmented) in name
            ]
            axis.plot(
                [row["accuracy"] for row in chosen],
                [row["lee"][action] for row in chosen],
                marker,
                color=f"C{KINDS.index(kind)}",
                label=f"{kind}{', augmented' if augmented else ''}",
            )
        axis.set(title=action, yscale="log")
    axes[1, 0].set(xlabel="test accuracy", ylabel="LEE")
    axes[0, 0].legend(fontsize=7)
    return figure


def main() -> None:
    """Train and measure what is missing, draw, and say what reappears."""
    settings = {"train": TRAIN, "test": TEST, "epochs": EPOCHS, "batch": BATCH}
    settings |= {"shown": SHOWN, "reach": REACH, "seeds": SEEDS}
    found = load(NAME, settings)
    found["command"] = "python -m experiments.lie_accuracy"
    rows = found.setdefault("nets", {})
    for seed, augmented, width, kind in itertools.product(
        SEEDS, AUGMENTED, WIDTHS, KINDS
    ):
        name = f"{kind} {width} {augmented} {seed}"
        if name not in rows:
            rows[name] = measured(kind, width, trained(kind, width, augmented, seed))
            save(NAME, found)
            print(name, rows[name]["accuracy"], flush=True)
    found["intervals"] = findings(rows)
    found["verdicts"] = {k: verdict(v) for k, v in found["intervals"].items()}
    save(NAME, found)
    figure = draw(rows)
    figure.tight_layout()
    save_figure(NAME, figure)
    for finding, said in found["verdicts"].items():
        print(f"{said:<24} {finding}")


if __name__ == "__main__":
    main()
