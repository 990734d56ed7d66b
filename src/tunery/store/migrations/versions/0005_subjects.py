"""Jobs that learn from pictures are found by an index."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_INDEX = "ix_jobs_subject"


def upgrade() -> None:
    """Make the index."""
    where = sa.text("method = 'subject'")
    columns = ["project_id", "sequence"]
    op.create_index(_INDEX, "jobs", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Drop it."""
    op.drop_index(_INDEX, "jobs")
