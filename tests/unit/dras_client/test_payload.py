import tracemalloc

import pytest
from python_multipart.multipart import MultipartParser

from dras_client import SourceUnreadable
from dras_client.payload import open_payload


def test_the_announced_size_is_the_size_that_is_sent(tmp_path):
    for number, size in enumerate((0, 1, 262_144, 300_000)):
        (tmp_path / str(number)).write_bytes(bytes(size))
    for source in (tmp_path, tmp_path / "3", b"12345"):
        payload = open_payload(source)
        assert sum(len(block) for block in payload.blocks()) == payload.size_bytes


def test_a_form_can_be_sent_twice_and_is_well_formed_by_another_parser(tmp_path):
    (tmp_path / "a").write_bytes(b"--boundary?\r\n")
    (tmp_path / "b").write_bytes(b"two")
    payload = open_payload(tmp_path)
    assert b"".join(payload.blocks()) == b"".join(payload.blocks())
    found = []
    parser = MultipartParser(
        payload.content_type.partition("boundary=")[2],
        {
            "on_part_begin": lambda: found.append(b""),
            "on_part_data": lambda data, start, end: found.append(found.pop() + data[start:end]),
        },
    )
    parser.write(b"".join(payload.blocks()))
    assert found == [b"--boundary?\r\n", b"two"]


def test_no_name_of_a_file_is_sent(tmp_path):
    (tmp_path / "Doe^Jane_1.dcm").write_bytes(b"1")
    (tmp_path / "Doe^Jane_2.dcm").write_bytes(b"2")
    payload = open_payload(tmp_path)
    assert b"Doe" not in b"".join(payload.blocks())


def test_memory_stays_flat_however_much_is_sent(tmp_path):
    (tmp_path / "big").write_bytes(bytes(32 << 20))
    (tmp_path / "small").write_bytes(b"1")
    payload = open_payload(tmp_path)
    tracemalloc.start()
    for _block in payload.blocks():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20


@pytest.mark.parametrize("change", [b"", b"much longer than it was"])
def test_a_file_that_changes_while_it_is_sent_is_noticed(tmp_path, change):
    (tmp_path / "a").write_bytes(b"12345")
    payload = open_payload(tmp_path / "a")
    (tmp_path / "a").write_bytes(change)
    with pytest.raises(SourceUnreadable):
        list(payload.blocks())


def test_nothing_to_send_is_said_before_anybody_is_bothered(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for source in (
        b"",
        [],
        tmp_path / "empty",
        tmp_path / "folder",
        tmp_path / "missing",
        [tmp_path / "missing"],
    ):
        with pytest.raises(SourceUnreadable):
            open_payload(source)


def test_a_file_that_vanishes_is_said(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    payload = open_payload(tmp_path / "a")
    (tmp_path / "a").unlink()
    with pytest.raises(SourceUnreadable):
        list(payload.blocks())
