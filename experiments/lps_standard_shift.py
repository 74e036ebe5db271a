"""Table 3 and section 5.3 of Rojas-Gomez et al. (2022) in small: standard shifts.

ResNet-18 of width 16 with zero padding on 10,000 images of Fashion-MNIST, trained on
random windows of 24 x 24 pixels of the framed 32 x 32 and tested on the central one.
Nothing is periodic here, so no sampling is exactly invariant. Per run: accuracy on the
10,000 test images, and S-Cons, the fraction of 4,000 of them whose label is the same in
two windows at random places. ``wide`` is LPF in a network an eighth wider, which has
more parameters than LPS has with its selections.

Of a trained LPS network also: how often the component that it keeps is the one of the
largest norm (by layer and over all), and its accuracy with every learned selection
replaced by that of APS, or by component 0.

Seeds 0 to 2, the same windows in the same order whatever the method. Rules, by 95 %
t intervals of paired differences over seeds; above zero: *reappears*, below: *does
not*, else *undecided at this size*:

- S-Cons: LPS less LPF, and LPS less strided;
- accuracy: LPS less LPF, LPS less strided, LPS less the wider LPF;
- accuracy of LPS less what is left with APS in its place;
- one half less the rate at which LPS keeps the component of the largest norm.

    python -m experiments.lps_standard_shift            # 40 minutes of one core
    python -m experiments.lps_standard_shift --full     # width 64, 60k, 5 seeds: a GPU

A finished run is written at once; a run that is there is not repeated. The figure has
the components of one photograph before layer 4, as the paper's Fig. 4.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from eqnets import io, measure, models, nn, polyphase
from experiments import fashion_mnist
from experiments.lie_common import interval, verdict
from experiments.training import Config, Optimiser, ResNet, Run
from experiments.training.augment import prepare
from experiments.training.datasets import Arrays, Dataset, Source, Spec

RESULTS = Path(__file__).parent / "results" / "lps_standard_shift.json"
SIZE, WINDOW = 32, 24
ROOM = SIZE - WINDOW
METHODS = {
    "strided": {"down": "strided"},
    "lpf": {"down": "lowpass", "antialias": "tri3"},
    "lps": {"down": "lps", "antialias": "tri3"},
    "wide": {"down": "lowpass", "antialias": "tri3"},
}
# Accuracy and S-Cons in percent: ResNet-50, ImageNet.
PAPER = {"strided": (76.16, 89.2), "lpf": (76.83, 90.91), "lps": (77.14, 91.43)}
SHOWN = 8  # channels of the figure


@dataclasses.dataclass(frozen=True)
class RandomWindows:
    """A window of each image, at a place drawn anew in every epoch."""

    x: np.ndarray
    y: np.ndarray
    seed: int
    in_memory = True

    def __len__(self) -> int:
        return len(self.x)

    def read(self, positions: np.ndarray, epoch: int) -> dict[str, np.ndarray]:
        """The places depend on the seed, the epoch and the position alone."""
        corners = np.random.default_rng([self.seed, epoch]).integers(
            0, ROOM + 1, (len(self.x), 2)
        )[positions]
        windows = [
            self.x[at, i : i + WINDOW, j : j + WINDOW]
            for at, (i, j) in zip(positions, corners, strict=True)
        ]
        return {"x": np.stack(windows), "y": self.y[positions]}


@dataclasses.dataclass(frozen=True)
class Windows(Dataset):
    """Fashion-MNIST by windows: random ones in training, the central one in the test.

    Attributes:
        images: training images.
        folder: of the ``.gz`` files.
    """

    images: int = 10_000
    folder: Path = fashion_mnist.DATA

    def spec(self) -> Spec:
        """Ten classes of 24 x 24 pixels."""
        return Spec("classification", (WINDOW, WINDOW, 3), 10, (0.219,), (0.339,))

    def train(self, seed: int) -> Source:
        """The first ``images`` of the training set."""
        x, y = fashion_mnist.load_uint8("train", self.images, folder=self.folder)
        return RandomWindows(x, y, seed)

    def test(self, seed: int) -> Source:
        """The whole test set."""
        x, y = fashion_mnist.load_uint8("test", folder=self.folder)
        inside = slice(ROOM // 2, ROOM // 2 + WINDOW)
        return Arrays(x[:, inside, inside], y)


def config(method: str, seed: int, options: argparse.Namespace) -> Config:
    """The run of a row."""
    width = options.width + (options.width // 8) * (method == "wide")
    hidden = tuple(options.width * k // 2 for k in (1, 2, 4, 8))
    return Config(
        Windows(options.images, options.data),
        ResNet(18, hidden=hidden, width=width, padding="zeros", **METHODS[method]),
        Optimiser("sgd", rate=options.rate, weight_decay=5e-4, schedule="cosine"),
        epochs=options.epochs,
        batch=options.batch,
        augment=("flip",),
        seed=seed,
        log_every=100,
        evaluate_every=options.epochs,
        checkpoint_every=10**6,
        measured=0,
    )


def network(run: Config, weights: Path | None = None) -> models.ResNet:
    """The network of a run in evaluation, with the weights that it ended with."""
    net = run.model.build(run.data.spec(), nnx.Rngs(run.seed))
    if weights is not None:
        models.load_weights(net, weights)
    return nnx.view(net, use_running_average=True, raise_if_not_found=False)


def with_selection(net: models.ResNet, run: Config, down: str) -> models.ResNet:
    """The same weights, with another rule for the component that is kept."""
    other = network(
        dataclasses.replace(run, model=dataclasses.replace(run.model, down=down))
    )
    rest = nnx.split(net, nn.SelectionParam, ...)[-1]
    nnx.update(other, rest)
    return other


def labels(net: models.ResNet, x: np.ndarray) -> np.ndarray:
    """Labels ``[B]`` of prepared images, 200 at a time."""
    graph, state = nnx.split(net)
    run = jax.jit(lambda state, x: jnp.argmax(nnx.merge(graph, state)(x), -1))
    parts = [run(state, x[i : i + 200]) for i in range(0, len(x), 200)]
    return np.concatenate([np.asarray(part) for part in parts])


def choices(net: models.ResNet, x: jax.Array) -> list[dict[str, jax.Array]]:
    """Per sampling layer: its components, the one kept and the one of largest norm."""
    found = []
    x, _ = net.stem(x)
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        for block in stage:
            after, weights = block(x)
            if weights is not None:
                scored = jax.nn.relu(block.bn1(block.conv1(x)))
                phases = polyphase.split(scored, 2)
                found.append(
                    {
                        "phases": phases,
                        "kept": weights.argmax(-1),
                        "largest": polyphase.norm_scores(phases).argmax(-1),
                    }
                )
            x = after
    return found


def selection(net: models.ResNet, run: Config, x: jax.Array, y: np.ndarray) -> dict:
    """How far the learned selection is from APS."""
    rates = np.zeros(0)
    for part in jnp.split(x[:2000], 10):
        agree = [(c["kept"] == c["largest"]).mean() for c in choices(net, part)]
        rates = np.add(rates, agree) if len(rates) else np.array(agree)
    swapped = {
        down: float((labels(with_selection(net, run, down), x) == y).mean())
        for down in ("aps", "lowpass")
    }
    return {
        "largest_norm": float(rates.mean() / 10),
        "largest_norm_by_layer": (rates / 10).tolist(),
        "accuracy_with_aps": swapped["aps"],
        "accuracy_with_component_0": swapped["lowpass"],
    }


def train(method: str, seed: int, options: argparse.Namespace) -> dict:
    """Train and measure one run; draw the components if it is the first of LPS."""
    run = config(method, seed, options)
    with tempfile.TemporaryDirectory() as folder:
        scores = Run(run, Path(folder)).train()
        net = network(run, Path(folder, "weights.safetensors"))
    spec, test = run.data.spec(), run.data.test(seed)
    whole, _ = fashion_mnist.load_uint8("test", 4000, folder=options.data)
    result = {
        "accuracy": scores["accuracy"],
        "shift_consistency": measure.shift_consistency(
            lambda x: labels(net, x),
            prepare(spec, jnp.asarray(whole)),
            jax.random.key(0),
            crop=WINDOW,
            max_shift=ROOM,
            pairs=1,
        ),
        "parameters": sum(p.size for p in jax.tree.leaves(nnx.state(net, nnx.Param))),
    }
    if method == "lps":
        x = prepare(spec, jnp.asarray(test.x))
        result |= selection(net, run, x, test.y)
        if seed == 0:
            draw(choices(net, x[:4])[-1], options.results.with_suffix(".png"))
    return result


def findings(runs: dict, seeds: int) -> dict:
    """The rules of the module's docstring, as ``verdicts`` and ``intervals``."""

    def column(method: str, name: str) -> np.ndarray:
        return np.array([runs[f"{method}|{s}"][name] for s in range(seeds)])

    differences = {
        f"LPS: higher {title} than {other}": column("lps", name) - column(other, name)
        for name, title, others in (
            ("shift_consistency", "S-Cons", ("lpf", "strided")),
            ("accuracy", "accuracy", ("lpf", "strided", "wide")),
        )
        for other in others
    }
    lost = column("lps", "accuracy") - column("lps", "accuracy_with_aps")
    differences["LPS loses accuracy with APS in its place"] = lost
    rate = 0.5 - column("lps", "largest_norm")
    differences["LPS keeps the largest norm less than half of the time"] = rate
    intervals = {name: interval(found) for name, found in differences.items()}
    verdicts = {name: verdict(found) for name, found in intervals.items()}
    return {"intervals": intervals, "verdicts": verdicts}


