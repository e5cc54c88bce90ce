"""The doctor before real servers: what it misses, and that the printed cure is enough."""

from collections.abc import Iterator, Sequence

import psycopg
import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from tests.servers import HOST, Server
from tests.targets import (
    ask,
    connected,
    coordinator_of,
    mariadb_admin,
    outcomes,
    postgres_admin,
    server_instance,
)

from capacity_adapters.engines import engine_named
from capacity_core.diagnosis import Check, CheckState, Diagnosis, GrantScript
from capacity_core.doctor import diagnose
from capacity_core.messages import Language, render
from capacity_core.model import CollectFailed, Instance, Reason

pytestmark = pytest.mark.live

LOGIN = 'pl"ain'
OPEN, CLOSED, ALSO_CLOSED = "open to all", "closed to us", 'closed "too"'
PLACEHOLDER, SECRET = "change me", "secret"
OK, MISSING, UNKNOWN = CheckState.OK, CheckState.MISSING, CheckState.UNKNOWN


def examined(instance: Instance, password: str = SECRET, **known: bool) -> Diagnosis:
    return diagnose(instance, known, lambda each: coordinator_of(each, password))


def states(diagnosis: Diagnosis) -> dict[str, CheckState]:
    assert diagnosis.failure is None, diagnosis.failure
    return {check.name: check.state for check in diagnosis.checks}


def costs(diagnosis: Diagnosis) -> dict[str, tuple[str, ...]]:
    return {check.name: check.costs for check in diagnosis.checks if check.costs}


def printed_cures(checks: Sequence[Check]) -> list[str]:
    """Take what is printed, as an administrator would."""
    lead = "As an administrator, run: "
    said = dict.fromkeys(render(check.cure, Language.EN) for check in checks)
    return [each.removeprefix(lead) for each in said if each]


def only_script(db_type: str, user: str) -> GrantScript:
    return engine_named(db_type).load().grants(user)[0]


# PostgreSQL


def run_as_admin(server: Server, *statements: str) -> None:
    with postgres_admin(server) as admin:
        for statement in statements:
            admin.execute(statement.encode())


def named(statement: str, *names: str) -> str:
    return sql.SQL(statement).format(*map(sql.Identifier, names)).as_string()


@pytest.fixture(scope="module")
def pg(postgres: Server) -> Iterator[Server]:
    for name in (OPEN, CLOSED, ALSO_CLOSED):
        run_as_admin(postgres, named("CREATE DATABASE {}", name))
        if name != OPEN:
            run_as_admin(postgres, named("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", name))
    yield postgres
    for name in (OPEN, CLOSED, ALSO_CLOSED):
        run_as_admin(postgres, named("DROP DATABASE {}", name))


@pytest.fixture
def plain(pg: Server) -> Iterator[Instance]:
    """Lend a login that has no right at all."""
    run_as_admin(pg, named("CREATE ROLE {} LOGIN PASSWORD 'secret'", LOGIN))
    yield server_instance(pg, username=LOGIN)
    run_as_admin(pg, named("DROP OWNED BY {}", LOGIN), named("DROP ROLE {}", LOGIN))


def all_green(diagnosis: Diagnosis, instance: Instance, password: str = SECRET) -> bool:
    """Tell whether nothing is missing, everything is seen, and everything is measured."""
    inventory, report = ask(instance, password)
    assert set(states(diagnosis).values()) == {OK}
    assert (diagnosis.complete, inventory.complete) == (True, True)
    assert printed_cures(diagnosis.checks) == []
    assert outcomes(report) == {}
    return diagnosis.ready


@pytest.mark.parametrize("role", ["INHERIT", "NOINHERIT"])
def test_postgresql_misses_a_right_and_its_cure_is_enough(
    pg: Server, plain: Instance, role: str
) -> None:
    run_as_admin(pg, named(f"ALTER ROLE {{}} {role}", LOGIN))
    before = examined(plain)
    assert states(before) == {"connect": OK, "read_sizes": MISSING}
    assert costs(before) == {"read_sizes": (ALSO_CLOSED, CLOSED)}
    assert before.complete
    assert not before.ready
    (cure,) = printed_cures(before.checks)
    run_as_admin(pg, cure)
    assert all_green(examined(plain), plain)


def test_a_membership_that_is_not_inherited_is_no_right(pg: Server, plain: Instance) -> None:
    run_as_admin(pg, named("ALTER ROLE {} NOINHERIT", LOGIN))
    run_as_admin(pg, named("GRANT pg_read_all_stats TO {}", LOGIN))
    before = examined(plain)
    assert costs(before) == {"read_sizes": (ALSO_CLOSED, CLOSED)}
    run_as_admin(pg, *printed_cures(before.checks))
    assert all_green(examined(plain), plain)


def test_connect_on_every_database_is_as_good(pg: Server, plain: Instance) -> None:
    for name in (CLOSED, ALSO_CLOSED):
        run_as_admin(pg, named("GRANT CONNECT ON DATABASE {} TO {}", name, LOGIN))
    found = examined(plain)
    for name in (CLOSED, ALSO_CLOSED):
        run_as_admin(pg, named("REVOKE CONNECT ON DATABASE {} FROM {}", name, LOGIN))
    assert found.ready


