"""What the engines' contract suite is run on: two databases of each engine that we have."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from attrs import evolve, frozen
from psycopg import sql
from tests.catalogues import ROWS, Catalogue, database, denied, tls_of
from tests.certificates import Certificates
from tests.servers import Server, free_port
from tests.targets import (
    coordinator_of,
    file_instance,
    mariadb_admin,
    port_instance,
    postgres_admin,
    server_instance,
)
from tests.tds import ON, Part, Rows, TdsServer, serving

from capacity_adapters.engines import EnginePlugin, engine_named
from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import Engine, Target
from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_adapters.engines.sqlserver.queries import RIGHTS
from capacity_adapters.testing import ContractTarget, conversation
from capacity_core.diagnosis import Capabilities, Check, CheckState
from capacity_core.filters import FilterRules
from capacity_core.messages import Text
from capacity_core.model import (
    CapacityReport,
    DatabaseSize,
    EngineFacts,
    Failure,
    Inventory,
    Outcome,
    Reason,
    SeenDatabase,
    Unmeasured,
)
from capacity_core.ports import CapacityExaminer

# One pair is enough to see whether names are folded, trimmed or quoted wrongly.
NAMES = (" Ordérs ", "orders")
FILES = (" Ordérs .db", "orders.db")
CLOSED_PORT = 1
LESSER, PASSWORD = "lesser", "secret"


def memory_target() -> ContractTarget:
    stays, gone = NAMES
    databases: dict[str, int | Outcome] = dict.fromkeys(NAMES, 4096)
    lesser = {**databases, stays: Outcome.DENIED}
    return ContractTarget(
        coordinator=lambda: MemoryCoordinator(databases),
        broken=lambda: MemoryCoordinator(databases, connects=Failure.of(Reason.REFUSED)),
        lesser=lambda: MemoryCoordinator(lesser),
        stays=stays,
        gone=gone,
        drop=partial(databases.__delitem__, gone),
    )


def plugin_target() -> ContractTarget:
    """An engine as another distribution would bring it: its targets are in memory."""
    databases = dict(zip(NAMES, "ab", strict=True))

    def opened(target: Target, guard: Guard) -> _Dictionary:
        guard.remaining()
        if target.network.port == CLOSED_PORT:
            raise ConnectionRefusedError
        return _Dictionary(databases)

    tells = Capabilities(identity=True)
    engine = Engine(
        open=opened, errors=(OSError,), failure_of=lambda _error: None, capabilities=tells
    )
    plugin = EnginePlugin(EngineFacts("tiny", (), 4711), lambda: engine)
    stays, gone = NAMES
    return ContractTarget(
        coordinator=lambda: conversation(plugin, port_instance("tiny", 4711)),
        broken=lambda: conversation(plugin, port_instance("tiny", CLOSED_PORT)),
        stays=stays,
        gone=gone,
        drop=partial(databases.__delitem__, gone),
        make=partial(databases.__setitem__, gone, "c"),
        capabilities=tells,
    )


@frozen
class _Dictionary:
    """An open conversation with a dictionary of identities."""

    databases: dict[str, str]

    def inventory(self) -> Inventory:
        return Inventory(tuple(map(SeenDatabase, self.databases)))

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        there = names & self.databases.keys()
        return CapacityReport(
            tuple(
                DatabaseSize(name, 4096, "tiny", identity=self.databases[name]) for name in there
            ),
            tuple(Unmeasured.of(name, Outcome.VANISHED) for name in names - there),
        )

    def examine(self) -> tuple[Check, ...]:
        return (Check("open to all", CheckState.OK, Text("every size")),)

    def close(self) -> None:
        pass


def sqlite_target(folder: Path) -> ContractTarget:
    for name in FILES:
        with closing(sqlite3.connect(folder / name)) as database:
            database.execute("CREATE TABLE t (x)")
    stays, gone = FILES
    return ContractTarget(
        coordinator=lambda: coordinator_of(file_instance(folder)),
        broken=lambda: coordinator_of(file_instance(folder / "missing")),
        stays=stays,
        gone=gone,
        drop=(folder / gone).unlink,
        capabilities=capabilities_of("sqlite"),
    )


def postgres_target(server: Server, filters: FilterRules) -> Iterator[ContractTarget]:
    def run(statement: str, *names: str) -> None:
        with postgres_admin(server) as admin:
            admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    stays, gone = NAMES
    for name in NAMES:
        run("CREATE DATABASE {}", name)
    run("CREATE ROLE {} LOGIN PASSWORD 'secret'", LESSER)
    run("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", stays)
    instance = server_instance(server, filters=filters)
    lesser = evolve(instance, username=LESSER)
    yield ContractTarget(
        coordinator=lambda: coordinator_of(instance),
        broken=lambda: coordinator_of(port_instance("postgresql", free_port())),
        lesser=lambda: coordinator_of(lesser, PASSWORD),
        at_port=_at_port("postgresql"),
        capabilities=capabilities_of("postgresql"),
        stays=stays,
        gone=gone,
        drop=lambda: run("DROP DATABASE {}", gone),
        make=lambda: run("CREATE DATABASE {}", gone),
    )
    for name in NAMES:
        run("DROP DATABASE IF EXISTS {}", name)
    run("DROP ROLE {}", LESSER)


def mariadb_target(server: Server) -> Iterator[ContractTarget]:
    def run(statement: str) -> None:
        with mariadb_admin(server) as admin:
            admin.execute(statement)

    stays, gone = (name.removesuffix(" ") for name in NAMES)  # no blank at the end is taken
    for name in (stays, gone):
        run(f"CREATE DATABASE `{name}`")
        run(f"CREATE TABLE `{name}`.t (x int)")
    run(f"CREATE USER {LESSER} IDENTIFIED BY '{PASSWORD}'")
    lesser = server_instance(server, username=LESSER)
    yield ContractTarget(
        coordinator=lambda: coordinator_of(server_instance(server)),
        broken=lambda: coordinator_of(port_instance("mysql", free_port())),
        lesser=lambda: coordinator_of(lesser, PASSWORD),
        at_port=_at_port("mysql"),
        capabilities=capabilities_of("mysql"),
        stays=stays,
        gone=gone,
        drop=lambda: run(f"DROP DATABASE `{gone}`"),
    )
    for name in (stays, gone):
        run(f"DROP DATABASE IF EXISTS `{name}`")
    run(f"DROP USER {LESSER}")


def sqlserver_target(made: Certificates) -> Iterator[ContractTarget]:
    """A stand-in, for there is no SQL Server here."""
    stays, gone = NAMES
    there = {5: (stays, 100), 6: (gone, 100)}

    def answer(lesser: str, query: str) -> Sequence[Part]:
        shut = lesser == LESSER
        return Catalogue(
            databases=[
                database(n, name, enter=not shut, created=at) for n, (name, at) in there.items()
            ],
            files=[
                (n, name, None, None, None, None) if shut else (n, name, ROWS, 2, 9, 0)
                for n, (name, _) in there.items()
            ],
            inside=[] if shut else [Rows([(n, ROWS, 2, 9, 0, 1)]) for n in there],
            rights=denied(*RIGHTS) if shut else denied(),
        ).answer(query)

    with ExitStack() as servers:

        def login(user: str) -> Callable[[], CapacityExaminer]:
            server = TdsServer(partial(answer, user), encryption=ON, tls=tls_of(made))
            port = servers.enter_context(serving(server))
            return lambda: coordinator_of(port_instance("sqlserver", port, username=user))

        yield ContractTarget(
            coordinator=login("sa"),
            broken=lambda: coordinator_of(port_instance("sqlserver", free_port())),
            lesser=login(LESSER),
            at_port=_at_port("sqlserver"),
            capabilities=capabilities_of("sqlserver"),
            stays=stays,
            gone=gone,
            drop=partial(there.__delitem__, 6),
            make=partial(there.__setitem__, 6, (gone, 101)),
        )


def capabilities_of(db_type: str) -> Capabilities:
    return engine_named(db_type).load().capabilities


def _at_port(db_type: str) -> Callable[[int, float], CapacityExaminer]:
    return partial(_conversation_at_port, db_type)


def _conversation_at_port(db_type: str, port: int, deadline: float) -> CapacityExaminer:
    return coordinator_of(port_instance(db_type, port), deadline=deadline)
