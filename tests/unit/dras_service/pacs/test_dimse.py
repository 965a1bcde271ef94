"""Fetching by C-MOVE from an archive that others call as well, and that answers with less than it should."""

import gc
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from dras_service.pacs.configuration import Node, Peer
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.library import MISMATCH
from dras_service.pacs.retrieve.dimse import DimseArchive
from servers import free_port
from unit.dras_service.examples import dicom_image

# The library forgets to close what its server has accepted, and collects it whenever it likes.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
STUDY, IMAGE = "1.2.3", "1.2.3.1.1"


def image(study_uid: str, instance_uid: str) -> Dataset:
    return pydicom.dcmread(BytesIO(dicom_image(study_uid, instance_uid)), force=True)


class Archive:
    """One study of one image, and whoever calls the fetcher in the meantime."""

    def __init__(self, move_port: int) -> None:
        self.move_port = move_port
        self.series: list[Dataset] = []
        self.told: list[object] = []
        self.entity = AE("ARCHIVE")
        self.entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        self.entity.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
        self.entity.add_requested_context(CTImageStorage)
        handlers = [(evt.EVT_C_FIND, self.find), (evt.EVT_C_MOVE, self.move)]
        self.server = self.entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = self.server.server_address[1]

    def find(self, event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        if event.identifier.QueryRetrieveLevel == "SERIES":
            yield from ((0xFF00, each) for each in self.series)
        else:
            one = Dataset()
            one.SOPInstanceUID = IMAGE
            yield 0xFF00, one

    def move(self, _event: evt.Event) -> Iterator[object]:
        self.told = [
            self.send("INTRUDER", "FETCHER", image(STUDY, "1.2.3.1.66")),
            self.send("ARCHIVE", "ANYBODY", image(STUDY, "1.2.3.1.67")),
            self.send("ARCHIVE", "FETCHER", image("9.9.9", "1.2.3.1.68")),
        ]
        yield "127.0.0.1", self.move_port, {"contexts": self.entity.requested_contexts}
        yield 1
        yield 0xFF00, image(STUDY, IMAGE)

    def send(self, title: str, called: str, what: Dataset) -> int | None:
        entity = AE(title)
        entity.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
        link = entity.associate("127.0.0.1", self.move_port, ae_title=called)
        if not link.is_established:
            return None
        status = link.send_c_store(what)
        link.release()
        return int(status.Status)


@pytest.fixture
def archive() -> Iterator[Archive]:
    started = Archive(free_port())
    yield started
    for link in started.server.active_associations:
        link.join(10)
    started.server.shutdown()
    gc.collect()


def series(uid: str | None) -> Dataset:
    one = Dataset()
    one.Modality = "CT"
    if uid is not None:
        one.SeriesInstanceUID = uid
    return one


def fetcher(archive: Archive, *, addresses: tuple[str, ...] = ("127.0.0.1",)) -> DimseArchive:
    node = Node(ae_title="DRAS", host="127.0.0.1", move_ae_title="FETCHER", move_port=archive.move_port)
    peer = Peer(
        ae_title="ARCHIVE", addresses=addresses, host="127.0.0.1", port=archive.port, fetch_by="c-move"
    )
    return DimseArchive(node, peer)


def test_nobody_but_the_archive_puts_images_into_a_fetch_and_none_of_another_study(
    archive: Archive, tmp_path: Path
) -> None:
    archive.series = [series(None), series(""), series(f"{STUDY}.1")]
    fetched = fetcher(archive).fetch_study(STUDY, tmp_path / "out")
    assert archive.told == [None, None, MISMATCH]
    assert (fetched.n_files, fetched.n_new) == (1, 1)
    (kept,) = (tmp_path / "out").iterdir()
    assert pydicom.dcmread(kept).SOPInstanceUID == IMAGE


def test_an_archive_that_calls_from_elsewhere_than_it_should_is_not_listened_to(
    archive: Archive, tmp_path: Path
) -> None:
    archive.series = [series(f"{STUDY}.1")]
    with pytest.raises(PeerFailed):
        fetcher(archive, addresses=("192.0.2.1",)).fetch_study(STUDY, tmp_path / "out")
    assert archive.told == [None, None, None]
    assert not list((tmp_path / "out").iterdir())


def test_series_without_a_uid_are_no_series(archive: Archive) -> None:
    archive.series = [series(None)]
    with pytest.raises(PeerFailed, match="no CT series"):
        fetcher(archive).count_instances(STUDY)


@pytest.mark.parametrize("error", [RuntimeError("not established"), ValueError("no context")])
def test_an_association_that_has_ended_is_a_failure_of_the_peer(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr("pynetdicom.association.Association.send_c_find", fail)
    with pytest.raises(PeerFailed, match="broke off"):
        fetcher(archive).count_instances(STUDY)
