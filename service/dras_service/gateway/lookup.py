"""Finding jobs and what came of them; what is not there is a problem with the job's own code."""

from dras_service.api.jobs import JobState
from dras_service.api.problems import ProblemCode
from dras_service.gateway.problems import ProblemRaised
from dras_service.store.jobs import JobStore
from dras_service.store.rows import Job, Outputs


class Lookup:
    """Reads the store for the routes. Any method raises ProblemRaised, StoreError."""

    def __init__(self, store: JobStore, *, retry_after_s: float) -> None:
        self._store = store
        self.retry_after_s = retry_after_s

    def job(self, job_id: str) -> Job:
        """Return the job of this id."""
        job = self._store.find(job_id)
        if job is None:
            raise ProblemRaised(ProblemCode.JOB_NOT_FOUND)
        return job

    def document(self, job_id: str) -> str:
        """Return the job's StudyResult as JSON text."""
        self._check_result(self.job(job_id))
        document = self._store.document(job_id)
        if document is None:
            raise LookupError(f"job {job_id} has ended well without a result")
        return document

    def outputs(self, job_id: str) -> Outputs:
        """Return where the job's files lie and what they are called."""
        self._check_result(self.job(job_id))
        outputs = self._store.outputs(job_id)
        if outputs is None:
            raise LookupError(f"job {job_id} has ended well without a result")
        return outputs

    def _check_result(self, job: Job) -> None:
        if job.state.has_result:
            return
        if not job.state.is_terminal:
            raise ProblemRaised(
                ProblemCode.RESULT_NOT_READY, retry_after_s=self.retry_after_s, state=job.state.value
            )
        code = ProblemCode.STUDY_REJECTED if job.state is JobState.REJECTED else ProblemCode.JOB_FAILED
        message = job.message or f"The job is {job.state.value}."
        raise ProblemRaised(code, study_code=job.code, message=message)