def draw(layer: dict[str, jax.Array], path: Path) -> None:
    """The four components before the last sampling, the choices framed."""
    from eqnets.report.style import new_figure, picture_axes

    phases = np.asarray(layer["phases"])[..., :SHOWN]
    images = len(phases)
    figure = new_figure(7.0, 1.4 * images)
    figure.patch.set_alpha(1.0)
    axes = figure.subplots(images, 4)
    for row, line in enumerate(axes):
        top = phases[row].max()
        for p, ax in enumerate(line):
            picture_axes(ax)
            maps = phases[row, p].transpose(2, 0, 1)
            ruled = np.pad(maps, ((0, 0), (0, 1), (0, 1)), constant_values=np.nan)
            halves = [np.hstack(half) for half in np.split(ruled, 2)]
            ax.imshow(np.vstack(halves), vmin=0, vmax=top, cmap="magma")
            marks = [name for name in ("kept", "largest") if layer[name][row] == p]
            words = {"kept": "kept by LPS", "largest": "largest norm"}
            ax.set_title(
                f"component {p}" + "".join(f"\n{words[m]}" for m in marks), fontsize=8
            )
    with io.atomic_write(path) as aside:
        figure.savefig(aside, dpi=110)


def table(runs: dict) -> str:
    """One line per method."""
    lines = [f"{'method':<9}{'seeds':>6}{'accuracy %':>12}{'S-Cons %':>10}   paper"]
    for method in METHODS:
        found = [r for name, r in runs.items() if name.startswith(f"{method}|")]
        if found:
            accuracy, same = (
                100 * np.mean([r[name] for r in found])
                for name in ("accuracy", "shift_consistency")
            )
            paper = " / ".join(map(str, PAPER.get(method, ("-",))))
            lines.append(
                f"{method:<9}{len(found):>6}{accuracy:>12.2f}{same:>10.2f}   {paper}"
            )
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, write after each run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--full", action="store_true", help="60 epochs, batch 256")
    parser.add_argument("--data", type=Path, default=fashion_mnist.DATA)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.full:
        options.width, options.images, options.seeds = 64, 60_000, 5
        options.epochs, options.batch, options.rate = 60, 256, 0.1
    settings = ("width", "images", "epochs", "seeds", "batch", "rate")
    size = {name: getattr(options, name) for name in settings}
    flag = " --full" if options.full else ""
    records = {
        "command": f"python -m experiments.lps_standard_shift{flag}",
        "size": size,
        "runs": {},
    }
    if options.results.exists():
        records = json.loads(options.results.read_text())
        if records["size"] != size:
            parser.error(
                f"{options.results} holds runs of another size; give --results"
            )
    for seed in range(options.seeds):
        for method in METHODS:
            if f"{method}|{seed}" in records["runs"]:
                continue
            records["runs"][f"{method}|{seed}"] = train(method, seed, options)
            if len(records["runs"]) == len(METHODS) * options.seeds > len(METHODS):
                records |= findings(records["runs"], options.seeds)
            io.atomic_write_text(options.results, json.dumps(records, indent=1) + "\n")
            print(method, seed, records["runs"][f"{method}|{seed}"], flush=True)
    print(table(records["runs"]))


if __name__ == "__main__":
    main()
