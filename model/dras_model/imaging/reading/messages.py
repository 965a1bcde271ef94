"""What a reading process may say to its parent: lines of JSON, each checked as a stranger's word.

After it has parsed hostile bytes the process may say anything. So nothing is unpickled, text is bounded and
printable, and sentences are rendered anew from the code table. The voxels travel in shared memory.
"""

import json
import signal
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from dras_model.imaging.source_series import SourceSeries
from dras_model.results.codes import CODES, Code, Kind
from dras_model.results.errors import Refused, SetupRefused, StudyRefused
from dras_model.results.study import Acquisition, Candidate, StudyWarning

MOST_LINE = 16 << 20  # bytes of one message
MOST_TEXT = 1000  # characters of one string
Evidence: TypeAlias = dict[str, str | int | float]


class Message(BaseModel):
    """Base of all: immutable, closed to unknown keys, and every number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Ready(Message):
    """The process is shut in; it has not looked at the study yet."""

    kind: Literal["ready"] = "ready"
    guards: tuple[Literal["namespace", "filter", "hook"], ...]


class Progress(Message):
    """How much of the pixels has been decoded."""

    kind: Literal["progress"] = "progress"
    fraction: float = Field(ge=0.0, le=1.0)


class Refusal(Message):
    """The study is refused, or the place for temporary files is."""

    kind: Literal["refusal"] = "refusal"
    code: Code
    fields: Evidence

    @classmethod
    def of(cls, refused: Refused) -> "Refusal":
        """Take an error's code and fields along, their text made fit to be sent."""
        fields = {
            key: printable(value) if isinstance(value, str) else value
            for key, value in refused.fields.items()
        }
        return cls(code=refused.code, fields=fields)

    def error(self) -> Refused:
        """Return the error, its sentence rendered here.

        KeyError, ValueError where the fields do not fit, or where it blames what no reader has met.
        """
        if self.code is Code.OUTPUT_NOT_WRITABLE:
            return SetupRefused(self.code, **self.fields)
        if CODES[self.code].kind is not Kind.REFUSAL:
            raise ValueError(f"{self.code} is no refusal of a study")
        return StudyRefused(self.code, **self.fields)


class Defect(Message):
    """An error that nobody has sorted: its type and where it came from, never its text."""

    kind: Literal["defect"] = "defect"
    where: str


class WarningMessage(Message):
    """A warning without its sentence."""

    code: Code
    severe: bool
    evidence: Evidence

    @classmethod
    def of(cls, warning: StudyWarning) -> "WarningMessage":
        """Leave the sentence away."""
        return cls(code=warning.code, severe=warning.severity == "severe", evidence=warning.evidence)

    def warning(self) -> StudyWarning:
        """Return the warning, its sentence rendered here; KeyError, TypeError where it is none."""
        return StudyWarning.of(self.code, severe=self.severe, **self.evidence)


class Read(Message):
    """The study was read: its header, and the digest of its files where the voxels were asked for, too."""

    kind: Literal["read"] = "read"
    series_uid: str
    candidates: tuple[Candidate, ...]
    acquisition: Acquisition
    shape: tuple[int, int, int]
    affine: tuple[float, ...] = Field(min_length=16, max_length=16, description="row by row")
    warnings: tuple[WarningMessage, ...]
    peak_rss_mb: float = Field(
        0.0, ge=0.0, description="of the process; the volume it shares with us included"
    )
    input_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    source: SourceSeries | None = None


class Labelled(Message):
    """The labels of a mask lie in the memory that was given."""

    kind: Literal["labelled"] = "labelled"


class FileSorted(Message):
    """A file, or a member of an archive, and the study it belongs to, as `sorting.Sorted` has it."""

    members: tuple[int, ...] = Field(max_length=8)
    what: Literal["dicom", "nifti", "damaged", "archive", "other"]
    study_uid: str = Field(pattern=r"^[0-9.]{0,64}$")
    instance: str


class FilesSorted(Message):
    """What each of the files is, in their order; of an archive, what its members are."""

    kind: Literal["sorted"] = "sorted"
    files: tuple[tuple[FileSorted, ...], ...]


class TakenOut(Message):
    """The members that were wanted lie in the folder that was named."""

    kind: Literal["taken out"] = "taken out"


Answer: TypeAlias = Read | Labelled | FilesSorted | TakenOut
AnyMessage: TypeAlias = Annotated[
    Ready | Progress | Refusal | Defect | Read | Labelled | FilesSorted | TakenOut,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[AnyMessage] = TypeAdapter(AnyMessage)


def encode(message: Message) -> bytes:
    """Return a message as one line."""
    return message.model_dump_json().encode() + b"\n"


def decode(line: bytes) -> AnyMessage:
    """Return the message of a line. Raises ValueError, RecursionError where it is none."""
    content = json.loads(line)
    for text in _strings(content):
        if len(text) > MOST_TEXT or not text.isprintable():
            raise ValueError("a message holds text that is too long or cannot be printed")
    return _ADAPTER.validate_python(content)


def ended(status: int) -> StudyRefused:
    """Return the refusal for a reading process that ended with `status`, negative for a signal."""
    if status == -signal.SIGXCPU:
        return StudyRefused(Code.READER_LIMIT, what="processor time")
    try:
        how = signal.Signals(-status).name
    except ValueError:
        how = f"status {status}"
    return StudyRefused(Code.READER_CRASHED, how=how)


def printable(text: str) -> str:
    """Return text in one line of at most MOST_TEXT characters; what cannot be printed becomes a space."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown[:MOST_TEXT]


def _strings(content: Any) -> list[str]:
    """Every string of a JSON document, keys included."""
    found, left = [], [content]
    while left:
        item = left.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            left.extend((*item.keys(), *item.values()))
        elif isinstance(item, list):
            left.extend(item)
    return found
