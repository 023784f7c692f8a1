"""Run by Alembic inside the one transaction that `Store.migrate` opened."""

from alembic import context

from sekisho.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
