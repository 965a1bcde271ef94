import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dras_service.pacs.alive import is_alive, main
from dras_service.pacs.configuration import Node
from servers import free_port


@contextmanager
def somebody(meets: Callable[[socket.socket], None]) -> Iterator[Node]:
    """One who listens, and does with the first connection what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            connection, _ = listener.accept()
            with connection:
                meets(connection)

        thread = threading.Thread(target=take)
        thread.start()
        yield Node(port=listener.getsockname()[1])
        thread.join()


def hang_up(connection: socket.socket) -> None:
    while connection.recv(1024):
        pass


def test_a_node_that_hangs_up_with_its_caller_lives():
    with somebody(hang_up) as node:
        assert is_alive(node)


def test_a_node_that_does_not_hear_whom_it_does_not_know_lives():
    with somebody(lambda connection: connection.close()) as node:
        assert is_alive(node)


def test_a_node_that_listens_everywhere_is_asked_on_loopback():
    with somebody(hang_up) as node:
        assert is_alive(node.model_copy(update={"host": "0.0.0.0"}))


def test_a_process_that_takes_a_connection_and_does_nothing_with_it_does_not_live():
    done = threading.Event()
    with somebody(lambda _connection: done.wait() and None) as node:
        assert not is_alive(node, patience_s=0.1)
        done.set()


def test_where_nobody_listens_nobody_lives():
    assert not is_alive(Node(port=free_port()))


def test_a_check_without_the_nodes_file_fails_and_names_its_variable(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("DRAS_PACS", str(tmp_path / "pacs.toml"))
    assert main() == 1
    assert "DRAS_PACS" in capsys.readouterr().err
