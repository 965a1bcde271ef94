"""What a DICOM node needs: the study a job is of, where its results go, and why one could not be sent there."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add three columns, empty for every job there is."""
    op.add_column("job", sa.Column("study_uid", sa.String(64)))
    op.add_column("job", sa.Column("send_to", sa.JSON))
    op.add_column("outbox", sa.Column("fault", sa.String(200)))
    op.create_index("job_by_study_uid", "job", ["tenant", "study_uid", "created_at"])
