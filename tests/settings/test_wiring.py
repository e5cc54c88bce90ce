"""What the wiring adds of its own."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve
from tests.builders import ENGINES
from tests.faults.listeners import listening
from tests.rogues import CLEAR, Rogue
from tests.servers import HOST

from capacity_adapters.settings import Settings
from capacity_adapters.target_rules import port_rules, ports_by_engine
from capacity_adapters.wiring import below, build_application
from capacity_core.errors import InvalidInputError, SettingsError
from capacity_core.instances import InstanceFields
from capacity_core.model import Reason, Secret
from capacity_core.result import InstanceCapacitySyncActionResult


def test_only_paths_below_the_root_may_be_registered_from_afar(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "shop").mkdir(parents=True)
    (root / "escape").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    allowed = below(root)
    assert allowed(str(root / "shop"))
    assert not allowed(str(tmp_path))
    assert not allowed(str(root / ".." / "other"))
    assert not allowed(str(root / "escape" / "other"))
    assert not allowed(str(root / "loop" / "shop"))
    assert not allowed(f"{root}/\ud800")
    assert not allowed("shop")
    assert not allowed(f"{root}/a\0b")
    assert not below(None)(str(root))


def test_ports_are_brought_together_under_the_engine_s_own_name() -> None:
    rules = port_rules("pg:5432, PostgreSQL:6432-6433")
    ports = {"postgresql": (range(5432, 5433), range(6432, 6434))}
    assert ports_by_engine(rules, ENGINES) == ports
    with pytest.raises(SettingsError, match="db9"):
        ports_by_engine(port_rules("db9:1"), ENGINES)


def test_a_target_with_another_port_is_not_registered(tmp_path: Path) -> None:
    settings = Settings(data_directory=tmp_path, target_ports=port_rules("mariadb:3306"))
    application = build_application(settings)
    shop = InstanceFields(name="shop", db_type="mysql", host="db.example.org")
    application.add_instance(shop)
    for db_type, port in (("mysql", 22), ("postgresql", 3306)):
        with pytest.raises(InvalidInputError) as caught:
            application.add_instance(InstanceFields(name="x", db_type=db_type, host="h", port=port))
        assert caught.value.field == "port"
    application.close()


def reason_of(result: InstanceCapacitySyncActionResult) -> Reason | None:
    return result.failure.reason if result.failure else None


def test_a_kept_password_goes_to_no_host_that_somebody_wrote_into_the_store(
    tmp_path: Path,
) -> None:
    settings = Settings(data_directory=tmp_path, secret_key=bytes(32))
    application = build_application(settings)
    fields = InstanceFields(name="shop", db_type="pg", host=HOST, username="app")
    with listening(Rogue().postgres((CLEAR,))) as honest:
        kept = application.add_instance(evolve(fields, port=honest), password=Secret("hunter2"))
        assert reason_of(application.sync(kept.id)) is Reason.TLS  # asked, and not told
    rogue = Rogue()
    with listening(rogue.postgres((CLEAR,))) as port:
        with closing(sqlite3.connect(tmp_path / "capacity.db")) as store, store:
            store.execute("UPDATE instances SET port = ?", (port,))
        assert reason_of(application.sync(kept.id)) is Reason.CREDENTIAL_UNAVAILABLE
    assert not rogue.heard
    application.close()
