"""Batches by step: which examples a step sees is a function of the step alone.

So the position in the data needs no saving, a restart reads on in the middle of an
epoch, and a batch is the same however many processes share it.
"""

import dataclasses
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from experiments.training.datasets import Example, Source


@dataclasses.dataclass(frozen=True)
class Plan:
    """The order of the examples.

    Attributes:
        examples: how many there are.
        batch: of each step, over all processes.
        seed: of the shuffling, new in each epoch.
        process: this one's number.
        processes: how many share a batch.
    """

    examples: int
    batch: int
    seed: int
    process: int = 0
    processes: int = 1

    def __post_init__(self):
        if self.batch > self.examples:
            raise ValueError(
                f"batch must be at most the {self.examples} training examples, got "
                f"{self.batch}"
            )
        if self.batch % self.processes:
            raise ValueError(
                f"a batch of {self.batch} does not split over {self.processes} "
                "processes: make batch a multiple of them"
            )

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch; a partial batch at its end is left out."""
        return self.examples // self.batch

    def epoch(self, step: int) -> int:
        """The epoch that a step (from 0) belongs to."""
        return step // self.per_epoch

    def rows(self, step: int) -> np.ndarray:
        """The examples of a step that are this process's."""
        epoch, index = divmod(step, self.per_epoch)
        share = self.batch // self.processes
        first = index * self.batch + self.process * share
        return _shuffled(self.examples, self.seed, epoch)[first : first + share]


@lru_cache(maxsize=2)
def _shuffled(examples: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(examples)


def batches(
    source: Source, plan: Plan, start: int, stop: int, *, threads: int = 2
) -> Iterator[Example]:
    """The batches of steps ``start`` to ``stop``, read ahead where that takes time."""
    if source.in_memory:
        steps = range(start, stop)
        return (source.read(plan.rows(s), plan.epoch(s)) for s in steps)
    return iter(_read_ahead(source, plan, start, stop, threads))


def _read_ahead(source: Source, plan: Plan, start: int, stop: int, threads: int):
    import grain

    share = plan.batch // plan.processes

    def example(position: int) -> Example:
        step, place = divmod(start * share + position, share)
        found = source.read(plan.rows(step)[place : place + 1], plan.epoch(step))
        return {name: value[0] for name, value in found.items()}

    ahead = max(2 * share, threads)
    return (
        grain.MapDataset.range((stop - start) * share)
        .map(example)
        .to_iter_dataset(grain.ReadOptions(threads, ahead))
        .batch(share)
    )


def in_order(
    source: Source, batch: int, process: int = 0, processes: int = 1
) -> Iterator[Example]:
    """Every example once, in batches of one size; ``weight`` is 0 for what fills up."""
    share = batch // processes
    for first in range(0, len(source), batch):
        rows = first + process * share + np.arange(share)
        there = rows < len(source)
        found = source.read(np.minimum(rows, len(source) - 1), 0)
        yield found | {"weight": there.astype(np.float32)}
