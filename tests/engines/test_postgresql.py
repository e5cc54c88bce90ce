"""PostgreSQL as it really answers: odd names, missing rights, several connections, poolers."""

from collections.abc import Iterator
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from tests.faults.freezing import wait_until
from tests.faults.listeners import listening
from tests.faults.relays import Relay, doorman
from tests.servers import Server
from tests.targets import (
    RULES,
    ask,
    connected,
    coordinator_of,
    cures,
    outcomes,
    port_instance,
    postgres_admin,
    refusal,
    server_instance,
    sizes,
)

from capacity_adapters.engines import TargetPolicy
from capacity_adapters.engines.postgresql import METHOD
from capacity_adapters.engines.postgresql.queries import SYSTEM_DATABASES
from capacity_adapters.engines.postgresql.sizing import LEAST_SHARED, Queue, answer_of
from capacity_core.diagnosis import CheckState
from capacity_core.model import (
    CollectFailed,
    Freshness,
    NetworkAddress,
    Outcome,
    Reason,
    Tls,
    TlsMode,
)

pytestmark = pytest.mark.live

ODD_NAMES = (
    " blank at both ends ",
    'double "quote"',
    "single 'quote'",
    "back\\slash",
    "UPPER",
    "upper",
    "Ünïcödé",
    "订单",
    "Ω",
    "emoji 🐘",
    "semi;colon",
    "per%cent %s",
    "{braces}",
    "dot.dash-under_",
    "new\nline",
    "tab\tulator",
    "x" * 63,
    "é" * 31,  # 62 bytes
    "select",
)
DENIED, INVALID, CLOSED, DROPPED = "no connect", "half dropped", "no connections", "dropped"
PLAIN = tuple(f"plain {number}" for number in range(7))
EVERY = (*ODD_NAMES, *PLAIN, DENIED, INVALID, CLOSED, DROPPED)
LOGIN = 'odd "login"'
IDLE = """
SELECT FROM pg_stat_activity WHERE application_name = 'capacity-sync' AND state LIKE 'idle%'
"""


PLANTED = (
    "CREATE SCHEMA planted",
    "CREATE FUNCTION planted.pg_database_size(oid) RETURNS text LANGUAGE sql AS $$SELECT 'x'$$",
    (
        "CREATE FUNCTION planted.has_database_privilege(oid, text) RETURNS boolean LANGUAGE sql"
        " AS 'SELECT false'"
    ),
    (
        "CREATE FUNCTION planted.pg_has_role(name, text) RETURNS boolean LANGUAGE sql"
        " AS 'SELECT false'"
    ),
    (
        "CREATE VIEW planted.pg_database AS SELECT oid, datname, datconnlimit"
        " FROM pg_catalog.pg_database LIMIT 1"
    ),
)


def execute(server: Server, statement: str, *names: str) -> None:
    with postgres_admin(server) as admin:
        names_as_sql = map(sql.Identifier, names)
        admin.execute(sql.SQL(statement).format(*names_as_sql))


@pytest.fixture(scope="module")
def server(postgres: Server) -> Iterator[Server]:
    """Make thirty databases: odd names, one closed to us, one invalid, one not connectable."""
    for name in EVERY:
        execute(postgres, "CREATE DATABASE {}", name)
    execute(postgres, "CREATE ROLE {} LOGIN PASSWORD 'secret'", LOGIN)
    execute(postgres, "REVOKE CONNECT ON DATABASE {} FROM PUBLIC", DENIED)
    execute(postgres, "ALTER DATABASE {} ALLOW_CONNECTIONS false", CLOSED)
    with postgres_admin(postgres) as admin:
        admin.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s", [INVALID])
    with postgres_admin(postgres, "订单") as admin:
        admin.execute("CREATE TABLE t AS SELECT generate_series(1, 100000) AS x")
    yield postgres
    for name in EVERY:
        execute(postgres, "DROP DATABASE IF EXISTS {}", name)
    execute(postgres, "DROP ROLE {}", LOGIN)


def true_sizes(server: Server) -> dict[str, int]:
    with postgres_admin(server) as admin:
        admin.execute("CHECKPOINT")
        rows = admin.execute(
            "SELECT datname, pg_database_size(oid) FROM pg_database WHERE datconnlimit <> -2"
        )
        return {name: size for name, size in rows if name not in SYSTEM_DATABASES}


