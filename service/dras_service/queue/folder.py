"""The `filesystem://` transport with messages that appear whole and are taken once.

kombu 5.7 creates a message's file and then writes it, so that a consumer that polls in between takes
an empty one and falls over it; and it takes messages by way of the system's temporary folder, which
may be another disk, where a move is a copy. Here both ends are a rename within the queue's folder.
"""

import json
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem

from dras_service.failpoints import hit

LONGEST_WAIT_S = 0.25


class Channel(filesystem.Channel):
    """A channel whose messages are files that are complete once they can be seen."""

    # kombu's two base classes name the second parameter differently; it is always given by position.
    def _put(self, queue: str, payload: Any, **_options: object) -> None:  # type: ignore[override]
        folder = Path(self.data_folder_out)
        # kombu's name pattern, but from the clock rather than the uptime: order outlives a reboot.
        name = f"{time.time_ns()}_{uuid.uuid4()}.{queue}.msg"
        unseen = folder / f"{name}.part"
        try:
            unseen.write_bytes(json.dumps(payload).encode())
            hit("put_message.before")
            unseen.replace(folder / name)
            hit("put_message.after")
        except OSError as error:
            raise ChannelError("the queue's folder cannot be written") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002
        for waiting in sorted(Path(self.data_folder_in).glob(f"*.{queue}.msg")):
            taken = Path(self.processed_folder) / waiting.name
            hit("take_message.before")
            try:
                waiting.rename(taken)
            except FileNotFoundError:
                continue  # another consumer was faster
            hit("take_message.after")
            content = taken.read_text()
            taken.unlink()
            return json.loads(content)
        raise Empty


class Transport(filesystem.Transport):
    """kombu's transport over folders, with the channel above."""

    Channel = Channel

    # kombu's two base classes differ here, too; Celery gives the timeout by name.
    def drain_events(self, connection: Any, timeout: float | None = None, **_options: Any) -> Any:
        """Wait for a message, but never long: a worker looks for a signal to stop only in between."""
        longest_s = LONGEST_WAIT_S if timeout is None else min(timeout, LONGEST_WAIT_S)
        return super().drain_events(connection, timeout=longest_s)  # type: ignore[no-untyped-call]
