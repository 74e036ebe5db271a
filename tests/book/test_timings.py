"""Timings that README and docs quote are those of the committed benchmark."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KINDS = ("float32", "emlp 1.0.3", "dense")


def row(text: str, start: str) -> list[float]:
    """The numbers of the line of a table that begins so."""
    (line,) = [x for x in text.splitlines() if x.startswith(f"| {start} |")]
    return [float(cell) for cell in line.split("|")[2:-1]]


@pytest.mark.parametrize(
    ("page", "start", "key", "ratio"),
    [
        ("README.md", "CPU seconds to build", "construct", False),
        ("README.md", "for a training step of 500", "step", False),
        ("docs/emlp.md", "construction", "construct", True),
        ("docs/emlp.md", "forward", "forward", True),
        ("docs/emlp.md", "training step", "step", True),
        ("docs/emlp.md", "peak memory (MiB)", "peak_mib", True),
    ],
)
def test_quoted_timings_of_emlps_are_the_measured_ones(page, start, key, ratio):
    measured = json.loads((ROOT / "benchmarks/results/emlp.json").read_text())
    expected = [measured[kind][key] for kind in KINDS]
    if ratio:
        expected.insert(2, measured["ratio emlp / eqnets"][key])
    found = row((ROOT / page).read_text(), start)
    assert found == pytest.approx(expected, rel=0.05)
