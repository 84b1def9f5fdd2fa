"""Alembic's environment, run for every command; the connection and its transaction are the caller's."""

from alembic import context

from serve_app.store.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
