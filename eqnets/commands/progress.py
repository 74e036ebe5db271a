"""What a command is doing, shown on the error stream while it does it."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Advance = Callable[[int], None]


class Stages:
    """Names, shows and times the stages of a run.

    On a terminal each stage has a bar that leaves no trace; elsewhere it is one plain
    line. Nothing is written to the standard output.

    Attributes:
        seconds: wall time of each finished stage.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begin = time.perf_counter()

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """Run a block as one stage.

        Args:
            name: what is being done.
            total: how many steps there are, if that is known.

        Yields:
            A function to call with the number of steps done so far.
        """
        begin = time.perf_counter()
        terminal = sys.stderr.isatty()
        with _bar(name, total) if terminal else self._line(name) as advance:
            yield advance
        self.seconds[name] = time.perf_counter() - begin

    @contextlib.contextmanager
    def _line(self, name: str) -> Iterator[Advance]:
        elapsed = time.perf_counter() - self._begin
        print(f"[{elapsed:6.1f} s] {name}", file=sys.stderr, flush=True)
        yield lambda done: None


@contextlib.contextmanager
def _bar(name: str, total: int | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    counts = [BarColumn(), MofNCompleteColumn()] if total is not None else []
    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
    console = Console(stderr=True)
    with Progress(
        *columns, *counts, TimeElapsedColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task(name, total=total)
        yield lambda done: progress.update(task, completed=done)
