"""Each row of the decision table over HTTP, on real servers, and what it keeps."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from attrs import evolve
from tests.acceptance.conftest import Deployment
from tests.relay import relay_to
from tests.servers import Server
from tests.targets import mariadb_admin

from capacity_core.filters import FilterRules
from capacity_core.model import Instance, Scenario
from capacity_core.reads import DatabaseRow, InstanceDay, Paging

pytestmark = pytest.mark.live

ONE = FilterRules(include=("table_one",))
NONE = FilterRules(include=("no such database",))


@pytest.fixture
def admin(postgres: Server) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
    """Lend a superuser's connection to a server that has the database `table_one`."""
    with closing(psycopg.connect(postgres.url("postgres"), autocommit=True)) as connection:
        connection.execute("CREATE DATABASE table_one")
        yield connection
        connection.execute("DROP DATABASE table_one WITH (FORCE)")


@contextmanager
def login(admin: "psycopg.Connection[tuple[Any, ...]]", name: str) -> Iterator[str]:
    admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'".encode())
    try:
        yield name
    finally:
        admin.execute(f"DROP ROLE {name}".encode())


def kept(
    deployment: Deployment, instance: Instance
) -> tuple[Scenario | None, list[DatabaseRow], InstanceDay | None]:
    application = deployment.application
    now = application.get_instance(instance.id)
    rows = application.databases(instance.id, Paging(1, 200)).rows
    day = application.moment_of(now).day
    scenario = now.last_sync.scenario if now.last_sync else None
    return scenario, list(rows), application.instance_day(instance.id, day)


def test_a_missing_or_removed_instance_is_404(deployment: Deployment, postgres: Server) -> None:
    instance = deployment.register(postgres)
    deployment.application.remove_instance(instance.id)
    for instance_id in (instance.id, 10_000):
        answer = deployment.sync(instance_id)
        assert answer.status_code == 404
        assert answer.json()["message_code"] == "RESOURCE_NOT_FOUND"
        assert answer.json()["message"] == "实例不存在"


def test_an_engine_that_is_not_installed_keeps_the_attempt(
    deployment: Deployment, postgres: Server
) -> None:
    instance = deployment.register(postgres)
    with deployment.application.begin() as work:
        work.instances.save(evolve(instance, db_type="informix"))
        work.commit()
    answer = deployment.sync(instance.id)
    assert (answer.status_code, answer.json()["message_code"]) == (409, "ENGINE_NOT_SUPPORTED")
    assert kept(deployment, instance) == (Scenario.ENGINE_NOT_SUPPORTED, [], None)


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_wrong_password_keeps_the_attempt(
    deployment: Deployment, kind: str, request: pytest.FixtureRequest
) -> None:
    instance = deployment.register(request.getfixturevalue(kind), user="nobody")
    answer = deployment.sync(instance.id)
    told = answer.json()
    assert (answer.status_code, told["message_code"]) == (409, "DATABASE_CONNECTION_ERROR")
    assert told["message"] == f"无法连接到实例 {instance.name}"
    assert told["extra"]["reason"] == "auth_failed"
    assert told["extra"]["hint"]
    assert kept(deployment, instance) == (Scenario.CONNECT_FAILED, [], None)


def test_an_inventory_that_is_refused_keeps_the_attempt(
    deployment: Deployment,
    postgres: Server,
    admin: "psycopg.Connection[tuple[Any, ...]]",
) -> None:
    with (
        login(admin, "blind") as blind,
        closing(psycopg.connect(postgres.url("table_one"), autocommit=True)) as inside,
    ):
        inside.execute("REVOKE SELECT ON pg_catalog.pg_database FROM PUBLIC")
        instance = deployment.register(postgres, user=blind, database_name="table_one")
        told = deployment.sync(instance.id).json()
    assert (told["message_code"], told["message"]) == ("SYNC_DATA_ERROR", "容量采集失败")
    assert told["extra"]["reason"] == "permission_denied"
    assert kept(deployment, instance) == (Scenario.INVENTORY_FAILED, [], None)


def test_no_active_database_keeps_the_inventory_and_a_zero(
    deployment: Deployment, postgres: Server
) -> None:
    instance = deployment.register(postgres, filters=NONE)
    answer = deployment.sync(instance.id)
    result = answer.json()["data"]["result"]
    assert answer.status_code == 200
    assert result["message"] == "未发现活跃数据库,已仅同步数据库列表"
    assert (result["databases"], result["instance_stat_updated"]) == ([], True)
    scenario, rows, day = kept(deployment, instance)
    assert (scenario, rows) == (Scenario.INVENTORY_ONLY, [])
    assert day is not None
    assert (day.total_size_bytes, day.active_count) == (0, 0)


def test_a_login_that_sees_nothing_writes_no_zero(deployment: Deployment, mariadb: Server) -> None:
    with mariadb_admin(mariadb) as cursor:
        cursor.execute("CREATE USER sees_nothing IDENTIFIED BY 'sees_nothing'")
        try:
            instance = deployment.register(mariadb, user="sees_nothing")
            result = deployment.sync(instance.id).json()["data"]["result"]
        finally:
            cursor.execute("DROP USER sees_nothing")
    assert result["inventory"]["complete"] is False
    assert [warning["code"] for warning in result["warnings"]] == ["inventory_incomplete"]
    assert result["instance_stat_updated"] is False
    assert kept(deployment, instance) == (Scenario.INVENTORY_ONLY, [], None)


