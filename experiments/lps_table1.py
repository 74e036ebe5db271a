"""Table 1 of Rojas-Gomez et al. (2022) in small, on Fashion-MNIST.

ResNet-18 of width 16 on 10,000 training images (28 x 28, framed to 32 x 32), circular
padding: the strided baseline, LPF with Tri-3, APS, LPS and input-select LPS with three
seeds, the other filters with one. Per run: accuracy on the 10,000 test images; C-Cons,
the fraction of 2,000 of them whose label is the same under two random circular shifts
of 0..32 pixels; and how many of all 1,024 shifts of four of them move a logit by more
than 1e-4, and by how much at the worst.

Question: is input-select LPS, at the price of the strided network, as accurate as LPS?
The rule by which it is answered is ``verdict`` in ``experiments.lps_table1_report``.

    python -m experiments.lps_table1                  # about an hour on two cores
    python -m experiments.lps_table1_report           # the table and its figure
    python -m experiments.lps_table1 --full           # width 64, 60k, 5 seeds: a GPU

The runs that the question needs come first. A finished run is written to
``experiments/results/lps_table1.json`` at once; a run that is there is not repeated.

Expected: C-Cons is 1, and no shift moves a logit, in every APS and LPS row; the others
are below (paper, CIFAR-10: 89.6 % for the baseline to 98.3 % for LPF with Bin-5).
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from eqnets import io, measure, models, nn, polyphase
from experiments import fashion_mnist

RESULTS = Path(__file__).parent / "results" / "lps_table1.json"
HIDDEN = (8, 16, 32, 64)
CHECKED = 4  # images on which every shift is tried
SETTINGS = ("width", "images", "epochs", "batch", "rate")
Data = tuple[np.ndarray, np.ndarray]


def planned(seeds: int) -> Iterator[dict]:
    """What to train, the runs that answer the question first."""
    several = [
        (("lps", None), ("lps_input", None)),
        (("strided", None), ("aps", None)),
        (("lowpass", "tri3"),),
    ]
    for methods in several:
        for seed in range(seeds):
            for down, antialias in methods:
                yield {"down": down, "antialias": antialias, "seed": seed}
    for antialias in ("tri3", "bin5", "rect2", "adaptive3"):
        for down in ("lps", "aps", "lowpass"):
            if (down, antialias) != ("lowpass", "tri3"):
                yield {"down": down, "antialias": antialias, "seed": 0}


def optimiser(model: nnx.Module, rate: float, steps: int) -> nnx.Optimizer:
    """SGD, the decay of the paper (none on the selection) and a cosine schedule."""
    decayed = jax.tree.map(
        lambda p: not isinstance(p, nn.SelectionParam),
        nnx.state(model, nnx.Param),
        is_leaf=lambda p: isinstance(p, nnx.Variable),
    )
    chain = optax.chain(
        optax.add_decayed_weights(5e-4, mask=decayed),
        optax.sgd(optax.cosine_decay_schedule(rate, steps), momentum=0.9),
    )
    return nnx.Optimizer(model, chain, wrt=nnx.Param)


@nnx.jit
def train_step(
    model: nnx.Module,
    optimizer: nnx.Optimizer,
    batch: tuple[jax.Array, jax.Array],
    key: jax.Array,
    temperature: jax.Array,
) -> jax.Array:
    """One step: random flips, Gumbel mixtures, cross-entropy."""
    flip_key, key = jax.random.split(key)
    x, y = batch
    flip = jax.random.bernoulli(flip_key, 0.5, (x.shape[0], 1, 1, 1))
    x = jnp.where(flip, x[:, :, ::-1], x)

    def loss(model: nnx.Module) -> jax.Array:
        logits = model(x, key=key, temperature=temperature)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    value, grads = nnx.value_and_grad(loss)(model)
    optimizer.update(model, grads)
    return value


def train(run: dict, data: Data, options: argparse.Namespace) -> nnx.Module:
    """A trained model; a seed sees the same batches whatever the method."""
    x, y = data
    model = models.resnet(
        18,
        10,
        stem="cifar",
        width=options.width,
        down=run["down"],
        antialias=run["antialias"],
        hidden=HIDDEN,
        rngs=nnx.Rngs(run["seed"]),
    )
    per_epoch = len(x) // options.batch
    steps = options.epochs * per_epoch
    optimizer = optimiser(model, options.rate, steps)
    temperature = polyphase.linear_milestones([max(steps, 2)], [0.1])
    order = np.random.default_rng(run["seed"])
    key, step = jax.random.key(run["seed"]), 0
    for epoch in range(options.epochs):
        start, losses = time.perf_counter(), []
        rows = order.permutation(len(x))[: per_epoch * options.batch]
        for chosen in rows.reshape(per_epoch, -1):
            step += 1
            batch = (jnp.asarray(x[chosen]), jnp.asarray(y[chosen]))
            step_key = jax.random.fold_in(key, step)
            losses.append(
                train_step(model, optimizer, batch, step_key, temperature(step))
            )
        value = float(np.mean(losses))
        seconds = time.perf_counter() - start
        print(f"  epoch {epoch + 1}: loss {value:.3f}, {seconds:.0f} s", flush=True)
    return model


def evaluator(model: nnx.Module) -> Callable[[jax.Array], jax.Array]:
    """The model in evaluation mode: images to logits, jitted."""
    view = nnx.view(model, use_running_average=True, raise_if_not_found=False)
    graph, params = nnx.split(view)
    return partial(jax.jit(lambda params, x: nnx.merge(graph, params)(x)), params)


def evaluate(
    logits: Callable[[jax.Array], jax.Array], data: Data, selects: bool
) -> dict:
    """Accuracy, consistency, and for a network that selects: every shift."""
    x, y = data
    size = 100

    def predict(x: jax.Array) -> np.ndarray:
        parts = [logits(jnp.asarray(x[i : i + size])) for i in range(0, len(x), size)]
        return np.concatenate([np.argmax(part, -1) for part in parts])

    result = {
        "test_images": len(x),
        "accuracy": float((predict(x) == y).mean()),
        "consistency": measure.circular_consistency(
            predict, x[:2000], jax.random.key(0), max_shift=32, pairs=1
        ),
    }
    if selects:
        report = measure.check_equivariance(logits, x[:CHECKED])
        result["shifts"] = len(report.shifts)
        result["violations"] = report.violations(1e-4)
        result["worst"] = report.worst
    return result


def finished(path: Path) -> list[dict]:
    """The runs whose results are on disk."""
    return json.loads(path.read_text())["runs"] if path.exists() else []


def main() -> None:
    """Parse the command line, train what is missing, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--only", nargs="*", help="these methods, such as lps_input")
    parser.add_argument("--full", action="store_true", help="60 epochs, batch 256")
    parser.add_argument("--data", type=Path, default=fashion_mnist.DATA)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.full:
        options.width, options.images, options.seeds = 64, 60_000, 5
        options.epochs, options.batch, options.rate = 60, 256, 0.1
    settings = {name: getattr(options, name) for name in SETTINGS}
    train_data = fashion_mnist.load("train", options.images, folder=options.data)
    test_data = fashion_mnist.load("test", options.test_images, folder=options.data)
    for run in planned(options.seeds):
        wanted = run | settings
        done = any(r | wanted == r for r in finished(options.results))
        if done or (options.only and run["down"] not in options.only):
            continue
        print(run, flush=True)
        start = time.perf_counter()
        model = train(run, train_data, options)
        selects = model.sampling.selects
        result = wanted | evaluate(evaluator(model), test_data, selects)
        result["seconds"] = round(time.perf_counter() - start)
        record = {
            "command": "python -m experiments.lps_table1",
            "device": jax.devices()[0].device_kind,
            "runs": [*finished(options.results), result],
        }
        io.atomic_write_text(options.results, json.dumps(record, indent=1) + "\n")
        print(f"  {result}", flush=True)


if __name__ == "__main__":
    main()
