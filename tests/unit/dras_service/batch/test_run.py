"""A whole batch without a worker: what is known to fail before anything is computed."""

from pathlib import Path

from dras_model.results.codes import Code
from dras_service.batch.cases import Case, Outcome
from dras_service.batch.job import BatchJob
from dras_service.batch.places import Notes
from dras_service.batch.run import Stop, run_batch


class Idle:
    """A place that nothing may be given to."""

    def compute(self, case: Case, source: Path, out: Path, *, notes: Notes) -> Outcome:
        raise AssertionError(case)

    def end(self) -> None:
        pass


def test_a_listed_study_that_the_tree_lacks_is_a_failure_of_the_batch_and_does_not_stop_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "list.csv").write_text("study_uid,subject\n1.2.3,P1\n")
    job = BatchJob.model_validate(
        {"out": tmp_path / "out", "source": {"folder": tmp_path / "scans", "manifest": tmp_path / "list.csv"}}
    )
    summary = run_batch(job, [Idle()], recipe="recipe", stop=Stop(), hear=lambda _event: None)
    assert (summary.counts.failed, summary.counts.total, summary.stopped) == (1, 1, False)
    assert [failure.code for failure in summary.failures] == [Code.STUDY_NOT_FOUND.value]
