"""A result that is complete and made of invented numbers, for outputs that only show it."""

import pytest

from dras_model.results.codes import Code
from dras_model.results.phenotypes import COLUMNS
from dras_model.results.study import (
    Acquisition,
    Geometry,
    LungQuality,
    PatchQuality,
    Provenance,
    Quality,
    Region,
    RegistrationQuality,
    Score,
    StudyResult,
    StudyWarning,
    WeightsProvenance,
)

WEIGHTS = WeightsProvenance(
    name="test", training="untrained", encoder_sha256="0" * 64, atlas="test", atlas_sha256="1" * 64
)
PROVENANCE = Provenance(
    dras_version="0", libraries={}, device="cpu", input_sha256="2" * 64, weights=WEIGHTS, parameters={}
)
QUALITY = Quality(
    lungs=LungQuality(
        right_ml=3000, left_ml=2600, airway_ml=40, mean_hu=-850, height_mm=260, touches_top_percent=0,
        touches_bottom_percent=0, touches_side_percent=0,
    ),
    registration=RegistrationQuality(
        dice_right=0.9, dice_left=0.9, determinant=1, rotation_degrees=2, coverage=1, matrix=()
    ),
    patches=PatchQuality(n_patches=2, n_valid=1, n_outside=0, n_little_lung=0),
)  # fmt: skip


def score(code: str, region: Region, value: float | None) -> Score:
    return Score(
        code=code, value=value, unit="HU", region=region, n_voxels=7, volume_ml=1.0, definition="",
        reference="", reason=None if value is not None else "the region holds no lung voxel",
        warnings=(Code.LOSSY,) if code == "Perc15" else (),
    )  # fmt: skip


@pytest.fixture
def result() -> StudyResult:
    """Scores are 0.1, 1.1, 2.1 and so on, in the order of regions and codes."""
    places = [(code, region) for region in Region for code in COLUMNS]
    return StudyResult(
        status="succeeded_with_warnings",
        series_instance_uid="1.2.3",
        candidates=(),
        acquisition=Acquisition(kernel="B31f", manufacturer="MAKER"),
        geometry=Geometry(
            size_xyz=(60, 60, 60), spacing_xyz_mm=(2, 2, 2), orientation="LPS", affine_lps_mm=()
        ),
        scores=tuple(score(code, region, n + 0.1) for n, (code, region) in enumerate(places)),
        warnings=(StudyWarning.of(Code.LOSSY),),
        qc=QUALITY,
        timings={},
        provenance=PROVENANCE,
    )
