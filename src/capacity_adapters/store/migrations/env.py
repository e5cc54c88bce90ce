# ruff: noqa: INP001 -- alembic loads this file by its path
"""Runs the migrations inside the transaction that the store hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    version_table=context.config.attributes["version_table"],
    transactional_ddl=True,
)
context.run_migrations()
