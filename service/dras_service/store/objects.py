"""Blobs in an S3-compatible object store: one object a blob, with copies of what is used on this machine.

A folder is kept as a tar, so that it appears at once and is fetched with one request. Its SHA-256 travels with each
object and is checked when it is fetched. The client is opened in the process that uses it and never before a fork,
which its threads would not survive. Leaves out versions and life cycles, which are the bucket's.
"""

import errno
import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dras_service.failpoints import hit
from dras_service.store.cache import Cache
from dras_service.store.errors import StorageFull, StoreUnavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore, S3Config

_CHUNK = 1 << 20
_PART = 8 << 20  # of an upload in parts; S3 takes 10,000
_MOST_AT_ONCE = 4  # parts under way, and so in memory
_RETRIES = 3
_SHA256, _KIND = "dras-sha256", "dras-kind"
_FULL = ("507", "InsufficientStorage", "StorageFull", "QuotaExceeded")


class ObjectShelf:
    """A bucket, or what of it lies below a prefix. Credentials come from the standard variables of AWS."""

    def __init__(
        self, url: str, cache: Cache, *, endpoint: str | None = None, region: str | None = None
    ) -> None:
        self._url = url
        self._endpoint = endpoint
        self._region = region
        self._cache = cache
        self._client: tuple[int, ObjectStore] | None = None

    def prepare(self) -> None:
        """Make room for copies; the bucket is not asked, for this may be before a fork."""
        self._cache.prepare()

    def check(self) -> None:
        """Write and remove one byte."""
        import obstore  # noqa: PLC0415 - an extra

        with _translated("check"):
            address = f"probe/{os.getpid()}-{os.urandom(8).hex()}"
            obstore.put(self._store, address, b"\0")
            obstore.delete(self._store, address)

    def put(self, arrived: Path, address: str, *, step: str) -> bool:
        """Upload it, then keep it as a copy. Small objects are put on condition that there is none.

        Large ones go in parts, which S3 takes without conditions: whoever is second writes the same content.
        """
        if self.has(address):
            hit(f"{step}.before")
            hit(f"{step}.after")
            return False
        kind = "folder" if arrived.is_dir() else "file"
        with self._packed(arrived) as file:
            hit(f"{step}.before")
            is_new = self._upload(file, address, kind)
            hit(f"{step}.after")
        self._cache.take(arrived, address)
        return is_new

    def has(self, address: str) -> bool:
        """Whether there is an object."""
        import obstore  # noqa: PLC0415 - an extra

        try:
            with _translated(address):
                obstore.head(self._store, address)
        except FileNotFoundError:
            return False
        return True

    def path(self, address: str) -> Path:
        """Return a copy; it stays until room is needed, which takes the longest unused."""
        with self.held(address) as copy:
            return copy

    @contextmanager
    def held(self, address: str) -> Iterator[Path]:
        """Open a copy, fetched where there is none."""
        with self._cache.held(address, lambda place: self._fetch(address, place)) as copy:
            yield copy

    def remove(self, address: str, *, trash: Path, step: str) -> None:  # noqa: ARG002 - nothing takes time
        """Delete the object and the copy."""
        import obstore  # noqa: PLC0415 - an extra

        hit(f"{step}.before")
        with _translated(address):
            obstore.delete(self._store, address)
        self._cache.drop(address)
        hit(f"{step}.after")

    def addresses(self, folder: str, *, older_than_s: float | None = None) -> Iterator[str]:
        """Yield the objects below `folder`, or those that were put longer ago than that."""
        import obstore  # noqa: PLC0415 - an extra

        limit = None if older_than_s is None else datetime.now(UTC) - timedelta(seconds=older_than_s)
        with _translated(folder):
            for block in obstore.list(self._store, prefix=f"{folder}/"):
                for found in block:
                    if limit is None or found["last_modified"] < limit:
                        yield found["path"]

    @property
    def _store(self) -> "ObjectStore":
        from obstore.store import S3Store  # noqa: PLC0415 - an extra

        if self._client is None or self._client[0] != os.getpid():
            config = {"endpoint": self._endpoint, "region": self._region}
            plain = (self._endpoint or os.environ.get("AWS_ENDPOINT_URL", "")).startswith("http://")
            store = S3Store.from_url(
                self._url,
                config=cast("S3Config", {name: value for name, value in config.items() if value is not None}),
                client_options={"timeout": "60s", "connect_timeout": "5s", "allow_http": plain},
                retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=20)},
            )
            self._client = (os.getpid(), store)
        return self._client[1]

    @contextmanager
    def _packed(self, arrived: Path) -> Iterator[Path]:
        """Open a file as it is, a folder as a tar of its files under their names."""
        if arrived.is_file():
            yield arrived
            return
        with self._cache.part() as part:
            with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as archive:
                for path in sorted(arrived.rglob("*")):
                    archive.add(path, path.relative_to(arrived).as_posix(), recursive=False)
            yield part

    def _upload(self, file: Path, address: str, kind: str) -> bool:
        import obstore  # noqa: PLC0415 - an extra
        from obstore.exceptions import AlreadyExistsError  # noqa: PLC0415

        told = {_SHA256: _sha256(file), _KIND: kind}
        is_small = file.stat().st_size <= _PART
        try:
            with _translated(address):
                obstore.put(
                    self._store,
                    address,
                    file,
                    attributes=told,
                    mode="create" if is_small else "overwrite",
                    chunk_size=_PART,
                    max_concurrency=_MOST_AT_ONCE,
                )
        except AlreadyExistsError:
            return False
        return True

    def _fetch(self, address: str, place: Path) -> None:
        import obstore  # noqa: PLC0415 - an extra

        with self._cache.part() as part:
            digest = hashlib.sha256()
            with _translated(address), part.open("xb") as file:
                found = obstore.get(self._store, address)
                for chunk in found.stream(min_chunk_size=_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
            told = found.attributes
            if digest.hexdigest() != told.get(_SHA256):
                raise OSError(errno.EIO, "an object is not what was kept")
            if told.get(_KIND) == "file":
                os.link(part, place)
            else:
                _unpack(part, place)


def _unpack(packed: Path, place: Path) -> None:
    """Write what `_packed` put together. The filters of `extractall` are not in every Python 3.11."""
    place.mkdir()
    with tarfile.open(packed) as archive:
        for member in archive:
            path = place / member.name
            if ".." in path.parts or not path.is_relative_to(place):
                raise OSError(errno.EIO, "an object would write elsewhere")
            if member.isdir():
                path.mkdir()
            elif content := archive.extractfile(member) if member.isreg() else None:
                with path.open("xb") as file:
                    shutil.copyfileobj(content, file)
            else:
                raise OSError(errno.EIO, "an object holds more than files and folders")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _translated(address: str) -> Iterator[None]:
    """Turn the client's errors into ours; AlreadyExistsError passes."""
    from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError  # noqa: PLC0415 - an extra

    try:
        yield
    except AlreadyExistsError:
        raise
    except (NotFoundError, FileNotFoundError) as error:
        if "NoSuchBucket" in str(error):
            raise StoreUnavailable("the bucket is not there") from error
        raise FileNotFoundError(errno.ENOENT, "no such blob", address) from error
    except BaseError as error:
        if any(word in str(error) for word in _FULL):
            raise StorageFull("the object store is full") from error
        raise StoreUnavailable("the object store cannot be reached") from error
