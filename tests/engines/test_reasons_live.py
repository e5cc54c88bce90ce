"""Each way a real server refuses us: the reason, the hint, and that the cure it prints cures."""

import logging
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from attrs import evolve, field, frozen
from tests.certificates import Certificates, make_certificates
from tests.servers import HOST, Server, start_mariadb, start_postgres, temporary
from tests.targets import (
    ask,
    connected,
    coordinator_of,
    mariadb_admin,
    postgres_admin,
    server_instance,
)

from capacity_adapters.engines.mysql import FILES, TABLES
from capacity_core.diagnosis import CheckState
from capacity_core.messages import CATALOGUE, Language, Text, render
from capacity_core.model import (
    CollectFailed,
    Failure,
    Freshness,
    Instance,
    NetworkAddress,
    Tls,
    TlsMode,
)

pytestmark = pytest.mark.live

LOGIN = 'odd "login"'
LOGINS = ("{login}", "tls_only", "with_cert", "rejected")
ODD = "o`dd 'login'"  # MariaDB's
# First come, first served: the last two lines are the usual ones.
HBA = f"""\
host all ghost {HOST}/32 trust
host all rejected {HOST}/32 reject
host all "{{}}" {HOST}/32 scram-sha-256
hostssl all tls_only {HOST}/32 scram-sha-256
hostssl all with_cert {HOST}/32 scram-sha-256 clientcert=verify-ca
hostssl all bench {HOST}/32 trust
host all nobody {HOST}/32 scram-sha-256
host all bench {HOST}/32 trust
host template1 all {HOST}/32 scram-sha-256
""".format(LOGIN.replace('"', '""'))


@frozen
class Case:
    """A refusal: what leads to it, what an operator is told, and what undoes it.

    `code` is the row of the engine's table, as the log tells it. `abroad` is the hint where the
    server's words are in a language that we do not read. `cured` says that the printed SQL, run
    as it stands, lets us in, with the password `afterwards`.
    """

    name: str
    code: str
    hint: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    changes: dict[str, Any] = field(factory=dict)
    password: str = "secret"
    abroad: str = ""
    cured: bool = False
    afterwards: str = "secret"


def named(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=f"provoked-{case.code}-{case.name}") for case in cases]


POSTGRES = [
    Case("wrong password", "28P01", "auth_failed.or_expired", password="wrong"),
    Case("unknown user", "28P01", "auth_failed.or_expired", changes={"username": "nobody"}),
    Case("no password", "no password supplied", "auth_failed.no_password", password=""),
    Case(
        "unknown user, trusted",
        "28000",
        "auth_failed.user",
        changes={"username": "ghost"},
        abroad="auth_failed.or_no_login",
    ),
    Case(
        "expired password",
        "28P01",
        "auth_failed.or_expired",
        before=("ALTER ROLE {login} VALID UNTIL '2001-01-01'",),
        cured=True,
    ),
    Case(
        "may not log in",
        "28000",
        "account_locked.no_login",
        before=("ALTER ROLE {login} NOLOGIN",),
        abroad="auth_failed.or_no_login",
        cured=True,
    ),
    Case(
        "no CONNECT",
        "42501",
        "permission_denied",
        before=("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC",),
        after=(
            "GRANT CONNECT ON DATABASE {database} TO PUBLIC",
            "REVOKE CONNECT ON DATABASE {database} FROM {login}",
        ),
        cured=True,
    ),
    Case(
        "role limit",
        "53300",
        "too_many_connections.login",
        before=("ALTER ROLE {login} CONNECTION LIMIT 0",),
        cured=True,
    ),
    Case(
        "database limit",
        "53300",
        "too_many_connections.database",
        before=("ALTER DATABASE {database} CONNECTION LIMIT 0",),
        cured=True,
    ),
    Case("unknown database", "3D000", "database_missing", changes={"database_name": "not there"}),
    Case(
        "closed database",
        "55000",
        "database_missing.closed",
        before=("ALTER DATABASE {database} ALLOW_CONNECTIONS false",),
        cured=True,
    ),
    Case(
        "half dropped database",
        "55000",
        "database_missing.invalid",
        before=("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'a \"base\"'",),
        after=("UPDATE pg_database SET datconnlimit = -1 WHERE datname = 'a \"base\"'",),
    ),
    Case("rejected", "28000", "permission_denied.hba", changes={"username": "rejected"}),
    Case("no line", "28000", "permission_denied.hba", changes={"username": "somebody"}),
    Case("TLS only", "28000", "permission_denied.hba", changes={"username": "tls_only"}),
    Case(
        "client certificate",
        "28000",
        "tls.client",
        changes={"username": "with_cert", "tls": Tls(TlsMode.REQUIRE)},
        abroad="permission_denied.hba",
    ),
]


