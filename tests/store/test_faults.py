"""Each kind of driver error says what to do: a row of the tables, a test."""

import sqlite3
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from capacity_adapters.store.faults import POSTGRESQL_FAULTS, SQLITE_FAULTS, store_error
from capacity_core.messages import CATALOGUE


class ServerError(Exception):
    """As a driver of PostgreSQL raises it: a state, or only a text if the connect failed."""

    def __init__(
        self, said: str, *, state: str | None = None, tried_password: bool = False
    ) -> None:
        super().__init__(said)
        self.sqlstate = state
        self.pgconn = SimpleNamespace(used_password=tried_password, needs_password=False)


def key_for(error: Exception) -> str:
    found = store_error(DBAPIError("SELECT 1", {}, error), "here").message
    assert found.params == {"where": "here"}
    return found.key


@pytest.mark.parametrize("detail", ["", "_SOMETHING_MORE"])
@pytest.mark.parametrize(("name", "key"), SQLITE_FAULTS.items())
def test_a_code_of_sqlite_is_told(name: str, key: str, detail: str) -> None:
    assert hasattr(sqlite3, name)
    error = sqlite3.OperationalError("said")
    error.sqlite_errorname = name + detail
    assert key_for(error) == key
    assert key in CATALOGUE


@pytest.mark.parametrize(("state", "key"), POSTGRESQL_FAULTS.items())
def test_a_state_of_postgresql_is_told(state: str, key: str) -> None:
    assert key_for(ServerError("said", state=state.ljust(5, "0"))) == key
    assert key in CATALOGUE


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (ServerError("Connection refused"), "store.unreachable"),
        (ServerError("FATAL", tried_password=True), "store.login"),
        (ServerError("no pg_hba.conf entry for host"), "store.login"),
        (ServerError('database "x" does not exist', tried_password=True), "store.no_database"),
        (ServerError("sorry, too many clients already"), "store.too_many_connections"),
        (ServerError("said", state="XX000"), "store.failed"),
        (sqlite3.OperationalError("no code"), "store.failed"),
    ],
)
def test_a_failed_connect_is_told_by_its_text(error: Exception, key: str) -> None:
    assert key_for(error) == key


def test_what_is_no_drivers_error_is_told_too() -> None:
    assert store_error(PoolTimeoutError("said"), "here").message.key == "store.locked"
    assert store_error(InvalidRequestError("said"), "here").message.key == "store.failed"
