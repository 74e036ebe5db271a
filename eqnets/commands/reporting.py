"""The order of the commands that write a report."""

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any

from . import output
from .progress import Stages


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command found, to be written and printed.

    Attributes:
        page: makes the text of index.html.
        json: makes the text of results.json.
        tables: for the terminal.
    """

    page: Callable[[], str]
    json: Callable[[], str]
    tables: str


def reported(measure: Callable[..., Outcome]) -> Callable[..., int]:
    """The command that writes and prints what ``measure`` finds.

    Args:
        measure: of the options, the stages and the command line.

    Returns:
        A function of the same: it measures once OUT can be written to, writes
        OUT/index.html and OUT/results.json, prints the tables, and returns the exit
        code 0.
    """

    @functools.wraps(measure)
    def run(options: Any, stages: Stages, command: str) -> int:
        output.check_writable(options.out)
        made = measure(options, stages, command)
        with stages.stage("writing the report"):
            files = {"index.html": made.page(), "results.json": made.json()}
            output.write_together(options.out, files)
        print(made.tables, flush=True)
        print(f"report: {options.out / 'index.html'}", file=sys.stderr)
        return 0

    return run
