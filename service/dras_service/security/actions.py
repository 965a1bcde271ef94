"""The names of what the audit log records; add-only, and never made from what a client sends."""

from enum import StrEnum


class Action(StrEnum):
    """One kind of action."""

    STUDY_SUBMIT = "study.submit"
    STUDY_VALIDATE = "study.validate"
    RESULT_READ = "result.read"
    SIMILAR_LIST = "similar.list"
    ARTIFACT_LIST = "artifact.list"
    ARTIFACT_DOWNLOAD = "artifact.download"
    JOB_CANCEL = "job.cancel"
    JOB_PURGE = "job.purge"
    DICOM_STORE = "dicom.store"
    DICOM_SEND = "dicom.send"
    DICOM_RETRIEVE = "dicom.retrieve"
    WORKITEM_CREATE = "workitem.create"
    WORKITEM_UPDATE = "workitem.update"
    WORKITEM_CANCEL = "workitem.cancel"
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_REMOVE = "webhook.remove"
    KEY_CREATE = "key.create"
    KEY_REVOKE = "key.revoke"
    TENANT_LIMIT = "tenant.limit"
    LOGIN_FAIL = "login.fail"
    SERVICE_START = "service.start"
    SERVICE_STOP = "service.stop"
    AUDIT_EXPORT = "audit.export"
    STORE_REPAIR = "store.repair"
    CHANGE_OTHER = "change.other"  # a request that changes something and has no name of its own yet


class Outcome(StrEnum):
    """How an action ended."""

    SUCCESS = "success"
    DENIED = "denied"  # the caller may not
    NOT_FOUND = "not_found"  # there is no such thing, or it is another tenant's
    REFUSED = "refused"  # the request is at fault
    FAILED = "failed"  # the service is at fault


def outcome_of(status: int) -> Outcome:
    """Return how a request ended that was answered with an HTTP status."""
    if status < 400:
        return Outcome.SUCCESS
    if status >= 500:
        return Outcome.FAILED
    named = {401: Outcome.DENIED, 403: Outcome.DENIED, 404: Outcome.NOT_FOUND}
    return named.get(status, Outcome.REFUSED)
