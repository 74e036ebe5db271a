import dataclasses
import math

import pytest

from eqnets import report
from eqnets.report import tables


def test_machine_lines(measurement):
    lines = report.lee_lines(measurement).split("\n")
    assert len(lines) == len(measurement.lee)
    for line, (name, e) in zip(lines, measurement.lee.items(), strict=True):
        word, action, value, sign, stderr = line.split(" ")
        assert (word, action, sign) == ("LEE", name, "+-")
        assert float(value) == pytest.approx(e.mean, rel=1e-5)
        assert float(stderr) == pytest.approx(e.stderr, rel=1e-5)


def test_one_image_has_no_standard_error(make):
    m = make(("one",))
    assert all(line.endswith(" +- nan") for line in report.lee_lines(m).split("\n"))
    assert "1 image\n" in report.lee_table(m)


def test_lee_table_holds_every_number_and_stencil(measurement):
    lines = report.lee_table(measurement).split("\n")
    for name, e in measurement.lee.items():
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        assert f"{e.mean:.4g}" in line
        assert f"{e.stderr:.2g}" in line
        assert (e.stencil or "none") in line
        assert line.endswith(e.units)
    assert "92.5 %" in report.lee_table(measurement)
    assert "81.2 %" in report.lee_table(measurement)


def test_missing_crop_consistency_says_why(measurement):
    m = dataclasses.replace(measurement, crop=None, crop_reason="no larger input")
    assert "not measured: no larger input" in tables.consistency_table(m)
    assert "0.0 %" not in tables.consistency_table(m)


def test_mean_abs_is_named(measurement):
    m = dataclasses.replace(measurement, norm="mean_abs", readout="logits")
    assert "outputs k of |Lzₖ|" in report.lee_table(m)
    with pytest.raises(ValueError, match="known: squared, mean_abs"):
        report.lee_table(dataclasses.replace(measurement, norm="other"))


def test_top_table_has_a_row_for_each_image(measurement):
    lines = report.top_table(measurement.images, measurement.top).split("\n")
    assert [line.split()[0] for line in lines[2:]] == list(measurement.images)
    assert all("tiger cat 0.405" in line for line in lines[2:])


def test_columns_line_up_and_control_letters_are_replaced():
    table = report.text_table(
        ["name", "n"], [["猫", "1"], ["a\x1b[31m", "10"]], right=[1]
    )
    assert table.split("\n") == [
        "name     n",
        "------  --",
        "猫       1",
        "a?[31m  10",
    ]


def test_ragged_rows_are_refused():
    with pytest.raises(ValueError, match="needs 2 cells"):
        report.text_table(["a", "b"], [["1"]])


def test_undefined_numbers_are_dashes():
    from eqnets.report.wording import number

    assert number(math.nan) == "-"
