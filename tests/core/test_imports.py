"""What an import brings in: the core stands on attrs alone, and no driver comes uninvited."""

import subprocess
import sys
from importlib.util import find_spec

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


def modules_after(statement: str) -> set[str]:
    """Name the modules in memory after that statement, in a fresh process."""
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name for name in done.stdout.split() if not name.startswith("_sysconfigdata")}


def imported_by(statement: str) -> set[str]:
    return {name.partition(".")[0] for name in modules_after(statement)}


def test_the_core_needs_attrs_alone() -> None:
    extra = imported_by("import capacity_core") - imported_by("pass") - sys.stdlib_module_names
    assert extra == {"attr", "attrs", "capacity_core"}


def test_what_a_sync_does_without_is_not_in_the_core_s_import() -> None:
    there = modules_after("import capacity_core")
    without = ("diagnosis", "doctor", "fleet", "forecasts", "growth", "retention", "rollup", "runs")
    named = {f"capacity_core.{name}" for name in without}
    assert all(map(find_spec, named))
    assert not named & there


@pytest.mark.parametrize("module", ["capacity_adapters.engines", "capacity_adapters.settings"])
def test_no_driver_comes_before_its_engine_is_used(module: str) -> None:
    assert not imported_by(f"import {module}") & (HEAVY - {"capacity_adapters"})


def test_the_wiring_brings_the_store_but_no_driver_and_no_migrations() -> None:
    brought = imported_by("import capacity_adapters.wiring")
    assert not brought & {"alembic", "pymysql", "psycopg", "cryptography", "litestar", "rich"}
