"""A complete upload becomes a blob and then a job; whatever fails in between leaves neither.

Used by every door that studies come in by. The blob is first, so that no job ever points to nothing; who
put it there takes it away again where no job is made, while the tenant's lock keeps others from using it.
"""

import logging
from functools import partial

from dras_service.store.blobs import BlobStore
from dras_service.store.errors import BlobGone, StoreError, StoreUnavailable
from dras_service.store.incoming import Incoming
from dras_service.store.rows import Order, RequestKey, Submitted
from dras_service.store.submission import Submission

_log = logging.getLogger(__name__)
_TRIES = 3  # a blob that was there can be purged in between, hardly twice


def keep(
    incoming: Incoming,
    order: Order,
    *,
    tenant: str,
    submission: Submission,
    blobs: BlobStore,
    request: RequestKey | None = None,
) -> Submitted:
    """Keep an upload and queue a job for it, or find the job there is.

    Raises StorageFull, StoreUnavailable, QuotaExceeded, RequestKeyReused, UnknownTenant; nothing is kept then.
    """
    for _ in range(_TRIES):
        stored, is_new = blobs.keep_study(incoming, tenant=tenant)
        key = stored.key
        try:
            submitted = submission.submit(
                stored, order, tenant=tenant, request=request, is_kept=partial(blobs.has_study, key)
            )
        except BlobGone:
            if is_new:  # nothing is left to keep it from again
                break
            continue
        except BaseException:
            if is_new:
                _discard(key, tenant=tenant, submission=submission, blobs=blobs)
            raise
        if is_new and not submitted.is_new:  # the job there is may be of a study that was purged
            _discard(key, tenant=tenant, submission=submission, blobs=blobs)
        return submitted
    raise StoreUnavailable("the study was purged while it was submitted")


def _discard(key: str, *, tenant: str, submission: Submission, blobs: BlobStore) -> None:
    try:
        submission.discard(key, lambda: blobs.remove_study(key), tenant=tenant)
        blobs.empty_trash()
    except (StoreError, OSError) as error:
        # Whether the job was written is unknown, too, where the database went away: then the blob must stay.
        _log.warning("a study that may have no job is left to the sweeper: %s", type(error).__name__)