def test_thirty_databases_are_measured_or_explained(server: Server) -> None:
    assert len(EVERY) == 30
    instance = server_instance(server, username=LOGIN, filters=RULES)
    with connected(coordinator_of(instance, "secret")) as coordinator:
        inventory = coordinator.fetch_inventory()
        execute(server, "DROP DATABASE {}", DROPPED)
        truth = true_sizes(server)
        names = {each.name for each in inventory.databases if not each.is_system}
        report = coordinator.collect_capacity(names)
    execute(server, "CREATE DATABASE {}", DROPPED)
    assert names == {*EVERY, "postgres"}
    assert sizes(report) == {name: size for name, size in truth.items() if name != DENIED}
    assert outcomes(report) == {DENIED: "denied", INVALID: "invalid", DROPPED: "vanished"}
    assert sizes(report)["订单"] > sizes(report)["Ω"]
    assert {(size.method, size.freshness) for size in report.sizes} == {(METHOD, Freshness.LIVE)}
    assert all(size.duration_ms for size in report.sizes)


def test_the_first_sizes_come_with_the_inventory(server: Server) -> None:
    truth = true_sizes(server)
    with connected(coordinator_of(server_instance(server, username=LOGIN), "secret")) as asked:
        inventory = asked.fetch_inventory()
        with postgres_admin(server) as admin:
            wait_until(lambda: admin.execute(IDLE).fetchall())
        execute(server, "DROP DATABASE {}", DROPPED)
        names = {each.name for each in inventory.databases if not each.is_system}
        report = asked.collect_capacity(names)
        again = asked.collect_capacity(names)
    execute(server, "CREATE DATABASE {}", DROPPED)
    assert sizes(report) == {name: size for name, size in truth.items() if name != DENIED}
    assert outcomes(report) == {DENIED: "denied", INVALID: "invalid"}
    assert all(size.duration_ms for size in report.sizes)
    assert outcomes(again) == {DENIED: "denied", INVALID: "invalid", DROPPED: "vanished"}


def test_sizes_that_came_along_unasked_are_in_nobodys_way(server: Server) -> None:
    with connected(coordinator_of(server_instance(server))) as coordinator:
        for _ in range(2):
            assert coordinator.fetch_inventory().databases
            assert {check.state for check in coordinator.examine()} == {CheckState.OK}
        assert sizes(coordinator.collect_capacity({"plain 1"})).keys() == {"plain 1"}


def test_the_cure_for_a_denied_database_works_as_it_stands(server: Server) -> None:
    instance = server_instance(server, username=LOGIN)
    _, before = ask(instance, "secret")
    with postgres_admin(server) as admin:
        admin.execute(cures(before)[DENIED].encode())
    _, after = ask(instance, "secret")
    execute(server, "REVOKE pg_read_all_stats FROM {}", LOGIN)
    assert outcomes(after) == {INVALID: "invalid"}
    assert DENIED in sizes(after)


def test_the_cure_for_a_login_that_inherits_nothing_works_too(server: Server) -> None:
    instance = server_instance(server, username=LOGIN)
    execute(server, "ALTER ROLE {} NOINHERIT", LOGIN)
    _, before = ask(instance, "secret")
    with postgres_admin(server) as admin:
        admin.execute(cures(before)[DENIED].encode())
    _, after = ask(instance, "secret")
    execute(server, "REVOKE pg_read_all_stats FROM {}", LOGIN)
    execute(server, "ALTER ROLE {} INHERIT", LOGIN)
    assert outcomes(after) == {INVALID: "invalid"}


def test_names_are_read_as_stored_whatever_the_login_database(server: Server) -> None:
    execute(
        server, "CREATE DATABASE {} ENCODING LATIN1 LOCALE 'C' TEMPLATE template0", "old fashioned"
    )
    try:
        _, report = ask(server_instance(server, database_name="old fashioned"))
    finally:
        execute(server, "DROP DATABASE {}", "old fashioned")
    assert set(ODD_NAMES) <= sizes(report).keys()


def test_a_database_that_takes_no_connections_is_measured(server: Server) -> None:
    _, report = ask(server_instance(server))
    assert sizes(report)[CLOSED] == true_sizes(server)[CLOSED]


def test_what_is_the_engines_own_is_marked_so(server: Server) -> None:
    inventory, _ = ask(server_instance(server))
    own = {database.name for database in inventory.databases if database.is_system}
    assert own == {"template0", "template1"}


@pytest.fixture(scope="module")
def fifty(server: Server) -> Iterator[list[str]]:
    """So many more that a second and a third connection pay."""
    names = [f"more {number}" for number in range(45)]
    for name in names:
        execute(server, "CREATE DATABASE {}", name)
    yield names
    for name in names:
        execute(server, "DROP DATABASE {}", name)


def test_more_connections_bring_the_same_report(server: Server, fifty: list[str]) -> None:
    for connections in (1, 2, 3, 8):
        policy = TargetPolicy(size_connections=connections)
        _, report = ask(server_instance(server), policy=policy)
        assert sizes(report) == true_sizes(server)
        assert set(fifty) <= sizes(report).keys()


