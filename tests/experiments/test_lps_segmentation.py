"""The small Table 5: scenes, verdicts, where the data must be."""

import numpy as np
import pytest
from scipy import ndimage

from experiments import stamps
from experiments.lps_segmentation import METHODS, STANDARD_METHODS, pack
from experiments.lps_segmentation_report import (
    PAPER,
    PAPER_STANDARD,
    consistent,
    findings,
    unpacked,
)


@pytest.fixture
def sources():
    stamp = np.ones((10, 6, 4), np.float32)
    stamp[:3, :, 3] = 0
    grounds = [np.zeros((100, 110, 3), np.float32)]
    return stamps.Sources(tuple([stamp] for _ in stamps.CLASSES[1:]), grounds)


def test_masks_are_where_the_objects_are_and_wrap_around(sources):
    x, y = stamps.scenes(sources, 30, 0, size=32)
    assert x.shape == (30, 32, 32, 3)
    # Objects are white on black: a pixel has a label just where it is not dark.
    bright = x.min(-1)
    assert (y[bright > 0.6] > 0).all()
    assert (y[bright < 0.4] == 0).all()
    assert set(np.unique(y)) == set(range(len(stamps.CLASSES)))
    assert any(m[0].any() and m[-1].any() for m in y)
    again = stamps.scenes(sources, 30, 0, size=32)
    np.testing.assert_array_equal(again[0], x)


def test_without_wrapping_an_object_is_one_piece(sources):
    def most_pieces(wrap):
        _, y = stamps.scenes(sources, 60, 0, wrap=wrap)
        return max(ndimage.label(labels > 0)[1] for labels in y)

    assert most_pieces(wrap=False) <= 3  # the most objects of a scene
    assert most_pieces(wrap=True) > 3


def test_missing_stamps_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="tuxpaint-stamps-default"):
        stamps.load("train", folder=tmp_path)


def runs(method, mious, consistency=0.9, moved=0):
    return [
        {
            "method": method,
            "seed": i,
            "miou": miou,
            "consistency": consistency,
            "moved_labels": {"96": moved},
        }
        for i, miou in enumerate(mious)
    ]


def test_one_moved_label_is_enough_to_lose_full_consistency():
    other = runs("aps", [0.3])
    assert consistent({"lps": runs("lps", [0.3], 1.0), "aps": other}) == "reappears"
    moved = runs("lps", [0.3], 1.0, moved=1)
    assert consistent({"lps": moved, "aps": other}) == "does not"
    assert consistent({"lps": runs("lps", [0.3], 0.999), "aps": other}) == "does not"
    assert consistent({"aps": other}) == "undecided at this size"


def test_accuracy_needs_pairs_clear_of_the_margin():
    lps = runs("lps", [0.30, 0.31, 0.32])
    close, better, spread = [0.30, 0.311, 0.319], [0.40, 0.411, 0.419], [0.2, 0.31, 0.4]
    for other, verdict in (
        (close, "reappears"),
        (better, "does not"),
        (spread, "undecided at this size"),
        ([0.3], "undecided at this size"),
    ):
        found = findings({"lps": lps, "x": runs("x", other)})
        assert found["verdicts"]["LPS is as accurate as x"] == verdict


def test_consistency_under_standard_shifts_is_compared_in_pairs():
    lps = [
        run | {"consistency": c}
        for run, c in zip(runs("lps", [0.3, 0.3]), (0.96, 0.97), strict=True)
    ]
    for other, verdict in (
        (0.9, "reappears"),
        (1.03, "does not"),
        (0.965, "undecided at this size"),
    ):
        rows = {"lps": lps, "x": runs("x", [0.3, 0.3], other)}
        found = findings(rows, standard=True)
        assert found["verdicts"]["LPS is more consistent than x"] == verdict
        assert "LPS alone is fully consistent" not in found["verdicts"]


def test_rows_are_the_papers_and_examples_come_back():
    assert set(METHODS) == set(PAPER)
    assert set(STANDARD_METHODS) == set(PAPER_STANDARD)
    labels = np.random.default_rng(0).integers(0, 5, (2, 3, 8, 8))
    np.testing.assert_array_equal(unpacked({"examples": pack(labels)}, 8), labels)
