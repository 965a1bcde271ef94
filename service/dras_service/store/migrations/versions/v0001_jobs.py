"""Studies, jobs, bundles and results, as they were before there were migrations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables of an empty database."""
    _create_jobs()
    _create_results()


def _create_jobs() -> None:
    op.create_table(
        "study",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("n_files", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("study_key", sa.String(80), sa.ForeignKey("study.key"), nullable=False),
        sa.Column("series_uid", sa.String(64)),
        sa.Column("bundle", sa.String(100)),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("stage", sa.String(32)),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("code", sa.String(64)),
        sa.Column("message", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("lease_owner", sa.String(255)),
        sa.Column("lease_until", sa.Float),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("hints", sa.Integer, nullable=False),
        sa.Column("hinted_at", sa.Float),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
    )
    op.create_index("job_by_state", "job", ["state", "not_before"])


def _create_results() -> None:
    op.create_table(
        "bundle",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("proven_at", sa.Float, nullable=False),
    )
    op.create_table(
        "result",
        sa.Column("job_id", sa.String(36), sa.ForeignKey("job.id"), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("outputs_key", sa.String(80), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "artifact",
        sa.Column("job_id", sa.String(36), sa.ForeignKey("result.job_id"), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("media_type", sa.String(127), nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
