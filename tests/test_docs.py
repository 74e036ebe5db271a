"""The code that the README and the pages show runs as it stands."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_runs_top_to_bottom(page, capsys):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks, "a page shows how to use something"
    if any(block.startswith(">>> ") for block in blocks):
        done = doctest.testfile(str(page), False, optionflags=OPTIONS)
        assert done.attempted > 0
        assert done.failed == 0, capsys.readouterr().out
        return
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": "page"})
    assert "nan" not in capsys.readouterr().out
