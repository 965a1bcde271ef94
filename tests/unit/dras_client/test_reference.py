import re
from pathlib import Path

import pytest

from dras_client.reference import tables

PAGE = Path(__file__).parents[3] / "docs" / "sdk.md"


def test_the_tables_of_the_page_are_those_of_the_code():
    assert tables() in PAGE.read_text("utf-8")


@pytest.mark.filterwarnings("default::ResourceWarning")
def test_the_example_of_a_test_of_ones_own_passes(monkeypatch):
    monkeypatch.setattr("dras_client.blocking.time.sleep", lambda _: None)
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        if "FakeService" in block
    )
    exec(code, {})
