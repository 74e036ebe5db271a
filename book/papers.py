"""The tables of the pages on the papers, from the results of the experiments.

python -m book.papers           # print them
python -m book.papers --write   # and put them into docs/papers/

In a page a table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``, so that
it can be read where the page is not built; a test says when it is not up to date.
"""

import argparse
import json
import re
from collections.abc import Callable, Sequence

import numpy as np

from eqnets import io
from experiments import (
    lps_segmentation_report,
    lps_standard_shift,
    lps_table1_report,
    verdicts,
)

from .blocks import DOCS, ROOT

PAPERS = DOCS / "papers"
RESULTS = ROOT / "experiments" / "results"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """A page with every table as the results have it now.

    Raises:
        KeyError: a table has a name that `TABLES` does not know.
    """
    return _TABLE.sub(lambda m: f"{m[1]}\n{TABLES[m[2]]()}\n\n{m[3]}", text)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A table in Markdown; a line that says so if it would have no rows.

    >>> markdown(["a", "b"], [["1", "2"]])
    '| a | b |\n| --- | --- |\n| 1 | 2 |'
    """
    if not rows:
        return "*There is no run yet.*"
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def findings(*experiments: str) -> str:
    """The verdicts of experiments, by the beginning of their names."""
    header, rule, *rows = verdicts.lines()
    kept = [row for row in rows if row[2:].startswith(experiments)]
    return "\n".join([header, rule, *kept]) if kept else "*The results hold none.*"


def lps_table1() -> str:
    """Table 1 of the LPS paper beside ours."""
    rows = []
    for cell, runs in lps_table1_report.cells(_results("lps_table1")["runs"]).items():
        ours = (_percent(runs, "accuracy"), _percent(runs, "consistency"))
        paper = lps_table1_report.PAPER.get(cell, ("", ""))
        name, antialias = cell
        rows.append([f"`{name}`", antialias or "", str(len(runs)), *ours])
        rows[-1] += map(str, paper)
    header = ["sampling", "filter", "seeds", "accuracy", "C-Cons"]
    return markdown([*header, "paper: accuracy", "paper: C-Cons"], rows)


def lps_table3() -> str:
    """Table 3 of the LPS paper beside ours."""
    runs = _results("lps_standard_shift").get("runs", {})
    rows = []
    for name in lps_standard_shift.METHODS:
        mine = [run for key, run in runs.items() if key.split("|")[0] == name]
        if mine:
            paper = lps_standard_shift.PAPER.get(name, ("", ""))
            ours = _percent(mine, "accuracy"), _percent(mine, "shift_consistency")
            rows.append([f"`{name}`", str(len(mine)), *ours, *map(str, paper)])
    return markdown(
        ["sampling", "seeds", "accuracy", "S-Cons", "paper: accuracy", "paper: S-Cons"],
        rows,
    )


def lps_table4() -> str:
    """Table 4 of the LPS paper beside ours."""
    rows = [
        [
            name,
            f"{row['parameters']:,}",
            f"{row['paper_parameters']:,}",
            f"{row['time_ratio']:.2f}",
            f"{row['paper_time_ratio']:.2f}",
        ]
        for name, row in _results("lps_table4")["rows"].items()
    ]
    header = ["sampling", "parameters", "paper", "time ratio (CPU)", "paper (GPU)"]
    return markdown(header, rows)


def lps_table5() -> str:
    """Table 5 of the LPS paper beside ours."""
    return _segmentation("lps_table5", "mASCC", lps_segmentation_report.PAPER)


def lps_table6() -> str:
    """Table 6 of the LPS paper beside ours."""
    published = lps_segmentation_report.PAPER_STANDARD
    return _segmentation("lps_table6", "mASSC", published)


def _segmentation(name: str, consistency: str, published: dict) -> str:
    found = lps_segmentation_report.rows(_results(name).get("runs", []))
    rows = [
        [
            f"`{method}`",
            str(len(runs)),
            _percent(runs, "miou"),
            _percent(runs, "consistency"),
            *map(str, published[method]),
        ]
        for method, runs in found.items()
    ]
    header = ["sampling", "seeds", "mIoU", consistency]
    return markdown([*header, "paper: mIoU", f"paper: {consistency}"], rows)


def emlp_data() -> str:
    """Test errors by task, network and number of examples, beside the published."""
    rows = []
    columns = ("n", "median_test_mse", "published", "median_equivariance_error")
    for task, networks in _results("data_efficiency")["table"].items():
        for name, row in networks.items():
            sizes = zip(*(row[c] for c in columns), row["seeds"], strict=True)
            for n, ours, paper, off, seeds in sizes:
                if seeds:
                    errors = [f"{ours:.2g}", f"{paper:g}", f"{off:.1g}"]
                    rows.append([task, name, str(n), str(seeds), *errors])
    header = ["task", "network", "examples", "seeds", "error", "paper"]
    return markdown([*header, "equivariance error"], rows)


def emlp_approximate() -> str:
    """Test errors by how true the symmetry is and how much it binds, and what broke."""
    table = _results("approximate_symmetry")["table"]
    names = list(next(iter(table.values())))

    def cell(run):
        broken = f" ({run['violation']:.2g})" if "violation" in run else ""
        return f"{run['test_mse']:.2g}{broken}"

    rows = [[s, *(cell(row[name]) for name in names)] for s, row in table.items()]
    return markdown(["symmetry", *names], rows)


def emlp_dynamics() -> str:
    """Rollout errors of the spring pendulum, beside the published."""
    rows = [
        [
            name,
            str(row["seeds"]),
            f"{row['median_rollout_error']:.2g}",
            f"{row['published']:g}",
        ]
        for name, row in _results("spring_pendulum").get("table", {}).items()
    ]
    return markdown(["network", "seeds", "rollout error", "paper"], rows)


def emlp_hidden() -> str:
    """Test errors by hidden representation, and what no function of that kind beats."""
    found: dict[tuple[str, str], list[dict]] = {}
    records = _results("hidden_reps")
    for name, run in records.get("runs", {}).items():
        task, way, _ = name.split("|")
        found.setdefault((task, way), []).append(run)
    rows = []
    for (task, way), runs in found.items():
        errors = ", ".join(f"{run['test_mse']:.2g}" for run in runs)
        floor = records["floors"].get(way) if task == "Shifts" else None
        least = "" if floor is None else f"{floor:.3g}"
        what = f"order of H: {way}" if task == "Shifts" and way != "half" else way
        rows.append([task, what, errors, str(runs[0]["parameters"]), least])
    return markdown(["task", "hidden layers", "errors", "parameters", "floor"], rows)


def lie_decimation() -> str:
    """Relative differences of each formula from the Lie derivative of decimation."""
    found = _results("lie_aliasing")["relative_difference"]
    names = list(next(iter(found.values())))
    rows = [
        [case, *(f"{row[name]:.1e}" for name in names)] for case, row in found.items()
    ]
    return markdown(["signals", *names], rows)


def lie_layers() -> str:
    """LEE of the trained networks by action."""
    nets = _results("lie_efficientnet")["nets"]
    actions = _results("lie_efficientnet")["settings"]["actions"]
    rows = [
        [name, *(f"{np.mean(net['lee'][action]):.3g}" for action in actions)]
        for name, net in nets.items()
    ]
    return markdown(["network", *actions], rows)


def lie_rotated() -> str:
    """Errors and LEE under rotation after training on turned images, in percent."""
    found: dict[str, list[dict]] = {}
    for name, run in _results("rotated_fashion").get("runs", {}).items():
        found.setdefault(name.split("|")[0], []).append(run)
    rows = [
        [
            kind,
            str(len(runs)),
            _percent(runs, "upright_error"),
            _percent(runs, "error"),
            f"{np.mean([run['lee_rotation'] for run in runs]):.3g}",
        ]
        for kind, runs in found.items()
    ]
    header = ["network", "seeds", "errors, upright", "errors, turned"]
    return markdown([*header, "LEE, rotation"], rows)


def maps_layers() -> str:
    """Errors with a transformation undone by M_g behind each layer (Fig. 10)."""
    found = _results("maps_cnn")
    layers = list(found["figure11"])
    rows = [
        [move, f"{row['none']:.1f}", *(f"{row[c]['M_g']:.1f}" for c in layers)]
        for move, row in found["figure10"].items()
    ]
    return markdown(["transformation", "not undone", *layers], rows)


def maps_invariant() -> str:
    """How many channels of each layer are invariant (Table 3)."""
    found = _results("maps_cnn")
    layers = list(found["figure11"])
    rows = [
        [move, *(f"{row[c]['invariant']} of {row[c]['channels']}" for c in layers)]
        for move, row in found["figure10"].items()
    ]
    return markdown(["transformation", *layers], rows)


def maps_pose() -> str:
    """Errors and speed of direct and equivariant regressors of poses (Table 4)."""
    rows = [
        [
            name,
            *(f"{row[how]['error']:.3g}" for how in ("none", "direct", "equivariant")),
            f"{row['speed_up']:.1f}",
        ]
        for name, row in _results("maps_pose").items()
        if isinstance(row, dict) and "speed_up" in row
    ]
    return markdown(["pose, features", "none", "direct", "equivariant", "faster"], rows)


def stitch_layers() -> str:
    """Errors of a network stitched to itself, from layer to layer (Table 6)."""
    seeds = [seed["self"] for seed in _results("stitch_layers")["seeds"]]
    error = 100 * np.mean([seed["error"] for seed in seeds], axis=0)
    rows = [
        [f"from {donor}", *(f"{e:.1f}" for e in row)]
        for donor, row in zip(seeds[0]["donors"], error, strict=True)
    ]
    receivers = [f"to {name}" for name in seeds[0]["receivers"]]
    return markdown(["errors, %", *receivers], rows)


TABLES: dict[str, Callable[[], str]] = {
    "lps_table1": lps_table1,
    "lps_table3": lps_table3,
    "lps_table4": lps_table4,
    "lps_table5": lps_table5,
    "lps_table6": lps_table6,
    "lps_verdicts": lambda: findings("lps_", "converted_"),
    "emlp_data": emlp_data,
    "emlp_approximate": emlp_approximate,
    "emlp_dynamics": emlp_dynamics,
    "emlp_hidden": emlp_hidden,
    "emlp_verdicts": lambda: findings(
        "data_efficiency", "approximate_symmetry", "spring_pendulum", "hidden_reps"
    ),
    "lie_decimation": lie_decimation,
    "lie_layers": lie_layers,
    "lie_rotated": lie_rotated,
    "lie_verdicts": lambda: findings("lie_", "rotated_fashion"),
    "maps_layers": maps_layers,
    "maps_invariant": maps_invariant,
    "maps_pose": maps_pose,
    "maps_verdicts": lambda: findings("maps_"),
    "stitch_layers": stitch_layers,
    "stitch_verdicts": lambda: findings("stitch_"),
}


def _results(name: str) -> dict:
    """What an experiment has written so far; nothing if it has not begun."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _percent(runs: Sequence[dict], score: str) -> str:
    """The mean over runs in percent, with the standard deviation if there are more."""
    values = 100 * np.array([run[score] for run in runs])
    spread = (
        f" ± {values.std(ddof=1):.2f}" if len(values) > 1 and np.ptp(values) else ""
    )
    return f"{values.mean():.2f}{spread}"


def main() -> None:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="change docs/papers/")
    if not parser.parse_args().write:
        for name, table in TABLES.items():
            print(f"{name}\n\n{table()}\n")
        return
    for page in sorted(PAPERS.glob("*.md")):
        io.atomic_write_text(page, filled(page.read_text()))


if __name__ == "__main__":
    main()
