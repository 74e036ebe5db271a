"""Checkpoints that survive: written aside, renamed, the newest sound one restored."""

import shutil
import tempfile
import warnings
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from experiments.training.step import State


class Checkpoints:
    """The checkpoints of a run, saved while training goes on.

    Args:
        folder: where they lie, a folder for each step.
        keep: how many.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self.manager = ocp.CheckpointManager(self.folder, options=options)

    def save(self, step: int, state: State) -> None:
        """Copy the state, and write it while training goes on."""
        if step not in self.manager.all_steps():
            plain = jax.tree.leaves(state)
            self.manager.save(step, args=ocp.args.StandardSave(plain))

    def restore(self, like: State) -> State | None:
        """The newest checkpoint that can be read, or None where there is none.

        A checkpoint that cannot be read is put aside with a warning, and the one
        before it is taken.

        Raises:
            RuntimeError: there are checkpoints, and none can be read.
        """
        leaves, structure = jax.tree.flatten(like)
        abstract = [
            jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=v.sharding) for v in leaves
        ]
        steps = sorted(self.manager.all_steps(), reverse=True)
        broken = []
        for step in steps:
            try:
                found = self.manager.restore(
                    step, args=ocp.args.StandardRestore(abstract)
                )
            except Exception as error:
                broken.append(step)
                warnings.warn(
                    f"the checkpoint of step {step} cannot be read "
                    f"({str(error).splitlines()[0][:200]}); trying the one before",
                    RuntimeWarning,
                    stacklevel=2,
                )
            else:
                self._put_aside(broken)
                return jax.tree.unflatten(structure, found)
        if broken:
            raise RuntimeError(
                f"none of the checkpoints in {self.folder} can be read (steps "
                f"{', '.join(map(str, broken))}): delete the folder to start anew"
            )
        return None

    def _put_aside(self, steps: list[int]) -> None:
        """Out of the way, so that the steps can be saved again."""
        if steps and jax.process_index() == 0:
            aside = self.folder.parent / "broken_checkpoints"
            aside.mkdir(exist_ok=True)
            for step in steps:
                shutil.rmtree(aside / str(step), ignore_errors=True)
                (self.folder / str(step)).rename(aside / str(step))
        if steps:
            self.manager.reload()

    def wait(self) -> None:
        """Until everything is on the disk."""
        self.manager.wait_until_finished()

    def close(self) -> None:
        """Wait, and end the writing thread."""
        self.manager.close()


def check_folder(folder: Path, state: State, keep: int) -> None:
    """Raise before training rather than at the first checkpoint.

    Raises:
        OSError: the folder cannot be written, or its disk is too full for the
            checkpoints that will be kept and the one being written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write into {folder} ({error.strerror or error}): give another "
            "folder with --out"
        ) from error
    size = sum(v.size * v.dtype.itemsize for v in jax.tree.leaves(state))
    needed, free = (keep + 1) * size, shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{keep + 1} checkpoints take {needed / 2**20:.0f} MiB and the disk of "
            f"{folder} has {free / 2**20:.0f} MiB left: free some, keep fewer, or give "
            "another folder with --out"
        )
