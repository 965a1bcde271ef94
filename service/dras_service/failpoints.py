"""Named places where a test may end, break or stop this process: around every commit, rename and publish.

`DRAS_FAILPOINT=submit.uncommitted:kill` kills the process with SIGKILL when it gets there; `error` raises,
`hang` never returns, and `@3` behind either waits for the third time. Unset, a place costs one comparison.
Leaves out when to use it: only tests and the soak set the variable.
"""

import os
import signal
import time
from dataclasses import dataclass
from typing import Literal, get_args

VARIABLE = "DRAS_FAILPOINT"
Action = Literal["kill", "error", "hang"]

# A transaction has a place before its commit, where nothing may have happened, and one after, where all has.
TRANSACTIONS = (
    "submit",
    "cancel",
    "purge_job",
    "purge_study",
    "forget_outputs",
    "prepare_again",
    "claim",
    "advance",
    "hand_over",
    "commit_result",
    "reject",
    "fail",
    "give_back",
    "end_cancelled",
    "sweep_lease",
    "expire",
    "rehint",
    "prune",
    "take_outbox",
    "end_outbox",
    "put_off_outbox",
    "offer_bundles",
    "tenant",
    "api_key",
    "webhook",
    "workitem",
    "audit",
    "beacon",
    "migrate",
)
# Something outside the database happens between the two places of each of these.
STEPS = (
    "adopt_study",
    "keep_study",
    "begin_study",
    "gather_image",
    "take_study",
    "keep_draft",
    "keep_outputs",
    "remove_study",
    "remove_outputs",
    "remove_draft",
    "send_hint",
    "put_message",
    "take_message",
)
POINTS = frozenset(
    [f"{name}.{when}" for name in TRANSACTIONS for when in ("uncommitted", "committed")]
    + [f"{name}.{when}" for name in STEPS for when in ("before", "after")]
)


class FailpointHit(Exception):
    """The error that an armed failpoint raises."""


@dataclass(slots=True)
class _Armed:
    point: str
    action: Action
    left: int  # times to pass before it acts


def _parse(text: str) -> _Armed:
    point, _, rest = text.partition(":")
    action, _, count = rest.partition("@")
    if point not in POINTS or action not in get_args(Action) or not (count or "1").isdecimal():
        raise ValueError(f"{VARIABLE} is no point:kill|error|hang[@n] of the registry")
    return _Armed(point, action, int(count or "1"))  # type: ignore[arg-type]  # checked above


# Read at import, unlike every setting: where it is unset, `hit` must cost nothing.
_armed: _Armed | None = _parse(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def hit(point: str) -> None:
    """Pass `point`, or do what is armed for it."""
    if _armed is None:
        return
    _act(_armed, point)


def arm(text: str | None) -> None:
    """Arm this process as if the variable had been set when it started; None disarms it. Raises ValueError."""
    global _armed  # noqa: PLW0603 - the one switch there is
    _armed = None if text is None else _parse(text)


def _act(armed: _Armed, point: str) -> None:
    if point not in POINTS:
        raise ValueError(f"{point} is not in the registry of failpoints")
    if point != armed.point:
        return
    armed.left -= 1
    if armed.left != 0:
        return
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if armed.action == "hang":
        while True:
            time.sleep(3600)
    raise FailpointHit(point)
