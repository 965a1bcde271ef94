"""What every column of a table and every array holds and in which unit: told once, in Parquet and in Zarr."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from dras_model.results.phenotypes import COLUMNS, PATCH_COLUMNS, Quantity
from dras_model.results.study import NOTICE, Score, StudyResult

# The arrays of the patches by name; the first axis of each is the patch, in the atlas' order.
FEATURE_QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        "embeddings": Quantity("embedding of the patch by the encoder named in the provenance", "1"),
        "corners": Quantity("first voxel (x, y, z) of the patch in the atlas", "voxel"),
        "locations": Quantity("corner (x, y, z) in [-1, 1] of the atlas, as the encoder is given it", "1"),
        "valid": Quantity("whether the patch lies within the scan and holds lung", "1"),
        "inside": Quantity("fraction of the cube within the scan", "1"),
        "lung_fraction": Quantity("fraction of the cube that is lung", "1"),
        "corner_mm": Quantity("centre (L, P, S) of the cube's first 1 mm voxel in the scan", "mm"),
        **PATCH_COLUMNS,
    }
)
REGION_QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        "Region": Quantity("region of the lungs; result.json and docs/scores.md define it", "1"),
        "Image": Quantity("which image was measured: raw, or harmonised over kernel and noise", "1"),
        "Phase": Quantity("breath of the scan", "1"),
        "NVoxels": Quantity("lung voxels of the region", "1"),
        "Warnings": Quantity("codes that bear on any score of the row, separated by spaces", "1"),
    }
)


def score_quantities(scores: Iterable[Score]) -> dict[str, Quantity]:
    """Return what each column of COLUMNS holds, in the words of the raw scores that are given."""
    first: dict[str, Score] = {}
    for score in scores:
        if score.image == "raw":
            first.setdefault(score.code, score)
    return {
        column: Quantity(f"{code}: {first[code].definition} ({first[code].reference})", first[code].unit)
        for code, column in COLUMNS.items()
        if code in first
    }


def provenance_attributes(result: StudyResult) -> dict[str, str]:
    """Return what tells a file of its own from where it comes; nothing of the patient."""
    provenance = result.provenance
    return {
        "notice": NOTICE,
        "schema_version": result.schema_version,
        "series_instance_uid": result.series_instance_uid,
        "status": result.status,
        "warnings": " ".join(dict.fromkeys(warning.code.value for warning in result.warnings)),
        "provenance": provenance.model_dump_json(),
    }
