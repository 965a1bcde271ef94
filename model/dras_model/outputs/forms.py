"""The plain forms of a result, as `exports` names them: what each writes, made of a `StoredResult` alone.

The forms of a modality of their own (DICOM objects, the report) are in their own modules.
"""

from pathlib import Path

from dras_model.outputs.arrays import write_feature_map
from dras_model.outputs.features import write_features
from dras_model.outputs.masks import Masks, write_masks
from dras_model.outputs.names import (
    FEATURE_MAP,
    FEATURES,
    FEATURES_ZARR,
    PATCHES,
    PATCHES_PARQUET,
    REGIONS,
    REGIONS_PARQUET,
)
from dras_model.outputs.reading import invalid
from dras_model.outputs.stored import StoredResult
from dras_model.outputs.tables import patches_csv, regions_csv

_Source = Path | None


def export_csv(stored: StoredResult, folder: Path, _source: _Source = None) -> None:
    """Write both tables as text."""
    (folder / REGIONS).write_text(regions_csv(stored.result), "utf-8")
    (folder / PATCHES).write_text(patches_csv(stored.features), "utf-8")


def export_parquet(stored: StoredResult, folder: Path, _source: _Source = None) -> None:
    """Write both tables with types, units and definitions."""
    from dras_model.outputs.parquet import write_patches, write_regions  # noqa: PLC0415 - Arrow is not small

    write_regions(folder / REGIONS_PARQUET, stored.result)
    write_patches(folder / PATCHES_PARQUET, stored.features, stored.result)


def export_zarr(stored: StoredResult, folder: Path, _source: _Source = None) -> None:
    """Write the arrays of the patches as a Zarr group."""
    from dras_model.outputs.zarr_store import write_zarr  # noqa: PLC0415 - loads an event loop of its own

    write_zarr(folder / FEATURES_ZARR, stored.features, stored.result)


def export_npz(stored: StoredResult, folder: Path, _source: _Source = None) -> None:
    """Write the arrays of the patches."""
    write_features(folder / FEATURES, stored.features)


def export_masks(stored: StoredResult, folder: Path, _source: _Source = None) -> None:
    """Write the label maps of the scan."""
    write_masks(folder, Masks(stored.lungs, stored.low_attenuation))


def export_feature_map(stored: StoredResult, folder: Path, _source: _Source = None) -> None:
    """Write the embeddings by place. Raises StudyRefused RESULT_INVALID for a result without its lattice."""
    lattice = stored.features.lattice
    if lattice is None:
        raise invalid(stored.path(FEATURES), "it does not say where its patches lie; extract the study again")
    write_feature_map(folder / FEATURE_MAP, stored.features, lattice)
