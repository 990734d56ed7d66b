"""Who made what, jobs that learn from databases, deleted jobs, and lists by page number."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_REQUIRED = (
    # What an earlier version wrote was asked for by users, and no door had an echo on a file.
    ("users", "identity_type", "user"),
    ("files", "created_by", ""),
    ("files", "created_by_type", "user"),
    ("files", "echo", "{}"),
    ("jobs", "created_by_type", "user"),
    ("models", "created_by", ""),
    ("models", "created_by_type", "user"),
    ("checkpoints", "base_model", ""),
)
"""Table, column, and what is in the rows that are there. SQLite asks for the last."""

_OPTIONAL = (
    ("users", "name"),
    ("jobs", "sql_source"),
    ("jobs", "db_connection_id"),
    ("jobs", "evaluation"),
)

_OF_ALL_JOBS = ("ix_jobs_project", "ix_jobs_without_metadata")
_NOT_DELETED = sa.text("deleted_at_us IS NULL")
_BARE = "(metadata IS NULL OR metadata = '{}')"
_CONNECTED = sa.text("db_connection_id IS NOT NULL")


def upgrade() -> None:
    """Add the columns, fill in what is known, and make the indexes."""
    for table, column, known in _REQUIRED:
        op.add_column(table, sa.Column(column, sa.Text(), nullable=False, server_default=known))
    for table, column in _OPTIONAL:
        op.add_column(table, sa.Column(column, sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("deleted_at_us", sa.BigInteger(), nullable=True))
    _fill_in()
    _only_those_not_deleted()
    connected = ["project_id", "db_connection_id", "sequence"]
    _index("ix_jobs_connection", "jobs", connected, _CONNECTED)
    counted = ["project_id", "purpose", "sequence", "expires_at_us", "deleted_at_us"]
    _index("ix_files_purpose", "files", counted, _NOT_DELETED)
    op.create_index("ix_models_job", "models", ["project_id", "job_id"])


def downgrade() -> None:
    """Take the indexes and columns away; deleted jobs are known again."""
    op.drop_index("ix_models_job", "models")
    op.drop_index("ix_files_purpose", "files")
    op.drop_index("ix_jobs_connection", "jobs")
    for index in _OF_ALL_JOBS:
        op.drop_index(index, "jobs")
    op.drop_column("jobs", "deleted_at_us")
    for table, column in _OPTIONAL:
        op.drop_column(table, column)
    for table, column, _ in _REQUIRED:
        op.drop_column(table, column)
    op.create_index("ix_jobs_project", "jobs", ["project_id", "sequence"])
    _index("ix_jobs_without_metadata", "jobs", ["project_id", "sequence"], sa.text(_BARE))


def _fill_in() -> None:
    op.execute(
        "UPDATE models SET created_by ="
        " (SELECT jobs.created_by FROM jobs WHERE jobs.id = models.job_id)"
    )
    op.execute(
        "UPDATE checkpoints SET base_model ="
        " (SELECT jobs.base_model FROM jobs WHERE jobs.id = checkpoints.job_id)"
    )
    # A project's keys all spoke for one user.
    op.execute(
        "UPDATE files SET created_by = coalesce("
        "(SELECT min(keys.user_id) FROM keys WHERE keys.project_id = files.project_id), '')"
    )


def _only_those_not_deleted() -> None:
    for index in _OF_ALL_JOBS:
        op.drop_index(index, "jobs")
    _index("ix_jobs_project", "jobs", ["project_id", "sequence", "deleted_at_us"], _NOT_DELETED)
    bare = sa.text(f"{_NOT_DELETED} AND {_BARE}")
    _index("ix_jobs_without_metadata", "jobs", ["project_id", "sequence"], bare)


def _index(name: str, table: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
