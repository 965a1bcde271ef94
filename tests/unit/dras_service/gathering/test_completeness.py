"""When a study is complete, on a clock of the test; and what lies in the room after whatever happens."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier

import pytest

from dras_service.gathering.completeness import Completer, Handling
from dras_service.gathering.room import Origin, Room
from dras_service.header import read_header
from dras_service.store.rows import Job
from unit.dras_service.examples import Parts, dicom_image

ORIGIN = Origin(study_uid="1.2", route="r", tenant="default")


@dataclass
class Place:
    """A room with a completer whose clock stands `ahead` of the files'."""

    parts: Parts
    room: Room
    handling: Handling = field(default_factory=lambda: Handling(10.0, 100.0, 1000.0))
    ahead: float = 0.0

    def bring(self, *names: str, link: str | None = None, trailer: bytes = b"") -> None:
        for name in names:
            arrived = self.room.arriving / "image.dcm"
            arrived.write_bytes(dicom_image("1.2", name) + trailer)
            self.room.keep(arrived, read_header(arrived), ORIGIN, link=link)

    def after(self, seconds: float) -> list[int]:
        """Let so much time be past since the last image; return how many files each job has, newest first."""
        now = (
            max(path.stat().st_mtime for path in self.room.folder.glob("studies/*"))
            if self.n_waiting
            else 0.0
        )
        completer = Completer(
            self.room,
            lambda _origin: self.handling,
            store=self.parts.store,
            blobs=self.parts.blobs,
            clock=lambda: now + seconds,
        )
        self.parts.clock.now += 1.0
        completer.run_once()
        return [self.n_files(job) for job in self.jobs()]

    @property
    def n_waiting(self) -> int:
        return len(list(self.room.folder.glob("studies/*")))

    def jobs(self) -> tuple[Job, ...]:
        return self.parts.store.jobs.of_study("1.2", tenant="default")

    def n_files(self, job: Job) -> int:
        return self.parts.store.jobs.study(job.study_key, tenant="default").n_files


@pytest.fixture
def place(parts: Parts):
    room = Room(parts.settings.gathering_folder, "door")
    yield Place(parts, room)
    room.close()


def test_a_study_is_complete_after_silence_and_not_before(place: Place) -> None:
    place.bring("1.2.1", "1.2.2")
    assert place.after(9.0) == []
    assert place.after(10.0) == [2]
    assert place.n_waiting == 0


def test_a_study_that_came_by_no_request_has_an_entry_of_its_own_in_the_audit_log(place: Place) -> None:
    place.bring("1.2.1")
    place.after(10.0)
    (entry,) = place.parts.store.audit.after(0)
    (job,) = place.jobs()
    assert (entry.action, entry.object, entry.actor) == ("study.submit", job.id, "route:r")
    assert (entry.tenant, entry.outcome) == ("default", "success")


def test_the_same_images_again_are_the_same_job(place: Place) -> None:
    for _ in range(2):
        place.bring("1.2.1", "1.2.2", "1.2.2")
        assert place.after(10.0) == [2]


def test_late_images_make_another_version_of_all_of_them(place: Place) -> None:
    place.bring("1.2.1")
    place.after(10.0)
    place.bring("1.2.2")
    assert place.after(10.0) == [2, 1]


def test_an_image_that_comes_again_corrected_takes_the_place_of_the_first(place: Place) -> None:
    place.bring("1.2.1", "1.2.2")
    place.after(10.0)
    place.bring("1.2.2", trailer=b"corrected")
    assert place.after(10.0) == [2, 2]
    with place.parts.blobs.study(place.jobs()[0].study_key) as folder:
        contents = {path.read_bytes() for path in folder.iterdir()}
    assert contents == {dicom_image("1.2", "1.2.1"), dicom_image("1.2", "1.2.2") + b"corrected"}


def test_a_study_that_was_cut_off_waits_longer_unless_its_rest_comes(place: Place) -> None:
    place.bring("1.2.1", link="first")
    place.room.linked("first", ended_well=False)
    assert place.after(99.0) == []
    place.bring("1.2.2", link="second")
    place.room.linked("second", ended_well=True)
    assert place.after(10.0) == [2]


def test_a_release_outweighs_the_end_of_the_connection_that_is_seen_before_it(place: Place) -> None:
    place.bring("1.2.1", link="first")
    place.room.linked("first", ended_well=False)
    place.room.linked("first", ended_well=True)
    assert place.after(10.0) == [1]


def test_a_release_and_the_end_of_its_connection_at_one_moment_leave_no_mark(place: Place) -> None:
    for number in range(100):
        link = f"link{number}"
        place.bring("1.2.1", link=link)
        together = Barrier(2)

        def end(*, well: bool, link: str = link, together: Barrier = together) -> None:
            together.wait()
            place.room.linked(link, ended_well=well)

        with ThreadPoolExecutor(2) as threads:
            for ended in [threads.submit(end, well=well) for well in (True, False)]:
                ended.result()
        (study,) = place.room.waiting()
        assert not study.is_broken


