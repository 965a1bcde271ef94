import subprocess
import sys

HEAVY = ("numpy", "SimpleITK", "onnxruntime", "scipy", "matplotlib", "torch", "nibabel", "pydicom")


def loaded_after(statement):
    code = f"import sys; {statement}; print(*[name for name in {HEAVY} if name in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_a_worker_is_put_together_without_the_imaging_stack():
    assert loaded_after("import dras_service.worker.__main__") == []


def test_the_gateway_never_loads_the_imaging_stack():
    assert loaded_after("import dras_service.gateway.app, dras_service.serve") == []
