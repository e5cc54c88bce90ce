"""Targets to ask: instances that point at them, and whole conversations with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pymysql
from attrs import evolve
from tests.builders import an_instance
from tests.servers import HOST, Server

from capacity_adapters.engines import TargetPolicy, coordinators
from capacity_adapters.testing import connected as connected  # noqa: PLC0414 -- tests ask here
from capacity_core.filters import FilterRules
from capacity_core.model import (
    CapacityReport,
    FileAddress,
    Instance,
    Inventory,
    NetworkAddress,
    Secret,
)
from capacity_core.ports import CapacityExaminer

DEADLINE = 20.0
SUPERUSERS = "bench"  # the password of every test server's superuser


# Instances with rules are asked for their databases first, and for sizes only then.
RULES = FilterRules(exclude=("no database of ours",))


def server_instance(server: Server, **changes: Any) -> Instance:
    """Point at a server, as its superuser unless told otherwise."""
    address = NetworkAddress(server.host, server.port)
    db_type = {"postgresql": "postgresql", "mysql": "mysql"}[server.scheme]
    base = evolve(an_instance(), db_type=db_type, address=address, username=server.user)
    return evolve(base, **changes)


def port_instance(db_type: str, port: int, *, host: str = HOST, **changes: Any) -> Instance:
    address = NetworkAddress(host, port)
    return evolve(an_instance(), db_type=db_type, address=address, **changes)


def file_instance(path: Path) -> Instance:
    return evolve(an_instance(), db_type="sqlite", address=FileAddress(str(path)), username="")


def coordinator_of(
    instance: Instance,
    password: str = SUPERUSERS,
    *,
    deadline: float = DEADLINE,
    policy: TargetPolicy | None = None,
) -> CapacityExaminer:
    prepare = coordinators(policy or TargetPolicy(), lambda _instance: Secret(password))
    return prepare(instance, deadline=deadline)


def ask(
    instance: Instance, password: str = SUPERUSERS, **options: Any
) -> tuple[Inventory, CapacityReport]:
    """Have a whole conversation about everything that is not the engine's own."""
    with connected(coordinator_of(instance, password, **options)) as coordinator:
        inventory = coordinator.fetch_inventory()
        names = {database.name for database in inventory.databases if not database.is_system}
        return inventory, coordinator.collect_capacity(names)


def refusal(instance: Instance, password: str = SUPERUSERS, **options: Any) -> str:
    """Expect that nobody can connect, and tell the reason."""
    coordinator = coordinator_of(instance, password, **options)
    try:
        assert not coordinator.connect()
        assert coordinator.failure is not None
        return coordinator.failure.reason
    finally:
        coordinator.disconnect()


def sizes(report: CapacityReport) -> dict[str, int]:
    return {size.name: size.size_bytes for size in report.sizes}


def outcomes(report: CapacityReport) -> dict[str, str]:
    return {each.name: str(each.outcome) for each in report.unmeasured}


def cures(report: CapacityReport) -> dict[str, str]:
    """Tell which SQL each hint asks for."""
    texts = {each.name: each.hint.params.get("cure") for each in report.unmeasured}
    return {name: str(getattr(text, "params", {}).get("sql", "")) for name, text in texts.items()}


@contextmanager
def postgres_admin(server: Server, database: str = "postgres") -> Iterator["psycopg.Connection"]:
    connection = psycopg.connect(
        host=server.host, port=server.port, user=server.user, dbname=database, autocommit=True
    )
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def mariadb_admin(server: Server) -> Iterator["pymysql.cursors.Cursor"]:
    connection = pymysql.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        charset="utf8mb4",
        autocommit=True,
        ssl_disabled=True,
    )
    try:
        yield connection.cursor()
    finally:
        connection.close()
