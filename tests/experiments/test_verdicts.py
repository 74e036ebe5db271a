"""The README of experiments says what their results say."""

from pathlib import Path

import pytest

from experiments import verdicts

README = Path(verdicts.__file__).parent / "README.md"


def test_the_readme_has_every_verdict():
    text = README.read_text().splitlines()
    assert [line for line in verdicts.lines() if line not in text] == []


@pytest.mark.parametrize("path", sorted(README.parent.glob("results/*.json")))
def test_every_result_has_its_section(path):
    assert f"`{path.stem}`" in README.read_text()
