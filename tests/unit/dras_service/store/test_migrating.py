from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from dras_service.api.jobs import JobState
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.errors import SchemaUnknown
from dras_service.store.migrating import FIRST, configuration, newest
from dras_service.store.schema import metadata
from dras_service.store.store import Store
from unit.dras_service.examples import find, submit


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path):
    """An engine over a database without any table."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'jobs.sqlite3'}"
    else:
        server = request.getfixturevalue("postgresql")
        url = server.create(tmp_path.name)
    engine = open_engine(url)
    yield engine
    engine.dispose()


def differences(engine):
    """What Alembic would still change; SQLite holds a column to no length, so types are PostgreSQL's matter."""
    with engine.connect() as connection:
        options = {"compare_type": connection.dialect.name != "sqlite"}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


def before_migrations(engine):
    """The database of the version that had none, with a finished and a waiting job."""
    with engine.begin() as connection:
        command.upgrade(configuration(connection), FIRST)
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text(f"INSERT INTO study VALUES ('{'a' * 64}', '{'a' * 64}', 10, 1, 1.0)"))
        for job_id, state in (("old-1", "succeeded"), ("old-2", "queued")):
            connection.execute(
                text(
                    "INSERT INTO job (id, study_key, state, progress, attempts, fence, not_before, hints,"
                    " created_at, updated_at)"
                    f" VALUES ('{job_id}', '{'a' * 64}', '{state}', 0, 0, 0, 1, 0, 1, 1)"
                )
            )
        connection.execute(text("INSERT INTO result VALUES ('old-1', '{}', 'old-1-1', 1.0)"))
        connection.execute(text("INSERT INTO artifact VALUES ('old-1', 'r.json', 'a/b', 2, 'c')"))


def test_the_migrated_tables_are_those_that_the_code_expects(empty):
    Store(empty).migrate()
    assert differences(empty) == []


def test_an_index_of_the_migration_is_the_one_of_the_code(empty):
    # Alembic's comparison leaves out what an index is limited to.
    Store(empty).migrate()
    found = {index["name"]: index for index in inspect(empty).get_indexes("job")}["job_by_request"]
    limits = " ".join(str(limit) for limit in found["dialect_options"].values())
    assert found["unique"]
    for word in ("'failed'", "'cancelled'", "'quarantined'", "'expired'", "purged_at IS NULL"):
        assert word in limits
    assert "rejected" not in limits


def test_a_database_from_before_migrations_is_taken_over_with_its_jobs(empty):
    before_migrations(empty)
    store = Store(empty)
    for _ in range(2):
        store.migrate()
    old = find(store, "old-1")
    assert (old.state, old.study_key) == (JobState.SUCCEEDED, f"default/{'a' * 64}")
    assert store.jobs.outputs("old-1", tenant="default").artifacts[0].name == "r.json"
    assert store.jobs.study(old.study_key, tenant="default").size_bytes == 10
    assert store.leases.claim(owner="me", lease_s=60.0).job_id == "old-2"
    assert submit(store).id != "old-2"
    with empty.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == newest()
    assert differences(empty) == []


def test_studies_from_before_tenants_are_moved_once(tmp_path):
    old = tmp_path / "studies" / "aa" / ("a" * 64)
    old.parent.mkdir(parents=True)
    old.write_bytes(b"image")
    (tmp_path / "studies" / "bb").mkdir()
    (tmp_path / "studies" / "bb" / ("b" * 64 + ".files")).mkdir()
    blobs = BlobStore(tmp_path)
    for _ in range(2):
        blobs.prepare()
    assert blobs.study_path(f"default/{'a' * 64}").read_bytes() == b"image"
    assert blobs.study_path(f"default/{'b' * 64}.files").is_dir()


def test_several_that_start_at_the_same_time_migrate_once(empty):
    stores = [Store(empty) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda store: store.migrate(), stores))
    assert [tenant.name for tenant in stores[0].tenants.all()] == ["default"]


def test_a_migration_that_fails_leaves_the_database_as_it_was(empty, monkeypatch):
    before_migrations(empty)

    def fail(*_args, **_options):
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr("alembic.op.bulk_insert", fail)
        with pytest.raises(RuntimeError):
            Store(empty).migrate()
    assert not inspect(empty).has_table("tenant")
    Store(empty).migrate()
    assert find(Store(empty), "old-1").state is JobState.SUCCEEDED


def test_a_database_of_a_later_version_is_refused_and_left_alone(empty):
    store = Store(empty)
    store.migrate()
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaUnknown):
        store.migrate()
