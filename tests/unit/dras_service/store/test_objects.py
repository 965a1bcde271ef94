"""What an object store adds to a folder: copies, checksums, parts, conditions, and its own faults."""

import errno
import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import obstore
import pytest

from dras_service.settings import Settings
from dras_service.store import objects
from dras_service.store.blobs import BlobStore
from dras_service.store.cache import Cache
from dras_service.store.errors import StorageFull, StoreUnavailable
from dras_service.store.objects import ObjectShelf
from dras_service.store.opening import open_blobs


class Machine:
    """One machine's shelf over a bucket that others share."""

    def __init__(self, folder, url, endpoint, *, most_bytes=1 << 30):
        self.cache = Cache(folder / "cache", most_bytes=most_bytes)
        self.copies = folder / "cache" / "copies"
        self.shelf = ObjectShelf(url, self.cache, endpoint=endpoint)
        self.shelf.prepare()
        self._folder = folder

    def put(self, address, content):
        arrived = self._folder / "arrived"
        if isinstance(content, dict):
            for name, part in content.items():
                (arrived / name).parent.mkdir(parents=True, exist_ok=True)
                (arrived / name).write_bytes(part)
        else:
            arrived.write_bytes(content)
        return self.shelf.put(arrived, address, step="keep_study")

    def read(self, address):
        with self.shelf.held(address) as path:
            if path.is_file():
                return path.read_bytes()
            return {
                each.relative_to(path).as_posix(): each.read_bytes()
                for each in path.rglob("*")
                if each.is_file()
            }

    @property
    def copied_bytes(self):
        return sum(path.stat().st_size for path in self.copies.rglob("*") if path.is_file())


@pytest.fixture
def bucket(object_store):
    return object_store.bucket("prefix")


@pytest.fixture
def machine(object_store, bucket, tmp_path):
    def start(name, **options):
        (tmp_path / name).mkdir()
        return Machine(tmp_path / name, bucket, object_store.url, **options)

    return start


@pytest.mark.parametrize(
    "content", [b"bytes", b"", {"a.dcm": b"1", "files/b.png": b"22"}], ids=["file", "empty", "folder"]
)
def test_what_one_machine_has_kept_another_reads(machine, content):
    assert machine("one").put("studies/t/ab/key.nii", content)
    assert machine("two").read("studies/t/ab/key.nii") == content


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "link"])
def test_an_object_that_would_write_elsewhere_is_refused(machine, tmp_path, name):
    one, two = machine("one"), machine("two")
    member = tarfile.TarInfo(name)
    if name == "link":
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(member)
    told = {objects._SHA256: hashlib.sha256(packed.getvalue()).hexdigest(), objects._KIND: "folder"}
    obstore.put(one.shelf._store, "outputs/a", packed.getvalue(), attributes=told)
    with pytest.raises(OSError, match="an object"):
        two.read("outputs/a")
    assert not list(tmp_path.rglob("outside"))


def test_a_large_file_goes_in_parts_and_comes_back_whole(machine, monkeypatch):
    monkeypatch.setattr(objects, "_PART", 5 << 20)
    content = bytes(range(256)) * (12 << 12)  # 12 MiB
    told = []
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda *args, **more: told.append(more) or put(*args, **more))
    machine("one").put("studies/t/ab/large", content)
    assert [(more["mode"], more["chunk_size"]) for more in told] == [("overwrite", 5 << 20)]
    two = machine("two")
    assert two.read("studies/t/ab/large") == content
    assert obstore.head(two.shelf._store, "studies/t/ab/large")["e_tag"].strip('"').endswith("-3")


def test_of_two_machines_that_keep_the_same_one_is_told_that_it_is_new(machine, monkeypatch):
    one, two = machine("one"), machine("two")
    monkeypatch.setattr(two.shelf, "has", lambda _address: False)  # it looked before the other put
    assert [one.put("studies/t/ab/key", b"same"), two.put("studies/t/ab/key", b"same")] == [True, False]


def test_copies_take_no_more_room_than_they_may_and_the_longest_unused_leaves_first(machine):
    one, two = machine("one"), machine("two", most_bytes=250)
    for name in "abcd":
        one.put(f"outputs/{name}", name.encode() * 100)
    for name in "abacad":
        assert two.read(f"outputs/{name}") == name.encode() * 100
        assert two.copied_bytes <= 250
    assert sorted(path.name[-1] for path in two.copies.iterdir()) == ["a", "d"]


