"""The training loop: steps, reports, checkpoints, and what happens when all goes wrong.

Restarted after any interruption, a run ends with the same bits as one that was never
interrupted: examples, augmentations and selections are functions of the step, and the
state at a step is a checkpoint.
"""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from eqnets import models
from eqnets.io import atomic_write_text
from experiments.training import watch
from experiments.training.checkpoints import Checkpoints, check_folder
from experiments.training.config import Config
from experiments.training.evaluate import Evaluation
from experiments.training.parallel import (
    device_mesh,
    distribute,
    local,
    on_mesh,
    place,
    whole,
)
from experiments.training.reports import Reports
from experiments.training.step import Program, State, program, trained
from experiments.training.stream import Plan, batches

ASK_EVERY = 8  # steps between two questions to all processes whether to stop


class Interrupted(RuntimeError):
    """The run was asked to stop by ``signal``, and its state is saved."""

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.signal = number


class Run:
    """One run in a folder: `train` it, or `resume` it, which is the same call.

    Args:
        config: what to train.
        folder: of the checkpoints, ``config.json``, ``metrics.jsonl``, ``curves.png``
            and, in the end, ``weights.safetensors``.
        report: called with each line for the terminal.
        tensorboard: whether to write TensorBoard's events as well.

    Raises:
        ValueError: the folder holds another run, or the batch does not split over the
            devices.
        OSError: the folder cannot be written, or the disk is too full.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        *,
        report: Callable[[str], None] = print,
        tensorboard: bool = False,
    ):
        self.config, self.folder, self.report = config, Path(folder), report
        self.board = self.folder / "tensorboard" if tensorboard else None
        self.mesh = device_mesh(config.model_axis)
        shares = self.mesh.shape["data"]
        if config.batch % (shares * config.accumulate):
            raise ValueError(
                f"a batch of {config.batch} does not split over {shares} devices in "
                f"{config.accumulate} parts: make batch a multiple of "
                f"{shares * config.accumulate}"
            )
        self.spec = config.data.spec()
        self.source = config.data.train(config.seed)
        self.plan = Plan(
            len(self.source),
            config.batch,
            config.seed,
            jax.process_index(),
            jax.process_count(),
        )
        self.steps = config.epochs * self.plan.per_epoch
        self.program: Program = program(
            config, self.spec, self.steps, self.plan.per_epoch
        )
        self.leader = jax.process_index() == 0

    def train(self) -> dict[str, float]:
        """Train to the end and return the last evaluation.

        Raises:
            NotFinite: the loss is not finite; the batch is in ``not_finite.npz``.
            Interrupted: SIGTERM or SIGINT came; the state is saved.
        """
        state = place(self.program.start(), self.mesh)
        check_folder(self.folder, state, self.config.keep)
        self._claim_folder()
        checkpoints = Checkpoints(self.folder / "checkpoints", self.config.keep)
        state = checkpoints.restore(state) or state
        start = int(state["step"])
        log = watch.Log(self._metrics(), start, self.board) if self.leader else None
        try:
            with _signals() as asked:
                return self._steps(state, start, checkpoints, log, asked)
        finally:
            checkpoints.close()
            if log:
                log.close()

    def _steps(self, state, start, checkpoints, log, asked) -> dict[str, float]:
        config = self.config
        step_fn = on_mesh(self.program.train, state, self.mesh)
        self.evaluation = Evaluation(config, self.spec, self.program, self.mesh)
        self.test = config.data.test(config.seed)
        result = self._owed(start, state, log)
        reports = self.reports(log)
        stream = batches(
            self.source, self.plan, start, self.steps, threads=config.threads
        )
        for step, batch in enumerate(stream, start + 1):
            state, loss = step_fn(state, distribute(batch, self.mesh))
            reports.add(step, loss, batch)
            stop, last = self._asked_to_stop(asked, step), step == self.steps
            if stop or last or step % config.checkpoint_every == 0:
                reports.drain()
                checkpoints.save(step, state)
            if stop and not last:
                checkpoints.wait()
                raise Interrupted(
                    asked[0] if asked else signal.SIGTERM,
                    f"stopped after step {step} of {self.steps}, all is saved; the "
                    "same command goes on from there",
                )
            if self._evaluates(step):
                reports.drain()
                result = self._evaluate(step, state, log)
                reports.pace.pause()
        self._save_weights(state)
        return result

    def reports(self, log: watch.Log | None) -> Reports:
        """What looks at the losses of this run."""
        pace = watch.Pace(self.config.batch, self.plan.per_epoch, self.steps)
        return Reports(self.folder, self.config.log_every, pace, log, self.report)

    def _save_weights(self, state: State) -> None:
        """``weights.safetensors``, which `eqnets.models.load_weights` reads."""
        path = self.folder / "weights.safetensors"
        state = local(whole(state, self.mesh))
        if self.leader and not path.exists():
            models.save_weights(trained(self.config, self.spec, state), path)

    def _evaluates(self, step: int) -> bool:
        every = self.config.evaluate_every * self.plan.per_epoch
        return step == self.steps or (step > 0 and step % every == 0)

    def _owed(self, start: int, state: State, log) -> dict[str, float]:
        """The evaluation of the step that the run starts from, if it was cut off."""
        if not self._evaluates(start):
            return {}
        for record in watch.read(self._metrics()):
            if record["step"] == start and "loss" not in record:
                return {k: v for k, v in record.items() if k not in ("step", "epoch")}
        return self._evaluate(start, state, log)

    def _asked_to_stop(self, asked: list[int], step: int) -> bool:
        """Whether a signal has come, to this process or, every few steps, to any."""
        if jax.process_count() == 1:
            return bool(asked)
        if step % ASK_EVERY:
            return False
        return bool(multihost_utils.process_allgather(np.array(bool(asked))).any())

    def _evaluate(self, step: int, state: State, log) -> dict[str, float]:
        begun = time.perf_counter()
        result = self.evaluation(state, self.test)
        record = {"step": step, "epoch": step // self.plan.per_epoch} | result
        if log:
            log.write(record)
            watch.curves(watch.read(self._metrics()), self.folder / "curves.png")
        if self.leader:
            took = f"  ({time.perf_counter() - begun:.0f} s)"
            self.report("test  " + watch.line(record) + took)
        return result

    def _metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    def _claim_folder(self) -> None:
        """Refuse to go on with a run of another config."""
        path, ours = self.folder / "config.json", self.config.record()
        if path.exists():
            theirs = json.loads(path.read_text())
            if differing := _differences(theirs, ours):
                raise ValueError(
                    f"{self.folder} holds a run with another {', '.join(differing)}: "
                    "give another folder with --out, or delete it"
                )
        elif self.leader:
            atomic_write_text(path, json.dumps(ours, indent=1) + "\n")


# What may change from one part of a run to the next, without changing its end (but for
# the order in which other devices add numbers).
FREE = {"log_every", "checkpoint_every", "keep", "threads", "model_axis"}


def _differences(one: dict, other: dict, prefix: str = "") -> list[str]:
    found = []
    for name in sorted(set(one) | set(other)):
        if not prefix and name in FREE:
            continue
        a, b = one.get(name), other.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append(prefix + name)
    return found


class _signals:
    """SIGTERM and SIGINT are noted, for the loop to act on between two steps."""

    def __enter__(self) -> list[int]:
        self.asked: list[int] = []
        self.before = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self.before[number] = signal.signal(
                    number, lambda got, frame: self.asked.append(got)
                )
            except ValueError:  # not in the main thread: signals are not ours
                break
        return self.asked

    def __exit__(self, *error) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
