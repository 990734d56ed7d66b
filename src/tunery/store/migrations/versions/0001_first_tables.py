"""Organisations, projects, keys, files, uploads, jobs and what jobs leave behind."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

revision = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Make the tables."""
    _organisations()
    _keys()
    _files()
    _uploads()
    _jobs()
    _job_indexes()
    _events()
    _checkpoints()
    _models()
    _idempotency()


def downgrade() -> None:
    """Drop the tables, in the order that their references allow."""
    for table in (
        "idempotency",
        "models",
        "checkpoints",
        "events",
        "job_metadata",
        "jobs",
        "upload_parts",
        "uploads",
        "files",
        "keys",
        "users",
        "projects",
        "organisations",
    ):
        op.drop_table(table)


def _organisations() -> None:
    op.create_table("organisations", _text("id"), _primary("organisations", "id"))
    for table in ("projects", "users"):
        op.create_table(
            table,
            _text("id"),
            _text("organization_id"),
            _reference(table, "organization_id", "organisations.id"),
            _primary(table, "id"),
        )


def _keys() -> None:
    op.create_table(
        "keys",
        *_head("keys"),
        _text("user_id"),
        _text("name"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _text("hint"),
        _whole("created_at_us"),
        _whole("expires_at_us", nullable=True),
        _whole("revoked_at_us", nullable=True),
        _reference("keys", "user_id", "users.id"),
        sa.UniqueConstraint("digest", name=op.f("uq_keys_digest")),
    )
    op.create_index("ix_keys_project", "keys", ["project_id", "sequence"])


def _files() -> None:
    op.create_table(
        "files",
        *_head("files"),
        _whole("created_at_us"),
        _text("filename"),
        _text("purpose"),
        _whole("size_bytes"),
        _text("sha256"),
        _whole("expires_at_us", nullable=True),
        _text("format", nullable=True),
        _whole("n_rows", nullable=True),
        _whole("deleted_at_us", nullable=True),
    )
    op.create_index("ix_files_project", "files", ["project_id", "sequence"])


def _uploads() -> None:
    op.create_table(
        "uploads",
        *_head("uploads"),
        _whole("created_at_us"),
        _whole("expires_at_us"),
        _text("filename"),
        _text("mime_type"),
        _text("purpose"),
        _whole("size_bytes"),
        _text("status"),
        _whole("file_expires_after_s", nullable=True),
        _text("file_id", nullable=True),
    )
    op.create_table(
        "upload_parts",
        *_head("upload_parts"),
        _text("upload_id"),
        _whole("created_at_us"),
        _whole("size_bytes"),
        _reference("upload_parts", "upload_id", "uploads.id"),
    )
    op.create_index("ix_upload_parts_upload", "upload_parts", ["upload_id", "sequence"])


def _jobs() -> None:
    op.create_table(
        "jobs",
        *_head("jobs"),
        _text("organization_id"),
        _text("created_by"),
        _whole("created_at_us"),
        _text("status"),
        _text("engine"),
        _text("base_model"),
        _text("requested_model"),
        _text("training_file"),
        _text("validation_file", nullable=True),
        _text("method"),
        _text("hyperparameters"),
        _text("lora"),
        _text("overlong"),
        _text("suffix", nullable=True),
        _whole("seed"),
        _text("metadata", nullable=True),
        _text("echo"),
        _text("initial_adapter", nullable=True),
        *_job_progress(),
    )


def _job_progress() -> list[sa.Column[str] | sa.Column[int]]:
    return [
        _text("resolved", nullable=True),
        _whole("total_steps", nullable=True),
        _whole("last_step"),
        _whole("trained_tokens", nullable=True),
        _whole("started_at_us", nullable=True),
        _whole("finished_at_us", nullable=True),
        _whole("estimated_finish_us", nullable=True),
        _text("fine_tuned_model", nullable=True),
        _text("result_files"),
        _text("error", nullable=True),
        _text("lease_owner", nullable=True),
        _whole("lease_token"),
        _whole("lease_until_us", nullable=True),
        _whole("deaths"),
        _whole("last_event"),
    ]


def _job_indexes() -> None:
    op.create_index("ix_jobs_project", "jobs", ["project_id", "sequence"])
    unfinished = sa.text("finished_at_us IS NULL")
    op.create_index(
        "ix_jobs_unfinished",
        "jobs",
        ["project_id", "status", "lease_until_us", "sequence"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
    bare = sa.text("(metadata IS NULL OR metadata = '{}')")
    op.create_index(
        "ix_jobs_without_metadata",
        "jobs",
        ["project_id", "sequence"],
        sqlite_where=bare,
        postgresql_where=bare,
    )
    op.create_table(
        "job_metadata",
        _text("project_id"),
        sa.Column("pair", sa.LargeBinary(), nullable=False),
        _whole("job_sequence"),
        _reference("job_metadata", "project_id", "projects.id"),
        _reference("job_metadata", "job_sequence", "jobs.sequence"),
        _primary("job_metadata", "project_id", "pair", "job_sequence"),
    )


def _events() -> None:
    op.create_table(
        "events",
        _text("job_id"),
        _whole("number"),
        _text("project_id"),
        _whole("created_at_us"),
        _text("level"),
        _text("message"),
        _text("type"),
        _text("data", nullable=True),
        _reference("events", "job_id", "jobs.id"),
        _reference("events", "project_id", "projects.id"),
        _primary("events", "job_id", "number"),
    )


def _checkpoints() -> None:
    op.create_table(
        "checkpoints",
        *_head("checkpoints"),
        _text("job_id"),
        _whole("created_at_us"),
        _whole("step"),
        _text("folder"),
        _text("model"),
        _text("metrics"),
        _whole("retired_at_us", nullable=True),
        _reference("checkpoints", "job_id", "jobs.id"),
    )
    op.create_index("ix_checkpoints_job", "checkpoints", ["job_id", "sequence"])
    op.create_index("ix_checkpoints_model", "checkpoints", ["project_id", "model"])


def _models() -> None:
    op.create_table(
        "models",
        *_row("models"),
        _text("name"),
        _text("job_id"),
        _text("base_model"),
        _text("adapter"),
        _whole("created_at_us"),
        _reference("models", "job_id", "jobs.id"),
    )
    op.create_index("ix_models_project", "models", ["project_id", "sequence"])
    op.create_index("ix_models_name", "models", ["project_id", "name"])


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        _text("project_id"),
        _text("key"),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        _whole("created_at_us"),
        _text("job"),
        _reference("idempotency", "project_id", "projects.id"),
        _primary("idempotency", "project_id", "key"),
    )


def _head(table: str) -> list[SchemaItem]:
    """What a project's things begin with: their place in its lists, and an id."""
    unique = sa.UniqueConstraint("id", name=op.f(f"uq_{table}_id"))
    return [*_row(table), _text("id"), unique]


def _row(table: str) -> list[SchemaItem]:
    sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return [
        sa.Column("sequence", sequence, nullable=False),
        _text("project_id"),
        _primary(table, "sequence"),
        _reference(table, "project_id", "projects.id"),
    ]


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _whole(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"))
