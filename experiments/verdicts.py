"""The verdicts of all experiments as a table, from their results.

python -m experiments.verdicts           # print the table
python -m experiments.verdicts --write   # and put it at the end of README.md
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from eqnets import io

from .maps_common import RESULTS

README = Path(__file__).parent / "README.md"
HEADING = "## Verdicts\n\n"


def lines() -> list[str]:
    """A table in Markdown: experiment, finding, verdict, interval if there is one."""
    rows = [
        "| experiment | finding | verdict | 95 % interval |",
        "| --- | --- | --- | --- |",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        for finding, verdict, interval in _findings(found):
            numbers = " to ".join(f"{v:.3g}" for v in interval)
            rows.append(f"| {path.stem} | {finding} | *{verdict}* | {numbers} |")
    return rows


def _findings(found: dict) -> Iterator[tuple[str, str, list[float]]]:
    """Each finding of a results file with its verdict, and its interval or nothing."""
    for finding, verdict in found.get("verdicts", {}).items():
        interval = found.get("intervals", {}).get(finding, {})
        yield finding, verdict, [interval[k] for k in ("low", "high") if k in interval]
    for finding, claim in found.get("claims", {}).items():
        yield finding, claim["verdict"], claim["interval"]


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace README's table")
    table = "\n".join(lines()) + "\n"
    if parser.parse_args().write:
        above, heading, _ = README.read_text().partition(HEADING)
        io.atomic_write_text(README, above + heading + table)
    print(table, end="")


if __name__ == "__main__":
    main()
