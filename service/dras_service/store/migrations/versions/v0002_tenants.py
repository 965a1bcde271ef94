"""Tenants in everything; keys, events, an outbox, webhooks and an audit log beside.

What was there before belongs to the tenant `default`: its studies' keys get the name in front, and their
files are moved by `BlobStore.prepare`.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_STANDS = sa.text("state NOT IN ('failed', 'cancelled', 'quarantined', 'expired') AND purged_at IS NULL")
_OPEN = sa.text("done_at IS NULL")


def upgrade() -> None:
    """Add what is missing, and put what is there into the tenant `default`."""
    _create_tenants()
    _widen()
    _extend_studies()
    _extend_jobs()
    _create_events()
    _create_outbox()
    _create_audit()


def _serial() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)


def _create_tenants() -> None:
    tenant = op.create_table(
        "tenant",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("max_stored_bytes", sa.BigInteger),
        sa.Column("max_queued_jobs", sa.Integer),
        sa.Column("uploads_per_minute", sa.Integer),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.bulk_insert(tenant, [{"name": "default", "created_at": time.time()}])
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant", sa.String(40), sa.ForeignKey("tenant.name"), nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("revoked_at", sa.Float),
        sa.Column("last_used_at", sa.Float),
    )
    op.create_index("api_key_by_tenant", "api_key", ["tenant"])
    op.create_table(
        "webhook",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("tenant", sa.String(40), sa.ForeignKey("tenant.name"), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("secret", sa.String(128), nullable=False),
        sa.Column("states", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("disabled_at", sa.Float),
    )
    op.create_index("webhook_by_tenant", "webhook", ["tenant"])


def _widen() -> None:
    """Make room for a tenant's name in keys; SQLite holds a column to no length and no size."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for table, column in (("study", "key"), ("job", "study_key"), ("result", "outputs_key")):
        op.alter_column(table, column, type_=sa.String(128))
    for table in ("study", "artifact"):
        op.alter_column(table, "size_bytes", type_=sa.BigInteger)


def _extend_studies() -> None:
    op.add_column("study", sa.Column("tenant", sa.String(40), nullable=False, server_default="default"))
    op.add_column("study", sa.Column("purged_at", sa.Float))
    op.create_index("study_by_tenant", "study", ["tenant"])
    # A key that others refer to cannot be changed in place on both kinds of database: copy, point, remove.
    columns = "sha256, size_bytes, n_files, created_at, tenant"
    op.execute(
        f"INSERT INTO study (key, {columns}) SELECT 'default/' || key, {columns} FROM study"  # noqa: S608
    )
    op.execute("UPDATE job SET study_key = 'default/' || study_key")
    op.execute("DELETE FROM study WHERE key NOT LIKE 'default/%'")


def _extend_jobs() -> None:
    for column in (
        sa.Column("tenant", sa.String(40), nullable=False, server_default="default"),
        sa.Column("options", sa.JSON),
        sa.Column("pipeline_version", sa.String(40)),
        sa.Column("dedupe_key", sa.String(64)),
        sa.Column("queue", sa.String(16), nullable=False, server_default="study"),
        sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
        sa.Column("draft_key", sa.String(128)),
        sa.Column("cancel_requested_at", sa.Float),
        sa.Column("expires_at", sa.Float),
        sa.Column("purged_at", sa.Float),
    ):
        op.add_column("job", column)
    op.create_index("job_by_turn", "job", ["queue", "state", "priority", "created_at"])
    op.create_index("job_by_age", "job", ["tenant", "created_at", "id"])
    op.create_index("job_by_study", "job", ["study_key"])
    op.create_index("job_by_expiry", "job", ["expires_at"])
    op.create_index(
        "job_by_request",
        "job",
        ["tenant", "dedupe_key"],
        unique=True,
        sqlite_where=_STANDS,
        postgresql_where=_STANDS,
    )
    op.create_table(
        "idempotency",
        sa.Column("tenant", sa.String(40), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("job_id", sa.String(36), sa.ForeignKey("job.id"), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_index("idempotency_by_age", "idempotency", ["created_at"])


def _create_events() -> None:
    op.create_table(
        "event",
        _serial(),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("job_id", sa.String(36), sa.ForeignKey("job.id"), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("stage", sa.String(32)),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("code", sa.String(64)),
        sqlite_autoincrement=True,
    )
    op.create_index("event_by_job", "event", ["job_id", "id"])
    op.create_index("event_by_tenant", "event", ["tenant", "id"])


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        _serial(),
        sa.Column("topic", sa.String(16), nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("job_id", sa.String(36), sa.ForeignKey("job.id"), nullable=False),
        sa.Column("target", sa.String(64)),
        sa.Column("payload", sa.JSON),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("done_at", sa.Float),
        sa.Column("created_at", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "outbox_by_turn", "outbox", ["topic", "not_before"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_index("outbox_by_job", "outbox", ["job_id"])


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("object", sa.String(255), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.UniqueConstraint("previous_hash", name="audit_is_a_chain"),
    )
    op.create_index("audit_by_tenant", "audit", ["tenant", "seq"])
