"""Work items of UPS-RS under the UIDs and labels that managers gave them. Earlier ones are not found."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "workitem",
        sa.Column("tenant", sa.String(40), primary_key=True),
        sa.Column("uid", sa.String(64), primary_key=True),
        sa.Column("job_id", sa.String(36), sa.ForeignKey("job.id"), nullable=False),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_index("workitem_by_age", "workitem", ["tenant", "created_at", "uid"])
