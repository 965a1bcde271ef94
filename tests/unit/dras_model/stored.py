"""Results as they are stored, of invented numbers: what a comparison reads, and one that has every score.

Results of a service, which shows only a few scores, are in `unit.dras_service.examples`.
"""

from typing import Any

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

VALUES = {
    "LAA-950insp": (10.0, "%"),
    "Perc15": (-900.0, "HU"),
    "MLD": (-850.0, "HU"),
    "volume": (5000.0, "mL"),
}
ACQUISITION = Acquisition(
    manufacturer="SIEMENS", model="Force", kernel="B31f", kvp=120.0, slice_thickness_mm=1.0, contrast_agent=False,
    iterative=False, scanner_key="a",
)  # fmt: skip


def stored_result(
    *, acquisition: Acquisition = ACQUISITION, lungs_ml: float = 5000.0, weights: dict[str, str] | None = None,
    **provenance: Any,
) -> StudyResult:  # fmt: skip
    told = {
        "name": "test",
        "training": "untrained",
        "encoder_sha256": "0" * 64,
        "atlas": "test",
        "atlas_sha256": "1" * 64,
    }
    made = {"dras_version": "1", "libraries": {}, "device": "cpu", "input_sha256": "2" * 64, "parameters": {}}
    scores = tuple(
        Score(
            code=code, value=value, unit=unit, region=region, n_voxels=9, volume_ml=1.0, definition=f"{code} it is",
            reference="none", comparator="<=" if code == "LAA-950insp" else None,
        )
        for region in (Region.WHOLE, Region.RIGHT)
        for code, (value, unit) in VALUES.items()
    )  # fmt: skip
    return StudyResult(
        status="succeeded",
        series_instance_uid="1.2.3",
        candidates=(),
        acquisition=acquisition,
        geometry=Geometry(
            size_xyz=(60, 60, 60), spacing_xyz_mm=(0.7, 0.7, 1.0), orientation="LPS", affine_lps_mm=()
        ),
        scores=scores,
        warnings=(),
        qc=Quality(
            lungs=LungQuality(
                right_ml=0.55 * lungs_ml, left_ml=0.45 * lungs_ml, airway_ml=40, mean_hu=-850, height_mm=260,
                touches_top_percent=0, touches_bottom_percent=0, touches_side_percent=0,
            ),
            registration=RegistrationQuality(
                dice_right=0.9, dice_left=0.9, determinant=1, rotation_degrees=2, coverage=1, matrix=()
            ),
            patches=PatchQuality(n_patches=4, n_valid=4, n_outside=0, n_little_lung=0),
        ),
        timings={},
        provenance=Provenance(**{**made, **provenance}, weights=WeightsProvenance(**{**told, **(weights or {})})),
    )  # fmt: skip


def complete_result() -> StudyResult:
    """Every score of every region, each another: 0.1, 1.1, 2.1 and so on; Perc15 carries a warning."""
    places = [(code, region) for region in Region for code in COLUMNS]
    plain = stored_result(lungs_ml=5600.0, acquisition=Acquisition(kernel="B31f", manufacturer="MAKER"))
    patches = PatchQuality(n_patches=2, n_valid=1, n_outside=0, n_little_lung=0)
    return plain.model_copy(
        update={
            "status": "succeeded_with_warnings",
            "scores": tuple(_score(code, region, n + 0.1) for n, (code, region) in enumerate(places)),
            "warnings": (StudyWarning.of(Code.LOSSY),),
            "qc": plain.qc.model_copy(update={"patches": patches}),
        }
    )


def _score(code: str, region: Region, value: float) -> Score:
    return Score(
        code=code, value=value, unit="HU", region=region, n_voxels=7, volume_ml=1.0, definition="", reference="",
        warnings=(Code.LOSSY,) if code == "Perc15" else (),
    )  # fmt: skip
