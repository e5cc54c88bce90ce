"""The engines that ship, and the one in memory, do what every engine must do."""

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.certificates import make_certificates
from tests.contract_targets import (
    mariadb_target,
    memory_target,
    plugin_target,
    postgres_target,
    sqlite_target,
    sqlserver_target,
)
from tests.servers import Server
from tests.targets import RULES, outcomes, sizes

from capacity_adapters.testing import ContractTarget, EngineContract, connected
from capacity_core.filters import FilterRules


@pytest.mark.unit
class TestMemory(EngineContract):
    @pytest.fixture
    def target(self) -> ContractTarget:
        return memory_target()


@pytest.mark.unit
class TestPlugin(EngineContract):
    @pytest.fixture
    def target(self) -> ContractTarget:
        return plugin_target()


@pytest.mark.unit
class TestSqlite(EngineContract):
    @pytest.fixture
    def target(self, tmp_path: Path) -> ContractTarget:
        return sqlite_target(tmp_path)


@pytest.mark.unit
class TestSqlServer(EngineContract):
    @pytest.fixture
    def target(self, tmp_path: Path) -> Iterator[ContractTarget]:
        yield from sqlserver_target(make_certificates(tmp_path, getpass.getuser()))


@pytest.mark.live
class TestPostgres(EngineContract):
    @pytest.fixture
    def target(self, postgres: Server) -> Iterator[ContractTarget]:
        yield from postgres_target(postgres, RULES)


@pytest.mark.live
class TestPostgresAhead(EngineContract):
    """The first sizes come with the inventory."""

    @pytest.fixture
    def target(self, postgres: Server) -> Iterator[ContractTarget]:
        yield from postgres_target(postgres, FilterRules())

    def test_a_database_dropped_meanwhile_has_vanished(self, target: ContractTarget) -> None:
        with connected(target.coordinator()) as coordinator:
            coordinator.fetch_inventory()
            target.drop()
            report = coordinator.collect_capacity({target.stays, target.gone})
        vanished = outcomes(report) == {target.gone: "vanished"}
        measured = {target.stays} if vanished else {target.stays, target.gone}
        assert sizes(report).keys() == measured
        assert all(sizes(report).values())


@pytest.mark.live
class TestMariadb(EngineContract):
    @pytest.fixture
    def target(self, mariadb: Server) -> Iterator[ContractTarget]:
        yield from mariadb_target(mariadb)
