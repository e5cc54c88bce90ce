"""Fixtures that any test may ask for; each server starts when the first test needs it."""

import signal
from collections.abc import Iterator

import pytest
from tests.servers import Server, start_mariadb, start_postgres, temporary

pytest.register_assert_rewrite("capacity_adapters.testing")
# What a shell puts into the background ignores Ctrl-C, and so would the commands that we start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Lend a private PostgreSQL, the same for the whole session."""
    with temporary(start_postgres) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """Lend a private MariaDB, the same for the whole session."""
    with temporary(start_mariadb) as server:
        yield server