def test_a_copy_in_use_stays_however_little_room_there_is(machine):
    one, two = machine("one"), machine("two", most_bytes=10)
    for name in "abc":
        one.put(f"outputs/{name}", name.encode() * 100)
    with two.shelf.held("outputs/a") as used:
        for name in "bc":
            two.read(f"outputs/{name}")
        assert used.read_bytes() == b"a" * 100
    two.read("outputs/b")
    assert not used.exists()


def test_a_copy_is_fetched_once_while_there_is_room(machine, monkeypatch):
    machine("one").put("outputs/a", b"a")
    two = machine("two")
    fetched = []
    get = obstore.get
    monkeypatch.setattr(obstore, "get", lambda *args: fetched.append(args) or get(*args))
    for _ in range(3):
        two.read("outputs/a")
    assert len(fetched) == 1


def test_an_object_that_is_not_what_was_kept_is_never_handed_out(machine):
    one, two = machine("one"), machine("two")
    one.put("outputs/a", b"right")
    store = two.shelf._store
    told = obstore.get(store, "outputs/a").attributes
    obstore.put(store, "outputs/a", b"wrong", attributes=told)
    with pytest.raises(OSError, match="not what was kept") as fault:
        two.read("outputs/a")
    assert fault.value.errno == errno.EIO
    assert list(two.copies.iterdir()) == []


def test_what_is_removed_is_gone_for_every_machine_that_has_no_copy_of_its_own(machine, tmp_path):
    one, two = machine("one"), machine("two")
    one.put("outputs/a", b"a")
    one.shelf.remove("outputs/a", trash=tmp_path / "trash", step="remove_outputs")
    one.shelf.remove("outputs/a", trash=tmp_path / "trash", step="remove_outputs")  # as after a crash
    assert not two.shelf.has("outputs/a")
    for each in (one, two):
        with pytest.raises(FileNotFoundError):
            each.read("outputs/a")


def test_addresses_are_listed_below_their_folder_and_without_the_prefix(machine):
    one = machine("one")
    for address in ("studies/t/ab/x", "outputs/job-1", "outputs/job-2", "outputs2/job-3"):
        one.put(address, b"")
    assert sorted(one.shelf.addresses("outputs")) == ["outputs/job-1", "outputs/job-2"]
    assert list(one.shelf.addresses("outputs", older_than_s=3600.0)) == []
    one.shelf.check()
    assert sorted(one.shelf.addresses("probe")) == []


def test_a_bucket_that_is_not_there_is_no_missing_blob(object_store, tmp_path):
    absent = Machine(tmp_path, "s3://absent", object_store.url)
    for ask in (absent.shelf.check, lambda: absent.put("outputs/a", b""), lambda: absent.read("outputs/a")):
        with pytest.raises(StoreUnavailable):
            ask()


class Refusing(BaseHTTPRequestHandler):
    status, code = 0, ""

    def _refuse(self):
        body = f"<Error><Code>{self.code}</Code><Message>no</Message></Error>".encode()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_DELETE = _refuse

    def log_message(self, *_words):
        pass


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (507, "InsufficientStorage", StorageFull),
        (403, "QuotaExceeded", StorageFull),
        (400, "XMinioStorageFull", StorageFull),
        (403, "AccessDenied", StoreUnavailable),
        (501, "NotImplemented", StoreUnavailable),
    ],
)
def test_a_full_store_and_one_that_refuses_are_told_apart(
    object_store, tmp_path, monkeypatch, status, code, expected
):
    monkeypatch.setattr(Refusing, "status", status)
    monkeypatch.setattr(Refusing, "code", code)
    monkeypatch.setattr(objects, "_RETRIES", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        machine = Machine(tmp_path, "s3://bucket", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(expected):
            machine.shelf.check()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_settings_choose_the_shelf(object_store, bucket, tmp_path):
    plain = open_blobs(Settings(data=tmp_path / "plain"))
    far = open_blobs(
        Settings(data=tmp_path / "far", blobs={"url": bucket, "endpoint": object_store.url, "cache_mb": 1})
    )
    for blobs in (plain, far):
        assert isinstance(blobs, BlobStore)
        blobs.prepare()
        with blobs.receive() as incoming:
            incoming.write(b"image")
            stored = blobs.keep_study(incoming, tenant="default").stored
        assert blobs.study_path(stored.key).read_bytes() == b"image"
    assert not (tmp_path / "far" / "blobs" / "studies").exists()
