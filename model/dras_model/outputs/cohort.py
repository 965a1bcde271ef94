"""One Parquet table of many results, and beside it a table of those that could not be read.

Results are read one after another and written in row groups, so that memory stays flat however many there are. A
broken result is a row of the failures, never the end of the others. What else is known of the studies, from a
manifest for example, is carried along in columns of its own. Leaves out where results are looked for: paths come
in, in the order of the rows.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dras_model.imaging.volume import slice_axis
from dras_model.outputs.folder import new_file
from dras_model.outputs.names import RESULT
from dras_model.outputs.parquet import COMPRESSION, patch_table, region_schema
from dras_model.outputs.quantities import REGION_QUANTITIES
from dras_model.outputs.reading import invalid
from dras_model.outputs.stored import StoredResult
from dras_model.outputs.tables import Cell, region_rows
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.phenotypes import COLUMNS, HARMONISED_COLUMNS
from dras_model.results.study import Region, StudyResult

Rows: TypeAlias = Literal["regions", "studies", "patches"]
GROUP_ROWS: Mapping[Rows, int] = MappingProxyType({"regions": 20_000, "studies": 250, "patches": 40_000})
MOST_WAITING = 200  # tables; a small one takes 50 kB beside its rows
EMBEDDING_MEAN = "EmbeddingMean"
FAILURES_HEADER = ("Path", "Code", "Message")
_NOTHING: Mapping[str, Sequence[Cell]] = MappingProxyType({})
_TEXT, _FLOAT, _BOOL = pa.string(), pa.float64(), pa.bool_()
# What identifies a study and says how it was made, before its numbers.
STUDY_TYPES: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "Study": _TEXT, "SeriesInstanceUID": _TEXT, "InputSHA256": _TEXT, "Status": _TEXT, "Manufacturer": _TEXT,
        "Model": _TEXT, "Kernel": _TEXT, "KVP": _FLOAT, "SliceThickness": _FLOAT, "PixelSpacing": _FLOAT,
        "SliceSpacing": _FLOAT, "ContrastAgent": _BOOL, "Iterative": _BOOL, "ValidPatches": pa.int64(),
        "Training": _TEXT, "EncoderSHA256": _TEXT, "DrasVersion": _TEXT, "SchemaVersion": _TEXT,
        "StudyWarnings": _TEXT,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CohortSummary:
    """How many results came in, how many are in the table and in how many rows; `failures` names that table."""

    n_results: int
    n_read: int
    n_rows: int
    failures: Path


@dataclass(frozen=True, slots=True)
class Failure:
    """A study that has no row, and why; `carried` are its values of the columns that are carried."""

    path: str
    code: str
    message: str
    carried: Sequence[Cell] = ()


def write_cohort(
    results: Sequence[Path],
    out: Path,
    *,
    rows: Rows = "regions",
    embeddings: bool = False,
    carried: Mapping[str, Sequence[Cell]] = _NOTHING,
    failed: Iterable[Failure] = (),
    overwrite: bool = False,
    report: Callable[[float], None] = lambda _fraction: None,
) -> CohortSummary:
    """Write the table `out` and `<out>.failures.csv`; both appear whole or not at all.

    `rows` are regions (long), studies (wide) or patches; `embeddings` adds to a study the mean of its valid
    patches; `carried` are further columns, a value for each result; `failed` have failed before.

    Raises StudyRefused COHORT_EMPTY where no result can be read, SetupRefused OUTPUT_NOT_WRITABLE.
    """
    columns = {name: _column(values) for name, values in carried.items()}
    with (
        new_file(out, overwrite=overwrite) as draft,
        failures_table(out, tuple(columns), overwrite=overwrite) as fail,
        draft.open("wb") as file,
    ):
        for failure in failed:
            fail(failure)
        table = _Table(file, rows)
        refusals = 0
        try:
            for index, (path, study) in enumerate(zip(results, study_names(results), strict=True)):
                own = {name: values.slice(index, 1) for name, values in columns.items()}
                try:
                    found = _table_of(StoredResult.read(path), study, rows=rows, embeddings=embeddings)
                    table.add(_with_columns(found, own), path)
                except StudyRefused as refused:
                    refusals += 1
                    cells = [value[0].as_py() for value in own.values()]
                    fail(Failure(str(path), refused.code.value, str(refused), cells))
                report((index + 1) / len(results))
        finally:
            table.close()
        if refusals == len(results):
            raise StudyRefused(Code.COHORT_EMPTY, n_results=len(results))
    return CohortSummary(len(results), len(results) - refusals, table.n_rows, failures_of(out))


def failures_of(out: Path) -> Path:
    """Return where the failures of a table lie."""
    return out.with_name(f"{out.stem}.failures.csv")


@contextmanager
def failures_table(
    out: Path, carried: Sequence[str] = (), *, overwrite: bool = False
) -> Iterator[Callable[[Failure], None]]:
    """Yield what takes the failures of the table `out`; their file appears whole or not at all."""
    with (
        new_file(failures_of(out), overwrite=overwrite) as draft,
        draft.open("w", encoding="utf-8", newline="") as text,
    ):
        log = csv.writer(text, lineterminator="\n")
        log.writerow((*FAILURES_HEADER, *carried))

        def fail(failure: Failure) -> None:
            log.writerow((failure.path, failure.code, failure.message, *failure.carried))

        yield fail


def study_names(results: Sequence[Path]) -> list[str]:
    """Return the name of each result's folder, or its path as given where several folders have that name."""
    folders = [path.parent if path.name == RESULT else path for path in results]
    names = [folder.absolute().name for folder in folders]
    often = Counter(names)
    return [name if often[name] == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]