@given(st.integers(0, 3000), st.integers(1, 8), st.lists(st.integers(1, 600), min_size=1))
def test_every_oid_is_taken_once_and_no_connection_takes_all(
    count: int, connections: int, wishes: list[int]
) -> None:
    queue, taken = Queue(range(count), connections), list[int]()
    for wish in cycle(wishes):
        left = count - len(taken)
        chunk = queue.take(wish)
        if not chunk:
            break
        assert len(chunk) <= wish
        assert connections == 1 or len(chunk) <= max(LEAST_SHARED, left // connections)
        if wish % 7 == 0:  # its connection broke
            queue.put_back(chunk)
            chunk = queue.take(len(chunk))
        taken += chunk
    assert taken == list(range(count))


def test_a_further_connection_that_is_refused_costs_nothing(
    server: Server, fifty: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    execute(server, "ALTER ROLE {} CONNECTION LIMIT 1", LOGIN)
    try:
        policy = TargetPolicy(size_connections=4)
        _, report = ask(server_instance(server, username=LOGIN), "secret", policy=policy)
    finally:
        execute(server, "ALTER ROLE {} CONNECTION LIMIT -1", LOGIN)
    assert set(fifty) <= sizes(report).keys()
    assert "a further connection: too_many_connections" in caplog.text


def test_one_unreadable_database_costs_its_own_row(server: Server) -> None:
    name = "unreadable"
    execute(server, "CREATE DATABASE {}", name)
    with postgres_admin(server) as admin:
        found = admin.execute("SELECT oid FROM pg_database WHERE datname = %s", [name]).fetchone()
    assert found is not None
    folder = server.folder / "data" / "base" / str(found[0])
    (folder / "loop").symlink_to("loop")  # stat() fails with ELOOP: the server cannot size it
    try:
        _, report = ask(server_instance(server))
    finally:
        (folder / "loop").unlink()
        execute(server, "DROP DATABASE {}", name)
    assert outcomes(report) == {name: "error", INVALID: "invalid"}
    assert set(PLAIN) <= sizes(report).keys()


def test_our_session_is_named_bounded_and_reads_only(server: Server) -> None:
    with connected(coordinator_of(server_instance(server))), postgres_admin(server) as admin:
        rows = admin.execute(
            "SELECT application_name, state FROM pg_stat_activity"
            " WHERE application_name = 'capacity-sync'"
        ).fetchall()
        assert rows == [("capacity-sync", "idle")]
    with connected(coordinator_of(server_instance(server))) as coordinator:
        link = coordinator._conversation.main  # type: ignore[attr-defined]  # a look inside
        assert link.ask("SHOW default_transaction_read_only") == [("on",)]
        assert link.ask("SHOW client_encoding") == [("SQL_ASCII",)]
        ((limit,),) = link.ask(
            "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
        )
        assert 15_000 < limit < 21_000


@pytest.fixture
def planted(server: Server) -> Iterator[dict[str, int]]:
    """Lay functions in the way of whoever follows the search_path; lend the true sizes."""
    truth = true_sizes(server)
    with postgres_admin(server) as admin:
        for statement in PLANTED:
            admin.execute(statement)
        admin.execute("ALTER ROLE bench SET search_path = planted, pg_catalog")
        yield truth
        admin.execute("ALTER ROLE bench RESET search_path")
        admin.execute("DROP SCHEMA planted CASCADE")


def test_planted_functions_are_not_called(server: Server, planted: dict[str, int]) -> None:
    _, report = ask(server_instance(server))
    assert near(sizes(report), planted)
    with listening(doorman(Relay(server.port))) as port:
        _, pooled = ask(
            port_instance("postgresql", port, username="bench", tls=Tls(TlsMode.INSECURE))
        )
    assert near(sizes(pooled), planted)


def near(sizes: dict[str, int], truth: dict[str, int]) -> bool:
    """Planting took some pages of its own."""
    return sizes.keys() == truth.keys() and all(sizes[n] >= truth[n] for n in truth)


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ((1, True, 5), 5),
        ((1, True, 0), 0),
        ((1, False, None), Outcome.DENIED),
        ((1, True, None), Outcome.VANISHED),
        ((1, None, None), Outcome.VANISHED),
        ((1, True, "measured"), Outcome.ERROR),
        ((1, True, -5), Outcome.ERROR),
        ((1, True, True), Outcome.ERROR),
        ((1, True, 1.5), Outcome.ERROR),
        ((1, "f", 5), Outcome.ERROR),
        ((1,), Outcome.ERROR),
        ((1, True, 5, 5), Outcome.ERROR),
    ],
)
def test_a_row_is_a_size_only_if_it_looks_like_one(row: tuple[object, ...], answer: object) -> None:
    assert answer_of(row) == (1, answer)


