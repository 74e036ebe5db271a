"""The verdicts of all experiments as a table, from their results.

python -m experiments.verdicts   # prints what README.md beside this file contains
"""

import json

from .maps_common import RESULTS


def lines() -> list[str]:
    """A table in Markdown: experiment, finding, verdict, interval if there is one."""
    rows = [
        "| experiment | finding | verdict | 95 % interval |",
        "| --- | --- | --- | --- |",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            continue
        for finding, verdict in found.get("verdicts", {}).items():
            interval = found.get("intervals", {}).get(finding)
            numbers = (
                f"{interval['low']:.3g} to {interval['high']:.3g}" if interval else ""
            )
            rows.append(f"| {path.stem} | {finding} | *{verdict}* | {numbers} |")
    return rows


if __name__ == "__main__":
    print("\n".join(lines()))
