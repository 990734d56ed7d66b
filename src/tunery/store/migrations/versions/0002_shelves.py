"""What the doors keep beside jobs, files and models: databases, golden records, questions."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_SHELVES = ("database_connections",)
_WITH_PARENT = (
    "table_descriptions",
    "golden_records",
    "instructions",
    "prompts",
    "sql_generations",
    "deployments",
)


def upgrade() -> None:
    """Make the tables."""
    for table in (*_SHELVES, *_WITH_PARENT):
        _shelf(table)


def downgrade() -> None:
    """Drop the tables."""
    for table in (*_SHELVES, *_WITH_PARENT):
        op.drop_table(table)


def _shelf(table: str) -> None:
    sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    parent = [sa.Column("parent", sa.Text(), nullable=False)] if table in _WITH_PARENT else []
    op.create_table(
        table,
        sa.Column("sequence", sequence, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        *parent,
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f(f"pk_{table}")),
        sa.UniqueConstraint("id", name=op.f(f"uq_{table}_id")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f(f"fk_{table}_project_id")
        ),
    )
    op.create_index(f"ix_{table}_project", table, ["project_id", "sequence"])
    if parent:
        op.create_index(f"ix_{table}_parent", table, ["project_id", "parent", "sequence"])
