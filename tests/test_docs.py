"""The code that the README and the pages show runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_runs_top_to_bottom(page, capsys):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks, "a page shows how to use something"
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": "page"})
    assert "nan" not in capsys.readouterr().out
