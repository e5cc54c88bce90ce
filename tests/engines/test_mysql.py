"""MariaDB as it really answers: odd names, every storage engine, and logins that see little."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pymysql
import pytest
from tests.servers import HOST, Server, start_mariadb
from tests.targets import (
    ask,
    connected,
    coordinator_of,
    cures,
    mariadb_admin,
    outcomes,
    refusal,
    server_instance,
    sizes,
)

from capacity_adapters.engines import mysql
from capacity_adapters.engines.mysql import FILES, TABLES
from capacity_adapters.engines.mysql.connect import Flavour, flavour_of
from capacity_adapters.engines.mysql.shared import Shared, shared_sizes
from capacity_core.messages import text
from capacity_core.model import CollectFailed, Freshness, Reason, Unmeasured, sql_cure

pytestmark = pytest.mark.live

NAMES = (
    "a-b",
    "café",
    "订单",
    "Ω",
    "Жук",
    "a b",
    "x#y",
    "at@sign",
    "per%cent",
    "back\\slash",
    "Shop",
    "shop",
    "con",
    "x" * 64,
    "é" * 64,
    "dot.dot",
    "sla/sh",
)
MIXED, EMPTY = "mixed engines", "empty"
IN_MIXED = (
    "CREATE TABLE plain (x INT PRIMARY KEY, y VARCHAR(200), KEY (y)) ENGINE=InnoDB",
    "CREATE TABLE parts (x INT) ENGINE=InnoDB PARTITION BY HASH (x) PARTITIONS 3",
    "CREATE TABLE myisam (x INT PRIMARY KEY) ENGINE=MyISAM",
    "CREATE TABLE aria (x INT PRIMARY KEY) ENGINE=Aria",
    "CREATE TABLE memory (x INT) ENGINE=MEMORY",
    "CREATE TABLE merged (x INT PRIMARY KEY) ENGINE=MRG_MyISAM UNION=(myisam)",
    "CREATE SEQUENCE numbers ENGINE=InnoDB",
    "CREATE VIEW seen AS SELECT x FROM plain",
    "INSERT INTO plain SELECT seq, REPEAT('y', 100) FROM seq_1_to_5000",
    "INSERT INTO myisam SELECT seq FROM seq_1_to_5000",
    "INSERT INTO aria SELECT seq FROM seq_1_to_5000",
    "INSERT INTO memory SELECT seq FROM seq_1_to_5000",
)
STORED_ELSEWHERE = (
    "SELECT SUM(data_length + index_length) FROM information_schema.tables"
    " WHERE table_schema = %s AND engine IN ('MyISAM', 'Aria')"
)
ESTIMATED = (
    "SELECT SUM(data_length + index_length) FROM information_schema.tables"
    " WHERE BINARY table_schema = %s AND engine IN ('MyISAM', 'Aria', 'InnoDB')"
)
ALL_RIGHTS = "GRANT ALL ON *.*"


def quoted(name: str) -> str:
    return f"`{name}`"


@pytest.fixture(scope="module")
def folders(mariadb: Server) -> Iterator[dict[str, Path]]:
    """Make the schemas, and find out by looking which folder each one has."""
    data = mariadb.folder / "data"
    found: dict[str, Path] = {}
    with mariadb_admin(mariadb) as admin:
        for name in (*NAMES, MIXED, EMPTY):
            before = set(data.iterdir())
            admin.execute(f"CREATE DATABASE {quoted(name)}")
            (found[name],) = set(data.iterdir()) - before
        for name in NAMES:
            admin.execute(f"CREATE TABLE {quoted(name)}.`tä/b` (x INT) ENGINE=InnoDB")
        admin.execute(f"USE {quoted(MIXED)}")
        for statement in IN_MIXED:
            admin.execute(statement)
    yield found
    with mariadb_admin(mariadb) as admin:
        for name in found:
            admin.execute(f"DROP DATABASE {quoted(name)}")


@pytest.fixture
def login(mariadb: Server) -> Iterator[str]:
    name = "little"
    with mariadb_admin(mariadb) as admin:
        admin.execute(f"CREATE USER '{name}'@'{HOST}' IDENTIFIED BY 'secret'")
        yield name
        admin.execute(f"DROP USER '{name}'@'{HOST}'")


def grant(server: Server, *grants: str, to: str) -> None:
    with mariadb_admin(server) as admin:
        for each in grants:
            admin.execute(f"{each} TO '{to}'@'{HOST}'")


def on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.ibd"))


def true_sizes(server: Server, folders: dict[str, Path]) -> dict[str, int]:
    with mariadb_admin(server) as admin:
        admin.execute(STORED_ELSEWHERE, [MIXED])
        rows = admin.fetchall()
    others = {MIXED: int(rows[0][0])}
    return {name: on_disk(folder) + others.get(name, 0) for name, folder in folders.items()}


def test_every_schema_has_its_true_size(mariadb: Server, folders: dict[str, Path]) -> None:
    inventory, report = ask(server_instance(mariadb))
    assert inventory.complete
    assert sizes(report) == true_sizes(mariadb, folders)
    assert outcomes(report) == {}
    assert {(size.method, size.freshness) for size in report.sizes} == {(FILES, Freshness.LIVE)}
    durations = {size.duration_ms for size in report.sizes}
    assert len(durations) == 1
    assert durations.pop()
    assert sizes(report)[EMPTY] == 0
    assert sizes(report)[MIXED] > 1024 * 1024


def test_without_process_the_server_s_own_tables_count(
    mariadb: Server, folders: dict[str, Path], login: str
) -> None:
    grant(mariadb, "GRANT SELECT ON *.*", to=login)
    inventory, report = ask(server_instance(mariadb, username=login), "secret")
    assert inventory.complete
    assert sizes(report).keys() == folders.keys()
    assert {size.method for size in report.sizes} == {TABLES}
    freshness = {size.name: size.freshness for size in report.sizes}
    estimates = dict.fromkeys(folders, Freshness.ESTIMATE)
    assert freshness == {**estimates, EMPTY: Freshness.LIVE}
    with mariadb_admin(mariadb) as admin:
        for name in folders:
            admin.execute(ESTIMATED, [name])
            ((expected,),) = admin.fetchall()
            assert sizes(report)[name] == int(expected or 0), name


class AlmostMysql(Flavour):
    """MySQL 8, but for the name of one limit; MariaDB knows no other variable of its either."""

    def session(self, seconds: float, *, fresh: bool = True) -> str:
        said = super().session(seconds, fresh=fresh)
        return said.replace("max_execution_time", "max_statement_time")


@pytest.mark.usefixtures("folders")
def test_sizes_that_a_server_may_have_kept_for_a_while_are_called_cached(
    mariadb: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    flavour = AlmostMysql(is_mariadb=False, version=(8, 0))
    monkeypatch.setattr(mysql, "flavour_of", lambda _said: flavour)
    _, report = ask(server_instance(mariadb))
    freshness = {size.name: size.freshness for size in report.sizes}
    assert freshness[MIXED] is Freshness.CACHED
    assert freshness["a-b"] is freshness[EMPTY] is Freshness.LIVE


def test_a_table_that_nobody_opened_since_the_start_counts() -> None:
    folder = Path(tempfile.mkdtemp(prefix="capacity-"))
    try:
        server = start_mariadb(folder)
        with mariadb_admin(server) as admin:
            admin.execute("CREATE DATABASE quiet")
            for number in range(500):  # few tables are all opened by the start itself
                admin.execute(f"CREATE TABLE quiet.t{number} (x INT) ENGINE=InnoDB")
        server.stop()
        server = start_mariadb(folder)
        try:
            _, report = ask(server_instance(server))
            assert sizes(report) == {"quiet": on_disk(folder / "data" / "quiet")}
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("grants", "complete", "measured"),
    [
        pytest.param((), False, set(), id="nothing"),
        pytest.param(("GRANT SHOW DATABASES ON *.*",), True, set(), id="names only"),
        pytest.param(("GRANT PROCESS ON *.*",), False, set(), id="files only"),
        pytest.param(("GRANT SELECT ON `a-b`.*",), False, {"a-b"}, id="one schema"),
        pytest.param(("GRANT SELECT ON `a\\-b`.*",), False, {"a-b"}, id="escaped"),
        pytest.param(("GRANT SELECT ON `_hop`.*",), False, {"Shop", "shop"}, id="pattern"),
        pytest.param(
            ("GRANT PROCESS ON *.*", "GRANT SHOW VIEW ON `Ω`.*"), False, {"Ω"}, id="one, its files"
        ),
        pytest.param(("GRANT SELECT ON `a-b`.`tä/b`",), False, set(), id="one table"),
        pytest.param(("GRANT EXECUTE ON *.*",), True, set(), id="no table"),
    ],
)
@pytest.mark.usefixtures("folders")
def test_what_a_login_cannot_see_is_never_a_number(
    mariadb: Server, login: str, grants: tuple[str, ...], *, complete: bool, measured: set[str]
) -> None:
    grant(mariadb, *grants, to=login)
    inventory, report = ask(server_instance(mariadb, username=login), "secret")
    assert inventory.complete is complete
    assert sizes(report).keys() == measured
    denied = {each.name for each in inventory.databases if not each.is_system} - measured
    assert outcomes(report) == dict.fromkeys(denied, "denied")


def test_the_cure_for_a_denied_schema_works_as_it_stands(
    mariadb: Server, folders: dict[str, Path], login: str
) -> None:
    instance = server_instance(mariadb, username=login)
    grant(mariadb, "GRANT SHOW DATABASES ON *.*", "GRANT PROCESS ON *.*", to=login)
    _, before = ask(instance, "secret")
    with mariadb_admin(mariadb) as admin:
        admin.execute(cures(before)["a-b"])
    inventory, after = ask(instance, "secret")
    assert inventory.complete
    assert sizes(after) == true_sizes(mariadb, folders)


def test_the_cure_for_an_incomplete_inventory_works_as_it_stands(
    mariadb: Server, login: str
) -> None:
    instance = server_instance(mariadb, username=login)
    with connected(coordinator_of(instance, "secret")) as coordinator:
        before = coordinator.fetch_inventory()
    with mariadb_admin(mariadb) as admin:
        admin.execute(str(before.cure.params["sql"]))
    with connected(coordinator_of(instance, "secret")) as coordinator:
        after = coordinator.fetch_inventory()
    assert (before.complete, after.complete) == (False, True)


def test_rights_that_come_with_a_role_count(
    mariadb: Server, folders: dict[str, Path], login: str
) -> None:
    with mariadb_admin(mariadb) as admin:
        admin.execute("CREATE ROLE watcher")
        admin.execute("GRANT PROCESS, SHOW VIEW ON *.* TO watcher")
        admin.execute(f"GRANT watcher TO '{login}'@'{HOST}'")
        admin.execute(f"SET DEFAULT ROLE watcher FOR '{login}'@'{HOST}'")
    try:
        inventory, report = ask(server_instance(mariadb, username=login), "secret")
    finally:
        with mariadb_admin(mariadb) as admin:
            admin.execute("DROP ROLE watcher")
    assert inventory.complete
    assert sizes(report) == true_sizes(mariadb, folders)


def found_by(
    unmeasured: Sequence[Unmeasured], admin: "pymysql.cursors.Cursor"
) -> list[tuple[str, str]]:
    """Run what each hint prints; gives the tables that it finds, and the hint's cause."""
    found: list[tuple[str, str]] = []
    for each in unmeasured:
        admin.execute(str(each.hint.params["find"]))
        found += [(str(row[0]), each.hint.key.removeprefix("mysql.")) for row in admin.fetchall()]
    return found


