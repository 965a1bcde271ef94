"""An invented result and its files: small, the same each time, and of the form of a real one.

Leaves out pictures, maps and the report: a test that needs those brings them.
"""

import csv
import io
import random
import zipfile
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from dras_client.arrays import NAME
from dras_client.tables import PATCHES, REGIONS
from dras_model.results.codes import Code
from dras_model.results.phenotypes import COLUMNS, PATCH_COLUMNS
from dras_model.results.study import (
    Acquisition,
    Candidate,
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
from dras_service.api.bundles import BundleView

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_PATCHES, _WIDTH = 12, 128
BUNDLE = BundleView(
    name="untrained-0",
    is_default=True,
    training="untrained",
    atlas="builtin",
    n_patches=N_PATCHES,
    embedding_size=_WIDTH,
    signature="unsigned",
    licence="MIT",
    intended_use="Tests.",
    sha256="f" * 64,
    max_difference=1e-4,
    device="none",
)
_UNIT = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
_UNITS = {"LAA-950insp": "%", "Perc15": "HU", "volume": "mL"}
_VALUES = {
    Region.WHOLE: (12.4, -958.0, 5210.0),
    Region.RIGHT: (13.1, -960.0, 2790.0),
    Region.LEFT: (11.6, -955.0, 2420.0),
}


def example_result() -> StudyResult:
    """Return a result with three scores in three regions and the warning that its weights are untrained."""
    return StudyResult(
        status="succeeded_with_warnings",
        series_instance_uid="1.2.3",
        candidates=(
            Candidate(
                series_instance_uid="1.2.3", modality="CT", n_images=300, chosen=True, reason="the only one"
            ),
        ),
        acquisition=Acquisition(kernel="B30f", kvp=120.0, slice_thickness_mm=1.0),
        geometry=Geometry(
            size_xyz=(512, 512, 300), spacing_xyz_mm=(0.7, 0.7, 1.0), orientation="LPS", affine_lps_mm=_UNIT
        ),
        scores=tuple(
            _score(code, value, region)
            for region, values in _VALUES.items()
            for code, value in zip(_UNITS, values, strict=True)
        ),
        warnings=(StudyWarning.of(Code.UNTRAINED_WEIGHTS, seed=0),),
        qc=_quality(),
        timings={"total": 9.0, "peak_rss_mb": 2000.0},
        provenance=_provenance(),
    )


def example_files(result: StudyResult) -> dict[str, bytes]:
    """Return the files of a result by name: itself, its tables, and invented arrays of twelve patches."""
    columns = _columns()
    return {
        NAME: _arrays(),
        PATCHES: _csv(
            ("patch", *columns), ([n, *row] for n, row in enumerate(zip(*columns.values(), strict=True)))
        ),
        REGIONS: _regions(result),
        "result.json": result.model_dump_json().encode(),
    }


def _score(code: str, value: float, region: Region) -> Score:
    return Score(
        code=code,
        value=value,
        unit=_UNITS[code],
        region=region,
        n_voxels=1_000_000,
        volume_ml=_VALUES[region][2],
        phase="inspiration",
        definition="invented",
        reference="",
    )


def _quality() -> Quality:
    lungs = dict.fromkeys(("right_ml", "left_ml", "airway_ml", "mean_hu", "height_mm"), 0.0)
    edges = dict.fromkeys(("touches_top_percent", "touches_bottom_percent", "touches_side_percent"), 0.0)
    return Quality(
        lungs=LungQuality(**lungs, **edges),
        registration=RegistrationQuality(
            dice_right=0.95,
            dice_left=0.95,
            determinant=1.0,
            rotation_degrees=0.0,
            coverage=1.0,
            matrix=_UNIT,
        ),
        patches=PatchQuality(n_patches=N_PATCHES, n_valid=N_PATCHES - 1, n_outside=1, n_little_lung=0),
    )


def _provenance() -> Provenance:
    return Provenance(
        dras_version="0",
        libraries={},
        device="none: invented by dras_client.testing",
        input_sha256="0" * 64,
        weights=WeightsProvenance(
            name="untrained-0",
            training="untrained",
            encoder_sha256="0" * 64,
            atlas="builtin",
            atlas_sha256="0" * 64,
            bundle_sha256=BUNDLE.sha256,
        ),
        parameters={},
    )


def _columns() -> dict[str, list[float]]:
    chance = random.Random(0)  # noqa: S311 - invented numbers
    drawn = {
        name: [round(chance.uniform(0, 1), 4) for _ in range(N_PATCHES)]
        for name in ("inside", "lung_fraction", *PATCH_COLUMNS)
    }
    return {"valid": [int(number != 0) for number in range(N_PATCHES)], **drawn}


@cache
def _arrays() -> bytes:
    import numpy as np  # noqa: PLC0415 - the package loads without it

    chance = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {
        "embeddings": chance.normal(size=(N_PATCHES, _WIDTH)).astype(np.float32),
        "corners": chance.integers(0, 200, (N_PATCHES, 3)),
        "locations": chance.uniform(-1, 1, (N_PATCHES, 3)).astype(np.float32),
        "corner_mm": chance.normal(0, 100, (N_PATCHES, 3)),
    }
    for name, values in _columns().items():
        arrays[name] = np.asarray(values, dtype=np.bool_ if name == "valid" else np.float32)
    content = io.BytesIO()
    with zipfile.ZipFile(
        content, "w"
    ) as archive:  # as numpy.savez does, without its arguments of other names
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return content.getvalue()


def _regions(result: StudyResult) -> bytes:
    values = {(score.region, score.code): score.value for score in result.scores if score.image == "raw"}
    rows = [
        [
            region.value,
            "raw",
            "inspiration",
            1_000_000,
            *(values.get((region, code), "") for code in COLUMNS),
            "",
        ]
        for region in dict.fromkeys(region for region, _ in values)
    ]
    return _csv(("Region", "Image", "Phase", "NVoxels", *COLUMNS.values(), "Warnings"), rows)


def _csv(header: Sequence[str], rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
