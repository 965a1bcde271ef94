"""The log: one line an event, and nothing in it that might be about a patient.

It is a whitelist. Our own messages are constants whose values stand apart and must look like ids, codes or
numbers. A library's message is shown as its template where that is a constant, never filled in; a text
that may quote its input is withheld, and so is the text of every exception: its type and way are enough.
"""

import json
import logging
import re
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TextIO

from dras_service.settings import Settings

WITHHELD = "<withheld>"
_OURS = ("dras_service", "dras_model", "dras_client", "dras_cli")
# Libraries that keep template and values apart; where they do not, there are no arguments.
_WITH_TEMPLATES = frozenset({"alembic", "asyncio", "celery", "kombu", "redis", "sqlalchemy", "uvicorn"})
_PLAIN = re.compile(r"[A-Za-z0-9_.:@/+{}-]{1,200}")  # braces: the template of a route
_MOST_FRAMES = 12
_log = logging.getLogger(__name__)


def configure_logging(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send everything that this process logs, warns of or dies of to `stream` (standard error), redacted."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(EventFormatter(settings.observability.log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # logging's own way to report a message that it cannot format prints that message.
    logging.raiseExceptions = False
    warnings.showwarning = _show_warning
    sys.excepthook = _died
    threading.excepthook = _thread_died
    sys.unraisablehook = _unraisable


class EventFormatter(logging.Formatter):
    """Writes a record as one line, JSON or text, with the same content."""

    def __init__(self, kind: Literal["json", "text"]) -> None:
        super().__init__()
        self._kind = kind

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event = described(record)
        if self._kind == "json":
            return json.dumps(event, separators=(",", ":"))
        at, level, name = event.pop("at"), event.pop("level"), event.pop("logger")
        rest = " ".join(f"{key}={value}" for key, value in event.items() if key != "event")
        return f"{at} {level} {name}: {event['event']} {rest}".rstrip()


def described(record: logging.LogRecord) -> dict[str, Any]:
    """Return what may be said of a record."""
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    event: dict[str, Any] = {
        "at": f"{seconds}.{int(record.msecs):03d}Z",
        "level": record.levelname,
        "logger": record.name,
        "process": record.process,
    }
    if record.name.split(".")[0] in _OURS:
        event["event"] = record.msg if isinstance(record.msg, str) else WITHHELD
        event |= _values(record)
    else:
        event["event"] = _template(record)
        event["where"] = f"{record.module}:{record.lineno}"
    trace = _trace_id()
    if trace is not None:
        event["trace"] = trace
    if record.exc_info and record.exc_info[1] is not None:
        event["error"] = outline(record.exc_info[1])
    return event


class Outline(str):
    """What `outline` returns; it passes wherever our own values do."""

    __slots__ = ()


def outline(error: BaseException) -> Outline:
    """Return an error's type and where it came from, and those of its causes; texts may quote a study."""
    chain: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(chain) < _MOST_FRAMES:
        frames = traceback.extract_tb(seen.__traceback__)[-_MOST_FRAMES:]
        way = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
        chain.append(f"{type(seen).__name__} at {way}" if way else type(seen).__name__)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return Outline(" < ".join(chain))


def _values(record: logging.LogRecord) -> dict[str, Any]:
    """Return the values of one of our messages: by name from `extra={"fields": …}`, or in their order."""
    fields = getattr(record, "fields", {})
    found = {name: _plain(value) for name, value in fields.items()} if isinstance(fields, Mapping) else {}
    arguments = record.args.values() if isinstance(record.args, Mapping) else record.args or ()
    values = [_plain(value) for value in arguments]
    return found | ({"values": values} if values else {})


def _plain(value: object) -> str | int | float | bool | None:
    """Let numbers pass, and what has the form of an id, a code or a name of ours."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Outline):
        return value
    text = str(value)
    return text if _PLAIN.fullmatch(text) else WITHHELD


def _template(record: logging.LogRecord) -> str:
    known = record.name.split(".")[0] in _WITH_TEMPLATES
    return record.msg if known and record.args and isinstance(record.msg, str) else WITHHELD


def _trace_id() -> str | None:
    """Return the id of the trace under way; None where tracing is off, which loads nothing."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    context = api.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


def _show_warning(
    message: Warning | str,  # noqa: ARG001 - it may quote an element's value
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    fields = {"category": category.__name__, "where": f"{Path(filename).name}:{lineno}"}
    _log.warning("python warned", extra={"fields": fields})


def _died(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    _log.critical("the process ended by a defect", exc_info=error)


def _thread_died(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        _log.critical("a thread ended by a defect", exc_info=ended.exc_value)


def _unraisable(ended: "sys.UnraisableHookArgs") -> None:
    _log.error("an error could not be raised", exc_info=ended.exc_value)
