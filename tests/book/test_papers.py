"""The pages on the papers say what the results say."""

import pytest

from book import papers

PAGES = sorted(papers.PAPERS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tables_are_those_of_the_results(page):
    text = page.read_text()
    assert text == papers.filled(text), "run python -m book.papers --write"


def test_every_table_stands_in_a_page():
    text = "".join(page.read_text() for page in PAGES)
    missing = [name for name in papers.TABLES if f"<!-- table: {name} -->" not in text]
    assert not missing


def test_a_changed_number_is_replaced():
    page = "<!-- table: lps_table4 -->\n\n| old |\n\n<!-- end -->\nText.\n"
    assert "| old |" not in papers.filled(page)
    assert papers.filled(page).endswith("<!-- end -->\nText.\n")


def test_an_unknown_table_is_an_error():
    with pytest.raises(KeyError, match="none_such"):
        papers.filled("<!-- table: none_such -->\n<!-- end -->")
