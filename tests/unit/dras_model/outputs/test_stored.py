from pathlib import Path

import numpy as np
import pytest

from dras_model.outputs.exports import EXPORTS, write_exports
from dras_model.outputs.extraction import write_result
from dras_model.outputs.stored import StoredResult
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import StudyResult
from unit.dras_model.outputs.invented import stored

PLAIN = ("csv", "parquet", "npz", "zarr", "masks", "feature-map")


@pytest.fixture
def folder(result: StudyResult, tmp_path: Path) -> Path:
    """What a run leaves: the plain forms, and the result."""
    made = stored(result)
    (tmp_path / "run").mkdir()
    write_exports(PLAIN, made, tmp_path / "run")
    write_result(made.result, tmp_path / "run")
    return tmp_path / "run"


def test_a_result_read_back_is_the_one_in_memory(folder: Path, result: StudyResult) -> None:
    made, back = stored(result), StoredResult.read(folder)
    assert back.result == made.result
    np.testing.assert_array_equal(back.lungs.labels, made.lungs.labels)
    np.testing.assert_array_equal(back.low_attenuation.labels, made.low_attenuation.labels)
    np.testing.assert_array_equal(back.lungs.grid.affine, made.grid.affine)
    for name, array in made.features.columns().items():
        np.testing.assert_array_equal(back.features.columns()[name], array)


def test_what_is_made_of_a_stored_result_is_what_the_run_made_byte_for_byte(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "again").mkdir()
    write_exports(PLAIN, StoredResult.read(folder), tmp_path / "again")
    files = [
        file.relative_to(tmp_path / "again") for file in (tmp_path / "again").rglob("*") if file.is_file()
    ]
    assert {file.parts[0] for file in files} == {file for name in PLAIN for file in EXPORTS[name].files}
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes(), file


@pytest.mark.parametrize(
    ("file", "part"),
    [("lungs.nii.gz", "lungs"), ("laa_map.nii.gz", "low_attenuation"), ("features.npz", "features")],
)
@pytest.mark.parametrize("damaged", [True, False])
def test_a_file_that_is_missing_or_damaged_is_named_and_the_other_parts_are_read(
    file: str, part: str, damaged: bool, folder: Path
) -> None:
    (folder / file).write_bytes(b"x") if damaged else (folder / file).unlink()
    back = StoredResult.read(folder)
    with pytest.raises(StudyRefused, match=file.replace(".", r"\.")) as refused:
        getattr(back, part)
    assert refused.value.code is Code.RESULT_INVALID
    for other in {"lungs", "low_attenuation", "features"} - {part}:
        getattr(back, other)


def test_a_result_whose_geometry_is_none_is_refused(folder: Path, result: StudyResult) -> None:
    write_result(result, folder)  # of no affine
    with pytest.raises(StudyRefused, match="geometry"):
        _ = StoredResult.read(folder).lungs