def test_a_half_dropped_database_costs_nothing_that_a_right_would_bring(
    pg: Server, plain: Instance
) -> None:
    run_as_admin(pg, "CREATE DATABASE half", "REVOKE CONNECT ON DATABASE half FROM PUBLIC")
    run_as_admin(pg, "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half'")
    try:
        found = examined(plain)
    finally:
        run_as_admin(pg, "DROP DATABASE half")
    assert costs(found) == {"read_sizes": (ALSO_CLOSED, CLOSED)}


def test_the_deadline_ends_an_examination_too(pg: Server) -> None:
    with connected(coordinator_of(server_instance(pg))) as coordinator:
        coordinator._conversation.guard.hurry(0.0)  # type: ignore[attr-defined]  # a look inside
        with pytest.raises(CollectFailed) as caught:
            coordinator.examine()
    assert caught.value.failure.reason is Reason.TIMEOUT


def test_a_probe_that_is_refused_leaves_the_right_unknown(pg: Server, plain: Instance) -> None:
    what = "ON FUNCTION pg_catalog.has_database_privilege(oid, text)"
    run_as_admin(pg, f"REVOKE EXECUTE {what} FROM PUBLIC")
    try:
        found = examined(plain)
    finally:
        run_as_admin(pg, f"GRANT EXECUTE {what} TO PUBLIC")
    assert states(found) == {"connect": OK, "read_sizes": UNKNOWN}
    assert not found.ready


def test_postgresql_s_script_is_enough(pg: Server) -> None:
    for number in (0, 1):  # the other lets an administrator grant pg_monitor instead
        user = f"scripted\n{number} \\'\"%s{{}}é"
        script = engine_named("postgresql").load().grants(user)[number]
        with postgres_admin(pg) as admin:
            admin.execute(str(script).encode())
        instance = server_instance(pg, username=user)
        try:
            assert all_green(examined(instance, PLACEHOLDER), instance, PLACEHOLDER)
            assert reads_no_data(pg, user)
        finally:
            run_as_admin(pg, named("DROP ROLE {}", user))


def reads_no_data(server: Server, user: str) -> bool:
    """Tell whether that login is refused a table that somebody else made."""
    run_as_admin(server, "CREATE TABLE IF NOT EXISTS public.somebody_s (x int)")
    try:
        with (
            psycopg.connect(
                host=server.host,
                port=server.port,
                user=user,
                password=PLACEHOLDER,
                dbname="postgres",
            ) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("SELECT * FROM public.somebody_s")
    finally:
        run_as_admin(server, "DROP TABLE public.somebody_s")
    return True


def test_the_third_script_lets_a_login_in_where_nobody_may(pg: Server) -> None:
    scripts = engine_named("postgresql").load().grants("third")
    run_as_admin(pg, "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC", str(scripts[0]))
    instance = server_instance(pg, username="third")
    try:
        refused = examined(instance, PLACEHOLDER)
        run_as_admin(pg, str(scripts[2]))
        assert all_green(examined(instance, PLACEHOLDER), instance, PLACEHOLDER)
    finally:
        run_as_admin(
            pg,
            "GRANT CONNECT ON DATABASE postgres TO PUBLIC",
            "DROP OWNED BY third",
            "DROP ROLE third",
        )
    assert refused.failure is not None


def test_the_doctor_s_session_in_postgresql_reads_only(pg: Server) -> None:
    with connected(coordinator_of(server_instance(pg))) as coordinator:
        coordinator.examine()
        link = coordinator._conversation.main  # type: ignore[attr-defined]  # a look inside
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            link.ask("CREATE TABLE made_by_the_doctor (x int)")


# PostgreSQL's names take 63 bytes, and any character but NUL.
ROLES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).filter(
    lambda name: len(name.encode()) <= 63 and not name.startswith("pg_")
)


@given(user=ROLES | st.text(st.sampled_from("a'\"\\;-`$%{ é"), min_size=1, max_size=20))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
def test_any_role_name_is_quoted_right(pg: Server, user: str) -> None:
    with postgres_admin(pg) as admin, admin.transaction(force_rollback=True):
        admin.execute("SET client_min_messages = error")
        before = admin.execute("SELECT rolname FROM pg_roles").fetchall()
        admin.execute(str(only_script("postgresql", user)).encode())
        after = admin.execute("SELECT rolname FROM pg_roles").fetchall()
    assert set(after) - set(before) == {(user,)}


# MariaDB


def run_in_mariadb(server: Server, *statements: str) -> None:
    with mariadb_admin(server) as admin:
        for statement in statements:
            admin.execute(statement)


@pytest.fixture(scope="module")
def maria(mariadb: Server) -> Iterator[Server]:
    for name in ("cups", "plates"):
        run_in_mariadb(mariadb, f"CREATE DATABASE {name}", f"CREATE TABLE {name}.t (x INT)")
    yield mariadb
    for name in ("cups", "plates"):
        run_in_mariadb(mariadb, f"DROP DATABASE {name}")


