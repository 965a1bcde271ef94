import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["creation", "official", "runtime"])
def test_making_importing_and_serving_weights_needs_no_torch(module: str) -> None:
    program = f"import sys, dras_model.encoder.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
