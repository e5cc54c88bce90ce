"""Oracle's conversation over H2: our own queries on catalogue tables that we seed.

It proves what our SQL does with such rows; not that a real catalogue has them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from tests.dialects.h2 import H2, H2Error, h2
from tests.targets import cures, outcomes, sizes

from capacity_adapters.engines.oracle.conversation import Oracle, converse
from capacity_core.diagnosis import CheckState
from capacity_core.model import CapacityReport, CollectFailed, DatabaseSize, Level, Reason

NO_SUCH_TABLE = 42102, 42104

GB = 2**30
FILE = "con_id NUMBER, tablespace_name VARCHAR2(30), bytes NUMBER, maxbytes NUMBER,"
FILE += " maxblocks NUMBER, autoextensible VARCHAR2(3)"
UNLIMITED = 4_294_967_293
DATA = [
    (1, "SYSTEM", 8 * GB, 32 * GB, 4194302, "YES"),
    (3, "SYSTEM", 1 * GB, 32 * GB, 4194302, "YES"),
    (3, "USERS", 5 * GB, 2 * GB, 262144, "YES"),  # extended by hand beyond its maximum
    (3, "USERS", 3 * GB, 0, 0, "NO"),
    (4, "BIG", 2**53 + 1, 2**45, UNLIMITED, "YES"),
    (5, "SYSTEM", 1 * GB, 0, 0, "NO"),
    (5, "LOST", None, None, None, None),
]
TEMP = [(3, "TEMP", GB, 0, 0, "NO"), (4, "TEMP", GB, 0, 0, "NO")]
TABLESPACES = [
    (3, "SYSTEM", 8192, "ONLINE"),
    (3, "USERS", 16384, "ONLINE"),
    (3, "TEMP", 8192, "ONLINE"),
    (4, "BIG", 8192, "ONLINE"),
    (4, "TEMP", 8192, "ONLINE"),
    (5, "SYSTEM", 8192, "ONLINE"),
    (5, "LOST", 8192, "OFFLINE"),
]
# TABLESPACE_SIZE is nonsense on purpose: it means another thing in every version.
USED = [
    (3, "SYSTEM", 100, 7),
    (3, "USERS", 10, 7),
    (3, "TEMP", 1, 7),
    (4, "BIG", 5, 7),
]
GUID = bytes.fromhex("f4e0b5a0c1d2e3f4a5b6c7d8e9fa0b1c")
PDBS = [
    (2, "PDB$SEED", "READ ONLY", GB, None),
    (3, "SHOP", "READ WRITE", 0, GUID),
    (4, "STOCK", "READ ONLY", 1, None),
    (5, "BROKEN", "READ WRITE", 2 * GB, None),
    (6, "ASLEEP", "MOUNTED", 0, None),
    (7, "HIDDEN", "READ WRITE", 0, None),
    (8, "TOLD", "READ WRITE", 7 * GB, GUID),
]
LOGINS = [
    ("C##ALL", "Y", None, None, "Y", None),
    ("C##SOME", "N", "SYS", "V_$SESSION", "Y", None),
    ("C##SOME", "Y", None, None, "N", "SHOP"),
]


def place(database: H2, con_id: int, name: str, login: str) -> H2:
    answers = {"CON_ID": str(con_id), "CON_NAME": name, "SESSION_USER": login}
    cases = "".join(f'if (name.equals("{key}")) return "{said}";' for key, said in answers.items())
    return database.function(
        "SYS_CONTEXT", f"String f(String space, String name) {{{cases} return null; }}"
    )


def talk(database: H2, level: Level = Level.DATABASE) -> Oracle:
    def ask(query: str, values: Mapping[str, object] | None = None, /) -> list[tuple[Any, ...]]:
        try:
            return database.ask(query, values)
        except H2Error as error:
            if error.code in NO_SUCH_TABLE:  # as Oracle tells a missing right
                raise CollectFailed(Reason.PERMISSION_DENIED) from error
            raise

    return converse(ask, level, lambda: None)


@pytest.fixture
def empty() -> Iterator[H2]:
    with h2("Oracle") as database:
        yield database


@pytest.fixture
def root(empty: H2) -> H2:
    """The root of a container database, as a common user sees it that may see all."""
    used = "con_id NUMBER, tablespace_name VARCHAR2(30), used_space NUMBER, tablespace_size NUMBER"
    logins = "username VARCHAR2(128), default_attr VARCHAR2(1), owner VARCHAR2(128),"
    logins += " object_name VARCHAR2(128), all_containers VARCHAR2(1), container_name VARCHAR2(128)"
    pdbs = "con_id NUMBER, name VARCHAR2(128), open_mode VARCHAR2(10), total_size NUMBER,"
    pdbs += " guid RAW(16)"
    spaces = "con_id NUMBER, tablespace_name VARCHAR2(30), block_size NUMBER, status VARCHAR2(9)"
    return (
        place(empty, 1, "CDB$ROOT", "C##ALL")
        .table("sys.v_$pdbs", pdbs, PDBS)
        .table("sys.cdb_data_files", FILE, DATA)
        .table("sys.cdb_temp_files", FILE, TEMP)
        .table("sys.cdb_tablespaces", spaces, TABLESPACES)
        .table("sys.cdb_tablespace_usage_metrics", used, USED)
        .table("sys.dba_container_data", logins, LOGINS)
    )


@pytest.fixture
def one(empty: H2) -> H2:
    """The pluggable database SHOP, from inside; a database without containers looks the same."""
    return _one(empty, 3)


def _one(database: H2, con_id: int, name: str = "SHOP") -> H2:
    def inside(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
        return [row[1:] for row in rows if row[0] == con_id]

    file = FILE.removeprefix("con_id NUMBER, ")
    used = "tablespace_name VARCHAR2(30), used_space NUMBER, tablespace_size NUMBER"
    spaces = "tablespace_name VARCHAR2(30), block_size NUMBER, status VARCHAR2(9)"
    return (
        place(database, con_id, name, "READER")
        .table("sys.dba_data_files", file, inside(DATA))
        .table("sys.dba_temp_files", file, inside(TEMP))
        .table("sys.dba_tablespaces", spaces, inside(TABLESPACES))
        .table("sys.dba_tablespace_usage_metrics", used, inside(USED))
    )


def measured(oracle: Oracle) -> CapacityReport:
    seen = oracle.inventory().databases
    return oracle.measure({each.name for each in seen if not each.is_system})


def by_name(report: CapacityReport) -> dict[str, DatabaseSize]:
    return {each.name: each for each in report.sizes}


def test_every_pluggable_database_has_its_size_or_its_reason(root: H2) -> None:
    oracle = talk(root)
    inventory = oracle.inventory()
    assert inventory.complete
    system = {each.name for each in inventory.databases if each.is_system}
    assert system == {"PDB$SEED", "CDB$ROOT"}
    report = measured(oracle)
    assert sizes(report) == {"SHOP": 10 * GB, "STOCK": 2**53 + 1 + GB, "TOLD": 7 * GB}
    assert outcomes(report) == {"BROKEN": "error", "ASLEEP": "offline", "HIDDEN": "denied"}
    assert "SET CONTAINER_DATA = ALL CONTAINER = CURRENT" in cures(report)["HIDDEN"]


def test_a_size_has_its_parts_in_bytes(root: H2) -> None:
    report = by_name(measured(talk(root)))
    shop = report["SHOP"]
    assert shop.method == "ora.files"
    assert shop.data_size_bytes == 9 * GB
    assert shop.used_size_bytes == 101 * 8192 + 10 * 16384
    # the one that may grow, the one grown beyond its maximum, the two that may not
    assert shop.ceiling_bytes == (32 + 5 + 3 + 1) * GB
    assert shop.log_size_bytes is None
    assert shop.duration_ms is not None
    assert report["TOLD"].method == "ora.pdb_total_size"
    assert report["TOLD"].ceiling_bytes is None
    assert shop.identity == report["TOLD"].identity == GUID.hex()  # Oracle itself spells capitals
    assert report["STOCK"].identity is None


def test_what_is_not_told_is_unknown(root: H2) -> None:
    stock = by_name(measured(talk(root)))["STOCK"]
    assert stock.used_size_bytes is None  # TEMP has no metrics
    assert stock.ceiling_bytes is None  # nobody set a limit to BIG


def test_files_without_a_size_are_told_with_their_number(root: H2) -> None:
    (broken,) = (e for e in measured(talk(root)).unmeasured if e.name == "BROKEN")
    assert broken.hint.key == "oracle.files_offline"
    assert broken.hint.params == {"n": 1}


def test_the_root_is_measured_when_a_rule_names_it(root: H2) -> None:
    oracle = talk(root)
    oracle.inventory()
    report = oracle.measure({"CDB$ROOT", "PDB$SEED"})
    assert sizes(report) == {"CDB$ROOT": 8 * GB, "PDB$SEED": GB}


def test_metrics_of_more_than_there_is_tell_nothing(root: H2) -> None:
    root.execute("UPDATE sys.cdb_tablespace_usage_metrics SET used_space = 1e12 WHERE con_id = 3")
    shop = by_name(measured(talk(root)))["SHOP"]
    assert (shop.size_bytes, shop.used_size_bytes) == (10 * GB, None)


def test_a_database_dropped_meanwhile_has_vanished(root: H2) -> None:
    oracle = talk(root)
    oracle.inventory()
    for table in ("v_$pdbs", "cdb_data_files", "cdb_temp_files"):
        root.execute(f"DELETE FROM sys.{table} WHERE con_id = 3")  # noqa: S608 -- our tables
    assert outcomes(oracle.measure({"SHOP"})) == {"SHOP": "vanished"}


def test_a_database_closed_meanwhile_is_offline(root: H2) -> None:
    oracle = talk(root)
    oracle.inventory()
    root.execute("UPDATE sys.v_$pdbs SET open_mode = 'MOUNTED' WHERE con_id = 3")
    for table in ("cdb_data_files", "cdb_temp_files"):
        root.execute(f"DELETE FROM sys.{table} WHERE con_id = 3")  # noqa: S608 -- our tables
    assert outcomes(oracle.measure({"SHOP"})) == {"SHOP": "offline"}


@pytest.mark.parametrize("login", ["C##SOME", "C##NONE"])
def test_a_login_without_container_data_sees_not_all(root: H2, login: str) -> None:
    root.execute("DROP ALIAS sys_context")
    inventory = talk(place(root, 1, "CDB$ROOT", login)).inventory()
    assert not inventory.complete
    assert inventory.cure.params["sql"] == (
        f'ALTER USER "{login}" SET CONTAINER_DATA = ALL CONTAINER = CURRENT;'
        f' GRANT SELECT ON SYS.DBA_CONTAINER_DATA TO "{login}";'
        f' GRANT SELECT ON SYS.CDB_DATA_FILES TO "{login}";'
        f' GRANT SELECT ON SYS.CDB_TEMP_FILES TO "{login}"'
    )


def test_what_cannot_be_proved_is_not_complete(root: H2) -> None:
    root.execute("DROP TABLE sys.dba_container_data")
    assert not talk(root).inventory().complete


@pytest.mark.parametrize("view", ["cdb_data_files", "cdb_temp_files"])
def test_without_the_files_the_total_is_taken(root: H2, view: str) -> None:
    root.execute(f"DROP TABLE sys.{view}")
    report = measured(talk(root))
    assert {each.method for each in report.sizes} == {"ora.pdb_total_size"}
    assert sizes(report) == {"STOCK": 1, "BROKEN": 2 * GB, "TOLD": 7 * GB}
    assert outcomes(report) == {"SHOP": "denied", "ASLEEP": "offline", "HIDDEN": "denied"}


@pytest.mark.parametrize("view", ["cdb_tablespaces", "cdb_tablespace_usage_metrics"])
def test_without_the_metrics_only_used_space_is_missing(root: H2, view: str) -> None:
    root.execute(f"DROP TABLE sys.{view}")
    report = by_name(measured(talk(root)))
    assert report["SHOP"].size_bytes == 10 * GB
    assert {each.used_size_bytes for each in report.values()} == {None}


def test_without_the_list_nothing_is_known_but_the_cure(root: H2) -> None:
    root.execute("DROP TABLE sys.v_$pdbs")
    with pytest.raises(CollectFailed) as caught:
        talk(root).inventory()
    assert caught.value.failure.reason is Reason.PERMISSION_DENIED
    cure = caught.value.failure.hint.params["cure"]
    assert getattr(cure, "params", {}) == {"sql": 'GRANT SELECT ON SYS.V_$PDBS TO "C##ALL"'}


def test_inside_a_container_it_is_the_one_database(one: H2) -> None:
    oracle = talk(one)
    assert oracle.inventory().complete
    (shop,) = measured(oracle).sizes
    assert (shop.name, shop.size_bytes, shop.data_size_bytes) == ("SHOP", 10 * GB, 9 * GB)
    assert shop.used_size_bytes == 101 * 8192 + 10 * 16384
    assert shop.ceiling_bytes == 41 * GB


def test_a_database_without_containers_is_the_one(empty: H2) -> None:
    _one(empty, 0, "ORCL").execute(
        "INSERT INTO sys.dba_data_files VALUES ('SYSTEM', 8192, 0, 0, 'NO')"
    )
    (orcl,) = measured(talk(empty)).sizes
    assert (orcl.name, orcl.size_bytes, orcl.ceiling_bytes) == ("ORCL", 8192, 8192)
    assert orcl.used_size_bytes is None


def test_inside_a_container_too_a_lost_file_is_an_error(empty: H2) -> None:
    assert outcomes(measured(talk(_one(empty, 5)))) == {"SHOP": "error"}


def test_inside_a_container_a_missing_right_is_denied_with_its_cure(one: H2) -> None:
    one.execute("DROP TABLE sys.dba_temp_files")
    report = measured(talk(one))
    assert outcomes(report) == {"SHOP": "denied"}
    assert cures(report)["SHOP"] == (
        'GRANT SELECT ON SYS.DBA_DATA_FILES TO "READER";'
        ' GRANT SELECT ON SYS.DBA_TEMP_FILES TO "READER"'
    )


def test_with_that_level_each_tablespace_is_one(one: H2) -> None:
    oracle = talk(one, Level.TABLESPACE)
    assert not any(each.is_system for each in oracle.inventory().databases)
    report = by_name(measured(oracle))
    told = {name: (s.size_bytes, s.used_size_bytes, s.ceiling_bytes) for name, s in report.items()}
    assert told == {
        "SYSTEM": (GB, 100 * 8192, 32 * GB),
        "USERS": (8 * GB, 10 * 16384, 8 * GB),
        "TEMP": (GB, 8192, GB),
    }


def test_a_tablespace_that_is_offline_or_gone_is_told_so(empty: H2) -> None:
    oracle = talk(_one(empty, 5), Level.TABLESPACE)
    oracle.inventory()
    report = oracle.measure({"SYSTEM", "LOST", "DROPPED"})
    assert sizes(report) == {"SYSTEM": GB}
    assert outcomes(report) == {"LOST": "offline", "DROPPED": "vanished"}


@pytest.mark.parametrize("view", ["dba_data_files", "dba_tablespaces"])
def test_tablespaces_without_a_right_have_their_cure(one: H2, view: str) -> None:
    oracle = talk(one, Level.TABLESPACE)
    one.execute(f"DROP TABLE sys.{view}")
    if view == "dba_tablespaces":
        with pytest.raises(CollectFailed) as caught:
            oracle.inventory()
        assert caught.value.failure.reason is Reason.PERMISSION_DENIED
    else:
        assert set(outcomes(measured(oracle)).values()) == {"denied"}


def states(oracle: Oracle) -> dict[str, CheckState]:
    return {check.name: check.state for check in oracle.examine()}


@pytest.mark.parametrize("level", Level)
def test_the_doctor_finds_nothing_missing(
    empty: H2, level: Level, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue("root" if level is Level.DATABASE else "one")
    assert database is empty
    assert set(states(talk(database, level)).values()) == {CheckState.OK}


@pytest.mark.parametrize("view", ["v_$pdbs", "cdb_data_files", "cdb_temp_files", "cdb_tablespaces"])
def test_the_doctor_names_what_is_missing_and_what_to_run(root: H2, view: str) -> None:
    root.execute(f"DROP TABLE sys.{view}")
    (missing,) = (each for each in talk(root).examine() if each.state is not CheckState.OK)
    assert missing.state is CheckState.MISSING
    assert missing.cure.params["sql"] == f'GRANT SELECT ON SYS.{view.upper()} TO "C##ALL"'
    assert missing.costs == (("HIDDEN", "SHOP") if view.endswith("files") else ())


def test_the_doctor_says_unknown_where_the_proof_is_closed(root: H2) -> None:
    root.execute("DROP TABLE sys.dba_container_data")
    told = states(talk(root))
    assert told["CONTAINER_DATA = ALL"] is CheckState.UNKNOWN
    assert told["SELECT ON SYS.DBA_CONTAINER_DATA"] is CheckState.MISSING
