import json
from pathlib import Path
from typing import Any

import pytest

from dras_model.outputs.reading import read_result
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import SCHEMA_VERSION, StudyResult


def _write(folder: Path, result: StudyResult, **changed: Any) -> Path:
    document = result.model_dump(mode="json") | changed
    (folder / "result.json").write_text(json.dumps(document))
    return folder


def test_a_result_is_read_from_its_folder_and_from_its_file(result: StudyResult, tmp_path: Path) -> None:
    _write(tmp_path, result)
    assert read_result(tmp_path) == read_result(tmp_path / "result.json") == result


def test_a_result_of_schema_1_0_is_read(result: StudyResult, tmp_path: Path) -> None:
    document = result.model_dump(mode="json")
    document["schema_version"] = "1.0"
    for name in ("python", "platform", "options"):
        del document["provenance"][name]
    (tmp_path / "result.json").write_text(json.dumps(document))
    found = read_result(tmp_path)
    assert found.schema_version == "1.0"
    assert found.scores == result.scores


def test_what_a_newer_minor_version_has_added_is_left_out(result: StudyResult, tmp_path: Path) -> None:
    document = result.model_dump(mode="json")
    document |= {"schema_version": "1.17", "added": {"deep": [1]}}
    document["provenance"]["added"] = 1
    document["scores"][0]["added"] = "x"
    (tmp_path / "result.json").write_text(json.dumps(document))
    found = read_result(tmp_path)
    assert found.schema_version == "1.17"
    assert (found.scores, found.provenance) == (result.scores, result.provenance)


def test_a_code_that_only_a_newer_version_knows_is_told_as_the_version(
    result: StudyResult, tmp_path: Path
) -> None:
    warning = result.warnings[0].model_dump(mode="json") | {"code": "OF_THE_FUTURE"}
    with pytest.raises(StudyRefused) as refused:
        read_result(_write(tmp_path, result, schema_version="1.17", warnings=[warning]))
    assert refused.value.code is Code.RESULT_VERSION
    assert refused.value.fields["found"] == "1.17"


def test_an_unknown_field_of_a_version_that_is_known_is_a_fault(result: StudyResult, tmp_path: Path) -> None:
    with pytest.raises(StudyRefused, match="added is not what the schema says"):
        read_result(_write(tmp_path, result, added=1))


@pytest.mark.parametrize("found", ["2.0", "0.9", "1", "1.x", "one", 1.1, "01.1.0", ""])
def test_another_major_version_is_refused_with_both_versions(
    found: object, result: StudyResult, tmp_path: Path
) -> None:
    with pytest.raises(StudyRefused) as refused:
        read_result(_write(tmp_path, result, schema_version=found))
    if found == 1.1:  # a number is no version, and the schema says so
        assert refused.value.code is Code.RESULT_INVALID
        return
    assert refused.value.code is Code.RESULT_VERSION
    assert refused.value.fields["expected"] == SCHEMA_VERSION


def test_a_place_without_a_result_is_told(tmp_path: Path) -> None:
    for path, code in ((tmp_path, Code.RESULT_INVALID), (tmp_path / "no", Code.NOT_FOUND)):
        with pytest.raises(StudyRefused) as refused:
            read_result(path)
        assert refused.value.code is code
