"""The tables, figures and verdicts of ``experiments.lps_segmentation``.

    python -m experiments.lps_segmentation_report
    python -m experiments.lps_segmentation_report --standard

reads ``experiments/results/lps_table5.json`` (or 6), complete or not, prints the table
beside the paper's, writes the verdicts into the same file and draws the figure.

Rules of Table 5, written when the first seed was in and the others were not. *LPS alone
is fully consistent*: reappears if mASCC is exactly 1 and no label of a larger scene
moves in every LPS run, and mASCC is below 1 in every other run; does not otherwise.
*LPS is as accurate as* another row: the 95 % interval of Student's t of the paired
differences of mIoU, in points, lies above -2: reappears; below: does not; else, and
with fewer than two pairs, undecided at this size.

Rules of Table 6, written before any run: the same of mIoU; *LPS is more consistent
than* another row: the interval of the paired differences of mASSC, in points, lies
above 0: reappears; below: does not; else undecided.
"""

import argparse
import base64
import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eqnets import io
from experiments.lie_common import UNDECIDED, interval, verdict
from experiments.lps_segmentation import RESULTS, STANDARD

# mIoU and mASCC in percent (PASCAL VOC, ResNet-18 trained on ImageNet).
PAPER = {
    "strided": (70.03, 95.42),
    "lpf": (71.02, 96.03),
    "ddac": (72.28, 95.98),
    "aps": (72.37, 96.70),
    "lpd only": (72.47, 96.23),
    "lps": (72.37, 100),
}
# mIoU and mASSC in percent (PASCAL VOC, ResNet-101 trained on ImageNet).
PAPER_STANDARD = {
    "strided": (78.5, 95.5),
    "lpf": (79.4, 95.9),
    "ddac": (80.31, 97.83),
    "lps": (80.43, 97.98),
}
MARGIN = 2.0  # percentage points of mIoU
COLOURS = np.array(
    [(28, 33, 38), (196, 81, 29), (90, 160, 60), (47, 111, 159), (225, 190, 70)]
)
Rows = Mapping[str, list[dict]]


def rows(runs: list[dict]) -> Rows:
    """The runs of every method, in the order of Table 5."""
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
        return UNDECIDED
    whole = all(
        run["consistency"] == 1 and not any(run["moved_labels"].values())
        for run in ours
    )
    below = all(run["consistency"] < 1 for run in others)
    return "reappears" if whole and below else "does not"


def gaps(found: Rows, other: str, score: str) -> list[float]:
    """LPS less another row in points, of the seeds that both have."""
    ours, theirs = (
        {run["seed"]: 100 * run[score] for run in found.get(name, [])}
        for name in ("lps", other)
    )
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def findings(found: Rows, standard: bool = False) -> dict[str, dict]:
    """``verdicts`` and, where there are two pairs, ``intervals`` of each question."""
    asked = {}
    for name in found:
        if name != "lps":
            asked[f"LPS is as accurate as {name}"] = name, "miou", MARGIN
            if standard:
                asked[f"LPS is more consistent than {name}"] = name, "consistency", 0.0
    verdicts, intervals = {}, {}
    for question, (name, score, margin) in asked.items():
        paired = gaps(found, name, score)
        verdicts[question] = UNDECIDED
        if len(paired) > 1:
            intervals[question] = interval(np.array(paired))
            clear = {k: v + margin for k, v in intervals[question].items()}
            verdicts[question] = verdict(clear)
    if not standard:
        verdicts["LPS alone is fully consistent"] = consistent(found)
    return {"verdicts": verdicts, "intervals": intervals}


def text(found: Rows, published: Mapping[str, tuple[float, float]] = PAPER) -> str:
    """One line per method."""
    lines = [f"{'method':<10}{'seeds':>6}{'mIoU %':>10}{'consistent %':>14}   paper"]
    for name, runs in found.items():
        miou, same = (
            100 * np.mean([run[key] for run in runs]) for key in ("miou", "consistency")
        )
        paper = "{} / {}".format(*published[name])
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
    figure = new_figure(8.0, 6.0 if shown else 3.0)
    figure.patch.set_alpha(1.0)
    heights = (1.9, 1, 1, 1) if shown else (1,)
    grid = figure.add_gridspec(len(heights), max(len(shown), 1), height_ratios=heights)
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
    parser.add_argument("--standard", action="store_true", help="Table 6")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    path = options.results or (STANDARD if options.standard else RESULTS)
    record = json.loads(path.read_text())
    found = rows(record["runs"])
    print(text(found, PAPER_STANDARD if options.standard else PAPER))
    record |= findings(found, options.standard)
    for question, answer in record["verdicts"].items():
        print(f"{question}: {answer} {record['intervals'].get(question, '')}")
    io.atomic_write_text(path, json.dumps(record, indent=1) + "\n")
    draw(found, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
