"""A job as it was last seen: what both clients' jobs know without asking."""

from dras_client.notebook import job_html
from dras_service.api.jobs import JobState, JobView


class SeenJob:
    """`view` is the service's last word on the job."""

    def __init__(self, view: JobView) -> None:
        self.view = view

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}: {self.state}>"

    def _repr_html_(self) -> str:
        return job_html(self.view)

    @property
    def id(self) -> str:
        """The id under which the service knows the job."""
        return self.view.id

    @property
    def state(self) -> JobState:
        """The state as it was last seen."""
        return self.view.state
