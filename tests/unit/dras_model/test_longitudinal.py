import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from dras_model.longitudinal import compare, read_stored
from dras_model.outputs.comparing import HEADER
from dras_model.results.codes import Code
from dras_model.results.comparison import ComparisonResult
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_model.results.study import SCHEMA_VERSION
from unit.dras_model.stored import stored_result

SCHEMA = Path(__file__).parents[3] / "docs" / "schema" / "comparison-1.0.json"
Folders = Callable[..., Path]


@pytest.fixture
def stored(tmp_path: Path) -> Folders:
    def make(name: str, *, embeddings: np.ndarray | None = None, **changes: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        result = stored_result(input_sha256=name[0] * 64, **changes)  # type: ignore[arg-type]
        (folder / "result.json").write_text(result.model_dump_json())
        if embeddings is not None:
            np.savez(
                folder / "features.npz", embeddings=embeddings, valid=np.ones(len(embeddings), dtype=bool)
            )
        return folder

    return make


def test_a_comparison_is_written_as_its_schema_says(stored: Folders, tmp_path: Path) -> None:
    rows = np.eye(4, dtype=np.float32)
    folders = [stored("a", embeddings=rows), stored("b", embeddings=rows), stored("c", lungs_ml=4000.0)]
    result = compare(folders, tmp_path / "out", interval_years=(1.0, 2.0))
    assert [followup.interval_years for followup in result.followups] == [1.0, 2.0]
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    schema = json.loads(SCHEMA.read_text("utf-8"))
    Draft202012Validator(schema).validate(written)
    assert schema == ComparisonResult.model_json_schema(mode="serialization")
    assert ComparisonResult.model_validate(written) == result


def test_the_table_holds_the_numbers_of_the_comparison(stored: Folders, tmp_path: Path) -> None:
    result = compare([stored("a"), stored("b")], tmp_path / "out")
    with (tmp_path / "out" / "differences.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HEADER
    assert len(rows) == len(result.followups[0].differences)
    for row, difference in zip(rows, result.followups[0].differences, strict=True):
        assert row["Score"] == difference.code
        assert (row["Difference"] == "") == (difference.difference is None)


def test_patch_distances_are_written_where_there_are_any(stored: Folders, tmp_path: Path) -> None:
    rows = np.eye(4, dtype=np.float32)
    compare([stored("a", embeddings=rows), stored("b", embeddings=-rows)], tmp_path / "with")
    with (tmp_path / "with" / "patch_distances.csv").open() as file:
        assert [float(row["CosineDistance"]) for row in csv.DictReader(file)] == [2.0] * 4
    compare([stored("c"), stored("d")], tmp_path / "without")
    assert not (tmp_path / "without" / "patch_distances.csv").exists()


def test_a_result_is_read_from_its_file_as_well_as_from_its_folder(stored: Folders) -> None:
    folder = stored("a")
    assert read_stored(folder).result == read_stored(folder / "result.json").result


def test_the_same_images_twice_are_refused(stored: Folders, tmp_path: Path) -> None:
    folder = stored("a")
    with pytest.raises(StudyRefused) as refused:
        compare([folder, folder], tmp_path / "out")
    assert refused.value.code is Code.SAME_STUDY
    assert not (tmp_path / "out").exists()


def test_a_place_without_anything_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StudyRefused) as refused:
        read_stored(tmp_path / "nowhere")
    assert refused.value.code is Code.NOT_FOUND


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'"1.0"', b"\xff\xfe", b"[" * 100_000, b'{"schema_version": "1.0", "provenance": {}}',
     b'{"schema_version": "1.0", "kind": "pair", "provenance": {}}'],
    ids=["empty", "cut", "list", "object", "text", "bytes", "deep", "fields missing", "a pair"],
)  # fmt: skip
def test_what_is_no_result_is_refused_in_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(StudyRefused) as refused:
        read_stored(tmp_path)
    assert refused.value.code is Code.RESULT_INVALID
    assert "\n" not in str(refused.value)


def test_a_folder_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyRefused, match=r"there is no result\.json"):
        read_stored(tmp_path)


def test_another_schema_version_is_told(stored: Folders) -> None:
    file = stored("a") / "result.json"
    file.write_text(
        file.read_text().replace(f'"schema_version":"{SCHEMA_VERSION}"', '"schema_version":"2.0"')
    )
    with pytest.raises(StudyRefused) as refused:
        read_stored(file)
    assert (refused.value.code, refused.value.fields["found"]) == (Code.RESULT_VERSION, "2.0")


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"no archive"])
def test_damaged_embeddings_are_refused(damage: bytes, stored: Folders) -> None:
    folder = stored("a", embeddings=np.eye(4, dtype=np.float32))
    (folder / "features.npz").write_bytes(damage)
    with pytest.raises(StudyRefused) as refused:
        read_stored(folder)
    assert refused.value.code is Code.RESULT_INVALID


def test_pickled_embeddings_are_never_opened(stored: Folders) -> None:
    folder = stored("a")
    np.savez(
        folder / "features.npz", embeddings=np.array([{}, {}], dtype=object), valid=np.ones(2, dtype=bool)
    )
    with pytest.raises(StudyRefused) as refused:
        read_stored(folder)
    assert refused.value.code is Code.RESULT_INVALID


@pytest.mark.parametrize("years", [(1.0,), (1.0, -1.0), (1.0, 2.0, 3.0)])
def test_intervals_are_one_positive_number_a_followup(
    years: tuple[float, ...], stored: Folders, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="positive interval"):
        compare([stored("a"), stored("b"), stored("c")], tmp_path / "out", interval_years=years)


def test_a_folder_that_holds_something_is_left_alone(stored: Folders, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis").write_text("x")
    with pytest.raises(SetupRefused, match="not empty"):
        compare([stored("a"), stored("b")], out)
    assert (out / "thesis").read_text() == "x"
