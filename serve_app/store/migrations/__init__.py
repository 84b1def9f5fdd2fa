"""Schema migrations, run by `serve_app.store.migrate`, never by Alembic's own command line."""