@contextmanager
def encrypted(start: Any, account: str, options: Callable[[Certificates], list[str]]) -> Any:
    """Lend a server that offers TLS, and the authorities to trust or not."""
    folder = Path(tempfile.mkdtemp(prefix="capacity-"))
    try:
        made = make_certificates(folder, account)
        server = start(folder, options=options(made))
        try:
            yield server, made
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def postgres_options(made: Certificates) -> list[str]:
    settings = {"ssl": "on", "ssl_cert_file": made.certificate, "ssl_key_file": made.key}
    settings |= {"ssl_ca_file": made.ca, "lc_messages": "C.UTF-8"}
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def mariadb_options(made: Certificates) -> list[str]:
    keys = [f"--ssl-ca={made.ca}", f"--ssl-cert={made.certificate}", f"--ssl-key={made.key}"]
    return [*keys, "--max-connections=10", "--max-user-connections=5"]


@frozen
class Talking:
    """A PostgreSQL that talks in some language; `abroad` if that is none we read."""

    server: Server
    abroad: bool


def names(statement: str) -> bytes:
    quoted = {"login": '"odd ""login"""', "database": '"a ""base"""'}
    return statement.format(**quoted).encode()


@contextmanager
def prepared(server: Server, *, tls: bool = True) -> Iterator[Talking]:
    """Lend it with the logins, the database and the lines of pg_hba.conf that the cases need."""
    hba = server.folder / "data" / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text(
        HBA if tls else "".join(line for line in HBA.splitlines(keepends=True) if "ssl" not in line)
    )
    with postgres_admin(server) as admin:
        admin.execute("SELECT pg_reload_conf()")
        admin.execute(names("CREATE DATABASE {database}"))
        for login in LOGINS:
            admin.execute(names(f"CREATE ROLE {login} LOGIN PASSWORD 'secret'"))
        with pytest.raises(psycopg.Error) as caught:
            admin.execute("SELECT nonsense")
        yield Talking(server, abroad="does not exist" not in str(caught.value))
        admin.execute(names("DROP DATABASE {database}"))
        for login in LOGINS:
            admin.execute(names(f"DROP ROLE {login}"))
        hba.write_text(before)
        admin.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="module", params=["C", "zh_CN", "de"])
