"""The table and the figure of ``experiments.lps_table1``, and its answer.

    python -m experiments.lps_table1_report

reads ``experiments/results/lps_table1.json``, complete or not, prints the table beside
the paper's, writes the verdicts into the same file and draws
``experiments/results/lps_table1.png``.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import stats

from eqnets import io
from experiments.lie_common import DOES_NOT, REAPPEARS, UNDECIDED
from experiments.lps_table1 import CHECKED, RESULTS, SETTINGS

# Accuracy and C-Cons in percent: CIFAR-10, width 64, 250 epochs, five seeds.
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
    ("lowpass", "adaptive3"): (93.17, 95.13),
    ("aps", "adaptive3"): (94.42, 100),
    ("lps", "adaptive3"): (94.57, 100),
}
MARGIN = 1.0  # percentage points of accuracy
Cells = dict[tuple[str, str | None], list[dict]]


def cells(runs: list[dict]) -> Cells:
    """The runs of every method and filter, in the paper's order, then ours."""
    found: Cells = {}
    for run in runs:
        found.setdefault((run["down"], run["antialias"]), []).append(run)
    order = [*PAPER, *sorted(found.keys() - PAPER.keys(), key=str)]
    return {cell: found[cell] for cell in order if cell in found}


def paired_interval(found: Cells) -> tuple[float, float, int] | None:
    """Mean and half-width of ``lps_input - lps`` in points, and how many seeds.

    The 95 % interval of Student's t over the differences of seeds that both have.
    """
    new, old = (
        {run["seed"]: run["accuracy"] for run in found.get((down, None), [])}
        for down in ("lps_input", "lps")
    )
    seeds = sorted(new.keys() & old.keys())
    if len(seeds) < 2:
        return None
    gaps = [100 * (new[seed] - old[seed]) for seed in seeds]
    error = np.std(gaps, ddof=1) / len(gaps) ** 0.5
    width = stats.t.ppf(0.975, len(gaps) - 1) * error
    return float(np.mean(gaps)), float(width), len(gaps)


def verdict(mean: float, width: float) -> str:
    """The rule, fixed before the runs: a margin of one point of accuracy.

    >>> verdict(0.2, 0.8), verdict(-2.0, 0.5), verdict(-0.3, 1.5)
    ('as accurate', 'less accurate', 'undecided')
    """
    if mean - width > -MARGIN:
        return "as accurate"
    if mean + width < -MARGIN:
        return "less accurate"
    return "undecided"


def table(found: Cells) -> list[str]:
    """One line per method and filter, then the answer."""
    lines = [
        f"{'method':<11}{'filter':<8}{'seeds':>5}{'accuracy %':>15}{'C-Cons %':>10}"
        f"{'moved logits':>17}   paper"
    ]
    for (down, antialias), runs in found.items():
        accuracy = np.array([100 * run["accuracy"] for run in runs])
        consistency = np.mean([100 * run["consistency"] for run in runs])
        spread = f" +- {accuracy.std(ddof=1):.2f}" if len(runs) > 1 else ""
        moved, tried = (
            sum(run.get(name, 0) for run in runs) for name in ("violations", "shifts")
        )
        paper = PAPER.get((down, antialias))
        lines.append(
            f"{down:<11}{antialias or '-':<8}{len(runs):>5}"
            f"{f'{accuracy.mean():.2f}{spread}':>15}{consistency:>10.2f}"
            f"{f'{moved} of {CHECKED * tried}' if tried else '-':>17}   "
            + ("{} / {}".format(*paper) if paper else "-")
        )
    return [*lines, answer(found)]


def answer(found: Cells) -> str:
    """Is input-select as accurate? With the interval, or why there is none."""
    interval = paired_interval(found)
    if interval is None:
        return "lps_input - lps: fewer than two seeds have both"
    mean, width, seeds = interval
    return (
        f"lps_input - lps: {mean:+.2f} points, 95 % interval {mean - width:+.2f} to "
        f"{mean + width:+.2f} ({seeds} paired seeds), margin {MARGIN}: input-select is "
        f"{verdict(mean, width)}"
    )


def findings(found: Cells) -> dict[str, dict]:
    """``verdicts`` and ``intervals``, in the words of the other experiments."""
    words = {
        "as accurate": REAPPEARS,
        "less accurate": DOES_NOT,
        "undecided": UNDECIDED,
    }
    exact = [r for runs in found.values() for r in runs if "shifts" in r]
    still = all(r["consistency"] == 1 and not r["violations"] for r in exact)
    question = "a selection on the block's input is as accurate"
    result = {
        "verdicts": {
            question: UNDECIDED,
            "no shift changes a label of APS and LPS": REAPPEARS if still else DOES_NOT,
        },
        "intervals": {},
    }
    if paired := paired_interval(found):
        mean, width, _ = paired
        result["verdicts"][question] = words.get(verdict(mean, width), UNDECIDED)
        result["intervals"][question] = {
            "mean": mean,
            "low": mean - width,
            "high": mean + width,
        }
    return result


def draw(found: Cells, path: Path) -> None:
    """Every run as a point, accuracy over consistency, one colour per method."""
    from eqnets.report.style import new_figure, plain_axes

    figure = new_figure(6.4, 4.0)
    figure.patch.set_alpha(1.0)
    axes = figure.subplots()
    plain_axes(axes, grid="both")
    methods = list(dict.fromkeys(down for down, _ in found))
    markers = {None: "o", "rect2": "s", "tri3": "^", "bin5": "D", "adaptive3": "v"}
    for i, method in enumerate(methods):
        for (down, antialias), runs in found.items():
            if down == method:
                axes.plot(
                    [100 * run["consistency"] for run in runs],
                    [100 * run["accuracy"] for run in runs],
                    linestyle="none",
                    marker=markers[antialias],
                    color=f"C{i}",
                    label=f"{down} {antialias or ''}",
                )
    axes.set_xlabel("same label under two random circular shifts, %")
    axes.set_ylabel("test accuracy, %")
    axes.legend(fontsize=7, frameon=False)
    with io.atomic_write(path) as aside:
        figure.savefig(aside, dpi=110)


def main() -> None:
    """Print and draw what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    record = json.loads(options.results.read_text())
    runs = record["runs"]
    sizes = list(dict.fromkeys(tuple(run[name] for name in SETTINGS) for run in runs))
    for size in sizes:
        same = [run for run in runs if tuple(run[name] for name in SETTINGS) == size]
        settings = dict(zip(SETTINGS, size, strict=True))
        print(", ".join(f"{name} {value}" for name, value in settings.items()))
        found = cells(same)
        print("\n".join(table(found)))
        if size == sizes[0]:
            record |= findings(found)
            text = json.dumps(record, indent=1) + "\n"
            io.atomic_write_text(options.results, text)
        suffix = "" if size == sizes[0] else "_" + "-".join(map(str, size))
        draw(found, options.results.with_name(f"{options.results.stem}{suffix}.png"))


if __name__ == "__main__":
    main()
