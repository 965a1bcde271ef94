"""Finding and fetching studies from a real Orthanc, by DICOMweb and by DIMSE."""

import json
from pathlib import Path

import pydicom
import pytest

from dras_cli.main import main
from dras_cli.phantoms import write_phantom
from dras_model.imaging.phantom import PhantomSpec
from dras_service.pacs.configuration import read_configuration
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.retrieve.archive import open_archive
from dras_service.pacs.retrieve.query import StudyQuery
from pacs_servers import PLUGIN, Orthanc
from servers import free_port

WAYS = ["dicomweb", "c-get", "c-move"]


@pytest.fixture(scope="module")
def kept(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three small studies that only this module looks for."""
    folder = tmp_path_factory.mktemp("studies")
    studies = []
    for number in range(3):
        write_phantom(folder / str(number), PhantomSpec(seed=700 + number, n_slices=12, matrix=32))
        for path in (folder / str(number)).iterdir():
            image = pydicom.dcmread(path)
            image.StudyDescription = f"FETCH {number}"
            image.StudyDate = f"2021010{number + 1}"
            image.save_as(path)
        orthanc.keep(folder / str(number))
        studies.append(folder / str(number))
    return studies


@pytest.fixture(scope="module", params=WAYS)
def config(request, orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "dicomweb" and not PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed")
    path = tmp_path_factory.mktemp("config") / "pacs.toml"
    move_port = free_port()
    orthanc.knows("fetcher", "FETCHER", move_port)
    path.write_text(
        f"""
        [node]
        ae_title = "DRAS"
        move_ae_title = "FETCHER"
        move_port = {move_port}
        [peers.orthanc]
        ae_title = "ORTHANC"
        addresses = ["127.0.0.1"]
        host = "127.0.0.1"
        port = {orthanc.dicom_port}
        dicomweb = "{orthanc.dicomweb}"
        allow_http = true
        fetch_by = "{request.param}"
        page = 2
        """
    )
    return path


def uid_of(study: Path) -> str:
    return str(pydicom.dcmread(next(study.iterdir())).StudyInstanceUID)


def pixels(folder: Path) -> set[bytes]:
    return {pydicom.dcmread(path).PixelData for path in folder.glob("*.dcm")}


def test_a_search_finds_what_matches_over_several_pages_and_tells_nothing_of_patients(
    config: Path, kept: list[Path], capsys
) -> None:
    arguments = ["pacs", "find", "orthanc", "--config", str(config), "--description", "FETCH*", "--json"]
    assert main(arguments) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {study["study_uid"] for study in found} == {uid_of(study) for study in kept}
    assert all(study["n_instances"] in (12, None) for study in found)
    assert main([*arguments, "--since", "2021-01-02", "--until", "2021-01-02"]) == 0
    (one,) = capsys.readouterr().out.splitlines()
    assert json.loads(one)["description"] == "FETCH 1"
    assert "PHANTOM" not in one


def test_a_fetched_study_is_the_one_that_is_there_and_goes_on_from_what_was_fetched(
    config: Path, kept: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with open_archive(read_configuration(config), "orthanc") as archive:
        assert archive.count_instances(uid_of(kept[0])) == 12
        first = archive.fetch_study(uid_of(kept[0]), out)
        assert (first.n_files, first.n_new) == (12, 12)
        assert pixels(out) == pixels(kept[0])
        for path in sorted(out.iterdir())[:5]:
            path.unlink()
        (out / "cut.part").write_bytes(b"half an image")
        again = archive.fetch_study(uid_of(kept[0]), out)
        assert (again.n_files, again.n_new) == (12, 5)
        assert pixels(out) == pixels(kept[0])
        assert not list(out.glob("*.part"))


def test_a_study_that_is_not_there_is_told_in_a_sentence(config: Path, tmp_path: Path) -> None:
    with (
        open_archive(read_configuration(config), "orthanc") as archive,
        pytest.raises(PeerFailed, match="no CT series") as failure,
    ):
        archive.fetch_study("1.2.3.4.5", tmp_path / "out")
    assert not failure.value.may_pass


def test_no_two_studies_are_told_twice(config: Path, kept: list[Path]) -> None:
    with open_archive(read_configuration(config), "orthanc") as archive:
        found = [study.study_uid for study in archive.find_studies(StudyQuery(description="FETCH*"))]
    assert len(found) == len(set(found)) == len(kept)
