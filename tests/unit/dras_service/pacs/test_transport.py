"""The bounds of a connection, on a pair of sockets: how much of a message that goes to no file is taken."""

import socket
import threading
from collections.abc import Iterator

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import P_DATA

from dras_service.pacs.receive.transport import BoundedSocket, Bounds

PDU_BYTES = 65_536
STREAMED_BYTES = 8 << 20
NOT_LAST_OF_COMMAND, NOT_LAST_OF_DATA = b"\x01", b"\x00"  # PS3.8 E.2


@pytest.fixture
def association() -> Association:
    return Association(AE("DRAS"), mode="acceptor")


@pytest.fixture
def channel(association: Association) -> Iterator[BoundedSocket]:
    ours, theirs = socket.socketpair()
    bounds = Bounds(
        max_pdu_bytes=PDU_BYTES,
        max_object_bytes=4 * STREAMED_BYTES,
        idle_timeout_s=30.0,
        max_associations=1,
        is_known=lambda _address: True,
    )
    channel = BoundedSocket(association, ours, bounds)
    sender = threading.Thread(target=_send, args=(theirs,))
    sender.start()
    yield channel
    ours.close()
    sender.join()
    theirs.close()


def _send(connection: socket.socket) -> None:
    try:
        connection.sendall(bytes(STREAMED_BYTES))
    except OSError:
        return  # cut off, as it should be


def _begin(association: Association, control: bytes) -> None:
    part = P_DATA()
    part.presentation_data_value_list = [[1, control + b"\0" * 8]]
    association.dimse.receive_primitive(part)


@pytest.mark.parametrize("control", [NOT_LAST_OF_COMMAND, NOT_LAST_OF_DATA])
def test_a_message_without_end_that_goes_to_no_file_is_cut_off_at_a_megabyte(
    association: Association, channel: BoundedSocket, control: bytes
) -> None:
    _begin(association, control)
    for _ in range(1_000_000 // PDU_BYTES):
        assert len(channel.recv(PDU_BYTES)) == PDU_BYTES
    with pytest.raises(OSError, match="more bytes than are taken"):
        channel.recv(PDU_BYTES)


def test_messages_that_end_are_counted_one_by_one(association: Association, channel: BoundedSocket) -> None:
    for _ in range(STREAMED_BYTES // PDU_BYTES):
        association.dimse.message = None
        _begin(association, NOT_LAST_OF_COMMAND)
        channel.recv(PDU_BYTES // 2)
        association.dimse.message = None
        channel.recv(PDU_BYTES // 2)


def test_what_goes_to_a_file_is_bound_by_the_size_of_an_object_alone(
    association: Association, channel: BoundedSocket, tmp_path
) -> None:
    _begin(association, NOT_LAST_OF_COMMAND)
    with (tmp_path / "image.dcm").open("wb") as file:
        association.dimse.message._data_set_file = file
        for _ in range(STREAMED_BYTES // PDU_BYTES):
            assert len(channel.recv(PDU_BYTES)) == PDU_BYTES
