"""Whether the demo may replace its output folder: it is empty, or holds nothing but a former result."""

from pathlib import Path

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

# Add-only: what any version has written.
RESULT_FILES = frozenset(
    {
        "result.json",
        "regions.csv",
        "patches.csv",
        "features.npz",
        "feature_map.nii.gz",
        "qc.png",
        "truth.json",
        "regions.parquet",
        "patches.parquet",
        "lungs.nii.gz",
        "laa_map.nii.gz",
        "key_images.npz",
        "report.html",
        "report.pdf",
        "view.nii.gz",
        "view_lungs.nii.gz",
        "view_low.nii.gz",
    }
)


def check_replaceable(out: Path) -> bool:
    """Return whether something is there to be replaced. Raises SetupRefused where it must not be."""
    if not out.is_dir():
        return False
    found = {entry.name for entry in out.iterdir()}
    is_former_result = "result.json" in found and found <= RESULT_FILES
    if found and not is_former_result:
        raise SetupRefused(
            Code.OUTPUT_NOT_WRITABLE,
            path=str(out),
            reason="it holds other things than a former result; choose another folder",
        )
    return bool(found)
