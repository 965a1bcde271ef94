"""Whether the node of this host lives: `python -m dras_service.pacs.alive`, for a container's health check.

Its exit status is 1 where nobody takes a connection at the node's port and lets it go again. Whoever connects says
nothing and hangs up, so that neither a title nor an address has to be let in for it. Leaves out whether
studies come to an end, which `dras pacs deliveries` and `dras doctor` say.
"""

import os
import socket
import sys
from pathlib import Path

from dras_service.errors import CannotServe
from dras_service.pacs.configuration import Node, read_configuration

_PATIENCE_S = 10.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a node listens that listens everywhere


def is_alive(node: Node, *, patience_s: float = _PATIENCE_S) -> bool:
    """Connect, say nothing, and wait until the node has hung up, too; a process that hangs does not."""
    address = (_EVERYWHERE.get(node.host, node.host), node.port)
    try:
        with socket.create_connection(address, timeout=patience_s) as connection:
            return _is_let_go(connection)
    except OSError:
        return False


def _is_let_go(connection: socket.socket) -> bool:
    try:
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:  # whom it does not know it does not hear, but hangs up on at once
        return True
    return True


def main() -> int:
    """Return the exit status."""
    try:
        configuration = read_configuration(Path(os.environ.get("DRAS_PACS", "")))
    except CannotServe as fault:
        sys.stderr.write(f"{fault.code}: {fault}\n")
        return 1
    return 0 if is_alive(configuration.node) else 1


if __name__ == "__main__":
    sys.exit(main())
