"""Finding a tenant's jobs and what came of them; what is not there is a problem with the job's own code."""

from dras_service.api.jobs import JobState
from dras_service.api.problems import InvalidField, ProblemCode
from dras_service.gateway.problems import InvalidParameters, ProblemRaised
from dras_service.store.lookup import InvalidCursor, JobLookup
from dras_service.store.rows import Job, JobFilter, Outputs, Page


class Lookup:
    """Reads the store for the routes. Any method raises ProblemRaised, StoreError."""

    def __init__(self, jobs: JobLookup, *, retry_after_s: float) -> None:
        self._jobs = jobs
        self.retry_after_s = retry_after_s

    def job(self, job_id: str, *, tenant: str) -> Job:
        """Return the job of this id; one that was purged is not there."""
        job = self._jobs.find(job_id, tenant=tenant)
        if job is None or job.purged_at is not None:
            raise ProblemRaised(ProblemCode.JOB_NOT_FOUND)
        return job

    def page(self, chosen: JobFilter, *, tenant: str, cursor: str | None, limit: int) -> Page:
        """Return a page of jobs, newest first."""
        try:
            return self._jobs.page(chosen, tenant=tenant, cursor=cursor, limit=limit)
        except InvalidCursor as error:
            raise InvalidParameters(InvalidField(field="query.cursor", rule="unknown_cursor")) from error

    def document(self, job_id: str, *, tenant: str) -> str:
        """Return the job's StudyResult as JSON text."""
        self._check_result(job_id, tenant)
        document = self._jobs.document(job_id, tenant=tenant)
        if document is None:  # it was purged in between
            raise ProblemRaised(ProblemCode.JOB_NOT_FOUND)
        return document

    def outputs(self, job_id: str, *, tenant: str) -> Outputs:
        """Return where the job's files lie and what they are called."""
        self._check_result(job_id, tenant)
        outputs = self._jobs.outputs(job_id, tenant=tenant)
        if outputs is None:
            raise ProblemRaised(ProblemCode.JOB_NOT_FOUND)
        return outputs

    def _check_result(self, job_id: str, tenant: str) -> None:
        job = self.job(job_id, tenant=tenant)
        if job.state.has_result:
            return
        if not job.state.is_terminal:
            raise ProblemRaised(
                ProblemCode.RESULT_NOT_READY, retry_after_s=self.retry_after_s, state=job.state.value
            )
        if job.state is JobState.CANCELLED:
            raise ProblemRaised(ProblemCode.JOB_CANCELLED)
        code = ProblemCode.STUDY_REJECTED if job.state is JobState.REJECTED else ProblemCode.JOB_FAILED
        message = job.message or f"The job is {job.state.value}."
        raise ProblemRaised(code, study_code=job.code, message=message)