@pytest.mark.parametrize("row", [(), ("1", True, 5), (None, True, 5)])
def test_a_row_about_nothing_is_no_answer(row: tuple[object, ...]) -> None:
    with pytest.raises(CollectFailed):
        answer_of(row)


def test_the_environment_has_no_say(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "PGHOST": "198.51.100.1",
        "PGHOSTADDR": "198.51.100.1",
        "PGPORT": "1",
        "PGUSER": "nobody",
        "PGPASSWORD": "wrong",
        "PGDATABASE": "nowhere",
        "PGPASSFILE": "/nowhere",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/nowhere",
        "PGSSLNEGOTIATION": "direct",
        "PGOPTIONS": "-c nonsense=1",
        "PGREQUIREAUTH": "gss",
        "PGTARGETSESSIONATTRS": "standby",
        "PGCHANNELBINDING": "require",
        "PGCLIENTENCODING": "LATIN1",
        "PGGSSENCMODE": "require",
        "PGAPPNAME": "somebody else",
        "PGCONNECT_TIMEOUT": "nonsense",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    inventory, _ = ask(server_instance(server, username=LOGIN), "secret")
    assert "订单" in {database.name for database in inventory.databases}


def test_names_in_another_encoding_show_as_escapes(server: Server) -> None:
    with postgres_admin(server) as admin:
        admin.execute("CREATE DATABASE raw ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0")
    try:
        with postgres_admin(server, "raw") as admin:
            admin.execute("SET client_encoding = SQL_ASCII")
            admin.execute(b'CREATE DATABASE "caf\xe9"')
            admin.execute(r'CREATE DATABASE "caf\xe9"')
        with connected(coordinator_of(server_instance(server))) as coordinator:
            names = {each.name for each in coordinator.fetch_inventory().databases}
            report = coordinator.collect_capacity(names)
        both = {name for name in names if name.startswith("caf\\xe9")}
        assert len(both) == 2
        assert both <= sizes(report).keys()
    finally:
        with postgres_admin(server, "raw") as admin:
            admin.execute("SET client_encoding = SQL_ASCII")
            admin.execute(b'DROP DATABASE IF EXISTS "caf\xe9"')
            admin.execute(r'DROP DATABASE IF EXISTS "caf\xe9"')
        execute(server, "DROP DATABASE {}", "raw")


def test_wrong_logins_are_told_apart(server: Server) -> None:
    execute(server, "CREATE ROLE {} NOLOGIN PASSWORD 'secret'", "sleeper")
    as_login = server_instance(server, username=LOGIN)
    told = {
        "wrong password": refusal(as_login, "wrong"),
        "no password": refusal(as_login, ""),
        "unknown user": refusal(server_instance(server, username="nobody here"), "x"),
        "no user": refusal(server_instance(server, username=""), "x"),
        "locked": refusal(server_instance(server, username="sleeper"), "secret"),
        "missing": refusal(server_instance(server, database_name="not there"), "x"),
        "closed": refusal(server_instance(server, database_name=CLOSED), "x"),
        "other port": refusal(server_instance(server, address=NetworkAddress(server.host, 1)), "x"),
    }
    execute(server, "DROP ROLE {}", "sleeper")
    assert told == {
        "wrong password": Reason.AUTH_FAILED,
        "no password": Reason.AUTH_FAILED,
        "unknown user": Reason.AUTH_FAILED,
        "no user": Reason.AUTH_FAILED,
        "locked": Reason.ACCOUNT_LOCKED,
        "missing": Reason.DATABASE_MISSING,
        "closed": Reason.DATABASE_MISSING,
        "other port": Reason.REFUSED,
    }


def test_a_database_that_lets_nobody_in_names_the_grant_that_helps(server: Server) -> None:
    instance = server_instance(server, username=LOGIN, database_name=DENIED)
    coordinator = coordinator_of(instance, "secret")
    assert not coordinator.connect()
    assert coordinator.failure is not None
    assert coordinator.failure.reason is Reason.PERMISSION_DENIED
    with postgres_admin(server) as admin:
        cure = coordinator.failure.hint.params["cure"]
        admin.execute(cure.params["sql"].encode())  # type: ignore[attr-defined]  # a Text
    try:
        assert coordinator.connect()
    finally:
        coordinator.disconnect()
        execute(server, "REVOKE CONNECT ON DATABASE {} FROM {}", DENIED, LOGIN)


def test_a_role_out_of_connections_is_told(server: Server) -> None:
    execute(server, "ALTER ROLE {} CONNECTION LIMIT 0", LOGIN)
    try:
        reason = refusal(server_instance(server, username=LOGIN), "secret")
    finally:
        execute(server, "ALTER ROLE {} CONNECTION LIMIT -1", LOGIN)
    assert reason == Reason.TOO_MANY_CONNECTIONS
