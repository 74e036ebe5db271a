"""What a run leaves to look at: lines of JSON, curves, a line on the terminal."""

import json
import time
from pathlib import Path

from eqnets.io import atomic_write, atomic_write_text

SCORES = ("accuracy", "miou", "mse")


class Log:
    """``metrics.jsonl``: a line for each logged step and for each evaluation.

    A run that restarts first drops the lines beyond the step it restarts from, so that
    no step is there twice.

    Args:
        path: of the file.
        step: lines of later steps are dropped.
        tensorboard: a folder for TensorBoard's events as well, or None.
    """

    def __init__(self, path: Path, step: int, tensorboard: Path | None = None):
        kept = [r for r in read(path) if r["step"] <= step]
        atomic_write_text(path, "".join(json.dumps(r) + "\n" for r in kept))
        self.file = path.open("a")
        self.board = _board(tensorboard) if tensorboard else None

    def write(self, record: dict) -> None:
        """Append a line; it is on the file when this returns."""
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()
        if self.board:
            for name, value in record.items():
                if isinstance(value, int | float) and name != "step":
                    self.board.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Close the files."""
        self.file.close()
        if self.board:
            self.board.close()


def _board(folder: Path):
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "--tensorboard needs tensorboardX: pip install tensorboardX"
        ) from error
    return SummaryWriter(str(folder))


def read(path: Path) -> list[dict]:
    """The records of a log; a last line that was cut off is left out."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]


class Pace:
    """Examples per second and the time to the end, from the last few reports."""

    def __init__(self, batch: int, per_epoch: int, stop: int):
        self.batch, self.per_epoch, self.stop = batch, per_epoch, stop
        self.marks: list[tuple[int, float]] = []

    def epoch(self, step: int) -> int:
        """The epoch, from 1, that a step (from 1) belongs to."""
        return (step - 1) // self.per_epoch + 1

    def at(self, step: int) -> dict:
        """``examples_per_second`` and ``eta_seconds``; empty at the first report."""
        self.marks = [*self.marks[-9:], (step, time.perf_counter())]
        (first, then), (last, now) = self.marks[0], self.marks[-1]
        if last == first:
            return {}
        rate = (last - first) / max(now - then, 1e-9)
        return {
            "examples_per_second": round(rate * self.batch, 1),
            "eta_seconds": round((self.stop - step) / rate, 1),
        }

    def pause(self) -> None:
        """Forget: what follows is not comparable, such as after an evaluation."""
        self.marks = []


def line(record: dict) -> str:
    """A record for the terminal."""
    parts = []
    for name, value in record.items():
        if name == "eta_seconds":
            minutes, seconds = divmod(round(value), 60)
            parts.append(f"{minutes:d}:{seconds:02d} left")
        elif isinstance(value, float):
            parts.append(f"{name} {value:.4g}")
        elif isinstance(value, int | str):
            parts.append(f"{name} {value}")
    return "  ".join(parts)


def curves(records: list[dict], path: Path) -> None:
    """Loss and scores against the step, as a PNG."""
    from matplotlib.figure import Figure

    losses = [(r["step"], r["loss"]) for r in records if "loss" in r]
    tests = [r for r in records if "loss" not in r]
    names = [n for n in (tests[0] if tests else {}) if n not in ("step", "epoch")]
    numbers = [n for n in names if isinstance(tests[0][n], int | float)]
    figure = Figure(figsize=(4 * (1 + len(numbers)), 3), layout="constrained")
    axes = figure.subplots(1, 1 + len(numbers), squeeze=False)[0]
    axes[0].plot(*zip(*losses, strict=True) if losses else ([], []))
    axes[0].set(xlabel="step", ylabel="training loss")
    for ax, name in zip(axes[1:], numbers, strict=True):
        points = [(r["step"], r[name]) for r in tests if name in r]
        ax.plot(*zip(*points, strict=True), "o-")
        ax.set(xlabel="step", ylabel=name.replace("_", " "))
    with atomic_write(path) as aside:
        figure.savefig(aside, dpi=90)
