"""What a workflow manager's data set asks for, and a work item as a data set (PS3.4 CC.2.5).

Of what a manager sends, a few words are kept: labels, station, time, priority. All else is left out, and the
manager is told so.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dras_service.api.jobs import RUNNING, WITH_RESULT, JobState
from dras_service.gateway.dicomweb.datasets import ATTRIBUTES, Dataset
from dras_service.gateway.dicomweb.matching import Fits
from dras_service.gateway.dicomweb.results import Instance
from dras_service.header import is_uid
from dras_service.store.rows import WorkItem

_SCHEDULED, _IN_PROGRESS, _COMPLETED, _CANCELED = "SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"
_LABEL = "Lung densitometry"
_PRIORITIES = {"HIGH": 5, "MEDIUM": 0, "LOW": -5}
_LABELS = ("ProcedureStepLabel", "WorklistLabel")
_STATION = "ScheduledStationNameCodeSequence"
_CODE = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
_FIXED = (
    "SOPInstanceUID",
    "InputInformationSequence",
    "ProcedureStepState",
    "TransactionUID",
)  # when it is made
_MOST_TEXT = 64  # of LO, as of the meaning of a code (PS3.5 6.2)
_MOMENT = re.compile(r"\d{4}(\d{2}){0,5}")


class InvalidWorkItem(ValueError):
    """A work item that lacks what is needed; `str()` says what, without a value of it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a manager asks: a run on a study, its turn, words to be kept; `is_whole` says that no more was sent."""

    study_uid: str
    priority: int | None
    words: Mapping[str, Any]
    is_whole: bool


def asked_of_new(body: bytes) -> Asked:
    """Read the data set of a new work item in DICOM JSON. Raises InvalidWorkItem."""
    dataset = _dataset(body)
    if _value(dataset, "ProcedureStepState") not in (None, _SCHEDULED):
        raise InvalidWorkItem("a new work item is SCHEDULED")
    inputs = _items(dataset, "InputInformationSequence")
    study_uid = _value(inputs[0], "StudyInstanceUID") if inputs else None
    if study_uid is None or not is_uid(study_uid):
        raise InvalidWorkItem("it names no input study")
    return _asked(dataset, study_uid, known=("ProcedureStepState", "InputInformationSequence"))


def asked_of_change(body: bytes) -> Asked:
    """Read the data set of an update in DICOM JSON. Raises InvalidWorkItem where it touches what is fixed."""
    dataset = _dataset(body)
    if any(ATTRIBUTES[keyword][0] in dataset for keyword in _FIXED):
        raise InvalidWorkItem("study, state and UID of a work item stay as they are")
    return _asked(dataset, "", known=())


def states_like(fits: Fits) -> tuple[JobState, ...]:
    """Return the states of jobs whose work items are in a state that fits."""
    return tuple(state for state in JobState if fits(_state(state)))


def station_of(item: WorkItem) -> str:
    """Return the code of the station that a work item is scheduled for, empty where none is named."""
    return str(item.attributes.get(_STATION, [""])[0])


def shown(item: WorkItem, made: Iterable[Instance] = ()) -> dict[str, Any]:
    """Return a work item as it is now, with the objects that it made."""
    job, words = item.job, item.attributes
    progress: dict[str, Any] = {"ProcedureStepProgress": [f"{100 * job.progress:.0f}"]}
    if job.stage is not None:
        progress["ProcedureStepProgressDescription"] = [job.stage]
    if job.code is not None:
        progress["ReasonForCancellation"] = [job.code]
    told: dict[str, Any] = {
        "SOPClassUID": ["1.2.840.10008.5.1.4.34.6.1"],
        "SOPInstanceUID": [item.uid],
        "ScheduledProcedureStepModificationDateTime": [_moment(job.updated_at)],
        "InputReadinessState": ["READY"],
        "ProcedureStepState": [_state(job.state)],
        "ScheduledProcedureStepPriority": [_priority(job.priority)],
        "ProcedureStepProgressInformationSequence": [progress],
        "InputInformationSequence": [{"StudyInstanceUID": [job.study_uid or ""]}],
        **{label: [words.get(label, _LABEL)] for label in _LABELS},
    }
    if (start := words.get("ScheduledProcedureStepStartDateTime")) is not None:
        told["ScheduledProcedureStepStartDateTime"] = [start]
    if (station := words.get(_STATION)) is not None:
        told[_STATION] = [{keyword: [value] for keyword, value in zip(_CODE, station, strict=True)}]
    if job.state.has_result:
        performed = {"OutputInformationSequence": [_output(each) for each in made]}
        told["UnifiedProcedureStepPerformedProcedureSequence"] = [performed]
    return told


def _output(made: Instance) -> Dataset:
    reference: Dataset = {
        "ReferencedSOPClassUID": [made.sop_class],
        "ReferencedSOPInstanceUID": [made.instance_uid],
    }
    return {
        "StudyInstanceUID": [made.study_uid],
        "SeriesInstanceUID": [made.series_uid],
        "ReferencedSOPSequence": [reference],
    }


def _state(state: JobState) -> str:
    if state is JobState.QUEUED:
        return _SCHEDULED
    if state in RUNNING:
        return _IN_PROGRESS
    return _COMPLETED if state in WITH_RESULT else _CANCELED


def _priority(priority: int) -> str:
    return "HIGH" if priority > 0 else "LOW" if priority < 0 else "MEDIUM"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H%M%S+0000")


def _asked(dataset: Mapping[str, Any], study_uid: str, *, known: Iterable[str]) -> Asked:
    words: dict[str, Any] = {}
    for label in _LABELS:
        if (text := _text(_value(dataset, label))) is not None:
            words[label] = text
    start = _value(dataset, "ScheduledProcedureStepStartDateTime")
    if start is not None:
        if not _MOMENT.fullmatch(start):
            raise InvalidWorkItem("its start is no date and time without a zone")
        words["ScheduledProcedureStepStartDateTime"] = start
    if stations := _items(dataset, _STATION):
        words[_STATION] = [_text(_value(stations[0], keyword)) or "" for keyword in _CODE]
    priority = _value(dataset, "ScheduledProcedureStepPriority")
    if priority is not None and priority not in _PRIORITIES:
        raise InvalidWorkItem("its priority is none of HIGH, MEDIUM, LOW")
    read = (
        *known,
        *_LABELS,
        "ScheduledProcedureStepStartDateTime",
        "ScheduledProcedureStepPriority",
        _STATION,
    )
    is_whole = set(dataset) <= {ATTRIBUTES[keyword][0] for keyword in read}
    return Asked(study_uid, None if priority is None else _PRIORITIES[priority], words, is_whole)


def _dataset(body: bytes) -> Mapping[str, Any]:
    try:
        dataset = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidWorkItem("it is no JSON") from error
    dataset = dataset[0] if isinstance(dataset, list) and dataset else dataset
    if not isinstance(dataset, dict):
        raise InvalidWorkItem("it is no data set")
    return dataset


def _items(dataset: Mapping[str, Any], keyword: str) -> list[Mapping[str, Any]]:
    return [item for item in _values(dataset, keyword) if isinstance(item, dict)]


def _value(dataset: Mapping[str, Any], keyword: str) -> str | None:
    values = _values(dataset, keyword)
    if values and not isinstance(values[0], str):
        raise InvalidWorkItem(f"{keyword} is no text")
    return values[0] if values else None


def _values(dataset: Mapping[str, Any], keyword: str) -> list[Any]:
    element = dataset.get(ATTRIBUTES[keyword][0])
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _text(text: str | None) -> str | None:
    if text is not None and (len(text) > _MOST_TEXT or not text.isprintable()):
        raise InvalidWorkItem("a label is too long, or no line of text")
    return text
