from concurrent.futures import ThreadPoolExecutor
from queue import Empty

import pytest
from kombu import Connection


@pytest.fixture
def options(tmp_path):
    folders = {name: tmp_path / name for name in ("messages", "taken", "control")}
    for folder in folders.values():
        folder.mkdir()
    return {
        "data_folder_in": str(folders["messages"]),
        "data_folder_out": str(folders["messages"]),
        "processed_folder": str(folders["taken"]),
        "control_folder": str(folders["control"]),
    }


@pytest.fixture
def channel(options):
    with Connection(transport="dras_service.queue.folder:Transport", transport_options=options) as connection:
        yield connection.default_channel


def test_messages_come_back_whole_and_in_order(channel):
    for number in range(12):
        channel._put("studies", {"body": number})
    assert [channel._get("studies")["body"] for _ in range(12)] == list(range(12))
    with pytest.raises(Empty):
        channel._get("studies")


def test_a_message_for_another_queue_is_left_alone(channel):
    channel._put("other", {"body": 1})
    with pytest.raises(Empty):
        channel._get("studies")
    assert channel._get("other") == {"body": 1}


def test_a_message_that_is_still_being_written_is_not_seen(channel, options, tmp_path):
    (tmp_path / "messages" / "1_a.studies.msg.part").write_text("{")
    with pytest.raises(Empty):
        channel._get("studies")
    assert channel._size("studies") == 0


def test_each_message_is_taken_by_one_consumer_only(options):
    n_messages = 200

    def consume(_worker):
        taken = []
        with Connection(
            transport="dras_service.queue.folder:Transport", transport_options=options
        ) as connection:
            channel = connection.default_channel
            while len(taken) < n_messages:
                try:
                    taken.append(channel._get("studies")["body"])
                except Empty:
                    break
        return taken

    with Connection(transport="dras_service.queue.folder:Transport", transport_options=options) as connection:
        for number in range(n_messages):
            connection.default_channel._put("studies", {"body": number})
    with ThreadPoolExecutor(4) as pool:
        taken = [number for batch in pool.map(consume, range(4)) for number in batch]
    assert sorted(taken) == list(range(n_messages))
