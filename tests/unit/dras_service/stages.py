"""Stands in for the stages of the pipeline: each passes on what it was given, and writes down what it was asked."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dras_model.results.progress import Report
from dras_model.results.study import Stage, StudyResult
from dras_service.api.queues import JobQueue
from dras_service.settings import EncodeSettings
from dras_service.worker.tasks import Doorman, Split
from unit.dras_service.examples import FakeEngine, Parts, study_result


class FakeStages:
    """`first` is called in every stage, with the stage and the studies, before anything is written."""

    def __init__(
        self, first: Callable[[JobQueue, Sequence[str]], None] = lambda _queue, _studies: None
    ) -> None:
        self.first = first
        self.asked: list[tuple[JobQueue, Any]] = []

    def prepare(
        self,
        source: Path,
        draft: Path,
        *,
        series_uid: str | None,
        bundle: str | None,
        options: Mapping[str, Any],
        report: Report,
    ) -> None:
        self.asked.append((JobQueue.PREPARE, (series_uid, bundle, dict(options))))
        report(Stage.READ, 0.0)
        self.first(JobQueue.PREPARE, [source.name])
        report(Stage.SCORES, 1.0)
        (draft / "files").mkdir(parents=True)
        (draft / "files" / "picture.png").write_bytes(b"png")
        (draft / "draft.json").write_text(json.dumps({"study": source.name}))

    def encode(
        self, drafts: Sequence[Path], encoded: Sequence[Path], *, bundle: str | None, report: Report
    ) -> None:
        studies = [json.loads((draft / "draft.json").read_text())["study"] for draft in drafts]
        self.asked.append((JobQueue.ENCODE, (bundle, studies)))
        report(Stage.ENCODE, 0.0)
        self.first(JobQueue.ENCODE, studies)
        report(Stage.ENCODE, 1.0)
        for study, folder in zip(studies, encoded, strict=True):
            folder.mkdir()
            (folder / "draft.json").write_text(json.dumps({"study": study, "encoded": True}))

    def finish(self, draft: Path, out: Path, *, source: Path | None, report: Report) -> StudyResult:
        told = json.loads((draft / "draft.json").read_text())
        assert told["encoded"]
        self.asked.append((JobQueue.FINISH, told["study"]))
        report(Stage.OUTPUTS, 0.0)
        self.first(JobQueue.FINISH, [told["study"]])
        out.mkdir()
        (out / "result.json").write_text(json.dumps(told))
        report(Stage.OUTPUTS, 1.0)
        return study_result()


def doorman_of(
    parts: Parts,
    stages: FakeStages,
    *queues: JobQueue,
    encode: EncodeSettings | None = None,
    passed_on: list[tuple[str, JobQueue]] | None = None,
    **more: Any,
) -> Doorman:
    """A doorman of `queues`, all by default."""

    def pass_on(job_id: str, queue: JobQueue) -> None:
        if passed_on is not None:
            passed_on.append((job_id, queue))

    split = Split(stages, encode or EncodeSettings(wait_ms=0), queues or tuple(JobQueue), pass_on)
    return Doorman(
        leases=parts.store.leases,
        blobs=parts.blobs,
        engine=FakeEngine(),
        settings=parts.settings.worker,
        split=split,
        **more,
    )
