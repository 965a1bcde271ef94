"""Whether the database answers, is in this version's form, keeps what it confirms, and is whole."""

from collections.abc import Iterator
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from dras_service.doctor.faults import Fault, FaultCode
from dras_service.settings import Settings
from dras_service.store.engine import open_engine
from dras_service.store.migrating import SCRIPTS, newest

_PATIENCE_S = 5.0
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs"})
_SQLITE_FULL = 2  # PRAGMA synchronous


def check_database(settings: Settings) -> Iterator[Fault]:
    """Yield what is wrong with the database of the settings."""
    url = make_url(settings.store_url)
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and url.database:
        kind = file_system(Path(url.database))
        if kind in _NETWORK:
            yield Fault.of(FaultCode.DATABASE_ON_NETWORK, kind=kind)
        if not Path(url.database).exists():
            return  # the first start makes it
    try:
        engine = open_engine(settings.store_url, busy_timeout_s=_PATIENCE_S)
    except (SQLAlchemyError, OSError, ImportError):
        yield Fault.of(FaultCode.DATABASE_UNREACHABLE)
        return
    try:
        yield from _examine(engine, is_sqlite=is_sqlite)
    except DatabaseError as error:
        damaged = is_sqlite and any(word in str(error.orig) for word in ("malformed", "not a database"))
        yield Fault.of(FaultCode.DATABASE_DAMAGED if damaged else FaultCode.DATABASE_UNREACHABLE)
    except (SQLAlchemyError, OSError):
        yield Fault.of(FaultCode.DATABASE_UNREACHABLE)
    finally:
        engine.dispose()


def _examine(engine: Engine, *, is_sqlite: bool) -> Iterator[Fault]:
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        expected = newest()
        known = {script.revision for script in ScriptDirectory(str(SCRIPTS)).walk_revisions()}
        if found is not None and found not in known:
            yield Fault.of(FaultCode.DATABASE_NEWER, found=found)
        elif found != expected:
            yield Fault.of(
                FaultCode.DATABASE_NOT_MIGRATED, found=found or "none", expected=expected or "none"
            )
        yield from _durability_of_sqlite(connection) if is_sqlite else _durability_of_postgres(connection)
        if is_sqlite and connection.execute(text("PRAGMA quick_check(1)")).scalar_one() != "ok":
            yield Fault.of(FaultCode.DATABASE_DAMAGED)


def _durability_of_sqlite(connection: Connection) -> Iterator[Fault]:
    """Ask for what the engine has set: a file system without shared memory falls back in silence."""
    mode = str(connection.execute(text("PRAGMA journal_mode")).scalar_one())
    if mode != "wal":
        yield Fault.of(FaultCode.DATABASE_NOT_DURABLE, setting="journal_mode", value=mode, wanted="wal")
    synchronous = int(connection.execute(text("PRAGMA synchronous")).scalar_one())
    if synchronous < _SQLITE_FULL:
        yield Fault.of(
            FaultCode.DATABASE_NOT_DURABLE, setting="synchronous", value=synchronous, wanted="FULL"
        )


def _durability_of_postgres(connection: Connection) -> Iterator[Fault]:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        value = str(connection.execute(text(f"SHOW {setting}")).scalar_one())
        if value == "off":
            yield Fault.of(FaultCode.DATABASE_NOT_DURABLE, setting=setting, value=value, wanted="on")


def file_system(path: Path, *, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the kind of file system that `path` is or would be on; empty where the system does not tell."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    place = path.absolute()
    over = [(Path(line[1]), line[2]) for line in lines if place.is_relative_to(line[1])]
    return max(over, key=lambda mount: len(mount[0].parts), default=(place, ""))[1]
