from datetime import UTC, datetime

import pytest

from dras_model.results.study import Stage
from dras_service.api.jobs import (
    FAULT_SENTENCES,
    RUNNING,
    STATE_OF_STAGE,
    TERMINAL,
    WITH_RESULT,
    Fault,
    JobLinks,
    JobState,
    JobView,
)


def test_every_state_is_queued_or_running_or_terminal_and_never_two_of_them():
    assert {JobState.QUEUED} | RUNNING | TERMINAL == set(JobState)
    assert not RUNNING & TERMINAL
    assert WITH_RESULT < TERMINAL


def test_the_state_never_goes_back_while_the_stages_run_in_order():
    order = [JobState.PREPARING, JobState.ENCODING, JobState.FINISHING]
    states = [order.index(STATE_OF_STAGE[stage]) for stage in Stage]
    assert states == sorted(states)


def test_every_fault_has_a_sentence():
    assert set(FAULT_SENTENCES) == set(Fault)
    assert all(sentence.endswith(".") for sentence in FAULT_SENTENCES.values())


def test_a_reader_ignores_keys_that_a_newer_service_sends():
    now = datetime.now(UTC)
    view = JobView(
        id="1",
        state=JobState.QUEUED,
        created_at=now,
        updated_at=now,
        links=JobLinks(job="", result="", artifacts="", events=""),
    )
    sent = view.model_dump(mode="json") | {"colour": "green"}
    assert JobView.model_validate(sent) == view


@pytest.mark.parametrize("progress", [-0.01, 1.01])
def test_progress_outside_of_zero_to_one_is_refused(progress):
    now = datetime.now(UTC)
    links = JobLinks(job="", result="", artifacts="", events="")
    with pytest.raises(ValueError, match="progress"):
        JobView(id="1", state=JobState.QUEUED, created_at=now, updated_at=now, links=links, progress=progress)
