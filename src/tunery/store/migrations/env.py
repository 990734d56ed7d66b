"""What Alembic runs: the revisions, on the connection that it was given."""

from alembic import context

from tunery.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite too takes back the tables of a transaction that did not end.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
