"""Table 1 of Rojas-Gomez et al. (2022) in small, on Fashion-MNIST.

ResNet-18 of width 16 on 10,000 images (28 x 28, framed to 32 x 32), circular padding:
the strided baseline, LPF, APS, LPS and input-select LPS without filters with three
seeds, and Rect-2, Tri-3 and Bin-5 with one. Reported per run: accuracy on the test
images, and C-Cons, the fraction of them whose label is the same under two random
circular shifts of 0..32 pixels.

Question: is input-select LPS, at the price of the strided network, as accurate as LPS?
It is answered by the differences of accuracy, paired over seeds.

    python -m experiments.lps_table1                      # about an hour on two cores
    python -m experiments.lps_table1 --report             # the table, from the results
    python -m experiments.lps_table1 --full             # width 64, 60k, 5 seeds: a GPU

The data is Debian's package ``dataset-fashion-mnist``. Each finished run is one line of
``experiments/results/lps_table1.jsonl``; a run that is there is not repeated.

Expected: C-Cons is 1 for every APS and LPS row, and below 1 for the others (paper,
CIFAR-10: 89.6 baseline to 98.3 LPF Bin-5).
"""

import argparse
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from eqnets import models, nn, polyphase

DATA = Path("/usr/share/datasets/fashion-mnist")
RESULTS = Path(__file__).parent / "results" / "lps_table1.jsonl"
HIDDEN = (8, 16, 32, 64)
FILTERS = (None, "rect2", "tri3", "bin5")
DOWN = ("strided", "lowpass", "aps", "lps", "lps_input")
# Accuracy and C-Cons in percent, CIFAR-10, width 64, five seeds.
PAPER = {
    ("strided", None): (91.44, 89.64),
    ("lowpass", "rect2"): (93.1, 94.75),
    ("lowpass", "tri3"): (93.97, 96.74),
    ("lowpass", "bin5"): (94.43, 98.34),
    ("aps", None): (94.07, 100),
    ("aps", "rect2"): (94.38, 100),
    ("aps", "tri3"): (94.36, 100),
    ("aps", "bin5"): (94.44, 100),
    ("lps", None): (94.45, 100),
    ("lps", "rect2"): (94.69, 100),
    ("lps", "tri3"): (94.8, 100),
    ("lps", "bin5"): (94.49, 100),
}


