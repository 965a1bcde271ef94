"""Mean embeddings of finished results, to tell which are alike. Results from before have none."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "embedding",
        sa.Column("job_id", sa.String(36), sa.ForeignKey("result.job_id"), primary_key=True),
        sa.Column("region", sa.String(32), primary_key=True),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("space", sa.String(64), nullable=False),
        sa.Column("n_patches", sa.Integer, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
    )
    op.create_index("embedding_by_space", "embedding", ["tenant", "space", "region"])