class _Table:
    """A Parquet file that is written in row groups; its columns are those of the first table added."""

    def __init__(self, file: BinaryIO, rows: Rows) -> None:
        self._file, self._least = file, GROUP_ROWS[rows]
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self.n_rows = 0

    def add(self, table: pa.Table, source: Path) -> None:
        """Add rows. Raises StudyRefused RESULT_INVALID where their columns are not those of the results before."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, table.schema, compression=COMPRESSION)
        elif not table.schema.equals(self._writer.schema):
            raise invalid(source, "its arrays are not those of the results before it")
        self._waiting.append(table)
        self.n_rows += table.num_rows
        if len(self._waiting) > MOST_WAITING:
            self._waiting = [pa.concat_tables(self._waiting).combine_chunks()]
        if sum(each.num_rows for each in self._waiting) >= self._least:
            self._flush()

    def close(self) -> None:
        """Write what waits, and the end of the file."""
        if self._writer is not None:
            try:
                self._flush()
            finally:
                self._writer.close()

    def _flush(self) -> None:
        if self._waiting and self._writer is not None:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=1 << 30)
            self._waiting = []


def _table_of(stored: StoredResult, study: str, *, rows: Rows, embeddings: bool) -> pa.Table:
    told = _study_columns(stored.result, study)
    if rows == "regions":
        schema = pa.schema([*_study_fields(), *region_schema(REGION_QUANTITIES)])
        return pa.Table.from_pylist([told | row for row in region_rows(stored.result)], schema=schema)
    if rows == "studies":
        return _wide(stored, told, embeddings=embeddings)
    patches = patch_table(stored.features)
    for position, name in enumerate(("Study", "SeriesInstanceUID")):
        values = pa.array([told[name]] * patches.num_rows, _TEXT)
        patches = patches.add_column(position, pa.field(name, _TEXT), values)
    return patches


def _with_columns(table: pa.Table, carried: Mapping[str, pa.Array]) -> pa.Table:
    """Put further columns behind those that identify a study."""
    place = 1 + table.column_names.index("Study") if carried else 0
    for position, (name, value) in enumerate(carried.items(), start=place):
        values = pa.repeat(value[0], table.num_rows)
        table = table.add_column(position, pa.field(name, value.type), values)
    return table


def _column(values: Sequence[Cell]) -> pa.Array:
    """Return values with their type; text where there is none."""
    found = pa.array(values)
    return found.cast(_TEXT) if pa.types.is_null(found.type) else found


def _wide(stored: StoredResult, told: Mapping[str, Any], *, embeddings: bool) -> pa.Table:
    row = dict(told)
    for region in region_rows(stored.result):
        suffix = "" if region["Image"] == "raw" else f"_{region['Image']}"
        row |= {f"{region['Region']}_{column}{suffix}": region[column] for column in COLUMNS.values()}
    fields = [*_study_fields(), *(pa.field(name, _FLOAT) for name in wide_names())]
    if embeddings:
        features = stored.features
        mean = (
            features.embeddings[features.valid].mean(axis=0, dtype=np.float64)
            if features.valid.any()
            else None
        )
        row[EMBEDDING_MEAN] = None if mean is None else mean.astype(np.float32)
        fields.append(pa.field(EMBEDDING_MEAN, pa.list_(pa.float32(), features.embeddings.shape[1])))
    return pa.Table.from_pylist([row], schema=pa.schema(fields))


def wide_names() -> Iterator[str]:
    """Yield the columns of a study's numbers: a region and score each, those of the harmonised image last."""
    for region in Region:
        yield from (f"{region.value}_{column}" for column in COLUMNS.values())
    for region in Region:
        yield from (f"{region.value}_{column}_harmonised" for column in HARMONISED_COLUMNS)


def _study_fields() -> list[pa.Field]:
    return [pa.field(name, kind) for name, kind in STUDY_TYPES.items()]


def _study_columns(result: StudyResult, study: str) -> dict[str, Any]:
    acquisition, provenance = result.acquisition, result.provenance
    spacing_mm = result.geometry.spacing_xyz_mm
    slices = slice_axis(spacing_mm)
    return {
        "Study": study,
        "SeriesInstanceUID": result.series_instance_uid,
        "InputSHA256": provenance.input_sha256,
        "Status": result.status,
        "Manufacturer": acquisition.manufacturer,
        "Model": acquisition.model,
        "Kernel": acquisition.kernel,
        "KVP": acquisition.kvp,
        "SliceThickness": acquisition.slice_thickness_mm,
        "PixelSpacing": max(mm for axis, mm in enumerate(spacing_mm) if axis != slices),
        "SliceSpacing": spacing_mm[slices],
        "ContrastAgent": acquisition.contrast_agent,
        "Iterative": acquisition.iterative,
        "ValidPatches": result.qc.patches.n_valid,
        "Training": provenance.weights.training,
        "EncoderSHA256": provenance.weights.encoder_sha256,
        "DrasVersion": provenance.dras_version,
        "SchemaVersion": result.schema_version,
        "StudyWarnings": " ".join(dict.fromkeys(warning.code.value for warning in result.warnings)),
    }
