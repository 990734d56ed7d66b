"""Jobs keep the prompts that their models are asked while they learn."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the column; jobs that are there have said nothing of it."""
    op.add_column("jobs", sa.Column("sample_prompts", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take it away."""
    op.drop_column("jobs", "sample_prompts")
