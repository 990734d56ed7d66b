"""The tables, the same in SQLite and PostgreSQL.

Times are whole microseconds since 1970 in UTC (`_us`), so that both databases keep and compare
them exactly. Nested values are JSON texts. A `sequence` gives the order in which rows came; lists
are paged by it. `migrations/` makes these tables, and a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)


def _sequence() -> Column[int]:
    # Only INTEGER makes SQLite's own row number out of a primary key.
    return Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


def _id() -> Column[str]:
    return Column("id", Text, nullable=False, unique=True)


def _project_id() -> Column[str]:
    return Column("project_id", Text, ForeignKey("projects.id"), nullable=False)


def _required(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _whole(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _maybe(name: str) -> Column[str]:
    return Column(name, Text, nullable=True)


organisations = Table("organisations", metadata, Column("id", Text, primary_key=True))

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, ForeignKey("organisations.id"), nullable=False),
)

# People and service accounts. Only the latter have names here.
users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, ForeignKey("organisations.id"), nullable=False),
    _required("identity_type"),
    _maybe("name"),
)

keys = Table(
    "keys",
    metadata,
    _sequence(),
    _id(),
    _project_id(),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False),
    _required("name"),
    Column("digest", LargeBinary, nullable=False, unique=True),
    _required("hint"),
    _whole("created_at_us"),
    _whole("expires_at_us", nullable=True),
    _whole("revoked_at_us", nullable=True),
    Index("ix_keys_project", "project_id", "sequence"),
)

NOT_DELETED = text("deleted_at_us IS NULL")
"""Of the files and jobs that a list shows."""

files = Table(
    "files",
    metadata,
    _sequence(),
    _id(),
    _project_id(),
    _whole("created_at_us"),
    _required("filename"),
    _required("purpose"),
    _whole("size_bytes"),
    _required("sha256"),
    _whole("expires_at_us", nullable=True),
    _maybe("format"),
    _whole("n_rows", nullable=True),
    _whole("deleted_at_us", nullable=True),
    _required("created_by"),
    _required("created_by_type"),
    _required("echo"),
    Index("ix_files_project", "project_id", "sequence"),
    # Holds all that counting a list needs; SQLite looks at the last also where it must be NULL.
    Index(
        "ix_files_purpose",
        "project_id",
        "purpose",
        "sequence",
        "expires_at_us",
        "deleted_at_us",
        sqlite_where=NOT_DELETED,
        postgresql_where=NOT_DELETED,
    ),
)

uploads = Table(
    "uploads",
    metadata,
    _sequence(),
    _id(),
    _project_id(),
    _whole("created_at_us"),
    _whole("expires_at_us"),
    _required("filename"),
    _required("mime_type"),
    _required("purpose"),
    _whole("size_bytes"),
    _required("status"),
    _whole("file_expires_after_s", nullable=True),
    _maybe("file_id"),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    _sequence(),
    _id(),
    _project_id(),
    Column("upload_id", Text, ForeignKey("uploads.id"), nullable=False),
    _whole("created_at_us"),
    _whole("size_bytes"),
    Index("ix_upload_parts_upload", "upload_id", "sequence"),
)

UNFINISHED = text("finished_at_us IS NULL")
"""As below: of the jobs that are not over."""
CONNECTED = text("db_connection_id IS NOT NULL")
"""Of the jobs that learn from a database."""
OF_SUBJECTS = text("method = 'subject'")
"""Of the jobs that learn from pictures; said in the same words by the index and by the list."""
WITHOUT_METADATA = text("(metadata IS NULL OR metadata = '{}')")
"""Said in the same words by the index and by the list that uses it."""

_LISTED_WITHOUT_METADATA = text(f"{NOT_DELETED} AND {WITHOUT_METADATA}")

jobs = Table(
    "jobs",
    metadata,
    _sequence(),
    _id(),
    _project_id(),
    _required("organization_id"),
    _required("created_by"),
    _whole("created_at_us"),
    _required("status"),
    _required("engine"),
    _required("base_model"),
    _required("requested_model"),
    _required("training_file"),
    _maybe("validation_file"),
    _required("method"),
    _required("hyperparameters"),
    _required("lora"),
    _required("overlong"),
    _maybe("suffix"),
    _whole("seed"),
    _maybe("metadata"),
    _required("echo"),
    _maybe("initial_adapter"),
    _maybe("resolved"),
    _whole("total_steps", nullable=True),
    _whole("last_step"),
    _whole("trained_tokens", nullable=True),
    _whole("started_at_us", nullable=True),
    _whole("finished_at_us", nullable=True),
    _whole("estimated_finish_us", nullable=True),
    _maybe("fine_tuned_model"),
    _required("result_files"),
    _maybe("error"),
    # Who may report on the job (I2), and how it has fared since its last checkpoint.
    _maybe("lease_owner"),
    _whole("lease_token"),
    _whole("lease_until_us", nullable=True),
    _whole("deaths"),
    _whole("last_event"),
    _whole("deleted_at_us", nullable=True),
    _required("created_by_type"),
    _maybe("sql_source"),
    # Out of `sql_source`, for the index.
    _maybe("db_connection_id"),
    _maybe("evaluation"),
    _maybe("webhook"),
    _maybe("sample_prompts"),
    # As with files, the last column is for counting.
    Index(
        "ix_jobs_project",
        "project_id",
        "sequence",
        "deleted_at_us",
        sqlite_where=NOT_DELETED,
        postgresql_where=NOT_DELETED,
    ),
    Index(
        "ix_jobs_connection",
        "project_id",
        "db_connection_id",
        "sequence",
        sqlite_where=CONNECTED,
        postgresql_where=CONNECTED,
    ),
    Index(
        "ix_jobs_subject",
        "project_id",
        "sequence",
        sqlite_where=OF_SUBJECTS,
        postgresql_where=OF_SUBJECTS,
    ),
    Index(
        "ix_jobs_unfinished",
        "project_id",
        "status",
        "lease_until_us",
        "sequence",
        sqlite_where=UNFINISHED,
        postgresql_where=UNFINISHED,
    ),
    Index(
        "ix_jobs_without_metadata",
        "project_id",
        "sequence",
        sqlite_where=_LISTED_WITHOUT_METADATA,
        postgresql_where=_LISTED_WITHOUT_METADATA,
    ),
)

# One row per pair of a job's metadata, by which a list is filtered. The pair is its sha256: of one
# size whatever it says, and any text can be looked for in any database.
job_metadata = Table(
    "job_metadata",
    metadata,
    _project_id(),
    Column("pair", LargeBinary, nullable=False),
    Column("job_sequence", BigInteger, ForeignKey("jobs.sequence"), nullable=False),
    PrimaryKeyConstraint("project_id", "pair", "job_sequence"),
)

events = Table(
    "events",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    _whole("number"),
    _project_id(),
    _whole("created_at_us"),
    _required("level"),
    _required("message"),
    _required("type"),
    _maybe("data"),
    PrimaryKeyConstraint("job_id", "number"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    _sequence(),
    _id(),
    _project_id(),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    _whole("created_at_us"),
    _whole("step"),
    _required("folder"),
    _required("model"),
    _required("base_model"),
    _required("metrics"),
    _whole("retired_at_us", nullable=True),
    Index("ix_checkpoints_job", "job_id", "sequence"),
    Index("ix_checkpoints_model", "project_id", "model"),
)

models = Table(
    "models",
    metadata,
    _sequence(),
    _project_id(),
    # Not unique: the name ends in 8 of the job's 24 digits, and a job must be able to finish
    # whatever another one's digits are. The newest answers to the name.
    _required("name"),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    _required("base_model"),
    _required("adapter"),
    _whole("created_at_us"),
    _required("created_by"),
    _required("created_by_type"),
    Index("ix_models_project", "project_id", "sequence"),
    Index("ix_models_name", "project_id", "name"),
    Index("ix_models_job", "project_id", "job_id"),
)

idempotency = Table(
    "idempotency",
    metadata,
    _project_id(),
    _required("key"),
    Column("request_hash", LargeBinary, nullable=False),
    _whole("created_at_us"),
    _required("job"),
    PrimaryKeyConstraint("project_id", "key"),
)


def _shelf(name: str, *, parent: bool = True) -> Table:
    """Values of one kind, whole as JSON, beside what they are found by."""
    among_all = Index(f"ix_{name}_project", "project_id", "sequence")
    among_siblings = Index(f"ix_{name}_parent", "project_id", "parent", "sequence")
    return Table(
        name,
        metadata,
        _sequence(),
        _id(),
        _project_id(),
        *((_required("parent"),) if parent else ()),
        _whole("created_at_us"),
        _required("value"),
        among_all,
        *((among_siblings,) if parent else ()),
    )


database_connections = _shelf("database_connections", parent=False)
table_descriptions = _shelf("table_descriptions")
golden_records = _shelf("golden_records")
instructions = _shelf("instructions")
prompts = _shelf("prompts")
sql_generations = _shelf("sql_generations")
deployments = _shelf("deployments")

PENDING = text("status = 'pending'")
"""Of the images that are yet to be drawn."""
DRAWN_OR_FAILED = text("status <> 'pending'")
"""Of the others."""

image_generations = Table(
    "image_generations",
    metadata,
    _sequence(),
    _id(),
    _project_id(),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    _whole("created_at_us"),
    _required("status"),
    _required("value"),
    Index(
        "ix_image_generations_pending",
        "project_id",
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    ),
    Index(
        "ix_image_generations_over",
        "created_at_us",
        sqlite_where=DRAWN_OR_FAILED,
        postgresql_where=DRAWN_OR_FAILED,
    ),
)

# What is to be done because something durable happened (I5). One that is leased has a time until
# which it is; the number of attempts is the token of the lease.
errands = Table(
    "errands",
    metadata,
    _sequence(),
    _id(),
    _project_id(),
    _required("kind"),
    _required("subject"),
    _maybe("notice"),
    _whole("n_attempts"),
    _whole("due_at_us"),
    _whole("lease_until_us", nullable=True),
    Index("ix_errands_due", "kind", "due_at_us"),
)
