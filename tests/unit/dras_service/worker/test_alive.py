import time

from dras_service.settings import ObservabilitySettings
from dras_service.worker.alive import is_alive


def test_a_host_lives_as_long_as_a_worker_of_its_own_was_seen_lately(parts, monkeypatch):
    monkeypatch.setattr(parts.store.numbers._database, "now", lambda: time.time() - 30.0)
    parts.store.numbers.seen("node_1:7", started_at=1.0, gauges={})
    lately, long_ago = (
        parts.settings.model_copy(update={"observability": ObservabilitySettings(beacon_s=seconds)})
        for seconds in (10.0, 5.0)
    )
    assert is_alive(lately, host="node_1")
    assert not is_alive(long_ago, host="node_1")
    assert not is_alive(lately, host="node")
    assert not is_alive(lately, host="node%")
    assert not is_alive(lately, host="nodeX1")


def test_a_database_that_is_away_ends_no_worker(parts, tmp_path):
    (tmp_path / "file").write_text("no folder")
    away = parts.settings.model_copy(update={"data": tmp_path / "file"})
    assert is_alive(away, host="node")
