"""What a process must not load, tried in a fresh interpreter: contracts on names cannot see a lazy chain."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "SimpleITK", "onnxruntime", "scipy", "matplotlib", "pydicom", "nibabel")
CASES = [
    ("dras_model.pipeline", ("torch",)),
    ("dras_service.gateway.app", (*HEAVY, "numpy")),
    ("dras_client", (*HEAVY, "numpy", "pandas", "anyio", "fastapi", "celery", "sqlalchemy")),
    ("dras_cli.main", (*HEAVY, "fastapi", "celery", "sqlalchemy")),
]


@pytest.mark.parametrize(
    ("module", "forbidden"), CASES, ids=lambda case: case if isinstance(case, str) else ""
)
def test_importing_a_package_loads_nothing_that_it_must_not(module: str, forbidden: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & set(forbidden)
