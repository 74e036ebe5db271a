"""The tutorials as notebooks: every block a cell, in order, and nothing run."""

import json

import pytest

from book.blocks import blocks
from book.notebooks import TUTORIALS, notebook


@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda p: p.stem)
def test_each_block_is_a_cell(page):
    cells = json.loads(notebook(page))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    assert code == [block.code.rstrip("\n") for block in blocks(page.read_text())]
    assert all(c["outputs"] == [] for c in cells if c["cell_type"] == "code")
