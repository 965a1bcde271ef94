import inspect
from pathlib import Path

import pytest

from dras_model.outputs.exports import DEFAULTS, EXPORTS, GROUPS, write_exports
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import StudyResult
from unit.dras_model.outputs.invented import stored


@pytest.mark.parametrize("name", EXPORTS)
def test_every_form_can_be_imported_and_takes_a_result_a_folder_and_a_source(name: str) -> None:
    writer = EXPORTS[name].writer()
    parameters = list(inspect.signature(writer).parameters.values())
    assert len(parameters) == 3
    assert parameters[2].default is None


def test_groups_and_defaults_name_forms_and_no_two_of_a_group_write_one_file() -> None:
    assert all(member in EXPORTS for members in GROUPS.values() for member in members)
    assert all(name in EXPORTS and not EXPORTS[name].needs_source for name in DEFAULTS)
    assert not set(GROUPS) & set(EXPORTS)
    for members in (*GROUPS.values(), DEFAULTS):
        files = [file for name in members for file in EXPORTS[name].files]
        assert len(files) == len(set(files))


@pytest.mark.parametrize("name", ["csv", "parquet", "npz", "zarr", "masks", "feature-map"])
def test_a_form_writes_the_files_it_names_and_no_other(
    name: str, result: StudyResult, tmp_path: Path
) -> None:
    write_exports([name], stored(result), tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == set(EXPORTS[name].files)


def test_a_form_that_needs_the_images_says_so_before_anything_is_written(
    result: StudyResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanting = {**EXPORTS, "csv": EXPORTS["csv"], "images": type(EXPORTS["csv"])("x:y", (), True, "")}
    monkeypatch.setattr("dras_model.outputs.exports.EXPORTS", wanting)
    with pytest.raises(SetupRefused, match="images cannot be made") as refused:
        write_exports(["csv", "images"], stored(result), tmp_path)
    assert refused.value.code is Code.SOURCE_NEEDED
    assert list(tmp_path.iterdir()) == []
