"""What a key or a token allows; the names are sent, listed in OpenAPI and written into settings."""

from enum import StrEnum


class Scope(StrEnum):
    """One kind of action; add-only."""

    SUBMIT = "submit"  # upload and validate studies
    READ = "read"  # jobs, results and files of the tenant
    CANCEL = "cancel"
    PURGE = "purge"  # remove a study and all that came of it
    ADMIN = "admin"  # webhooks and whatever else belongs to the tenant as a whole
    METRICS = "metrics"  # numbers of the whole service, no tenant's data
