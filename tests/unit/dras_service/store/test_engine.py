import pytest
from sqlalchemy import text

from dras_service.store.engine import open_engine
from dras_service.store.errors import StorageFull, StoreUnavailable
from dras_service.store.store import Store
from servers import free_port
from unit.dras_service.examples import submit


@pytest.fixture
def sqlite(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")
    yield engine
    engine.dispose()


def test_what_was_written_survives_the_process_by_the_strictest_settings(sqlite):
    with sqlite.connect() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}


@pytest.mark.parametrize("kind", ["a folder", "nobody listens"])
def test_a_database_out_of_reach_is_said_in_our_words(tmp_path, kind):
    url = (
        f"postgresql+psycopg://dras@127.0.0.1:{free_port()}/x"
        if kind != "a folder"
        else f"sqlite:///{tmp_path}"
    )
    store = Store(open_engine(url))
    with pytest.raises(StoreUnavailable):
        store.check()


def test_a_full_database_is_told_from_one_out_of_reach(sqlite):
    def submit_many():
        for _ in range(200):
            submit(store)

    store = Store(sqlite)
    store.migrate()
    with sqlite.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StorageFull):
        submit_many()
