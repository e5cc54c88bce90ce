"""Real servers that freeze, die, fill up or are far away in the middle of a conversation."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from tests.faults.cutting import cuts
from tests.faults.freezing import PHASES, SERVERS, freeze, sessions_left, wait_until
from tests.faults.listeners import listening
from tests.faults.relays import Relay, doorman
from tests.servers import Server, start_mariadb, start_postgres, temporary
from tests.targets import (
    RULES,
    ask,
    connected,
    coordinator_of,
    mariadb_admin,
    outcomes,
    port_instance,
    postgres_admin,
    refusal,
    server_instance,
    sizes,
)

from capacity_adapters.engines import TargetPolicy
from capacity_adapters.engines.postgresql import sizing
from capacity_core.model import CollectFailed, Failure, Reason, Tls, TlsMode
from capacity_core.ports import CapacityExaminer

pytestmark = pytest.mark.live

DEADLINE = 1.0
GRACE = 0.5
OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'capacity-sync'"
END_OURS = f"SELECT pg_terminate_backend(({OURS}))"
INSECURE = Tls(TlsMode.INSECURE)


def inventory_failure(coordinator: CapacityExaminer) -> Reason:
    with pytest.raises(CollectFailed) as caught:
        coordinator.fetch_inventory()
    return caught.value.failure.reason


@pytest.fixture(scope="module", params=list(SERVERS))
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    kind = SERVERS[request.param]
    with temporary(kind.start) as server:
        kind.fill(server)
        yield server


@pytest.mark.parametrize("phase", PHASES)
def test_a_frozen_server_ends_at_the_deadline_and_keeps_nothing_of_ours(
    own_server: Server, phase: str
) -> None:
    seen = freeze(own_server, phase, seconds=DEADLINE)
    assert seen.fits(Reason.TIMEOUT), seen


def test_a_stream_that_is_cut_is_a_failure_or_the_whole_truth(own_server: Server) -> None:
    told, lies = cuts(
        lambda port: port_instance(own_server.scheme, port, username="bench"), own_server.port, 23
    )
    assert not lies
    assert told.pop("nowhere") == {"whole"}
    assert set(map(frozenset, told.values())) == {frozenset({Reason.CONNECTION_LOST})}
    assert not sessions_left(own_server)


def test_a_server_that_we_leave_is_told_to_stop(postgres: Server) -> None:
    with (
        postgres_admin(postgres) as admin,
        connected(coordinator_of(server_instance(postgres))) as coordinator,
        admin.transaction(),
    ):
        ((pid,),) = admin.execute(OURS).fetchall()
        admin.execute("LOCK TABLE pg_database IN ACCESS EXCLUSIVE MODE")
        # long before the server's own limit for the statement
        coordinator._guard.hurry(0.3)  # type: ignore[attr-defined]  # a look inside
        assert inventory_failure(coordinator) is Reason.TIMEOUT
        waits = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
        wait_until(lambda: not admin.execute(waits, [pid]).fetchall())


@pytest.fixture
def ten(postgres: Server) -> Iterator[set[str]]:
    names = {f"far {number}" for number in range(10)}
    with postgres_admin(postgres) as admin:
        for name in names:
            admin.execute(f'CREATE DATABASE "{name}"'.encode())
        yield names
        for name in names:
            admin.execute(f'DROP DATABASE "{name}"'.encode())


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEAST", "MOST"):
        monkeypatch.setattr(sizing, name, 1)


@pytest.mark.parametrize("connections", [1, 2])
def test_what_was_measured_in_time_is_kept(
    postgres: Server, ten: set[str], monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    one_by_one(monkeypatch)
    monkeypatch.setattr("capacity_adapters.engines.postgresql.PAYS_FROM", 6)
    policy = TargetPolicy(size_connections=connections)
    with listening(Relay(postgres.port, delay=0.15 * connections)) as port:
        instance = port_instance("postgresql", port, username="bench", tls=INSECURE, filters=RULES)
        started = time.monotonic()
        with connected(coordinator_of(instance, deadline=1.4, policy=policy)) as coordinator:
            coordinator.fetch_inventory()
            report = coordinator.collect_capacity(ten)
        assert time.monotonic() - started < 1.4 + GRACE
    assert sizes(report)
    assert outcomes(report)
    assert set(outcomes(report).values()) == {"timed_out"}
    assert sizes(report).keys() | outcomes(report).keys() == ten


def test_what_was_measured_before_the_connection_broke_is_kept(
    postgres: Server, ten: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one(monkeypatch)
    told: set[frozenset[str]] = set()
    for cut_after in range(900, 3000, 150):
        with listening(Relay(postgres.port, cut_after=cut_after)) as port:
            instance = port_instance(
                "postgresql", port, username="bench", tls=INSECURE, filters=RULES
            )
            coordinator = coordinator_of(instance)
            try:
                assert coordinator.connect()
                coordinator.fetch_inventory()
                report = coordinator.collect_capacity(ten)
                assert sizes(report).keys() | outcomes(report).keys() == ten
                told.add(frozenset(outcomes(report).values()))
            except CollectFailed as error:
                told.add(frozenset({error.failure.reason}))
            finally:
                coordinator.disconnect()
    assert told == {
        frozenset({Reason.CONNECTION_LOST}),  # nothing was measured
        frozenset({"error"}),  # some were, the rest has no size
        frozenset(),  # all were
    }


def test_the_others_measure_where_the_first_connection_broke(
    postgres: Server,
    ten: set[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("capacity_adapters.engines.postgresql.PAYS_FROM", 6)
    monkeypatch.setattr(sizing, "LEAST_SHARED", 2)
    measured = []
    for cut_after in range(600, 2400, 50):
        asked = False
        with listening(Relay(postgres.port, cut_after=cut_after)) as port:
            instance = port_instance("postgresql", port, username="bench", tls=INSECURE)
            coordinator = coordinator_of(instance, policy=TargetPolicy(size_connections=2))
            try:
                assert coordinator.connect()
                with suppress(CollectFailed):  # cut before it was told
                    coordinator.fetch_inventory()
                    asked = True
                if asked:
                    caplog.clear()
                    report = coordinator.collect_capacity(ten)
                    measured.append((sizes(report).keys(), caplog.text))
            finally:
                coordinator.disconnect()
    assert all(found for found, _ in measured)
    # Where only the first was cut, no more is missing than the two that it had in its hands.
    alone = [found for found, logged in measured if "a further connection" not in logged]
    assert all(len(found) >= len(ten) - 2 for found in alone)
    assert any("sizing broke off" in logged for _, logged in measured)


def test_an_inventory_does_not_wait_for_the_sizes_that_come_with_it(
    postgres: Server, ten: set[str]
) -> None:
    told: set[tuple[str, Reason | None]] = set()
    for cut_after in range(600, 2400, 100):
        with listening(Relay(postgres.port, cut_after=cut_after)) as port:
            instance = port_instance("postgresql", port, username="bench", tls=INSECURE)
            coordinator, asked = coordinator_of(instance), "connect"
            try:
                assert coordinator.connect()
                asked = "inventory"
                inventory = coordinator.fetch_inventory()
                assert ten <= {database.name for database in inventory.databases}
                asked = "sizes"
                assert sizes(coordinator.collect_capacity(ten)).keys() == ten
                told.add(("all", None))
            except CollectFailed as error:
                told.add((asked, error.failure.reason))
            finally:
                coordinator.disconnect()
    lost = Reason.CONNECTION_LOST
    assert told == {("inventory", lost), ("sizes", lost), ("all", None)}


@pytest.mark.parametrize(
    ("engine", "rewrite", "version", "least"),
    [
        ("postgres", (b"server_version\x0015.", b"server_version\x0011."), "11", 12),
        ("mariadb", (b"5.5.5-10.11.", b"5.5.5-09.11."), "9.11", "10.0"),
    ],
)
def test_a_server_too_old_is_told_its_version(
    request: pytest.FixtureRequest,
    engine: str,
    rewrite: tuple[bytes, bytes],
    version: str,
    least: object,
) -> None:
    server: Server = request.getfixturevalue(engine)
    db_type = server_instance(server).db_type
    with listening(Relay(server.port, rewrite=rewrite)) as port:
        instance = port_instance(db_type, port, username="bench", tls=INSECURE)
        coordinator = coordinator_of(instance)
        assert not coordinator.connect()
    assert coordinator.failure == Failure.of(
        Reason.UNSUPPORTED_VERSION, version=version, least=least
    )


def test_a_mariadb_without_the_view_is_measured_by_its_tables(mariadb: Server) -> None:
    rewrite = (b".innodb_sys_tablespaces", b".innodb_sys_tablespacez")
    with mariadb_admin(mariadb) as admin, listening(Relay(mariadb.port, rewrite=rewrite)) as port:
        admin.execute("CREATE DATABASE viewless")
        admin.execute("CREATE TABLE viewless.t (x INT)")
        try:
            instance = port_instance("mysql", port, username="bench", tls=INSECURE)
            _, report = ask(instance)
        finally:
            admin.execute("DROP DATABASE viewless")
    assert sizes(report) == {"viewless": 16_384}
    assert {size.method for size in report.sizes} == {"my.tables"}


@pytest.mark.parametrize("start", [start_postgres, start_mariadb])
def test_a_server_killed_in_mid_conversation_is_a_lost_connection(
    start: Callable[..., Server],
) -> None:
    with temporary(start) as server:
        instance = server_instance(server, filters=RULES)
        with connected(coordinator_of(instance)) as coordinator:
            coordinator.fetch_inventory()
            server.process.kill()
            server.process.wait()
            with pytest.raises(CollectFailed) as caught:
                coordinator.collect_capacity({"postgres", "mysql"})
        assert caught.value.failure.reason is Reason.CONNECTION_LOST
        assert refusal(server_instance(server)) == Reason.REFUSED


def test_a_back_end_that_is_terminated_is_a_lost_connection(postgres: Server) -> None:
    with (
        postgres_admin(postgres) as admin,
        connected(coordinator_of(server_instance(postgres))) as coordinator,
    ):
        admin.execute(END_OURS)
        assert inventory_failure(coordinator) is Reason.CONNECTION_LOST


def test_a_full_postgres_is_told() -> None:
    with temporary(start_postgres, options=("-c", "max_connections=5")) as server:
        with postgres_admin(server) as admin:
            admin.execute("CREATE ROLE reader LOGIN PASSWORD 'secret'")
            reader = server_instance(server, username="reader")
            with connected(coordinator_of(reader, "secret")):
                told = refusal(reader, "secret")
        assert told == Reason.TOO_MANY_CONNECTIONS


def test_a_full_mariadb_is_told() -> None:
    full = ("--max-connections=10",)
    with temporary(start_mariadb, options=full) as server, mariadb_admin(server) as admin:
        admin.execute("GRANT SELECT ON *.* TO reader@'%' IDENTIFIED BY 'secret'")
        reader = server_instance(server, username="reader")
        held = [coordinator_of(reader, "secret") for _ in range(9)]
        try:
            assert all(each.connect() for each in held)
            assert refusal(reader, "secret") == Reason.TOO_MANY_CONNECTIONS
        finally:
            for each in held:
                each.disconnect()


def test_a_pooler_that_refuses_options_gets_bounded_read_only_transactions(
    postgres: Server,
) -> None:
    with listening(doorman(Relay(postgres.port))) as port:
        instance = port_instance("postgresql", port, username="bench", tls=INSECURE)
        with connected(coordinator_of(instance)) as coordinator:
            link = coordinator._conversation.main  # type: ignore[attr-defined]  # a look inside
            assert link.pooled
            assert link.ask("SHOW transaction_read_only") == [("on",)]
            ((limit,),) = link.ask(
                "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
            )
            assert 15_000 < limit < 21_000
            # nothing of it stays behind in a connection that others will use
            left = link.connection.execute("SHOW statement_timeout").fetchone()
            assert left == ("0",)
        _, report = ask(instance)
        assert sizes(report)
