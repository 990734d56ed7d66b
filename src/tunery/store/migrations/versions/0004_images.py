"""Images asked of tuned models, what is to be done about them, and who is told of a job's end."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

revision = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the column, and make the tables."""
    op.add_column("jobs", sa.Column("webhook", sa.Text(), nullable=True))
    _image_generations()
    _errands()


def downgrade() -> None:
    """Drop the tables, and take the column away."""
    op.drop_table("errands")
    op.drop_table("image_generations")
    op.drop_column("jobs", "webhook")


def _image_generations() -> None:
    table = "image_generations"
    _create(
        table,
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f(f"fk_{table}_job_id")),
    )
    _index(f"ix_{table}_pending", table, "project_id", "status = 'pending'")
    _index(f"ix_{table}_over", table, "created_at_us", "status <> 'pending'")


def _errands() -> None:
    _create(
        "errands",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("notice", sa.Text(), nullable=True),
        sa.Column("n_attempts", sa.BigInteger(), nullable=False),
        sa.Column("due_at_us", sa.BigInteger(), nullable=False),
        sa.Column("lease_until_us", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_errands_due", "errands", ["kind", "due_at_us"])


def _create(table: str, *more: SchemaItem) -> None:
    """A table of things that have an id, each of one project."""
    sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        table,
        sa.Column("sequence", sequence, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        *more,
        sa.PrimaryKeyConstraint("sequence", name=op.f(f"pk_{table}")),
        sa.UniqueConstraint("id", name=op.f(f"uq_{table}_id")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f(f"fk_{table}_project_id")
        ),
    )


def _index(name: str, table: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
