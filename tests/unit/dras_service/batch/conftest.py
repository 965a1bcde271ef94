"""A batch's folder with its ledger, and workers that are played by a script."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dras_service.batch.cases import Found
from dras_service.batch.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "out", writes=True) as opened:
        opened.begin_run("recipe")
        yield opened


def study(name: str, identity: str = "1", **known: object) -> Found:
    return Found(study=name, origin="tree", source=f"place of {name}", identity=identity, **known)  # type: ignore[arg-type]
