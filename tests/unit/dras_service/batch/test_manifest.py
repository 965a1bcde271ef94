from pathlib import Path

import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.batch.finding import find_studies
from dras_service.batch.inventory import Inventory
from dras_service.batch.job import BatchJob
from dras_service.batch.ledger import Ledger
from dras_service.batch.manifest import read_manifest, studies_by_path

RESERVED = frozenset({"Study"})


def write(tmp_path: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_name_paths_or_uids_and_carry_the_rest(tmp_path: Path, separator: str) -> None:
    lines = ["Path,StudyInstanceUID,series_uid,subject,note", 'a.zip,,,P1,"x y"', ",1.2.3,1.2.3.4,P2,"]
    path = write(tmp_path, "\r\n".join(lines).replace(",", separator), encoding="utf-8-sig")
    manifest = read_manifest(path, reserved=RESERVED)
    first, second = manifest.rows
    assert (first.path, first.called, first.carried) == (
        tmp_path / "a.zip",
        "P1",
        {"subject": "P1", "note": "x y"},
    )
    assert (second.path, second.study_uid, second.series_uid) == (None, "1.2.3", "1.2.3.4")
    assert manifest.carried == ["subject", "note"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names neither a column path"),
        ("subject\nP1\n", "names neither a column path"),
        (
            "path,Study\na,b\n",
            "the column 'Study' is there twice, or has a name that the cohort's table uses",
        ),
        ("path,x,x\na,b,c\n", "the column 'x' is there twice"),
        ("path,x\na\n", "row 1 has 1 cells, the first line 2"),
        ("path,x\n,1\n", "row 1 names no study"),
        ("path\na\nb\na\n", "rows 1 and 3 name the same study"),
    ],
)
def test_a_fault_is_told_with_its_row(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SetupRefused) as refused:
        read_manifest(write(tmp_path, text), reserved=RESERVED)
    assert refused.value.code is Code.COHORT_INVALID
    assert said in str(refused.value)


def test_a_table_of_another_encoding_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupRefused, match="no UTF-8 text"):
        read_manifest(write(tmp_path, "path,größe\na,1\n", encoding="latin-1"), reserved=RESERVED)


def test_a_path_is_another_study_when_a_file_of_it_changes(tmp_path: Path) -> None:
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "image").write_bytes(b"1")
    manifest = read_manifest(write(tmp_path, "path\nscan\ngone\n"), reserved=RESERVED)

    def identities() -> list[str]:
        return [found.identity for found in studies_by_path(manifest)]

    first = identities()
    assert identities() == first
    (tmp_path / "scan" / "image").write_bytes(b"12")
    second = identities()
    assert (second[0] != first[0], second[1] == first[1]) == (True, True)


def test_a_uid_that_the_tree_does_not_hold_is_a_case_that_says_so(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    write(tmp_path, "study_uid,subject\n1.2.3,P1\n")
    job = BatchJob.model_validate(
        {"out": tmp_path / "out", "source": {"folder": tmp_path / "scans", "manifest": tmp_path / "list.csv"}}
    )
    find_studies(job, ledger, Inventory(ledger, 1), recipe="recipe", tell=lambda _n: None)
    case = ledger.next_case()
    assert case is not None
    assert (case.origin, case.study_uid, case.name.split("-")[0]) == ("missing", "1.2.3", "P1")


def test_a_source_without_a_study_is_told(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for folder, said in (("scans", "no study is in it"), ("gone", "No such file")):
        job = BatchJob.model_validate({"out": tmp_path / "out", "source": {"folder": tmp_path / folder}})
        with pytest.raises(SetupRefused, match=said):
            find_studies(job, ledger, Inventory(ledger, 1), recipe="recipe", tell=lambda _n: None)
