"""The table, the figure and the verdicts of ``experiments.lps_segmentation``.

    python -m experiments.lps_segmentation_report

reads ``experiments/results/lps_table5.json``, complete or not, prints the table beside
the paper's, writes ``lps_table5_verdict.json`` and draws ``lps_table5.png``.

Rules, written when the first seed was in and the others were not. *LPS alone is fully
consistent*: reappears if mASCC is exactly 1 and no label of a
larger scene moves in every LPS run, and mASCC is below 1 in every other run; does not
otherwise. *LPS is as accurate as* another row: the 95 % interval of Student's t of the
paired differences of mIoU lies above -2 points: reappears; below: does not; else, and
with fewer than two pairs, undecided at this size.
"""

import argparse
import base64
import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import stats

from eqnets import io
from experiments.lps_segmentation import RESULTS

# mIoU and mASCC in percent (PASCAL VOC, ResNet-18 trained on ImageNet).
PAPER = {
    "strided": (70.03, 95.42),
    "lpf": (71.02, 96.03),
    "ddac": (72.28, 95.98),
    "aps": (72.37, 96.70),
    "lpd only": (72.47, 96.23),
    "lps": (72.37, 100),
}
MARGIN = 2.0  # percentage points of mIoU
COLOURS = np.array(
    [(28, 33, 38), (196, 81, 29), (90, 160, 60), (47, 111, 159), (225, 190, 70)]
)
Rows = Mapping[str, list[dict]]


def rows(runs: list[dict]) -> Rows:
    """The runs of every method, in the paper's order."""
    return {
        name: [run for run in runs if run["method"] == name]
        for name in PAPER
        if any(run["method"] == name for run in runs)
    }


def consistent(found: Rows) -> str:
    """Is LPS alone fully consistent?"""
    ours = found.get("lps", [])
    others = [run for name, runs in found.items() if name != "lps" for run in runs]
    if not ours or not others:
        return "undecided at this size"
    whole = all(
        run["consistency"] == 1 and not any(run["moved_labels"].values())
        for run in ours
    )
    below = all(run["consistency"] < 1 for run in others)
    return "reappears" if whole and below else "does not"


def accuracy(found: Rows, other: str) -> dict:
    """LPS less another row in points of mIoU, with the verdict."""
    ours, theirs = (
        {run["seed"]: 100 * run["miou"] for run in found.get(name, [])}
        for name in ("lps", other)
    )
    gaps = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    result = {"pairs": len(gaps), "verdict": "undecided at this size"}
    if gaps:
        result["mean"] = float(np.mean(gaps))
    if len(gaps) < 2:
        return result
    error = np.std(gaps, ddof=1) / len(gaps) ** 0.5
    width = float(stats.t.ppf(0.975, len(gaps) - 1) * error)
    low, high = result["mean"] - width, result["mean"] + width
    result["interval"] = [low, high]
    if low > -MARGIN:
        result["verdict"] = "reappears"
    elif high < -MARGIN:
        result["verdict"] = "does not"
    return result


def verdicts(found: Rows) -> dict:
    """Every question with its answer."""
    result = {
        f"LPS is as accurate as {name}": accuracy(found, name)
        for name in found
        if name != "lps"
    }
    result["LPS alone is fully consistent"] = {"verdict": consistent(found)}
    return result


def text(found: Rows) -> str:
    """One line per method."""
    lines = [f"{'method':<10}{'seeds':>6}{'mIoU %':>10}{'consistent %':>14}   paper"]
    for name, runs in found.items():
        miou, same = (
            100 * np.mean([run[key] for run in runs]) for key in ("miou", "consistency")
        )
        paper = "{} / {}".format(*PAPER[name])
        lines.append(f"{name:<10}{len(runs):>6}{miou:>10.2f}{same:>14.2f}   {paper}")
    return "\n".join(lines)


def unpacked(run: dict, size: int = 96) -> np.ndarray:
    """The example labels of a run, ``[2, 3, size, size]``."""
    raw = zlib.decompress(base64.b64decode(run["examples"]))
    return np.frombuffer(raw, np.uint8).reshape(2, 3, size, size)


def draw(found: Rows, path: Path) -> None:
    """Overlap over consistency; masks, and where a shift changes them."""
    from eqnets.report.style import new_figure, picture_axes, plain_axes

    shown = {
        name: next(run for run in runs if "examples" in run)
        for name, runs in found.items()
        if any("examples" in run for run in runs)
    }
    figure = new_figure(8.0, 6.0)
    figure.patch.set_alpha(1.0)
    grid = figure.add_gridspec(4, len(shown), height_ratios=(1.9, 1, 1, 1))
    axes = figure.add_subplot(grid[0, :])
    plain_axes(axes, grid="both")
    for i, (name, runs) in enumerate(found.items()):
        same, miou = ([100 * run[k] for run in runs] for k in ("consistency", "miou"))
        axes.plot(same, miou, "o", color=f"C{i}", label=name)
    axes.set_xlabel("labels that stay under shifts, %")
    axes.set_ylabel("mIoU, %")
    axes.legend(fontsize=7, frameon=False, ncols=2)
    for column, (name, run) in enumerate(shown.items()):
        still, back = unpacked(run)
        for row in range(3):
            axes = figure.add_subplot(grid[row + 1, column])
            picture_axes(axes)
            picture = COLOURS[still[row]]
            picture[still[row] != back[row]] = (255, 255, 255)
            axes.imshow(picture)
            if not row:
                axes.set_title(name, fontsize=8)
    with io.atomic_write(path) as aside:
        figure.savefig(aside, dpi=110, format="png")


def main() -> None:
    """Print, judge and draw what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    path = options.results
    found = rows(json.loads(path.read_text())["runs"])
    print(text(found))
    judged = verdicts(found)
    for question, answer in judged.items():
        print(f"{question}: {answer}")
    written = json.dumps(judged, indent=1) + "\n"
    io.atomic_write_text(path.with_name(f"{path.stem}_verdict.json"), written)
    draw(found, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