def test_a_table_that_cannot_be_read_spoils_its_schema_alone(
    mariadb: Server, folders: dict[str, Path]
) -> None:
    with mariadb_admin(mariadb) as admin:
        admin.execute("CREATE DATABASE damaged")
        admin.execute("CREATE TABLE damaged.t (x INT) ENGINE=MyISAM")
        admin.execute("FLUSH TABLES")
        (mariadb.folder / "data" / "damaged" / "t.MYI").write_bytes(b"not an index")
        try:
            _, report = ask(server_instance(mariadb))
            found = found_by(report.unmeasured, admin)
        finally:
            admin.execute("DROP DATABASE damaged")
    assert outcomes(report) == {"damaged": "error"}
    assert sizes(report) == true_sizes(mariadb, folders)
    assert found == [("t", "damaged")]


def test_a_table_whose_size_nobody_tells_is_no_zero(
    mariadb: Server, folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    name = "com'mas\\"
    with mariadb_admin(mariadb) as admin:
        admin.execute(f"CREATE DATABASE {quoted(name)}")
        admin.execute(f"CREATE TABLE {quoted(name)}.t (x INT NOT NULL) ENGINE=CSV")
        admin.execute(f"CREATE TABLE {quoted(name)}.plain (x INT NOT NULL) ENGINE=InnoDB")
        admin.execute(f"USE {quoted(name)}")
        admin.execute("INSERT INTO t VALUES (1), (2), (3)")
        try:
            _, report = ask(server_instance(mariadb))
            found = found_by(report.unmeasured, admin)
        finally:
            admin.execute(f"DROP DATABASE {quoted(name)}")
    assert outcomes(report) == {name: "error"}
    assert found == [("t", "untold")]
    assert f"in each of: {name!a}\n" in caplog.text
    assert sizes(report) == true_sizes(mariadb, folders)


IN_SHARED = (
    "CREATE TABLE `tä/b` (x INT PRIMARY KEY, y VARCHAR(200), KEY (y)) ENGINE=InnoDB",
    "CREATE TABLE parts (x INT) ENGINE=InnoDB PARTITION BY HASH (x) PARTITIONS 3",
    "INSERT INTO `tä/b` SELECT seq, REPEAT('y', 100) FROM seq_1_to_20000",
    "INSERT INTO parts SELECT seq FROM seq_1_to_20000",
    "ANALYZE TABLE `tä/b`, parts",
)


@pytest.mark.parametrize("with_files", [False, True])
def test_a_table_in_the_shared_tablespace_is_no_zero(
    mariadb: Server, folders: dict[str, Path], *, with_files: bool
) -> None:
    name = "共享 con"
    with mariadb_admin(mariadb) as admin:
        admin.execute(f"CREATE DATABASE {quoted(name)}")
        admin.execute(f"USE {quoted(name)}")
        admin.execute("SET GLOBAL innodb_file_per_table = OFF")
        for statement in IN_SHARED:
            admin.execute(statement)
        admin.execute("SET GLOBAL innodb_file_per_table = ON")
        if with_files:
            admin.execute("CREATE TABLE own (x INT) ENGINE=InnoDB")
        try:
            _, report = ask(server_instance(mariadb))
            admin.execute(ESTIMATED, [name])
            ((expected,),) = admin.fetchall()
        finally:
            admin.execute(f"DROP DATABASE {quoted(name)}")
    estimated = int(expected) - 16384 * with_files  # the statistics' part of its own file
    (found,) = [size for size in report.sizes if size.name == name]
    assert estimated > 2 * 1024 * 1024
    assert found.size_bytes == estimated + 65536 * with_files
    assert (found.method, found.freshness) == (FILES, Freshness.ESTIMATE)
    assert {size.freshness for size in report.sizes if size.name in folders} == {Freshness.LIVE}


def test_a_shared_table_whose_pages_nobody_counted_is_unknown() -> None:
    tables = [(7, b"known", 16384), (8, b"known", 4096), (9, b"unknown", 16384)]
    counted = [(7, 1, 3), (8, "Initialized", 5), (9, 0, 0), (10, 1, 100)]
    answers: Iterator[list[tuple[Any, ...]]] = iter([tables, counted])
    shared = shared_sizes(lambda _: next(answers), "innodb_tablespaces", is_mariadb=False)
    assert shared == Shared({b"known": 3 * 16384 + 5 * 4096}, frozenset({b"unknown"}))


def test_a_folder_that_no_server_made_is_measured_like_any(
    mariadb: Server, folders: dict[str, Path]
) -> None:
    stray = mariadb.folder / "data" / "lost+found"
    stray.mkdir(mode=0o777)
    try:
        _, report = ask(server_instance(mariadb))
    finally:
        stray.rmdir()
    assert sizes(report).keys() == {*folders, "#mysql50#lost+found"}


@pytest.mark.usefixtures("folders")
def test_an_endless_list_of_schemas_is_no_server_s(
    mariadb: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql, "MOST_SCHEMAS", 3)
    with pytest.raises(CollectFailed) as failed:
        ask(server_instance(mariadb))
    assert failed.value.failure.reason is Reason.PROTOCOL


def test_our_session_bounds_its_statements(mariadb: Server) -> None:
    with connected(coordinator_of(server_instance(mariadb))) as coordinator:
        ask_it = coordinator._conversation._ask  # type: ignore[attr-defined]  # a look inside
        rows = ask_it("SELECT @@max_statement_time, @@lock_wait_timeout, @@autocommit, DATABASE()")
    ((limit, lock, autocommit, database),) = rows
    assert 15 < limit <= 20
    assert (lock, autocommit, database) == (2, 1, None)


def test_wrong_logins_are_told_apart(mariadb: Server, login: str) -> None:
    little = server_instance(mariadb, username=login)
    with mariadb_admin(mariadb) as admin:
        told = {
            "wrong password": refusal(little, "wrong"),
            "not latin": refusal(little, "пароль"),
            "unknown user": refusal(server_instance(mariadb, username="nobody"), "x"),
            "no user": refusal(server_instance(mariadb, username=""), "x"),
        }
        admin.execute(f"ALTER USER '{login}'@'{HOST}' ACCOUNT LOCK")
        told["locked"] = refusal(little, "secret")
        admin.execute(f"ALTER USER '{login}'@'{HOST}' ACCOUNT UNLOCK PASSWORD EXPIRE")
        with connected(coordinator_of(little, "secret")) as coordinator:
            with pytest.raises(CollectFailed) as caught:
                coordinator.fetch_inventory()
            told["expired"] = caught.value.failure.reason
        admin.execute(f"ALTER USER '{login}'@'{HOST}' IDENTIFIED BY 'secret'")
        admin.execute(f"ALTER USER '{login}'@'{HOST}' WITH MAX_USER_CONNECTIONS 1")
        with connected(coordinator_of(little, "secret")):
            told["out of connections"] = refusal(little, "secret")
    assert told == {
        "wrong password": Reason.AUTH_FAILED,
        "not latin": Reason.AUTH_FAILED,
        "unknown user": Reason.AUTH_FAILED,
        "no user": Reason.AUTH_FAILED,
        "locked": Reason.ACCOUNT_LOCKED,
        "expired": Reason.ACCOUNT_LOCKED,
        "out of connections": Reason.TOO_MANY_CONNECTIONS,
    }


def test_the_anonymous_account_is_not_taken_for_the_instance_s(mariadb: Server) -> None:
    instance = server_instance(mariadb, username="reader")
    with mariadb_admin(mariadb) as admin:
        admin.execute("CREATE USER reader IDENTIFIED BY ''")
        admin.execute(f"CREATE USER ''@'{HOST}'")
        dropped = f"DROP USER ''@'{HOST}'"
        try:
            with (
                connected(coordinator_of(instance, "")) as coordinator,
                pytest.raises(CollectFailed) as caught,
            ):
                coordinator.fetch_inventory()
            cure = caught.value.failure.hint.params["cure"]
            assert caught.value.failure.hint == text("hint.auth_failed.anonymous", cure=cure)
            assert cure == sql_cure(dropped)
            anybody, _ = ask(server_instance(mariadb, username=""), "")
            assert (anybody.complete, anybody.cure) == (False, text(""))
            admin.execute(dropped)
            with connected(coordinator_of(instance, "")) as coordinator:
                seen = coordinator.fetch_inventory()
            assert seen.cure.params["sql"] == "GRANT PROCESS, SHOW VIEW ON *.* TO `reader`@`%`"
        finally:
            admin.execute("DROP USER reader")
            admin.execute(dropped.replace("USER", "USER IF EXISTS"))


def test_a_password_of_any_letters_logs_in(mariadb: Server, login: str) -> None:
    with mariadb_admin(mariadb) as admin:
        admin.execute(f"ALTER USER '{login}'@'{HOST}' IDENTIFIED BY 'пароль é'")
    instance = server_instance(mariadb, username=login)
    with connected(coordinator_of(instance, "пароль é")):
        pass


@pytest.mark.parametrize(
    ("said", "flavour"),
    [
        ("5.5.5-10.11.19-MariaDB-0+deb12u1", Flavour(is_mariadb=True, version=(10, 11))),
        ("11.4.2-MariaDB", Flavour(is_mariadb=True, version=(11, 4))),
        ("5.5.5-10.6.12-8-MariaDB-enterprise-log", Flavour(is_mariadb=True, version=(10, 6))),
        ("5.5.5-10.6.12-mariadb", Flavour(is_mariadb=True, version=(10, 6))),
        ("12.0.2-MariaDB-ubu2404-log", Flavour(is_mariadb=True, version=(12, 0))),
        ("8.0.36", Flavour(is_mariadb=False, version=(8, 0))),
        ("9.1.0-commercial", Flavour(is_mariadb=False, version=(9, 1))),
        ("5.7.44-log", Flavour(is_mariadb=False, version=(5, 7))),
        ("who knows", None),
    ],
)
def test_a_version_tells_the_flavour(said: str, flavour: Flavour | None) -> None:
    assert flavour_of(said) == flavour


def test_each_flavour_is_asked_in_its_own_way() -> None:
    old, new, maria = (flavour_of(each) for each in ("5.7.44", "8.4.1", "11.4.2-MariaDB"))
    assert old is not None
    assert new is not None
    assert maria is not None
    assert old.session(1.5) == "SET SESSION lock_wait_timeout = 2, max_execution_time = 1500"
    assert new.session(1.5) == (
        "SET SESSION lock_wait_timeout = 2, max_execution_time = 1500,"
        " information_schema_stats_expiry = 0"
    )
    assert maria.session(1.5) == "SET SESSION lock_wait_timeout = 2, max_statement_time = 1.500"
    assert old.file_views()[0] == "innodb_sys_tablespaces"
    assert new.file_views()[0] == "innodb_tablespaces"
    assert maria.file_views()[0] == "innodb_sys_tablespaces"


def test_the_private_switch_that_we_lean_on_is_still_there() -> None:
    connection = pymysql.connect(host=HOST, defer_connect=True, ssl_disabled=True)
    assert hasattr(connection, "_ssl_required")
