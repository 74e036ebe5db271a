"""Which examples a step sees: a function of the step, whoever shares the batch."""

import itertools

import numpy as np
import pytest

from experiments.training.datasets import Arrays, Records
from experiments.training.stream import Plan, batches, in_order


def numbers(n):
    return Arrays(np.arange(n), -np.arange(n))


def decode(record, rng):
    return {"x": np.float32(record + rng.random()), "y": np.int32(record)}


def test_an_epoch_sees_every_example_once_and_epochs_differ():
    plan = Plan(examples=12, batch=4, seed=3)
    epochs = [
        np.concatenate([plan.rows(s) for s in range(3 * e, 3 * e + 3)])
        for e in range(3)
    ]
    for rows in epochs:
        assert sorted(rows) == list(range(12))
    for one, other in itertools.combinations(epochs, 2):
        assert not np.array_equal(one, other)
    other_seed = Plan(examples=12, batch=4, seed=4)
    assert not np.array_equal(other_seed.rows(0), plan.rows(0))


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_share_the_same_batches(processes):
    alone = Plan(examples=30, batch=8, seed=0)
    parts = [Plan(30, 8, 0, p, processes) for p in range(processes)]
    for step in range(7):
        rows = np.concatenate([part.rows(step) for part in parts])
        np.testing.assert_array_equal(rows, alone.rows(step))


def by_label(found):
    return {int(y): x for b in found for x, y in zip(b["x"], b["y"], strict=True)}


@pytest.mark.parametrize("threads", [1, 3])
def test_reading_ahead_gives_what_reading_gives(threads):
    source = Records(np.arange(10), decode, seed=5)
    plan = Plan(examples=10, batch=4, seed=0)
    expected = [source.read(plan.rows(s), plan.epoch(s)) for s in range(5)]
    found = list(batches(source, plan, 0, 5, threads=threads))
    assert len(found) == 5
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one["x"], other["x"])
        np.testing.assert_array_equal(one["y"], other["y"])
    resumed = list(batches(source, plan, 3, 5, threads=threads))
    np.testing.assert_array_equal(resumed[0]["x"], expected[3]["x"])
    # The draws of an example are new in each epoch.
    first, second = by_label(expected[:2]), by_label(expected[2:4])
    assert all(first[y] != second[y] for y in first.keys() & second.keys())


@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_counts_every_example_once(processes):
    seen = []
    for process in range(processes):
        for batch in in_order(numbers(10), 4, process, processes):
            assert len(batch["x"]) == 4 // processes
            seen += list(batch["x"][batch["weight"] > 0])
    assert sorted(seen) == list(range(10))


def test_batches_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="batch must be at most the 3 training"):
        Plan(examples=3, batch=4, seed=0)
    with pytest.raises(ValueError, match="does not split over 3 processes"):
        Plan(examples=30, batch=4, seed=0, process=0, processes=3)