@pytest.mark.usefixtures("admin")
def test_a_collection_that_breaks_off_keeps_the_inventory(
    deployment: Deployment, postgres: Server
) -> None:
    with relay_to(postgres.port, cut_at=b"pg_database_size") as relay:
        instance = deployment.register(postgres, port=relay.port, filters=ONE)
        told = deployment.sync(instance.id).json()
    assert (told["message_code"], told["message"]) == ("SYNC_DATA_ERROR", "容量采集失败")
    assert told["extra"]["reason"] == "connection_lost"
    scenario, rows, day = kept(deployment, instance)
    assert (scenario, day) == (Scenario.COLLECT_FAILED, None)
    assert [(row.database_name, row.is_active, row.latest) for row in rows] == [
        ("table_one", True, None)
    ]


def test_measuring_nothing_keeps_the_inventory_and_why(
    deployment: Deployment, postgres: Server, admin: "psycopg.Connection[tuple[Any, ...]]"
) -> None:
    admin.execute("REVOKE CONNECT ON DATABASE table_one FROM PUBLIC")
    with login(admin, "stranger") as stranger:
        instance = deployment.register(postgres, user=stranger, filters=ONE)
        told = deployment.sync(instance.id, "en").json()
    assert told["message"] == "No database could be measured"
    assert told["extra"]["reason"] == "permission_denied"
    assert "GRANT pg_read_all_stats" in told["extra"]["hint"]
    assert [each["outcome"] for each in told["extra"]["unmeasured"]] == ["denied"]
    scenario, rows, day = kept(deployment, instance)
    assert (scenario, day) == (Scenario.NOTHING_MEASURED, None)
    assert [row.latest and row.latest.last_outcome for row in rows] == ["denied"]
    assert [row.size for row in rows] == [None]


def test_a_complete_sync_keeps_everything(
    deployment: Deployment, postgres: Server, admin: "psycopg.Connection[tuple[Any, ...]]"
) -> None:
    instance = deployment.register(postgres, filters=ONE)
    result = deployment.sync(instance.id).json()["data"]["result"]
    (truth,) = admin.execute("SELECT pg_database_size('table_one')").fetchone() or (None,)
    (entry,) = result["databases"]
    assert (entry["database_name"], entry["size_bytes"]) == ("table_one", truth)
    assert (result["saved_count"], result["instance_stat_updated"]) == (1, True)
    assert (result["warnings"], result["unmeasured"]) == ([], [])
    scenario, rows, day = kept(deployment, instance)
    assert scenario is Scenario.COMPLETE
    assert [row.size and row.size.size_bytes for row in rows] == [truth]
    assert day is not None
    assert (day.total_size_bytes, day.measured_count, day.active_count) == (truth, 1, 1)


@pytest.mark.usefixtures("admin")
def test_the_second_of_two_syncs_is_told_that_one_is_running(
    deployment: Deployment, postgres: Server
) -> None:
    with (
        relay_to(postgres.port, hold_at=b"pg_database_size") as relay,
        ThreadPoolExecutor(1) as pool,
    ):
        instance = deployment.register(postgres, port=relay.port, filters=ONE)
        first = pool.submit(deployment.sync, instance.id)
        assert relay.held.wait(10)
        second = deployment.sync(instance.id)
        relay.let_go()
        assert first.result().status_code == 200
    told = second.json()
    assert (second.status_code, told["message_code"]) == (409, "SYNC_IN_PROGRESS")
    assert told["extra"]["instance_id"] == instance.id
    assert told["extra"]["since"]


@pytest.mark.usefixtures("admin")
def test_a_store_that_fails_is_500_and_keeps_nothing(
    deployment: Deployment, postgres: Server
) -> None:
    instance = deployment.register(postgres, filters=ONE)
    with broken_table(deployment.store_url):
        answer = deployment.sync(instance.id, "en")
    told = answer.json()
    assert (answer.status_code, told["message_code"]) == (500, "INTERNAL_ERROR")
    assert (told["severity"], told["recoverable"]) == ("high", False)
    assert "size_stats" not in answer.text
    assert kept(deployment, instance) == (None, [], None)
    assert deployment.sync(instance.id).status_code == 200


@contextmanager
def broken_table(store_url: str) -> Iterator[None]:
    """Take away, for a while, the table that a sync writes last but one."""
    rename(store_url, "instance_size_stats", "away")
    try:
        yield
    finally:
        rename(store_url, "away", "instance_size_stats")


def rename(store_url: str, old: str, new: str) -> None:
    statement = f"ALTER TABLE {old} RENAME TO {new}"
    if store_url.startswith("sqlite"):
        import sqlite3  # noqa: PLC0415 -- one of two stores

        with closing(sqlite3.connect(store_url.removeprefix("sqlite:///"))) as store:
            store.execute(statement)
        return
    with closing(psycopg.connect(store_url, autocommit=True)) as connection:
        connection.execute(statement.encode())
