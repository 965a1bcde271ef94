import errno
import gzip
import hashlib
import os
import struct
from dataclasses import replace

import pytest

from dras_service.store.blobs import BlobStore
from dras_service.store.cache import Cache
from dras_service.store.errors import StorageFull
from dras_service.store.objects import ObjectShelf
from unit.dras_service.examples import Artifact, Claim

CLAIM = Claim(job_id="job", tenant="default", study_key="default/key", series_uid=None, attempt=1, fence=1)


@pytest.fixture(params=["folder", "objects"])
def blobs(request, tmp_path):
    """Every test here holds for both kinds of shelf."""
    shelf = None
    if request.param == "objects":
        server = request.getfixturevalue("object_store")
        cache = Cache(tmp_path / "blobs" / "cache", most_bytes=1 << 30)
        shelf = ObjectShelf(server.bucket("some/prefix"), cache, endpoint=server.url)
    blobs = BlobStore(tmp_path / "blobs", shelf)
    blobs.prepare()
    return blobs


def upload(blobs, *files, tenant="default"):
    with blobs.receive() as incoming:
        for content in files:
            incoming.write(content)
            incoming.end_file()
        return blobs.keep_study(incoming, tenant=tenant).stored


def everything_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def remnants(blobs):
    return list((blobs._root / "incoming").iterdir())


def resting(blobs):
    keys = (blobs.study_keys(older_than_s=-3600.0), blobs.output_keys(), blobs.draft_keys())
    return sorted(key for some in keys for key in some)


def nifti(version):
    if version == 1:
        return struct.pack("<i", 348) + bytes(340) + b"n+1\0" + bytes(100)
    return struct.pack("<i", 540) + b"n+2\0\r\n\x1a\n" + bytes(600)


def test_one_file_is_kept_as_it_is_under_its_own_hash(blobs):
    stored = upload(blobs, b"some bytes")
    assert stored.sha256 == hashlib.sha256(b"some bytes").hexdigest()
    assert blobs.study_path(stored.key).read_bytes() == b"some bytes"
    assert (stored.size_bytes, stored.n_files) == (10, 1)
    assert remnants(blobs) == []


def test_several_files_are_a_folder_of_numbered_files(blobs):
    stored = upload(blobs, b"a", b"bb", b"ccc")
    folder = blobs.study_path(stored.key)
    assert [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())] == [
        ("000001.dcm", b"a"),
        ("000002.dcm", b"bb"),
        ("000003.dcm", b"ccc"),
    ]
    assert (stored.size_bytes, stored.n_files) == (6, 3)


def test_empty_files_are_as_if_they_had_not_been_sent(blobs):
    assert upload(blobs, b"", b"a", b"", b"b").n_files == 2


def test_the_same_files_in_another_order_are_the_same_study_and_kept_once(blobs):
    first, second = upload(blobs, b"a", b"b"), upload(blobs, b"b", b"a")
    assert first == second
    assert resting(blobs) == [first.key]


def test_a_folder_of_one_hash_is_not_mistaken_for_the_file_of_that_hash(blobs):
    pair = upload(blobs, b"a", b"b")
    joined = b"".join(sorted(hashlib.sha256(content).digest() for content in (b"a", b"b")))
    assert upload(blobs, joined).key != pair.key


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (nifti(1), ".nii"),
        (nifti(2), ".nii"),
        (gzip.compress(nifti(1)), ".nii.gz"),
        (gzip.compress(nifti(2)), ".nii.gz"),
        (gzip.compress(b"a tar, perhaps"), ""),
        (b"\x1f\x8b but no gzip", ""),
        (b"short", ""),
    ],
    ids=["NIfTI-1", "NIfTI-2", "NIfTI-1 gz", "NIfTI-2 gz", "other gz", "false gz", "short"],
)
def test_nifti_is_known_by_its_content_and_named_as_its_readers_expect(blobs, content, suffix):
    stored = upload(blobs, content)
    assert blobs.study_path(stored.key).name.endswith(stored.sha256 + suffix)


def test_an_upload_that_breaks_off_leaves_nothing(blobs):
    def break_off():
        with blobs.receive() as incoming:
            incoming.write(b"half of")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()
    assert resting(blobs) == remnants(blobs) == []


