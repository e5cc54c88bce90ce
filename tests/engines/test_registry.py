"""The register of engines, and the life of a conversation whatever the engine."""

import logging
import struct
import subprocess
import sys
import time
from collections.abc import Set as AbstractSet
from importlib import import_module
from pathlib import Path

import pytest
from attrs import evolve
from tests.builders import an_instance
from tests.faults.listeners import listening, saying
from tests.targets import coordinator_of, port_instance, refusal

from capacity_adapters.engines import ENGINES, TargetPolicy, coordinators
from capacity_adapters.engines.coordinator import EngineCoordinator
from capacity_adapters.engines.engine import Engine
from capacity_core.diagnosis import Check
from capacity_core.errors import EngineNotSupportedError
from capacity_core.model import (
    CapacityReport,
    CollectFailed,
    FileAddress,
    Instance,
    Inventory,
    Outcome,
    Reason,
    Secret,
    Tls,
    TlsMode,
    Unmeasured,
)

pytestmark = pytest.mark.unit

DRIVERS = ("psycopg", "pymysql", "oracledb", "pytds", "OpenSSL")


def test_no_driver_is_imported_before_its_engine_is_used() -> None:
    look = f"import sys, capacity_adapters.engines; print({{*{DRIVERS}}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_each_engine_has_its_facts() -> None:
    ports = {name: facts.default_port for name, facts in ENGINES.items()}
    assert ports == {
        "postgresql": 5432,
        "mysql": 3306,
        "sqlite": None,
        "sqlserver": 1433,
        "oracle": 1521,
    }


def test_an_engine_that_is_not_installed_is_refused() -> None:
    prepare = coordinators(TargetPolicy(), lambda _: Secret(""))
    with pytest.raises(EngineNotSupportedError):
        prepare(evolve(an_instance(), db_type="dbase"), deadline=1.0)


def test_a_driver_that_is_missing_names_its_package() -> None:
    coordinator = EngineCoordinator(
        instance=an_instance(),
        load=lambda: import_module("capacity_adapters.engines.not_there").ENGINE,
        package="the-driver",
        policy=TargetPolicy(),
        deadline=1.0,
        secret=lambda: Secret(""),
    )
    assert not coordinator.connect()
    assert coordinator.failure is not None
    assert coordinator.failure.reason is Reason.DRIVER_MISSING
    assert coordinator.failure.hint.params["package"] == "the-driver"


def test_a_password_that_comes_late_takes_nothing_of_the_targets_time(tmp_path: Path) -> None:
    def secret_for(_instance: Instance) -> Secret:
        time.sleep(0.3)
        return Secret("")

    (tmp_path / "a.db").touch()
    kept = evolve(an_instance(), db_type="sqlite", address=FileAddress(str(tmp_path)))
    coordinator = coordinators(TargetPolicy(connect_deadline=0.2), secret_for)(kept, deadline=5.0)
    assert coordinator.connect()
    coordinator.disconnect()


def test_a_password_that_cannot_be_read_is_told() -> None:
    def secret_for(_instance: Instance) -> Secret:
        raise CollectFailed(Reason.CREDENTIAL_UNAVAILABLE)

    coordinator = coordinators(TargetPolicy(), secret_for)(an_instance(), deadline=1.0)
    assert not coordinator.connect()
    assert coordinator.failure is not None
    assert coordinator.failure.reason is Reason.CREDENTIAL_UNAVAILABLE


def test_a_password_that_is_given_is_not_looked_up() -> None:
    def secret_for(_instance: Instance) -> Secret:
        raise AssertionError

    prepare = coordinators(TargetPolicy(), secret_for)
    instance = port_instance("postgresql", 1)
    assert not prepare(instance, deadline=1.0, password=Secret("given")).connect()


@pytest.mark.parametrize("db_type", ["postgresql", "mysql", "sqlserver"])
def test_no_time_at_all_is_a_timeout(db_type: str) -> None:
    assert refusal(port_instance(db_type, 1), deadline=0.0) == Reason.TIMEOUT


@pytest.mark.parametrize("db_type", ["postgresql", "mysql", "sqlserver"])
def test_a_nul_in_any_value_is_refused_before_anything_is_sent(db_type: str) -> None:
    """It would end libpq's settings early, and so switch TLS off."""
    plain = port_instance(db_type, 1)
    nul = "x\0x"
    told = {
        "password": refusal(plain, nul),
        "username": refusal(evolve(plain, username=nul)),
        "database": refusal(evolve(plain, database_name=nul)),
        "host": refusal(port_instance(db_type, 1, host=nul)),
        "ca": refusal(evolve(plain, tls=Tls(TlsMode.VERIFY_FULL, nul))),
    }
    assert told == {
        "password": Reason.CREDENTIAL_UNAVAILABLE,
        **dict.fromkeys(("username", "database", "host", "ca"), Reason.OTHER),
    }


@pytest.mark.parametrize("password", ["hunter2-hunter2", "k"])
def test_an_error_in_which_a_peer_sends_the_password_back_is_not_logged(
    caplog: pytest.LogCaptureFixture, password: str
) -> None:
    words = b"SFATAL\0C28P01\0Mno luck with %b\0\0" % password.encode()
    message = b"E" + struct.pack("!I", len(words) + 4) + words
    with listening(saying(message)) as port, caplog.at_level(logging.DEBUG):
        coordinator = coordinator_of(
            port_instance("postgresql", port, tls=Tls(TlsMode.INSECURE)), password
        )
        assert not coordinator.connect()
        coordinator.disconnect()
    (said,) = caplog.messages
    assert said.endswith(": OperationalError")
    assert "hunter2" not in repr(coordinator)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (b"\x4a\x00\x00\x00\x0a5.1.73-log\x00" + b"\x01" * 63, Reason.CONNECTION_LOST),
        (b"\x01\x00\x00\x00\xff", Reason.PROTOCOL),
        (b"\x05\x00\x00\x00\x0a\xff\xfe\xfd\x00", Reason.PROTOCOL),
        (b"\x17\x00\x00\x00\xff\x10\x04Too many connections", Reason.TOO_MANY_CONNECTIONS),
        (b"\x03\x00\x00\x00\x0aab", Reason.PROTOCOL),
    ],
)
def test_half_a_mysql_greeting_has_its_reason(words: bytes, reason: Reason) -> None:
    with listening(saying(words)) as port:
        assert refusal(port_instance("mysql", port)) == reason


class _Farewell:
    """A conversation that is all right until it ends."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def inventory(self) -> Inventory:
        return Inventory(())

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        return CapacityReport(unmeasured=tuple(Unmeasured.of(n, Outcome.ERROR) for n in names))

    def examine(self) -> tuple[Check, ...]:
        return ()

    def close(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error", [OSError(), ValueError(), RuntimeError(), KeyError(), AttributeError(), EOFError()]
)
def test_a_farewell_that_goes_wrong_loses_nothing_and_is_logged(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """An engine of others may raise there what its `errors` do not name."""
    engine = Engine(
        open=lambda _target, _guard: _Farewell(error), errors=(), failure_of=lambda _: None
    )
    coordinator = EngineCoordinator(
        instance=an_instance(),
        load=lambda: engine,
        package="",
        policy=TargetPolicy(),
        deadline=5.0,
        secret=lambda: Secret(""),
    )
    assert coordinator.connect()
    with caplog.at_level(logging.WARNING):
        coordinator.disconnect()
    assert type(error).__name__ in caplog.text
    with pytest.raises(CollectFailed):
        coordinator.fetch_inventory()
