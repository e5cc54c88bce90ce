"""The tests of our PostgreSQL engine, on further versions of PostgreSQL."""

import pytest
from tests.contracts.test_coordinator_contract import TestPostgres as TestPostgres  # noqa: PLC0414 -- pytest finds it here
from tests.engines.test_postgresql import *  # noqa: F403 -- likewise
from tests.servers import Server
from tests.targets import postgres_admin


def test_the_version_is_the_one_we_mean(postgres: Server, request: pytest.FixtureRequest) -> None:
    with postgres_admin(postgres) as admin:
        said = admin.execute("SHOW server_version").fetchone()
    assert said is not None
    assert f"[{said[0].partition('.')[0]}]" in request.node.name
