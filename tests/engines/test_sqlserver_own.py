"""SQL Server on a server of yours, which we have none of.

Run it with CAPACITY_TEST_SQLSERVER_URL=sqlserver://user:password@host:1433/ and, for its TLS,
CAPACITY_TEST_SQLSERVER_CA naming a PEM file. It only reads.
"""

import os

import pytest
from attrs import evolve
from tests.targets import ask, connected, coordinator_of, port_instance, refusal

from capacity_adapters.cli.targets import located_by
from capacity_adapters.engines import engine_named
from capacity_core.diagnosis import Check
from capacity_core.model import Instance, NetworkAddress, Outcome, Reason, Tls, TlsMode

VARIABLE = "CAPACITY_TEST_SQLSERVER_URL"
AUTHORITY = os.environ.get("CAPACITY_TEST_SQLSERVER_CA")

pytestmark = pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} is not set")


@pytest.fixture
def own() -> tuple[Instance, str]:
    """Lend the instance and its password."""
    located = located_by(os.environ[VARIABLE], lambda scheme: engine_named(scheme).facts)
    fields = located.fields
    assert fields.host is not None
    assert fields.port is not None
    tls = Tls(TlsMode.VERIFY_FULL, AUTHORITY) if AUTHORITY else Tls(TlsMode.REQUIRE)
    instance = evolve(
        port_instance("sqlserver", fields.port, host=fields.host, username=fields.username or ""),
        address=NetworkAddress(fields.host, fields.port),
        database_name=fields.database_name,
        tls=tls,
    )
    return instance, located.password.reveal() if located.password else ""


def test_every_database_has_a_size_or_a_reason(own: tuple[Instance, str]) -> None:
    instance, password = own
    inventory, report = ask(instance, password)
    names = {each.name for each in inventory.databases if not each.is_system}
    sized = {size.name for size in report.sizes}
    assert sized | {each.name for each in report.unmeasured} == names
    for size in report.sizes:
        assert size.size_bytes > 0
        assert size.used_size_bytes is None or size.used_size_bytes <= size.size_bytes
        assert size.ceiling_bytes is None or size.ceiling_bytes >= size.size_bytes
    assert Outcome.ERROR not in {each.outcome for each in report.unmeasured}


def test_the_engine_s_own_databases_are_known_and_sized(own: tuple[Instance, str]) -> None:
    instance, password = own
    with connected(coordinator_of(instance, password)) as coordinator:
        seen = coordinator.fetch_inventory().databases
        system = frozenset(each.name for each in seen if each.is_system)
        sized = {each.name for each in coordinator.collect_capacity(system).sizes}
    assert "master" in system
    assert sized


def test_the_doctor_looks_at_every_right(own: tuple[Instance, str]) -> None:
    instance, password = own
    with connected(coordinator_of(instance, password)) as coordinator:
        checks = coordinator.examine()
    assert checks
    assert all(isinstance(check, Check) for check in checks)


def test_an_unknown_login_is_refused(own: tuple[Instance, str]) -> None:
    instance, _ = own
    nobody = evolve(instance, username="capacity_sync_nobody")
    assert refusal(nobody, "not the password") == Reason.AUTH_FAILED


def test_a_database_that_is_not_there_is_told(own: tuple[Instance, str]) -> None:
    instance, password = own
    nowhere = evolve(instance, database_name="capacity_sync_no_such_database")
    assert refusal(nowhere, password) == Reason.DATABASE_MISSING
