"""The tables. What they look like is made by `migrations`; a test holds the two together.

Times are seconds since the epoch: the same on SQLite and PostgreSQL, and compared by the database.
Everything that belongs to a tenant says so in a column of its own, which every query names.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from dras_service.api.queues import JobQueue

DEFAULT_TENANT = "default"
STUDY_QUEUE = JobQueue.STUDY.value

# A job in any other state stands for its request: the same request again is that job.
_STANDS = text("state NOT IN ('failed', 'cancelled', 'quarantined', 'expired') AND purged_at IS NULL")
_OPEN = text("done_at IS NULL")
_SERIAL = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts in INTEGER PRIMARY KEY only

metadata = MetaData()

tenant = Table(
    "tenant",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("max_stored_bytes", BigInteger),  # null in a quota: no limit
    Column("max_queued_jobs", Integer),
    Column("uploads_per_minute", Integer),
    Column("created_at", Float, nullable=False),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", String(40), primary_key=True),  # the public part of the key
    Column("tenant", ForeignKey("tenant.name"), nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("label", String(100), nullable=False),
    Column("scopes", JSON, nullable=False),  # a list of strings
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("last_used_at", Float),
    Index("api_key_by_tenant", "tenant"),
)

study = Table(
    "study",
    metadata,
    Column("key", String(128), primary_key=True),  # <tenant>/<the blob's address, made from its content>
    Column("tenant", String(40), nullable=False, server_default=DEFAULT_TENANT),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("n_files", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("purged_at", Float),  # its blob is gone since
    Index("study_by_tenant", "tenant"),
)

job = Table(
    "job",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(40), nullable=False, server_default=DEFAULT_TENANT),
    Column("study_key", ForeignKey("study.key"), nullable=False),
    Column("series_uid", String(64)),
    Column("bundle", String(100)),  # null: the default one
    Column("options", JSON),
    Column("pipeline_version", String(40)),
    Column("dedupe_key", String(64)),  # null: computed whatever there is
    Column("queue", String(16), nullable=False, server_default=STUDY_QUEUE),
    Column("priority", Integer, nullable=False, server_default="0"),  # the highest first
    Column("draft_key", String(128)),  # what one stage leaves for the next
    Column("state", String(32), nullable=False),
    Column("stage", String(32)),
    Column("progress", Float, nullable=False),
    Column("code", String(64)),
    Column("message", Text),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),  # raised by every claim; a holder of an older one is a zombie
    Column("lease_owner", String(255)),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False),
    Column("hints", Integer, nullable=False),  # messages sent for the present stay in `queued`
    Column("hinted_at", Float),
    Column("cancel_requested_at", Float),
    Column("expires_at", Float),  # then it is purged, or given up where it still waits
    Column("purged_at", Float),  # its result and files are gone since
    Column("trace", String(55)),  # the span that submitted it, as a W3C traceparent
    Column("study_uid", String(64)),  # Study Instance UID, where the door that it came in by has read it
    Column("send_to", JSON(none_as_null=True)),  # names of systems that get the DICOM objects of its result
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("job_by_state", "state", "not_before"),
    Index("job_by_turn", "queue", "state", "priority", "created_at"),
    Index("job_by_age", "tenant", "created_at", "id"),
    Index("job_by_study", "study_key"),
    Index("job_by_expiry", "expires_at"),
    Index("job_by_study_uid", "tenant", "study_uid", "created_at"),
    Index(
        "job_by_request", "tenant", "dedupe_key", unique=True, sqlite_where=_STANDS, postgresql_where=_STANDS
    ),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("tenant", String(40), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),  # of the request that came with it
    Column("job_id", ForeignKey("job.id"), nullable=False),
    Column("created_at", Float, nullable=False),
    Index("idempotency_by_age", "created_at"),
)

workitem = Table(
    "workitem",
    metadata,
    Column("tenant", String(40), primary_key=True),
    Column("uid", String(64), primary_key=True),  # as its manager gave it
    Column("job_id", ForeignKey("job.id"), nullable=False),
    Column("attributes", JSON, nullable=False),  # the manager's labels, station and time, by keyword
    Column("created_at", Float, nullable=False),
    Index("workitem_by_age", "tenant", "created_at", "uid"),
)

event = Table(
    "event",
    metadata,
    Column("id", _SERIAL, primary_key=True),  # ascending in the order of the commits, for one tenant
    Column("tenant", String(40), nullable=False),
    Column("job_id", ForeignKey("job.id"), nullable=False),
    Column("at", Float, nullable=False),
    Column("state", String(32), nullable=False),
    Column("stage", String(32)),
    Column("progress", Float, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("code", String(64)),
    Index("event_by_job", "job_id", "id"),
    Index("event_by_tenant", "tenant", "id"),
    sqlite_autoincrement=True,  # ids of pruned events never come back
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _SERIAL, primary_key=True),
    Column("topic", String(16), nullable=False),  # hint | webhook | dicom
    Column("tenant", String(40), nullable=False),
    Column("job_id", ForeignKey("job.id"), nullable=False),
    Column("target", String(64)),  # of a hint the queue, of a webhook its id, of objects the system
    Column("payload", JSON),
    Column("not_before", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("done_at", Float),
    Column("fault", String(200)),  # why it was given up, or not sent yet
    Column("created_at", Float, nullable=False),
    Index("outbox_by_turn", "topic", "not_before", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("outbox_by_job", "job_id"),
    sqlite_autoincrement=True,
)

webhook = Table(
    "webhook",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", ForeignKey("tenant.name"), nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", String(128), nullable=False),
    Column("states", JSON, nullable=False),  # a list; an empty one means every terminal state
    Column("created_at", Float, nullable=False),
    Column("disabled_at", Float),
    Index("webhook_by_tenant", "tenant"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),  # without a gap
    Column("at", Float, nullable=False),
    Column("tenant", String(40), nullable=False),
    Column("actor", String(100), nullable=False),
    Column("action", String(64), nullable=False),
    Column("object", String(255), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("detail", Text, nullable=False),  # JSON as it was hashed
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("previous_hash", name="audit_is_a_chain"),
    Index("audit_by_tenant", "tenant", "seq"),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row: 1
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

worker = Table(
    "worker",
    metadata,
    Column("id", String(255), primary_key=True),  # host:pid of the process that holds the pool
    Column("started_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("gauges", JSON, nullable=False),  # numbers by name
)

bundle = Table(
    "bundle",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("place", Integer, nullable=False),  # in the order of the workers' settings
    Column("document", Text, nullable=False),  # a BundleView
    Column("proven_at", Float, nullable=False),
)

result = Table(
    "result",
    metadata,
    Column("job_id", ForeignKey("job.id"), primary_key=True),  # one result per job
    Column("document", Text, nullable=False),
    Column("outputs_key", String(128), nullable=False),
    Column("created_at", Float, nullable=False),
)

artifact = Table(
    "artifact",
    metadata,
    Column("job_id", ForeignKey("result.job_id"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("media_type", String(127), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
)

embedding = Table(
    "embedding",
    metadata,
    Column("job_id", ForeignKey("result.job_id"), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("tenant", String(40), nullable=False),
    Column("space", String(64), nullable=False),  # the bundle's SHA-256: others are not comparable
    Column("n_patches", Integer, nullable=False),
    Column("vector", LargeBinary, nullable=False),  # float32 of unit length
    Index("embedding_by_space", "tenant", "space", "region"),
)