def talking(request: pytest.FixtureRequest) -> Iterator[Talking]:
    """Lend a PostgreSQL for each language that the system may have; English without it."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # no other server is to start with it
            patch.setenv("LANGUAGE", request.param)
            lent = stack.enter_context(encrypted(start_postgres, "postgres", postgres_options))
        yield stack.enter_context(prepared(lent[0]))


@pytest.mark.parametrize("case", named(POSTGRES))
def test_postgres_refuses(talking: Talking, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    base = server_instance(talking.server, username=LOGIN, database_name='a "base"')
    instance = evolve(base, **{"tls": Tls(TlsMode.INSECURE), **case.changes})
    with postgres_admin(talking.server) as admin, ExitStack() as undo:
        for statement in case.after:
            undo.callback(admin.execute, names(statement))
        for statement in case.before:
            admin.execute(names(statement))
        failure = failure_of(instance, case.password, caplog)
        told(failure, (talking.abroad and case.abroad) or case.hint, instance)
        assert case.code in caplog.text
        if case.cured:
            admin.execute(cure_of(failure).encode())
            with connected(coordinator_of(instance, case.afterwards)):
                pass


MARIADB = [
    Case("wrong password", "1045", "auth_failed.or_host", password="wrong"),
    Case("unknown user", "1045", "auth_failed.or_host", changes={"username": "nobody"}),
    Case("no password", "1045", "auth_failed.none_or_host", password=""),
    Case("no user", "1045", "auth_failed.or_host", changes={"username": ""}),
    Case(
        "locked account",
        "4151",
        "account_locked.locked",
        before=("ALTER USER {login} ACCOUNT LOCK",),
        cured=True,
    ),
    Case(
        "expired password",
        "1820",
        "account_locked.password_expired",
        before=("ALTER USER {login} PASSWORD EXPIRE",),
        cured=True,
        afterwards="a new password",
    ),
    Case(
        "expired password, told at the door",
        "1862",
        "account_locked.password_expired",
        before=(
            "ALTER USER {login} PASSWORD EXPIRE",
            "SET GLOBAL disconnect_on_expired_password = ON",
        ),
        after=("SET GLOBAL disconnect_on_expired_password = DEFAULT",),
        cured=True,
        afterwards="a new password",
    ),
    Case(
        "blocked account",
        "4150",
        "account_locked.blocked",
        before=("SET GLOBAL max_password_errors = 1", "-- wrong password"),
        after=("SET GLOBAL max_password_errors = DEFAULT",),
        cured=True,
    ),
    Case(
        "own limit of connections",
        "1226",
        "too_many_connections.login",
        before=("ALTER USER {login} WITH MAX_USER_CONNECTIONS 1", "-- 1 connection"),
        cured=True,
    ),
    Case(
        "own limit of connections an hour",
        "1226",
        "too_many_connections.login",
        before=(
            "FLUSH USER_RESOURCES",
            "ALTER USER {login} WITH MAX_CONNECTIONS_PER_HOUR 1",
            "-- log in",
        ),
        cured=True,
    ),
    Case(
        "everybody's limit of connections",
        "1203",
        "too_many_connections.login",
        before=("-- 5 connections",),
        cured=True,
    ),
    Case(
        "login by socket",
        "1698",
        "auth_failed.method",
        before=("ALTER USER {login} IDENTIFIED VIA unix_socket",),
        cured=True,
        afterwards="a new password",
    ),
    Case(
        "nobody from here",
        "1130",
        "permission_denied.host",
        before=("-- move away",),
    ),
    Case(
        "TLS for everybody",
        "1045",
        "auth_failed.or_host",
        before=("SET GLOBAL require_secure_transport = ON",),
        after=("SET GLOBAL require_secure_transport = OFF",),
    ),
    Case(
        "TLS for this account",
        "1045",
        "auth_failed.or_host",
        before=("ALTER USER {login} REQUIRE SSL",),
    ),
]


@pytest.fixture(scope="module")
def mariadb_tls() -> Iterator[tuple[Server, Certificates]]:
    with encrypted(start_mariadb, "mysql", mariadb_options) as made:
        yield made


def spelled(statement: str) -> str:
    return statement.format(login="`o``dd 'login'`@`%`")


def log_in(server: Server, password: str) -> "pymysql.Connection[Any]":
    return pymysql.connect(
        host=server.host, port=server.port, user=ODD, password=password, ssl_disabled=True
    )


@pytest.mark.parametrize("case", named(MARIADB))
def test_mariadb_refuses(
    mariadb_tls: tuple[Server, Certificates], case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    server, _ = mariadb_tls
    base = server_instance(server, username=ODD, tls=Tls(TlsMode.INSECURE))
    instance = evolve(base, **case.changes)
    with mariadb_admin(server) as admin, ExitStack() as undo:
        admin.execute(spelled("CREATE USER {login} IDENTIFIED BY 'secret'"))
        undo.callback(admin.execute, spelled("DROP USER {login}"))
        for statement in case.after:
            undo.callback(admin.execute, statement)
        for statement in case.before:
            prepare(server, admin, spelled(statement), undo)
        failure = failure_of(instance, case.password, caplog)
        told(failure, case.hint, instance)
        assert f"({case.code}, " in caplog.text
        if case.cured:
            admin.execute(cure_of(failure))
            with connected(coordinator_of(instance, case.afterwards)) as coordinator:
                coordinator.fetch_inventory()


def prepare(server: Server, admin: "pymysql.cursors.Cursor", step: str, undo: ExitStack) -> None:
    """Do what the statement says, or what the remark asks of a client."""
    if not step.startswith("-- "):
        admin.execute(step)
    elif step == "-- wrong password":
        with pytest.raises(pymysql.Error):
            log_in(server, "wrong")
    elif step == "-- log in":
        log_in(server, "secret").close()
    elif step == "-- move away":
        undo.callback(admin.execute, "FLUSH PRIVILEGES")
        for user, here in (("bench", HOST), ("root", HOST), ("`o``dd 'login'`", "%")):
            admin.execute(f"RENAME USER {user}@'{here}' TO {user}@'198.51.100.1'")
            undo.callback(admin.execute, f"RENAME USER {user}@'198.51.100.1' TO {user}@'{here}'")
        admin.execute("FLUSH PRIVILEGES")
    else:
        for _ in range(int(step.split()[1])):
            undo.callback(log_in(server, "secret").close)


def test_without_process_sizes_are_estimates_until_the_printed_cure(
    mariadb_tls: tuple[Server, Certificates],
) -> None:
    server, _ = mariadb_tls
    instance = server_instance(server, username=ODD)
    with mariadb_admin(server) as admin, ExitStack() as undo:
        for statement, opposite in (
            ("CREATE USER {login} IDENTIFIED BY 'secret'", "DROP USER {login}"),
            ("CREATE DATABASE cups", "DROP DATABASE cups"),
            ("CREATE TABLE cups.t (x INT) ENGINE=InnoDB", "DROP TABLE cups.t"),
        ):
            admin.execute(spelled(statement))
            undo.callback(admin.execute, spelled(opposite))
        admin.execute(spelled("GRANT SHOW VIEW ON *.* TO {login}"))
        _, before = ask(instance, "secret")
        with connected(coordinator_of(instance, "secret")) as coordinator:
            coordinator.fetch_inventory()
            checks = {check.name: check for check in coordinator.examine()}
        assert checks["read_files"].state is CheckState.MISSING
        admin.execute(str(checks["read_files"].cure.params["sql"]))
        _, after = ask(instance, "secret")
    for report, method, freshness in (
        (before, TABLES, Freshness.ESTIMATE),
        (after, FILES, Freshness.LIVE),
    ):
        (size,) = (size for size in report.sizes if size.name == "cups")
        assert (size.method, size.freshness) == (method, freshness)


@pytest.mark.parametrize("code", ["1040"], ids=["provoked-1040-server full"])
def test_mariadb_is_full(code: str, caplog: pytest.LogCaptureFixture) -> None:
    with temporary(start_mariadb, options=["--max-connections=10"]) as server, ExitStack() as busy:
        instance = server_instance(server, username="other", tls=Tls(TlsMode.INSECURE))
        with mariadb_admin(server) as admin:
            admin.execute("CREATE USER other IDENTIFIED BY 'secret'")
            for _ in range(9):
                busy.enter_context(connected(coordinator_of(instance, "secret")))
            told(failure_of(instance, "secret", caplog), "too_many_connections", instance)
    assert f"({code}, " in caplog.text


def test_postgres_is_full_then_stops(caplog: pytest.LogCaptureFixture) -> None:
    small = ("-c", "max_connections=4", "-c", "superuser_reserved_connections=2")
    with temporary(start_postgres, options=small) as server, ExitStack() as busy:
        with postgres_admin(server) as admin:
            admin.execute("CREATE ROLE other LOGIN PASSWORD 'secret'")
        root, other = server_instance(server), server_instance(server, username="other")
        for _ in range(2):
            busy.enter_context(connected(coordinator_of(other, "secret")))
        told(failure_of(other, "secret", caplog), "too_many_connections", other)
        for _ in range(2):
            busy.enter_context(connected(coordinator_of(root)))
        told(failure_of(root, "", caplog), "too_many_connections", root)
        assert caplog.text.count("53300") >= 2
        server.process.send_signal(signal.SIGTERM)  # it waits for those that are in
        last = failure_of(root, "", caplog)
        while last.reason == "too_many_connections":  # it takes the signal when it likes
            last = failure_of(root, "", caplog)
        told(last, "connection_lost.starting", root)
        assert "57P03" in caplog.text


def test_a_line_in_pg_hba_and_the_printed_reload_let_us_in(
    talking: Talking, caplog: pytest.LogCaptureFixture
) -> None:
    instance = server_instance(
        talking.server, username="rejected", tls=Tls(TlsMode.INSECURE), database_name="postgres"
    )
    failure = failure_of(instance, "secret", caplog)
    hba = talking.server.folder / "data" / "pg_hba.conf"
    with postgres_admin(talking.server) as admin:
        hba.write_text(HBA.replace(f"rejected {HOST}/32 reject", f"rejected {HOST}/32 trust"))
        try:
            admin.execute(cure_of(failure).encode())
            while failure.reason == "permission_denied":  # the server reads it when it likes
                coordinator = coordinator_of(instance, "secret")
                if coordinator.connect():
                    coordinator.disconnect()
                    break
                assert coordinator.failure is not None
                failure = coordinator.failure
        finally:
            hba.write_text(HBA)
            admin.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="module")
def postgres_tls() -> Iterator[tuple[Server, Certificates]]:
    with encrypted(start_postgres, "postgres", postgres_options) as made:
        yield made


@pytest.mark.parametrize("engine", ["postgres_tls", "mariadb_tls"])
@pytest.mark.parametrize(
    ("mode", "ca", "host", "hint"),
    [
        pytest.param(TlsMode.VERIFY_FULL, "other_ca", "localhost", "tls.authority", id="wrong CA"),
        pytest.param(TlsMode.VERIFY_CA, "other_ca", HOST, "tls.authority", id="wrong CA, any name"),
        pytest.param(TlsMode.VERIFY_FULL, "ca", HOST, "tls.name", id="wrong host name"),
    ],
)
def test_a_certificate_is_refused(
    request: pytest.FixtureRequest,
    engine: str,
    mode: TlsMode,
    ca: str,
    host: str,
    hint: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, made = request.getfixturevalue(engine)
    address = NetworkAddress(host, server.port)
    tls = Tls(mode, str(getattr(made, ca)))
    instance = server_instance(server, address=address, tls=tls)
    told(failure_of(instance, "bench", caplog), hint, instance)


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
@pytest.mark.parametrize("mode", [TlsMode.VERIFY_FULL, TlsMode.VERIFY_CA, TlsMode.REQUIRE])
def test_a_server_without_tls_is_refused(
    request: pytest.FixtureRequest, engine: str, mode: TlsMode, caplog: pytest.LogCaptureFixture
) -> None:
    instance = server_instance(request.getfixturevalue(engine), tls=Tls(mode))
    told(failure_of(instance, "bench", caplog), "tls.none", instance)


def failure_of(instance: Instance, password: str, caplog: pytest.LogCaptureFixture) -> Failure:
    """Expect that a conversation fails before it has an inventory, and tell why."""
    caplog.set_level(logging.INFO, logger="capacity_adapters")
    coordinator = coordinator_of(instance, password)
    try:
        if not coordinator.connect():
            assert coordinator.failure is not None
            return coordinator.failure
        with pytest.raises(CollectFailed) as caught:
            coordinator.fetch_inventory()
        return caught.value.failure
    finally:
        coordinator.disconnect()


def told(failure: Failure, hint: str, instance: Instance) -> None:
    assert failure.hint.key == f"hint.{hint}"
    assert failure.reason == hint.partition(".")[0]
    assert failure.hint.key in CATALOGUE
    for language in Language:
        said = render(failure.hint, language)
        assert "{" not in said
        assert "secret" not in said
    cure = failure.hint.params.get("cure")
    assert instance.username or not isinstance(cure, Text)


def cure_of(failure: Failure) -> str:
    cure = failure.hint.params["cure"]
    assert isinstance(cure, Text)
    return str(cure.params["sql"])
