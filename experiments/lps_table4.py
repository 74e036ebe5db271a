"""Table 4 of Rojas-Gomez et al. (2022): parameters (exact) and time of ResNet-101.

    python -m experiments.lps_table4 --counts         # the parameters alone: seconds
    python -m experiments.lps_table4                  # and the times: minutes
    python -m experiments.lps_table4 --batch 32       # the paper's batch, for a GPU

The paper's milliseconds are of one GPU, 32 images of 224 x 224; here times are
ratios to the filtered default network, its 68.72 ms, measured in turns in one run.
Expected: parameters equal to the last digit; paper's ratios 1.22, 1.90, 1.81, 1.13, 1.
Results go to ``experiments/results/lps_table4.json`` and ``.png``.
"""

import argparse
import json
import os
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from benchmarks.polyphase import interleave, timed
from eqnets import io, models
from eqnets.report.style import new_figure, plain_axes
from experiments.lie_common import DOES_NOT, REAPPEARS

HIDDEN = (8, 16, 32, 64)
# Name: options, the paper's parameters, the paper's milliseconds.
ROWS = {
    "LPD + Tri-3": (
        {"down": "lps", "antialias": "tri3", "hidden": HIDDEN},
        42_966_730,
        83.61,
    ),
    "LPD + Adapt-3": (
        {"down": "lps", "antialias": "adaptive3", "hidden": HIDDEN},
        44_751_034,
        130.69,
    ),
    "default + Adapt-3": (
        {"down": "lowpass", "antialias": "adaptive3"},
        44_304_954,
        124.69,
    ),
    "APS + Tri-3": ({"down": "aps", "antialias": "tri3"}, 42_520_650, 77.68),
    "default + Tri-3": ({"down": "lowpass", "antialias": "tri3"}, 42_520_650, 68.72),
}
RESULTS = Path(__file__).parent / "results" / "lps_table4.json"


def build(options: dict) -> nnx.Module:
    """ResNet-101 with a 10-class head, as in the paper's count."""
    return models.resnet(101, 10, rngs=nnx.Rngs(0), **options)


def count(options: dict) -> int:
    """Trainable parameters, from shapes alone."""
    params = nnx.state(nnx.eval_shape(lambda: build(options)), nnx.Param)
    return sum(int(np.prod(p.shape)) for p in jax.tree.leaves(params))


def times(batch: int, size: int, rounds: int) -> dict[str, float]:
    """The least seconds of a forward pass of every row, in turns."""
    x = jax.random.normal(jax.random.key(0), (batch, size, size, 3))
    contenders = {}
    for name, (options, *_) in ROWS.items():
        view = nnx.view(
            build(options), use_running_average=True, raise_if_not_found=False
        )
        graph, params = nnx.split(view)
        run = jax.jit(lambda params, x, graph=graph: nnx.merge(graph, params)(x))
        contenders[name] = timed(lambda run=run, params=params: run(params, x))
    return interleave(contenders, rounds)


def verdicts(table: dict[str, dict]) -> dict[str, str]:
    """Parameters to the last digit; rows in the paper's order of time."""
    rows = table.values()
    equal = all(row["parameters"] == row["paper_parameters"] for row in rows)
    ours, papers = (
        sorted(table, key=lambda name: table[name][key])
        for key in ("time_ratio", "paper_time_ratio")
    )
    return {
        "the parameters are those of the paper": REAPPEARS if equal else DOES_NOT,
        "the order of the times is that of the paper": (
            REAPPEARS if ours == papers else DOES_NOT
        ),
    }


def draw(table: dict[str, dict], path: Path) -> None:
    """Time over that of the filtered default, here and in the paper."""
    figure = new_figure(6.0, 2.8)
    figure.patch.set_alpha(1.0)
    axes = figure.subplots()
    plain_axes(axes, grid="y")
    keys = {"time_ratio": "here", "paper_time_ratio": "paper"}
    for i, (key, label) in enumerate(keys.items()):
        ratios = [row[key] for row in table.values()]
        axes.bar(np.arange(len(ratios)) + 0.4 * i - 0.2, ratios, 0.36, label=label)
    axes.set_xticks(np.arange(len(table)), list(table), fontsize=7)
    axes.set_ylabel("time over default + Tri-3")
    axes.legend(fontsize=7, frameon=False)
    with io.atomic_write(path) as aside:
        figure.savefig(aside, dpi=110)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", action="store_true", help="no times, no file")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    base = "default + Tri-3"
    table = {
        name: {
            "parameters": count(row),
            "paper_parameters": parameters,
            "paper_time_ratio": round(milliseconds / ROWS[base][2], 3),
        }
        for name, (row, parameters, milliseconds) in ROWS.items()
    }
    if not options.counts:
        seconds = times(options.batch, options.size, options.rounds)
        for name, row in table.items():
            row["time_ratio"] = round(seconds[name] / seconds[base], 3)
        result = {
            "command": "python -m experiments.lps_table4",
            "batch": options.batch,
            "size": options.size,
            "rounds": options.rounds,
            "device": jax.devices()[0].device_kind,
            "cores": os.cpu_count(),
            "base_seconds": round(seconds[base], 3),
            "rows": table,
            "verdicts": verdicts(table),
        }
        io.atomic_write_text(RESULTS, json.dumps(result, indent=1) + "\n")
        draw(table, RESULTS.with_suffix(".png"))
    for name, row in table.items():
        print(name, row)


if __name__ == "__main__":
    main()
