"""The README of experiments says what their results say."""

import json

from experiments import verdicts


def test_the_readme_has_every_verdict():
    text = verdicts.README.read_text().splitlines()
    missing = [line for line in verdicts.lines() if line not in text]
    assert not missing, "run python -m experiments.verdicts --write"


def test_verdicts_of_both_forms_are_found(tmp_path, monkeypatch):
    interval = {"mean": 2.0, "low": 1.0, "high": 3.0}
    found = {
        "verdicts": {"one": "reappears", "two": "does not"},
        "intervals": {"one": interval},
        "claims": {"three": {"verdict": "undecided", "interval": [-0.5, 1.25]}},
    }
    (tmp_path / "some.json").write_text(json.dumps(found))
    monkeypatch.setattr(verdicts, "RESULTS", tmp_path)
    assert verdicts.lines()[2:] == [
        "| some | one | *reappears* | 1 to 3 |",
        "| some | two | *does not* |  |",
        "| some | three | *undecided* | -0.5 to 1.25 |",
    ]
