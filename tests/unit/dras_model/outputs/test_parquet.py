import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dras_model.outputs.parquet import write_patches, write_regions
from dras_model.outputs.tables import HEADER, regions_csv
from dras_model.results.phenotypes import COLUMNS
from dras_model.results.study import Region, StudyResult
from unit.dras_model.outputs.invented import WIDTH, features


def _with_a_gap(result: StudyResult) -> StudyResult:
    """A third as the first value, none as the second."""
    third = result.scores[0].model_copy(update={"value": 1.0 / 3.0})
    none = result.scores[1].model_copy(update={"value": None, "reason": "none"})
    return result.model_copy(update={"scores": (third, none, *result.scores[2:])})


def test_pandas_reads_every_score_to_the_last_bit_and_null_where_there_is_none(
    result: StudyResult, tmp_path: Path
) -> None:
    changed = _with_a_gap(result)
    write_regions(tmp_path / "regions.parquet", changed)
    table = pd.read_parquet(tmp_path / "regions.parquet")
    assert tuple(table.columns) == HEADER
    given = {(score.region.value, score.code): score.value for score in changed.scores}
    assert len(table) == len(Region)
    for _, row in table.iterrows():
        for code, column in COLUMNS.items():
            value = given[row["Region"], code]
            assert (np.isnan(row[column]) and value is None) or row[column] == value
    assert table["NVoxels"].dtype == np.int64


def test_the_typed_table_says_what_the_text_says(result: StudyResult, tmp_path: Path) -> None:
    changed = _with_a_gap(result)
    write_regions(tmp_path / "regions.parquet", changed)
    typed = pq.read_table(tmp_path / "regions.parquet").to_pylist()
    text = list(csv.DictReader(io.StringIO(regions_csv(changed))))
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in typed] == text


def test_a_column_says_its_unit_and_definition_and_the_file_where_it_comes_from(
    result: StudyResult, tmp_path: Path
) -> None:
    write_regions(tmp_path / "regions.parquet", result)
    schema = pq.read_schema(tmp_path / "regions.parquet")
    assert schema.field("LAA950").metadata[b"unit"] == b"HU"  # of the invented scores
    assert schema.field("LAA950").metadata[b"definition"].startswith(b"LAA-950insp:")
    assert json.loads(schema.metadata[b"provenance"])["input_sha256"] == "2" * 64
    assert all(field.metadata for field in schema)


def test_patches_hold_the_arrays_with_their_types_and_the_embeddings(
    result: StudyResult, tmp_path: Path
) -> None:
    write_patches(tmp_path / "patches.parquet", features(), result)
    table = pq.read_table(tmp_path / "patches.parquet")
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), WIDTH)
    found = table.to_pandas()
    expected = features()
    np.testing.assert_array_equal(np.stack(found["embedding"]), expected.embeddings)
    for axis, name in enumerate("xyz"):
        np.testing.assert_array_equal(found[f"corner_{name}"], expected.corners[:, axis])
    for axis, name in enumerate("lps"):
        np.testing.assert_array_equal(found[f"corner_{name}_mm"], expected.corner_mm[:, axis])
    for name in ("valid", "inside", "lung_fraction", *expected.densitometry):
        np.testing.assert_array_equal(found[name], expected.columns()[name])
    assert table["laa950"].null_count == 1
    assert table["n_lung_voxels"].null_count == 0


def test_equal_content_gives_equal_bytes(result: StudyResult, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_regions(tmp_path / f"{name}.r", result)
        write_patches(tmp_path / f"{name}.p", features(), result)
    for kind in "rp":
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"other.{kind}").read_bytes()
