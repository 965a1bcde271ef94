"""Parquet of one result: the tables with types, units and definitions, and the embeddings beside the patches.

`regions.parquet` has the columns of `regions.csv`; `patches.parquet` adds positions and embeddings. Equal content
gives equal bytes with one version of Arrow: a Parquet file holds no time. Leaves out cohorts: `cohort`.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dras_model.outputs.features import Features
from dras_model.outputs.quantities import (
    FEATURE_QUANTITIES,
    REGION_QUANTITIES,
    provenance_attributes,
    score_quantities,
)
from dras_model.outputs.tables import HEADER, patch_columns, region_rows
from dras_model.results.phenotypes import COLUMNS, Quantity
from dras_model.results.study import StudyResult

COMPRESSION = "zstd"
_TYPES = {"NVoxels": pa.int64(), **dict.fromkeys(COLUMNS.values(), pa.float64())}
_AXES = {"corners": "xyz", "corner_mm": "lps"}


def write_regions(path: Path, result: StudyResult) -> None:
    """Write the regions: text, `NVoxels` int64 and every score float64, null where none is given."""
    quantities = {**REGION_QUANTITIES, **score_quantities(result.scores)}
    table = pa.Table.from_pylist(list(region_rows(result)), schema=region_schema(quantities))
    _write(table, path, result)


def write_patches(path: Path, features: Features, result: StudyResult) -> None:
    """Write the patches: `embedding` is a list of `width` float32; NaN of the densitometry is null."""
    _write(patch_table(features), path, result)


def region_schema(quantities: Mapping[str, Quantity]) -> pa.Schema:
    """Return the types of HEADER, each field with its unit and definition where `quantities` have it."""
    return pa.schema([_field(name, _TYPES.get(name, pa.string()), quantities.get(name)) for name in HEADER])


def patch_table(features: Features) -> pa.Table:
    """Return one row a patch."""
    columns: dict[str, tuple[pa.Array, Quantity | None]] = {}
    for name, values in patch_columns(features).items():
        measured = name in features.densitometry
        array = pa.array(values, mask=np.isnan(values) if measured else None)
        columns[name] = (array, FEATURE_QUANTITIES.get(name))
    for name, axes in _AXES.items():
        for axis, values in zip(axes, getattr(features, name).T, strict=True):
            columns[f"corner_{axis}" + ("_mm" if name == "corner_mm" else "")] = (
                pa.array(np.ascontiguousarray(values)),
                FEATURE_QUANTITIES[name],
            )
    width = features.embeddings.shape[1]
    flat = pa.array(np.ascontiguousarray(features.embeddings).ravel())
    columns["embedding"] = (
        pa.FixedSizeListArray.from_arrays(flat, width),
        FEATURE_QUANTITIES["embeddings"],
    )
    schema = pa.schema([_field(name, array.type, quantity) for name, (array, quantity) in columns.items()])
    return pa.Table.from_arrays([array for array, _ in columns.values()], schema=schema)


def _field(name: str, kind: pa.DataType, quantity: Quantity | None) -> pa.Field:
    told = None if quantity is None else {"unit": quantity.unit, "definition": quantity.definition}
    return pa.field(name, kind, metadata=told)


def _write(table: pa.Table, path: Path, result: StudyResult) -> None:
    """Write through memory, a few hundred kB: Arrow keeps a file open that it could not write."""
    content = pa.BufferOutputStream()
    told = table.replace_schema_metadata(provenance_attributes(result))
    pq.write_table(told, content, compression=COMPRESSION)
    path.write_bytes(content.getvalue())
