"""Losses looked at a few steps late, so that the device never waits for the host."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from eqnets.io import atomic_write
from experiments.training import watch
from experiments.training.datasets import Example

IN_FLIGHT = 2  # steps dispatched before the loss of an earlier one is looked at


class NotFinite(RuntimeError):
    """The loss is not a finite number."""


class Reports:
    """Writes the losses of steps, and raises at the first that is not finite.

    Args:
        folder: where the batch of such a step is saved.
        every: steps between lines.
        pace: of the run.
        log: None in all processes but one.
        say: called with each line.
    """

    def __init__(
        self,
        folder: Path,
        every: int,
        pace: watch.Pace,
        log: watch.Log | None,
        say: Callable[[str], None],
    ):
        self.folder, self.every, self.pace = folder, every, pace
        self.log, self.say = log, say
        self.waiting: deque[tuple[int, jax.Array, Example]] = deque()

    def add(self, step: int, loss: jax.Array, batch: Example) -> None:
        """A step that was dispatched; its loss is looked at later."""
        self.waiting.append((step, loss, batch))
        while len(self.waiting) > IN_FLIGHT:
            self._look()

    def drain(self) -> None:
        """Look at every loss that is still waiting."""
        while self.waiting:
            self._look()

    def _look(self) -> None:
        step, loss, batch = self.waiting.popleft()
        value = float(loss)
        if not np.isfinite(value):
            self._refuse(step, value, batch)
        if self.log and (step % self.every == 0 or step == 1):
            epoch = self.pace.epoch(step)
            record = {"step": step, "epoch": epoch, "loss": value} | self.pace.at(step)
            self.log.write(record)
            self.say(watch.line(record))

    def _refuse(self, step: int, value: float, batch: Example) -> None:
        path = self.folder / "not_finite.npz"
        if jax.process_index() == 0:
            with atomic_write(path) as aside:
                np.savez(aside, step=step, **batch)
        raise NotFinite(
            f"the loss of step {step} is {value}: its batch is in {path}, the state "
            "before it can be trained again from the last checkpoint; lower "
            "optimiser.rate, or look at the batch"
        )
