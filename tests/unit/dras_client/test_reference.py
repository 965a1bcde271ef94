from pathlib import Path

from dras_client.reference import tables

PAGE = Path(__file__).parents[3] / "docs" / "sdk.md"


def test_the_tables_of_the_page_are_those_of_the_code():
    assert tables() in PAGE.read_text("utf-8")
