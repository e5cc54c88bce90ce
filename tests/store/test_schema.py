"""Tables, migrations and the version constant say the same."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from capacity_adapters.store import Store, schema
from capacity_adapters.store.tables import metadata, whole_schema

OPEN = """
import sys
from capacity_adapters.store import open_store
store = open_store(sys.argv[1])
store.check()
slow = {'alembic', 'cryptography', 'psycopg'}
print(sorted({name.partition('.')[0] for name in sys.modules} & slow))
"""


def test_the_version_constant_is_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", schema.SCRIPTS)
    scripts = ScriptDirectory.from_config(config)
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(revisions)) == schema.REVISIONS


def test_migrations_make_the_tables_that_the_code_uses(real_store: Store) -> None:
    with real_store._database.reading() as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, whole_schema()) == []


@pytest.mark.live
def test_postgresql_orders_names_by_code_point(real_store: Store) -> None:
    with real_store._database.reading() as connection:
        if connection.dialect.name != "postgresql":
            return
        inspector = inspect(connection)
        collations = {
            (table, column["name"]): getattr(column["type"], "collation", None)
            for table in inspector.get_table_names()
            for column in inspector.get_columns(table)
        }
    for table in metadata.tables.values():
        for name in {"database_name", "name"} & {column.name for column in table.columns}:
            if (table.name, name) != ("instances", "database_name"):
                assert collations[table.name, name] == "C"


def test_opening_a_store_imports_neither_alembic_nor_other_slow_things(
    sqlite_template: Path,
) -> None:
    command = [sys.executable, "-c", OPEN, f"sqlite:///{sqlite_template}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert said.stdout == "[]\n"
