"""The page's one foreign file is what its sources build, and the types of the page's own modules hold."""

import subprocess
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[2] / "deploy" / "page"


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    if not (PLACE / "node_modules" / "esbuild").is_dir():
        pytest.skip("the page's packages are not there; `make page-packages` fetches them where there is npm")


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=PLACE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_committed_viewer_is_built_of_the_locked_packages() -> None:
    run("node", "build.mjs", "--check")


def test_the_types_of_the_page_hold() -> None:
    run("node", "node_modules/typescript/bin/tsc", "-p", ".")
