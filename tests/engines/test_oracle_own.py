"""Oracle on a server of yours: CAPACITY_TEST_ORACLE_URL=oracle://user:password@host:1521/service.

Reads only, and logs in with the right password only. Nobody ran it yet: tell what you saw.
"""

import os

import pytest
from attrs import evolve
from tests.builders import NOON
from tests.targets import ask, connected, coordinator_of, refusal

from capacity_adapters.cli.targets import located_by
from capacity_adapters.engines import ENGINES
from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import Target, TargetPolicy
from capacity_adapters.engines.oracle import QUERIES
from capacity_adapters.engines.oracle.connect import log_in
from capacity_core.instances import engine_for, new_instance
from capacity_core.model import CollectFailed, Instance, Level, Reason, Secret

URL = os.environ.get("CAPACITY_TEST_ORACLE_URL", "")

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not URL, reason="CAPACITY_TEST_ORACLE_URL names no server"),
]


@pytest.fixture(scope="module")
def password() -> str:
    located = located_by(URL, lambda scheme: engine_for(scheme, ENGINES))
    assert located.password is not None, "the URL has no password"
    return located.password.reveal()


@pytest.fixture(scope="module")
def instance() -> Instance:
    located = located_by(URL, lambda scheme: engine_for(scheme, ENGINES))
    return new_instance(located.fields, ENGINES, NOON)


@pytest.mark.parametrize("level", Level)
def test_each_database_has_a_size_or_a_reason(
    instance: Instance, password: str, level: Level
) -> None:
    inventory, report = ask(evolve(instance, level=level), password)
    assert inventory.databases
    assert all(size.size_bytes > 0 for size in report.sizes)
    for size in report.sizes:
        assert size.used_size_bytes is None or 0 < size.used_size_bytes <= size.size_bytes
        assert size.ceiling_bytes is None or size.ceiling_bytes >= size.size_bytes


@pytest.mark.parametrize("query", QUERIES)
def test_the_server_understands_each_of_our_queries(
    instance: Instance, password: str, query: str
) -> None:
    target = Target(instance, Secret(password), TargetPolicy())
    refused: list[Reason] = []
    with Guard.starting_now(10, 60) as guard:
        link = log_in(target, guard)
        try:
            link.ask(query, {"login": instance.username.upper()} if ":login" in query else None)
        except CollectFailed as error:  # understood, all the same
            refused.append(error.failure.reason)
        finally:
            link.close()
    assert refused in ([], [Reason.PERMISSION_DENIED])


def test_the_doctor_looks_without_harm(instance: Instance, password: str) -> None:
    with connected(coordinator_of(instance, password)) as coordinator:
        assert coordinator.examine()


def test_a_service_that_is_not_there_is_told_so(instance: Instance, password: str) -> None:
    assert refusal(evolve(instance, database_name="no.such.service"), password) == (
        Reason.DATABASE_MISSING
    )