def test_what_is_expected_is_waited_for_but_not_for_ever(place: Place) -> None:
    place.handling = Handling(10.0, 100.0, 1000.0, expected=lambda _uid: 3)
    place.bring("1.2.1", "1.2.2")
    assert place.after(200.0) == []
    place.bring("1.2.3")
    assert place.after(11.0) == [3]
    place.handling = Handling(10.0, 100.0, 1000.0, expected=lambda _uid: 9)
    place.bring("1.2.4")
    assert place.after(1001.0) == [4, 3]


def test_a_sender_that_cannot_be_asked_leaves_it_to_the_silence(place: Place) -> None:
    place.handling = Handling(10.0, 100.0, 1000.0, expected=lambda _uid: None)
    place.bring("1.2.1")
    assert place.after(10.0) == [1]


def test_a_defect_that_one_study_meets_does_not_hold_up_the_others(place: Place) -> None:
    def odd(study_uid: str) -> int | None:
        if study_uid == "1.1":
            raise ValueError("an odd answer")
        return None

    place.handling = Handling(10.0, 100.0, 1000.0, expected=odd)
    for number in range(4):  # their folders are looked at in an order of digests
        arrived = place.room.arriving / "image.dcm"
        arrived.write_bytes(dicom_image("1.1", "1.1.1"))
        odd_one = Origin(study_uid="1.1", route=f"r{number}", tenant="default")
        place.room.keep(arrived, read_header(arrived), odd_one)
    place.bring("1.2.1")
    assert place.after(11.0) == [1]
    assert place.n_waiting == 4


def test_an_image_is_on_the_disk_when_it_is_acknowledged_though_its_study_is_taken_meanwhile(
    place: Place, monkeypatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        number = os.fstat(descriptor).st_ino
        synced.append(number)
        for gathered in list(place.room.waiting()):
            if gathered.folder.stat().st_ino == number:
                place.room.take(gathered)
        fsync(descriptor)
        synced.append(number)

    monkeypatch.setattr(os, "fsync", watched)
    place.bring("1.2.1")
    (taken,) = place.room.taken()
    assert len(taken.images()) == 1
    assert synced[-1] == taken.folder.stat().st_ino
    place.bring("1.2.2")
    assert len(list(place.room.taken())) == 2


def test_a_room_and_a_study_are_synced_with_their_parents(tmp_path: Path, monkeypatch) -> None:
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    room = Room(tmp_path / "data" / "gathering", "door")
    made = (room.folder, room.folder.parent, room.folder.parent.parent)
    assert {folder.stat().st_ino for folder in made} <= synced
    arrived = room.arriving / "image.dcm"
    arrived.write_bytes(dicom_image("1.2", "1.2.1"))
    room.keep(arrived, read_header(arrived), ORIGIN)
    assert (room.folder / "studies").stat().st_ino in synced
    room.close()


def test_another_process_gets_another_room_and_the_next_one_what_a_dead_one_left(place: Place) -> None:
    place.bring("1.2.1", link="open")
    beside = Room(place.parts.settings.gathering_folder, "door")
    assert beside.folder != place.room.folder
    beside.close()
    (place.room.arriving / "half.dcm").write_bytes(b"half an image")
    place.room.close()
    place.room = Room(place.parts.settings.gathering_folder, "door")
    assert list(place.room.arriving.iterdir()) == []
    (gathered,) = place.room.waiting()
    assert len(gathered.images()) == 1
    assert gathered.is_broken  # it was being sent when its process died


def test_what_was_cut_off_in_mid_image_goes_and_what_still_comes_stays(place: Place) -> None:
    place.bring("1.2.1")
    half = place.room.arriving / "half.dcm"
    half.write_bytes(b"half an image")
    place.after(9.0)
    assert half.exists()
    place.handling = Handling(10_000.0, 10_000.0, 10_000.0)
    place.after(700.0)
    assert not half.exists()
    assert place.n_waiting == 1


def test_a_study_over_quota_is_tried_again_after_a_while_and_not_at_every_look(place: Place) -> None:
    place.parts.store.tenants.set_quotas("default", {"max_queued_jobs": 0})
    place.bring("1.2.1")
    now = place.room.folder.stat().st_mtime + 60.0
    completer = Completer(
        place.room,
        lambda _origin: place.handling,
        store=place.parts.store,
        blobs=place.parts.blobs,
        clock=lambda: now,
    )
    assert completer.run_once() == 0
    place.parts.store.tenants.set_quotas("default", {"max_queued_jobs": None})
    now += 29.0
    assert completer.run_once() == 0
    now += 1.0
    assert completer.run_once() == 1
    assert list(place.room.taken()) == []


def test_a_study_of_an_unknown_tenant_stays_and_is_submitted_when_there_is_one(
    place: Place, tmp_path: Path
) -> None:
    other = Origin(study_uid="1.2", route="r", tenant="trial")
    arrived = place.room.arriving / "image.dcm"
    arrived.write_bytes(dicom_image("1.2", "1.2.1"))
    place.room.keep(arrived, read_header(arrived), other)
    place.after(10.0)
    assert len(list(place.room.taken())) == 1
    place.parts.store.tenants.create("trial")
    place.after(10.0)
    assert list(place.room.taken()) == []
    assert len(place.parts.store.jobs.of_study("1.2", tenant="trial")) == 1