def test_a_full_disk_is_said_and_leaves_nothing(blobs, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        upload(blobs, b"a")
    assert resting(blobs) == remnants(blobs) == []


def test_another_fault_of_the_disk_is_not_called_full(blobs, monkeypatch):
    def broken(_descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        upload(blobs, b"a")


def test_outputs_are_indexed_with_size_hash_and_media_type(blobs):
    with blobs.workspace(CLAIM) as room:
        out = room / "out"
        out.mkdir()
        (out / "features.npz").write_bytes(b"123")
        (out / "feature_map.nii.gz").write_bytes(b"")
        for name in (
            "qc.png",
            "patches.parquet",
            "report.html",
            "report.pdf",
            "sr.dcm",
            "store.zarr.zip",
            "x",
        ):
            (out / name).write_bytes(b"4")
        outputs = blobs.keep_outputs(out, CLAIM)
    assert [(file.name, file.media_type, file.size_bytes) for file in outputs.artifacts] == [
        ("feature_map.nii.gz", "application/gzip", 0),
        ("features.npz", "application/x-npz", 3),
        ("patches.parquet", "application/vnd.apache.parquet", 1),
        ("qc.png", "image/png", 1),
        ("report.html", "text/html; charset=utf-8", 1),
        ("report.pdf", "application/pdf", 1),
        ("sr.dcm", "application/dicom", 1),
        ("store.zarr.zip", "application/zip", 1),
        ("x", "application/octet-stream", 1),
    ]
    assert outputs.artifacts[1].sha256 == hashlib.sha256(b"123").hexdigest()
    assert blobs.output_path(outputs, outputs.artifacts[1]).read_bytes() == b"123"
    assert remnants(blobs) == []


def test_the_rooms_and_outputs_of_dead_attempts_are_cleared_but_not_those_of_other_jobs(blobs):
    incoming = blobs._root / "incoming"
    for folder in (incoming / "job-job-1", incoming / "job-job2-1"):
        folder.mkdir()
    for dead in (CLAIM, replace(CLAIM, job_id="job2")):
        folder = incoming / "out"
        folder.mkdir()
        blobs.keep_outputs(folder, dead)
    second = Claim(
        job_id="job", tenant="default", study_key="default/key", series_uid=None, attempt=2, fence=2
    )
    with blobs.workspace(second) as room:
        (room / "out").mkdir()
        blobs.keep_outputs(room / "out", second)
        blobs.discard_other_outputs(second)
    assert [path.name for path in incoming.iterdir()] == ["job-job2-1"]
    assert resting(blobs) == ["job-2", "job2-1"]


def test_only_old_remnants_are_swept(blobs):
    old, new = blobs._root / "incoming" / "upload-old", blobs._root / "incoming" / "upload-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "000001.dcm").write_bytes(b"a")
    os.utime(old, (0, 0))
    assert blobs.sweep_incoming(older_than_s=3600) == 0  # its file is young
    os.utime(old / "000001.dcm", (0, 0))
    assert blobs.sweep_incoming(older_than_s=3600) == 1
    assert [path.name for path in remnants(blobs)] == ["upload-new"]


def test_what_is_removed_is_gone_from_its_place_at_once_and_from_the_disk_with_the_trash(blobs):
    for stored in (upload(blobs, b"one"), upload(blobs, b"a", b"b")):
        blobs.remove_study(stored.key)
        assert not blobs.has_study(stored.key)
        blobs.remove_study(stored.key)  # as after a crash
    with blobs.workspace(CLAIM) as room:
        (room / "out").mkdir()
        (room / "out" / "a.csv").write_bytes(b"1")
        outputs = blobs.keep_outputs(room / "out", CLAIM)
    blobs.remove_outputs(outputs.key)
    assert resting(blobs) == []
    blobs.empty_trash()
    assert [path for path in everything_in(blobs._root) if "locks" not in path.parts] == []
    assert remnants(blobs) == []


def test_the_same_content_of_two_tenants_is_kept_twice(blobs):
    ours, theirs = upload(blobs, b"a"), upload(blobs, b"a", tenant="other")
    assert ours.sha256 == theirs.sha256
    assert theirs.key.startswith("other/")
    blobs.remove_study(ours.key)
    assert blobs.has_study(theirs.key)


def test_a_study_is_new_once_and_can_be_kept_again_when_it_has_gone(blobs):
    upload(blobs, b"a", b"b")
    with blobs.receive() as incoming:
        for content in (b"a", b"b"):
            incoming.write(content)
            incoming.end_file()
        first = blobs.keep_study(incoming, tenant="default")
        blobs.remove_study(first.stored.key)
        second = blobs.keep_study(incoming, tenant="default")
    assert (first.is_new, second.is_new) == (False, True)
    assert blobs.has_study(first.stored.key)


def test_a_folder_that_cannot_be_written_fails_the_check(blobs):
    blobs.check()
    (blobs._root / "incoming").rmdir()
    with pytest.raises(OSError, match="No such file"):
        blobs.check()


def test_an_artifact_is_found_by_its_indexed_name_only(blobs):
    file = Artifact("a.csv", "text/csv", 0, "")
    with blobs.workspace(CLAIM) as room:
        (room / "out").mkdir()
        outputs = blobs.keep_outputs(room / "out", CLAIM)
    assert blobs.output_path(outputs, file).parent.name.endswith("job-1")


def test_a_draft_is_kept_with_its_folders_and_removed(blobs):
    with blobs.workspace(CLAIM) as room:
        (room / "draft" / "files").mkdir(parents=True)
        (room / "draft" / "patches.npy").write_bytes(b"patches")
        (room / "draft" / "files" / "qc.png").write_bytes(b"png")
        key = blobs.keep_draft(room / "draft", CLAIM)
    assert (list(blobs.draft_keys()), blobs.has_draft(key)) == ([key], True)
    with blobs.draft(key) as draft:
        found = {path.relative_to(draft).as_posix(): path.read_bytes() for path in everything_in(draft)}
    assert found == {"patches.npy": b"patches", "files/qc.png": b"png"}
    blobs.remove_draft(key)
    blobs.empty_trash()
    assert resting(blobs) == remnants(blobs) == []


def test_keys_can_be_asked_for_by_age(blobs):
    stored = upload(blobs, b"a")
    assert list(blobs.study_keys(older_than_s=3600.0)) == []
    assert list(blobs.study_keys(older_than_s=-3600.0)) == [stored.key]
