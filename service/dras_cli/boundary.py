"""The one place where an error becomes a sentence and an exit status; see EXIT_CODES for the list.

Nothing is imported here for an error that cannot have happened: what raises it is loaded already.
"""

import json
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dras_model.results.errors import SetupRefused, StudyRefused

if TYPE_CHECKING:
    from dras_client.errors import DrasClientError

DEFECT, USAGE, REFUSED, SETUP, SERVICE, INTERRUPTED = 1, 2, 3, 4, 5, 130

EXIT_CODES = """\b
Exit status:
  0    done
  1    a defect of dras; --debug shows where
  2    the command was called in a wrong way
  3    the study was refused
  4    a bundle, an atlas, a setting, a key or an output place is at fault
  5    the service cannot be reached, or failed
  130  interrupted

With --json, standard output holds one JSON document and nothing else; an error is one line of JSON
on standard error, {"error": {"code", "message", "exit_status"}}."""


@dataclass(slots=True)
class Invocation:
    """How this call wants to be answered; the commands' shared options set it."""

    json: bool = False
    debug: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is shown."""

    exit_status: int
    code: str
    message: str


def explain(error: BaseException) -> Failure:
    """Sort an error; what nobody has sorted is a defect."""
    if isinstance(error, StudyRefused):
        return Failure(REFUSED, error.code, str(error))
    if isinstance(error, SetupRefused):
        return Failure(SETUP, error.code, str(error))
    if isinstance(error, click.UsageError):
        return Failure(USAGE, "USAGE", error.format_message())
    if isinstance(error, click.ClickException):
        return Failure(SETUP, "NOT_READABLE", error.format_message())
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Failure(INTERRUPTED, "INTERRUPTED", "Interrupted; nothing half written was left.")
    return _explain_service(error) or _explain_defect(error)


def show(failure: Failure, invocation: Invocation) -> None:
    """Write the failure to standard error, as the call wants it."""
    if invocation.json:
        shown = {"code": failure.code, "message": failure.message, "exit_status": failure.exit_status}
        click.echo(json.dumps({"error": shown}), err=True)
    else:
        click.echo(f"dras: {failure.code}: {failure.message}", err=True)


def _explain_service(error: BaseException) -> Failure | None:
    """Sort what the service raises when it starts, and what the SDK raises, where they are loaded at all."""
    if "dras_service.errors" in sys.modules:
        from dras_service.errors import CannotServe  # noqa: PLC0415 - loaded already

        if isinstance(error, CannotServe):
            return Failure(SETUP, error.code, str(error))
    if "dras_client.errors" in sys.modules:
        from dras_client.errors import DrasClientError  # noqa: PLC0415 - loaded already

        if isinstance(error, DrasClientError):
            return _explain_client(error)
    return None


def _explain_client(error: "DrasClientError") -> Failure:
    from dras_client import errors  # noqa: PLC0415 - loaded already

    match error:
        case errors.StudyRejected() | errors.UploadRefused():
            return Failure(REFUSED, error.study_code or error.code, error.detail)
        case errors.UnknownBundle() | errors.AccessRefused():
            return Failure(SETUP, error.code, error.detail)
        case errors.ProblemError():
            return Failure(SERVICE, error.study_code or error.code, error.detail)
        case errors.SourceUnreadable():
            return Failure(REFUSED, "NOT_FOUND", str(error))
        case errors.InvalidAddress():
            return Failure(USAGE, "INVALID_ADDRESS", str(error))
        case _:
            return Failure(SERVICE, _constant(type(error).__name__), str(error))


def _explain_defect(error: BaseException) -> Failure:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return Failure(
        DEFECT,
        "DEFECT",
        f"{type(error).__name__}{where}: this is a fault of dras; `dras --debug …` shows more.",
    )


def _constant(name: str) -> str:
    """ServiceUnreachable becomes SERVICE_UNREACHABLE."""
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name).lstrip("_")
