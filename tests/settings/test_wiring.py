"""What the wiring adds of its own."""

from pathlib import Path

import pytest
from tests.builders import ENGINES

from capacity_adapters.settings import Settings
from capacity_adapters.target_rules import port_rules, ports_by_engine
from capacity_adapters.wiring import below, build_application
from capacity_core.errors import InvalidInputError, SettingsError
from capacity_core.instances import InstanceFields


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
