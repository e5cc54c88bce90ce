"""Fixtures for a folder whose tests compare sizes or count bytes: nobody else may work there."""

from collections.abc import Iterator

import pytest
from tests.servers import Server, start_mariadb, start_postgres, temporary


@pytest.fixture(scope="package")
def postgres() -> Iterator[Server]:
    """Lend a PostgreSQL of this folder's own."""
    with temporary(start_postgres) as server:
        yield server


@pytest.fixture(scope="package")
def mariadb() -> Iterator[Server]:
    """Lend a MariaDB of this folder's own."""
    with temporary(start_mariadb) as server:
        yield server
