"""A right revoked and granted again leaves no trace but the gap: nothing shrinks, nothing goes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from attrs import evolve, frozen
from tests.acceptance.conftest import Deployment
from tests.servers import Server
from tests.targets import mariadb_admin

from capacity_adapters.store import open_store
from capacity_adapters.store.tables import metadata
from capacity_core import CapacityApplication, InstanceCapacitySyncActionResult
from capacity_core.filters import FilterRules
from capacity_core.messages import Language, Text, render
from capacity_core.model import Instance, Outcome, Scenario
from capacity_core.reads import DatabaseRow, DateRange, InstanceDay, Paging, SizeRow

pytestmark = pytest.mark.live

FIRST = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
DAYS = [FIRST.date() + timedelta(days=number) for number in range(3)]
NAMES = ("gap_a", "gap_b", "gap_c")
OURS = FilterRules(include=("gap_*",))
ALL = Paging(1, 200)
Execute = Callable[[str], object]


@frozen
class Followed:
    """An instance that is synced once a day, at a time that the tests say."""

    deployment: Deployment
    instance: Instance

    def sync_on(self, day: date) -> InstanceCapacitySyncActionResult:
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        application: CapacityApplication = evolve(self.deployment.application, now=lambda: at)
        return application.sync(self.instance.id)

    @property
    def databases(self) -> dict[str, DatabaseRow]:
        page = self.deployment.application.databases(self.instance.id, ALL)
        return {row.database_name: row for row in page.rows}

    @property
    def days(self) -> list[InstanceDay]:
        return list(self.deployment.application.instance_days(self.instance.id, ALL).rows[::-1])

    def history(self, name: str) -> list[SizeRow]:
        every = DateRange(DAYS[0], DAYS[-1])
        page = self.deployment.application.history(self.instance.id, name, every, ALL)
        return list(page.rows[::-1])

    def aggregates(self, table: str) -> list[Mapping[str, Any]]:
        """Give the daily rows of one of the tables of aggregates, oldest first."""
        with (
            closing(open_store(self.deployment.store_url)) as store,
            store._database.reading() as connection,
        ):
            found = connection.execute(metadata.tables[table].select()).mappings()
            rows: list[Mapping[str, Any]] = [dict(row) for row in found]
        own = [
            row
            for row in rows
            if row["instance_id"] == self.instance.id and row["period_type"] == "daily"
        ]
        return sorted(own, key=lambda row: str(row["period_start"]))


@pytest.fixture
def mariadb_follows(deployment: Deployment, mariadb: Server) -> Iterator[tuple[Followed, Execute]]:
    with mariadb_admin(mariadb) as admin:
        for name in NAMES:
            admin.execute(f"CREATE DATABASE {name}")
            admin.execute(f"CREATE TABLE {name}.t (x INT) ENGINE=InnoDB")
        admin.execute("CREATE USER gap IDENTIFIED BY 'gap'")
        admin.execute("GRANT PROCESS, SHOW VIEW ON *.* TO gap")
        yield (
            Followed(deployment, deployment.register(mariadb, user="gap", filters=OURS)),
            admin.execute,
        )
        admin.execute("DROP USER gap")
        for name in NAMES:
            admin.execute(f"DROP DATABASE {name}")


@pytest.fixture
def postgres_follows(
    deployment: Deployment, postgres: Server
) -> Iterator[tuple[Followed, Execute]]:
    with closing(psycopg.connect(postgres.url("postgres"), autocommit=True)) as admin:
        for name in NAMES:
            admin.execute(f"CREATE DATABASE {name}".encode())
        admin.execute("CREATE ROLE gap LOGIN PASSWORD 'gap'")
        yield (
            Followed(deployment, deployment.register(postgres, user="gap", filters=OURS)),
            lambda statement: admin.execute(statement.encode()),
        )
        for name in NAMES:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        admin.execute("DROP ROLE gap")


@pytest.mark.parametrize(
    ("left", "scenario"),
    [
        pytest.param(
            ("GRANT PROCESS ON *.* TO gap", "GRANT SELECT ON gap_a.* TO gap"),
            Scenario.COMPLETE,
            id="one is left",
        ),
        pytest.param((), Scenario.INVENTORY_ONLY, id="none is left"),
    ],
)
def test_rights_revoked_and_granted_again_on_mariadb(
    mariadb_follows: tuple[Followed, Execute], left: tuple[str, ...], scenario: Scenario
) -> None:
    followed, execute = mariadb_follows
    first = followed.sync_on(DAYS[0])
    assert (first.scenario, first.inventory_complete) == (Scenario.COMPLETE, True)

    execute("REVOKE ALL PRIVILEGES, GRANT OPTION FROM gap")
    for statement in left:
        execute(statement)
    second = followed.sync_on(DAYS[1])
    assert (second.scenario, second.decision.http_status) == (scenario, 200)
    assert not second.inventory_complete
    hidden = set(NAMES[1:] if left else NAMES)
    assert {each.name: each.outcome for each in second.report.unmeasured} == dict.fromkeys(
        hidden, Outcome.NOT_VISIBLE
    )
    (warning,) = second.warnings
    assert warning.code == "inventory_incomplete"
    assert nothing_is_gone(followed, second, hidden)

    execute(sql_of(warning.message))
    third = followed.sync_on(DAYS[2])
    assert third.inventory_complete
    assert not third.warnings
    assert only_the_gap_is_left(followed, third, hidden, Outcome.NOT_VISIBLE)


def test_process_revoked_and_granted_again_is_neither_growth_nor_shrinkage(
    mariadb_follows: tuple[Followed, Execute],
) -> None:
    followed, execute = mariadb_follows
    rights = (None, "REVOKE PROCESS ON *.* FROM gap", "GRANT PROCESS ON *.* TO gap")
    for day, right in zip(DAYS, rights, strict=True):
        if right is not None:
            execute(right)
        result = followed.sync_on(day)
        assert (result.scenario, result.inventory_complete) == (Scenario.COMPLETE, True)
    methods = ["my.innodb_files", "my.tables", "my.innodb_files"]
    assert [row.method for row in followed.history("gap_a")] == methods
    exact, estimated, exact_again = (day.total_size_bytes for day in followed.days)
    assert exact == exact_again != estimated
    for name, change in (
        ("database_size_aggregations", "size_change_bytes"),
        ("instance_size_aggregations", "total_size_change_bytes"),
    ):
        for each in followed.aggregates(name):
            is_first = each["period_start"] == DAYS[0]
            assert each["is_break"] is not is_first
            assert (each["baseline_date"] is None) is is_first
            assert (each[change], each["growth_rate"]) == (None, None)
    of_instance = followed.aggregates("instance_size_aggregations")
    assert [each["trend_direction"] for each in of_instance] == ["unknown"] * 3
    assert [each["active_count_change"] for each in of_instance] == [None, 0, 0]


def test_rights_revoked_and_granted_again_on_postgresql(
    postgres_follows: tuple[Followed, Execute],
) -> None:
    followed, execute = postgres_follows
    assert followed.sync_on(DAYS[0]).scenario is Scenario.COMPLETE

    hidden = set(NAMES[1:])
    for name in hidden:
        execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    second = followed.sync_on(DAYS[1])
    assert (second.scenario, second.inventory_complete) == (Scenario.COMPLETE, True)
    assert {each.name: each.outcome for each in second.report.unmeasured} == dict.fromkeys(
        hidden, Outcome.DENIED
    )
    assert nothing_is_gone(followed, second, hidden)

    execute(sql_of(second.report.unmeasured[0].hint))
    third = followed.sync_on(DAYS[2])
    assert only_the_gap_is_left(followed, third, hidden, Outcome.DENIED)


def test_a_database_dropped_and_made_anew_breaks_its_series_and_no_total(
    postgres_follows: tuple[Followed, Execute],
) -> None:
    followed, execute = postgres_follows
    followed.sync_on(DAYS[0])
    execute("DROP DATABASE gap_a")
    execute("CREATE DATABASE gap_a")
    followed.sync_on(DAYS[1])
    followed.sync_on(DAYS[2])
    identities = [row.identity for row in followed.history("gap_a")]
    assert identities[0] != identities[1] == identities[2]
    assert None not in identities
    told: dict[str, list[tuple[bool, int | None]]] = {}
    for each in followed.aggregates("database_size_aggregations"):
        days = told.setdefault(each["database_name"], [])
        days.append((each["is_break"], each["size_change_bytes"]))
    kept = [(False, None), (False, 0), (False, 0)]
    assert told == {
        "gap_a": [(False, None), (True, None), (False, 0)],
        "gap_b": kept,
        "gap_c": kept,
    }
    of_instance = followed.aggregates("instance_size_aggregations")
    assert [(each["is_break"], each["total_size_change_bytes"]) for each in of_instance] == kept


def nothing_is_gone(
    followed: Followed, second: InstanceCapacitySyncActionResult, hidden: set[str]
) -> bool:
    """Check the second day: all are active, with the sizes of the first."""
    assert second.change is not None
    assert not second.change.deactivated
    for unmeasured in second.report.unmeasured:
        assert "GRANT" in render(unmeasured.hint, Language.ZH)
    databases = followed.databases
    assert databases.keys() == set(NAMES)
    for name, row in databases.items():
        assert (row.is_active, row.deleted_at, row.first_seen_date) == (True, None, DAYS[0])
        assert row.size is not None
        assert row.size.collected_date == (DAYS[0] if name in hidden else DAYS[1])
        assert row.latest is not None
        assert (row.latest.last_outcome is Outcome.MEASURED) is (name not in hidden)
    return True


def only_the_gap_is_left(
    followed: Followed,
    third: InstanceCapacitySyncActionResult,
    hidden: set[str],
    outcome: Outcome,
) -> bool:
    """Check all three days: first and last seen, sizes, totals, aggregates."""
    assert third.scenario is Scenario.COMPLETE
    assert third.change is not None
    assert third.change.refreshed == set(NAMES)
    assert not third.report.unmeasured
    for name, row in followed.databases.items():
        assert row.is_active
        assert (row.first_seen_date, row.last_seen_date) == (DAYS[0], DAYS[2])
        before, between, after = followed.history(name)
        assert (before.last_outcome, after.last_outcome) == (Outcome.MEASURED, Outcome.MEASURED)
        assert before.size_bytes == after.size_bytes
        if name in hidden:
            assert (between.size_bytes, between.last_outcome) == (None, outcome)
    totals = {day.collected_date: day for day in followed.days}
    assert totals[DAYS[0]].total_size_bytes == totals[DAYS[2]].total_size_bytes > 0
    for day in totals.values():
        whole = day.total_size_bytes + day.carried_size_bytes
        assert (whole, day.active_count) == (totals[DAYS[0]].total_size_bytes, len(NAMES))
    if DAYS[1] in totals:
        assert totals[DAYS[1]].measured_count == len(NAMES) - len(hidden)
    assert totals[DAYS[2]].carried_size_bytes == 0
    days_of: dict[str, list[date]] = {}
    for each in followed.aggregates("database_size_aggregations"):
        days_of.setdefault(each["database_name"], []).append(each["period_start"])
        assert not each["size_change_bytes"]
    assert days_of == {
        name: [day for day in DAYS if day != DAYS[1] or name not in hidden] for name in NAMES
    }
    for each in followed.aggregates("instance_size_aggregations"):
        assert not each["total_size_change_bytes"]
        assert not each["active_count_change"]
    return True


def sql_of(message: Text) -> str:
    cure = message.params["cure"]
    assert isinstance(cure, Text)
    return str(cure.params["sql"])
