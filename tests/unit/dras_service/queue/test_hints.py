import json
import shutil

import pytest

from dras_service.queue.app import create_celery
from dras_service.queue.hints import BrokerUnreachable, Hints
from dras_service.settings import QueueSettings
from unit.dras_service.examples import submit


@pytest.fixture
def celery(parts):
    return create_celery(parts.settings)


@pytest.fixture
def hints(celery):
    return Hints(celery)


def messages(parts):
    return list((parts.settings.queue_folder / "messages").iterdir())


def test_a_hint_is_one_json_message_that_holds_the_job_id_and_nothing_of_the_study(hints, store, parts):
    job = submit(store, series_uid="1.2.3.4.5")
    hints.send(job.id)
    (message,) = messages(parts)
    content = json.loads(message.read_text())
    assert content["content-type"] == "application/json"
    assert "1.2.3.4.5" not in message.read_text()
    assert job.study_key not in message.read_text()


def test_a_hint_that_cannot_be_sent_is_said(hints, parts):
    shutil.rmtree(parts.settings.queue_folder)
    with pytest.raises(BrokerUnreachable):
        hints.send("some-id")


def test_a_broker_that_nobody_answers_for_fails_the_check(parts):
    hints = Hints(create_celery(parts.settings))
    hints.check()
    shutil.rmtree(parts.settings.queue_folder)
    with pytest.raises(BrokerUnreachable):
        hints.check()


def test_nothing_but_json_is_ever_unpacked(celery):
    assert celery.conf.accept_content == ["json"]
    assert celery.conf.result_backend is None


def test_another_broker_is_used_as_it_is_named(parts):
    settings = parts.settings.model_copy(update={"queue": QueueSettings(url="redis://cache:6379/0")})
    assert create_celery(settings).conf.broker_url == "redis://cache:6379/0"
