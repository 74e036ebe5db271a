"""The small Table 1: what is trained, what is answered, where the data must be."""

import pytest

from experiments import fashion_mnist
from experiments.lps_table1 import finished, planned
from experiments.lps_table1_report import (
    cells,
    findings,
    paired_interval,
    table,
    verdict,
)


def runs(**accuracies):
    return [
        {
            "down": down,
            "antialias": None,
            "seed": seed,
            "accuracy": value,
            "consistency": 1.0,
        }
        for down, values in accuracies.items()
        for seed, value in enumerate(values)
    ]


def test_the_question_comes_first_and_no_run_twice():
    every = [tuple(run.values()) for run in planned(3)]
    assert len(set(every)) == len(every) == 26
    assert {down for down, *_ in every[:6]} == {"lps", "lps_input"}


def test_the_interval_is_that_of_paired_differences():
    # Differences 1, 2 and 3 points: mean 2, standard error 1 / sqrt(3), t = 4.3027.
    found = cells(runs(lps=[0.8, 0.7, 0.6], lps_input=[0.81, 0.72, 0.63, 0.9]))
    mean, width, seeds = paired_interval(found)
    assert (mean, seeds) == (pytest.approx(2), 3)
    assert width == pytest.approx(4.3027 / 3**0.5, abs=1e-3)
    assert "undecided" not in table(found)[-1]
    assert paired_interval(cells(runs(lps=[0.8], lps_input=[0.8]))) is None


def test_the_verdict_needs_an_interval_clear_of_the_margin():
    assert verdict(0.0, 0.9) == "as accurate"
    assert verdict(-2.0, 0.9) == "less accurate"
    assert verdict(0.0, 1.1) == verdict(-1.5, 0.9) == "undecided"


def test_one_violation_is_enough_for_the_verdict_on_shifts():
    found = cells(runs(lps=[0.8, 0.7], lps_input=[0.8, 0.7]))
    for run in found["lps", None]:
        run |= {"shifts": 1024, "violations": 0}
    question = "no shift changes a label of APS and LPS"
    assert findings(found)["verdicts"][question] == "reappears"
    found["lps", None][1]["violations"] = 1
    assert findings(found)["verdicts"][question] == "does not"


def test_missing_data_and_results_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="dataset-fashion-mnist"):
        fashion_mnist.load("train", folder=tmp_path)
    assert finished(tmp_path / "none.json") == []
