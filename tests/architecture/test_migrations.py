"""While a service is upgraded two versions share its database: a migration only adds (docs/deployment.md)."""

import ast
from pathlib import Path

import pytest

VERSIONS = Path(__file__).parents[2] / "service/dras_service/store/migrations/versions"
BEFORE_THE_RULE = {"v0001_jobs.py", "v0002_tenants.py", "v0003_operations.py"}
TAKES_AWAY = {"drop_table", "drop_column", "drop_constraint", "rename_table", "alter_column", "drop_index"}
EXCUSE = "# contract:"  # names the version that has to run before


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("v*.py")), ids=lambda path: path.name)
def test_a_migration_only_adds_or_says_which_version_has_to_run_before(path: Path) -> None:
    if path.name in BEFORE_THE_RULE:
        return
    text = path.read_text("utf-8")
    (upgrade,) = (
        node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    )
    calls = {
        node.func.attr
        for node in ast.walk(upgrade)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not calls & TAKES_AWAY or EXCUSE in text, (
        f"{calls & TAKES_AWAY}: expand first, contract a version later"
    )