@pytest.fixture
def little(maria: Server) -> Iterator[Instance]:
    """Lend a login that has no right at all."""
    run_in_mariadb(maria, f"CREATE USER 'litt`le'@'{HOST}' IDENTIFIED BY 'secret'")
    yield server_instance(maria, username="litt`le")
    run_in_mariadb(maria, f"DROP USER 'litt`le'@'{HOST}'")


GRANT = f"TO 'litt`le'@'{HOST}'"


@pytest.mark.parametrize(
    ("granted", "missing", "costly"),
    [
        pytest.param((), {"see_schemas", "read_files"}, (), id="nothing"),
        pytest.param(
            ("SHOW DATABASES ON *.*",), {"see_tables", "read_files"}, ("cups", "plates"), id="names"
        ),
        pytest.param(("PROCESS ON *.*",), {"see_schemas"}, (), id="files"),
        pytest.param(
            ("SELECT ON cups.*", "EXECUTE ON plates.*"),
            {"see_schemas", "see_tables", "read_files"},
            ("plates",),
            id="two schemas, the tables of one",
        ),
        pytest.param(("SELECT ON *.*",), {"read_files"}, (), id="estimates"),
    ],
)
def test_mariadb_misses_rights_and_their_cures_are_enough(
    maria: Server,
    little: Instance,
    granted: tuple[str, ...],
    missing: set[str],
    costly: tuple[str, ...],
) -> None:
    run_in_mariadb(maria, *(f"GRANT {each} {GRANT}" for each in granted))
    before = examined(little, cups=True, plates=True)
    assert {name for name, state in states(before).items() if state is MISSING} == missing
    assert UNKNOWN not in states(before).values()
    assert costs(before) == ({"see_tables": costly} if costly else {})
    assert before.complete is ("see_schemas" not in missing)
    seen = set(costly) | ({"cups"} if "SELECT ON cups.*" in granted else set())
    assert set(before.unseen) == (set() if before.complete else {"cups", "plates"} - seen)
    run_in_mariadb(maria, *printed_cures(before.checks))
    assert all_green(examined(little), little)


def test_the_anonymous_account_s_rights_are_nobody_s(maria: Server) -> None:
    run_in_mariadb(maria, "CREATE USER shadowed IDENTIFIED BY 'secret'")
    run_in_mariadb(maria, f"CREATE USER ''@'{HOST}'")
    try:
        found = examined(server_instance(maria, username="shadowed"), "")
        refused = examined(server_instance(maria, username="shadowed"))
    finally:
        run_in_mariadb(maria, f"DROP USER ''@'{HOST}', shadowed")
    assert found.failure is not None
    assert found.failure.hint.key == "hint.auth_failed.anonymous"
    assert printed_cures(found.checks) == []
    assert refused.failure is not None
    assert refused.failure.hint.key == "hint.auth_failed.or_host"


def test_mariadb_s_script_is_enough_and_reads_no_data(maria: Server) -> None:
    user = "o'ha`ra \\é"
    script = only_script("mysql", user)
    run_in_mariadb(maria, *script.statements)
    instance = server_instance(maria, username=user)
    try:
        assert all_green(examined(instance, PLACEHOLDER), instance, PLACEHOLDER)
        connection = pymysql.connect(
            host=maria.host,
            port=maria.port,
            user=user.encode(),
            password=PLACEHOLDER,
            ssl_disabled=True,
        )
        with (
            connection,
            connection.cursor() as cursor,
            pytest.raises(pymysql.err.OperationalError, match="SELECT command denied"),
        ):
            cursor.execute("SELECT * FROM cups.t")
    finally:
        run_in_mariadb(maria, drop(user))


def drop(user: str) -> str:
    quoted = user.replace("`", "``")
    return f"DROP USER `{quoted}`@`%`"


# MariaDB's user names take 128 characters, of the first plane of Unicode only; blanks at their end
# are lost, and the command refuses them.
USERS = st.text(
    st.characters(exclude_characters="\0", max_codepoint=0xFFFF, codec="utf-8"),
    min_size=1,
    max_size=60,
) | st.text(st.sampled_from("a'\"\\;-`$%{ é@"), min_size=1, max_size=20)


@given(user=USERS.filter(lambda name: name == name.strip()))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@pytest.mark.parametrize("mode", ["", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"])
def test_any_user_name_is_quoted_right(maria: Server, mode: str, user: str) -> None:
    with mariadb_admin(maria) as admin:
        admin.execute("SET SESSION sql_mode = %s", [mode])
        for statement in only_script("mysql", user).statements:
            admin.execute(statement)
        try:
            admin.execute("SELECT user, host FROM mysql.user WHERE host = '%'")
            assert (user, "%") in admin.fetchall()
        finally:
            admin.execute(drop(user))


@pytest.mark.parametrize("db_type", ["postgresql", "mysql"])
def test_no_right_to_read_data_is_among_the_grants(db_type: str) -> None:
    for script in engine_named(db_type).load().grants("capacity"):
        said = str(script).upper()
        for word in ("SELECT", "ALL", "SUPER", "PG_READ_ALL_DATA"):
            assert f" {word} " not in said.replace(",", " ")
