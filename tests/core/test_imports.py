"""What an import brings in: the core stands on attrs alone, and no driver comes uninvited."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

HEAVY = {
    "alembic",
    "capacity_adapters",
    "click",
    "cryptography",
    "litestar",
    "msgspec",
    "oracledb",
    "psycopg",
    "pymysql",
    "rich",
    "sqlalchemy",
    "structlog",
    "uvicorn",
}


def imported_by(statement: str) -> set[str]:
    """Name the top-level packages in memory after that statement, in a fresh process."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name for name in done.stdout.split() if not name.startswith("_sysconfigdata")}


def test_the_core_needs_attrs_alone() -> None:
    extra = imported_by("import capacity_core") - imported_by("pass") - sys.stdlib_module_names
    assert extra == {"attr", "attrs", "capacity_core"}


@pytest.mark.parametrize("module", ["capacity_adapters.engines", "capacity_adapters.settings"])
def test_no_driver_comes_before_its_engine_is_used(module: str) -> None:
    assert not imported_by(f"import {module}") & (HEAVY - {"capacity_adapters"})


def test_the_wiring_brings_the_store_but_no_driver_and_no_migrations() -> None:
    brought = imported_by("import capacity_adapters.wiring")
    assert not brought & {"alembic", "pymysql", "psycopg", "cryptography", "litestar", "rich"}