def load(split: str, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Images ``[N, 32, 32, 3]`` in [0, 1] and labels, from the gzipped idx files."""
    stem = {"train": "train", "test": "t10k"}[split]
    with gzip.open(DATA / f"{stem}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(DATA / f"{stem}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int32)
    framed = np.pad(images[:limit], ((0, 0), (2, 2), (2, 2)))
    pixels = (framed / np.float32(255))[..., None].repeat(3, -1)
    return pixels.astype(np.float32), labels[:limit]


def runs(options: argparse.Namespace) -> Iterator[dict]:
    """What to train: every plain method with all seeds, then the filters with one."""
    for seed in range(options.seeds):
        for down in DOWN:
            if down != "lowpass":
                yield {"down": down, "antialias": None, "seed": seed}
    for antialias in FILTERS[1:]:
        for down in ("lowpass", "aps", "lps"):
            yield {"down": down, "antialias": antialias, "seed": 0}


def optimiser(model: nnx.Module, steps: int) -> nnx.Optimizer:
    """SGD as in the paper, no weight decay on selection, a cosine for few epochs."""
    params = nnx.state(model, nnx.Param)

    def decayed(params: nnx.State) -> nnx.State:
        return jax.tree.map(
            lambda p: not isinstance(p, nn.SelectionParam),
            params,
            is_leaf=lambda p: isinstance(p, nnx.Variable),
        )

    rate = optax.cosine_decay_schedule(0.1, steps)
    chain = optax.chain(
        optax.add_decayed_weights(5e-4, mask=decayed(params)),
        optax.sgd(rate, momentum=0.9),
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


def train(run: dict, data: tuple[np.ndarray, np.ndarray], options) -> nnx.Module:
    """A trained model; the same seed sees the same batches whatever the method."""
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
    optimizer = optimiser(model, steps)
    tau = polyphase.linear_milestones([max(steps, 2)], [0.1])
    order = np.random.default_rng(run["seed"])
    key, step = jax.random.key(run["seed"]), 0
    for epoch in range(options.epochs):
        start, value = time.perf_counter(), None
        for rows in order.permutation(len(x))[: per_epoch * options.batch].reshape(
            per_epoch, -1
        ):
            step += 1
            batch = (jnp.asarray(x[rows]), jnp.asarray(y[rows]))
            key, step_key = jax.random.split(key)
            value = train_step(model, optimizer, batch, step_key, tau(step))
        value = float(value)
        seconds = time.perf_counter() - start
        print(f"  epoch {epoch + 1}: loss {value:.3f}, {seconds:.0f} s", flush=True)
    return model


def evaluate(model: nnx.Module, data: tuple[np.ndarray, np.ndarray]) -> dict:
    """Accuracy, and consistency under two random circular shifts per image."""
    view = nnx.view(model, use_running_average=True, raise_if_not_found=False)
    graph, params = nnx.split(view)

    @jax.jit
    def predict(params: nnx.State, x: jax.Array) -> jax.Array:
        return nnx.merge(graph, params)(x).argmax(-1)

    @jax.jit
    def move(x: jax.Array, shifts: jax.Array) -> jax.Array:
        return jax.vmap(lambda image, s: jnp.roll(image, s, (0, 1)))(x, shifts)

    right, same, total = 0, 0, 0
    rng = np.random.default_rng(0)
    for i in range(0, len(data[0]), 250):
        x, y = jnp.asarray(data[0][i : i + 250]), data[1][i : i + 250]
        first, second = rng.integers(0, 33, (2, len(x), 2))
        right += int((np.asarray(predict(params, x)) == y).sum())
        one, two = (predict(params, move(x, s)) for s in (first, second))
        same += int((one == two).sum())
        total += len(x)
    return {"accuracy": right / total, "consistency": same / total}


def finished() -> list[dict]:
    """The runs whose results are on disk."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def report(size: dict) -> None:
    """The table, and the paired answer about input-select."""
    rows = [r for r in finished() if all(r[k] == v for k, v in size.items())]
    print(
        f"{'method':<12}{'filter':<8}{'seeds':>5}{'accuracy':>17}{'C-Cons':>9}  paper"
    )
    cells: dict[tuple, list[dict]] = {}
    for row in rows:
        cells.setdefault((row["down"], row["antialias"]), []).append(row)
    for cell, found in cells.items():
        accuracy = np.array([100 * r["accuracy"] for r in found])
        consistency = np.mean([100 * r["consistency"] for r in found])
        spread = f" +- {accuracy.std(ddof=1):.2f}" if len(found) > 1 else ""
        paper = "{} / {}".format(*PAPER[cell]) if cell in PAPER else "-"
        print(
            f"{cell[0]:<12}{cell[1] or '-':<8}{len(found):>5}"
            f"{f'{accuracy.mean():.2f}{spread}':>17}{consistency:>9.2f}  {paper}"
        )
    by_seed = {
        down: {r["seed"]: r["accuracy"] for r in cells.get((down, None), [])}
        for down in ("lps", "lps_input")
    }
    seeds = sorted(by_seed["lps"].keys() & by_seed["lps_input"].keys())
    if len(seeds) > 1:
        gaps = [100 * (by_seed["lps_input"][s] - by_seed["lps"][s]) for s in seeds]
        error = np.std(gaps, ddof=1) / len(gaps) ** 0.5
        print(
            f"lps_input - lps: {np.mean(gaps):+.2f} +- {error:.2f} points "
            f"(standard error, {len(seeds)} paired seeds)"
        )


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--test-images", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--only", help="train only this method, such as lps_input")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if options.full:
        options.width, options.images, options.test_images = 64, 60_000, 10_000
        options.epochs, options.seeds = 60, 5
    size = {k: getattr(options, k) for k in ("width", "images", "epochs", "batch")}
    if not options.report:
        train_data = load("train", options.images)
        test_data = load("test", options.test_images)
        RESULTS.parent.mkdir(exist_ok=True)
        for run in runs(options):
            done = any(
                all(r[k] == v for k, v in (run | size).items()) for r in finished()
            )
            if done or (options.only and run["down"] != options.only):
                continue
            print(run, flush=True)
            start = time.perf_counter()
            result = evaluate(train(run, train_data, options), test_data)
            result["seconds"] = round(time.perf_counter() - start)
            with RESULTS.open("a") as file:
                file.write(json.dumps(run | size | result) + "\n")
            print(f"  {result}", flush=True)
    report(size)


if __name__ == "__main__":
    main()
