"""Oracle's conversation over told answers: odd rows are a protocol error, never a size."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.targets import cures, outcomes, sizes

from capacity_adapters.engines.oracle import ENGINE, QUERIES, queries
from capacity_adapters.engines.oracle.conversation import Oracle, converse
from capacity_core.diagnosis import CheckState
from capacity_core.errors import InvalidInputError
from capacity_core.model import CapacityReport, CollectFailed, Level, Reason

pytestmark = pytest.mark.unit

GB = 2**30
Answers = dict[str, list[tuple[Any, ...]]]

ROOT: Answers = {
    queries.PLACE: [("1", "CDB$ROOT", "C##CAPACITY")],
    queries.PDBS: [
        (2, "PDB$SEED", "READ ONLY", GB, "2A"),
        (3, "SHOP", "READ WRITE", 0, "3A"),
        (4, "ASLEEP", "MOUNTED", 0, "4A"),
        (5, "TOLD", "READ WRITE", 7, None),
    ],
    queries.SEES_ALL: [(1,)],
    queries.FILES_OF_PDBS: [(3, 2, 2, 3 * GB, 2 * GB, 9 * GB, 0)],
    queries.USED_OF_PDBS: [(3, 2, 2, GB)],
}
ONE: Answers = {
    queries.PLACE: [("3", "SHOP", "READER")],
    queries.TABLESPACES: [("USERS", "ONLINE"), ("TEMP", "ONLINE"), ("AWAY", "OFFLINE")],
    queries.FILES_OF_TABLESPACES: [
        ("USERS", 1, 1, 2 * GB, 2 * GB, 2 * GB, 0),
        ("TEMP", 1, 1, GB, 0, GB, 1),
    ],
    queries.USED_OF_TABLESPACES: [("USERS", 1, 1, GB), ("TEMP", 1, 1, 0)],
}


def talk(answers: Mapping[str, list[tuple[Any, ...]]], level: Level = Level.DATABASE) -> Oracle:
    """Converse over these answers; any other question lacks a right, but a probe."""

    def ask(query: str, values: Mapping[str, object] | None = None, /) -> list[tuple[Any, ...]]:
        assert query in QUERIES
        assert (values is not None) == (":login" in query)
        if query in answers:
            return answers[query]
        if query.endswith("WHERE 1 = 0") and query not in CLOSED:
            return []
        raise CollectFailed(Reason.PERMISSION_DENIED)

    return converse(ask, level, lambda: None)


CLOSED: set[str] = set()


def measured(oracle: Oracle) -> CapacityReport:
    seen = oracle.inventory().databases
    return oracle.measure({each.name for each in seen if not each.is_system})


def test_each_pluggable_database_has_one_fate() -> None:
    report = measured(talk(ROOT))
    assert sizes(report) == {"SHOP": 3 * GB, "TOLD": 7}
    assert outcomes(report) == {"ASLEEP": "offline"}
    shop = next(each for each in report.sizes if each.name == "SHOP")
    assert (shop.data_size_bytes, shop.used_size_bytes, shop.ceiling_bytes) == (2 * GB, GB, 9 * GB)
    assert {each.name: each.identity for each in report.sizes} == {"SHOP": "3A", "TOLD": None}


def test_the_one_database_is_the_sum_of_its_tablespaces() -> None:
    (shop,) = measured(talk(ONE)).sizes
    assert (shop.name, shop.size_bytes, shop.used_size_bytes) == ("SHOP", 3 * GB, GB)
    assert shop.ceiling_bytes is None


def test_each_tablespace_has_one_fate() -> None:
    report = measured(talk(ONE, Level.TABLESPACE))
    assert sizes(report) == {"USERS": 2 * GB, "TEMP": GB}
    assert outcomes(report) == {"AWAY": "offline"}


@pytest.mark.parametrize("count", [0, 1])
def test_the_list_is_complete_only_with_a_proof(count: int) -> None:
    inventory = talk({**ROOT, queries.SEES_ALL: [(count,)]}).inventory()
    assert inventory.complete == (count == 1)
    assert ("CONTAINER_DATA = ALL" in str(inventory.cure.params.get("sql"))) == (count == 0)


def test_a_closed_view_is_a_missing_right_with_its_cure() -> None:
    only_place = {queries.PLACE: ONE[queries.PLACE]}
    report = measured(talk(only_place))
    assert outcomes(report) == {"SHOP": "denied"}
    assert cures(report)["SHOP"].startswith('GRANT SELECT ON SYS.DBA_DATA_FILES TO "READER"')
    for level, answers in ((Level.DATABASE, ROOT), (Level.TABLESPACE, ONE)):
        with pytest.raises(CollectFailed) as caught:
            talk({queries.PLACE: answers[queries.PLACE]}, level).inventory()
        assert caught.value.failure.reason is Reason.PERMISSION_DENIED
        assert "GRANT SELECT" in str(caught.value.failure.hint.params["cure"])


def test_the_doctor_tells_each_right_and_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {each.state for each in talk(ROOT).examine()} == {CheckState.OK}
    monkeypatch.setitem(globals(), "CLOSED", {queries.probe_of("dba_data_files")})
    told = {each.name: each for each in talk({queries.PLACE: ONE[queries.PLACE]}).examine()}
    files = told["SELECT ON SYS.DBA_DATA_FILES"]
    assert (files.state, files.costs) == (CheckState.MISSING, ("SHOP",))
    assert files.cure.params["sql"] == 'GRANT SELECT ON SYS.DBA_DATA_FILES TO "READER"'
    assert told["SELECT ON SYS.DBA_TABLESPACES"].state is CheckState.OK


ODD: list[tuple[Answers, Level, str, list[tuple[Any, ...]]]] = [
    (ROOT, Level.DATABASE, queries.PLACE, []),
    (ROOT, Level.DATABASE, queries.PLACE, [("x", "CDB$ROOT", "ME")]),
    (ROOT, Level.DATABASE, queries.PLACE, [(None, None, None)]),
    (ROOT, Level.DATABASE, queries.PLACE, [("1",)]),
    (ROOT, Level.DATABASE, queries.PDBS, [(3, None, "MOUNTED", 0, "3A")]),
    (ROOT, Level.DATABASE, queries.PDBS, [(3, "SHOP", "READ WRITE", -1, "3A")]),
    (ROOT, Level.DATABASE, queries.PDBS, [(3, "SHOP", "READ WRITE", "many", "3A")]),
    (ROOT, Level.DATABASE, queries.PDBS, [(3, "SHOP")]),
    (ROOT, Level.DATABASE, queries.PDBS, [(3, "SHOP", "READ WRITE", 0, b"3A")]),
    (ROOT, Level.DATABASE, queries.SEES_ALL, [(None,)]),
    (ROOT, Level.DATABASE, queries.FILES_OF_PDBS, [(3, 1, 2, 1, 1, 1, 0)]),
    (ROOT, Level.DATABASE, queries.FILES_OF_PDBS, [(3, 1, 1, None, 0, 0, 0)]),
    (ROOT, Level.DATABASE, queries.FILES_OF_PDBS, [(3, 1, 1, -GB, 0, 0, 0)]),
    (ROOT, Level.DATABASE, queries.FILES_OF_PDBS, [(3, 1, 1, 0.5, 0, 0, 0)]),
    (ROOT, Level.DATABASE, queries.FILES_OF_PDBS, [(3, 1, 1, Decimal("NaN"), 0, 0, 0)]),
    (ROOT, Level.DATABASE, queries.FILES_OF_PDBS, [("SHOP", 1, 1, 1, 1, 1, 0)]),
    (ROOT, Level.DATABASE, queries.FILES_OF_PDBS, [(3, 1, 1, True, 1, 1, 0)]),
    (ROOT, Level.DATABASE, queries.USED_OF_PDBS, [(3, 1, 1, float("inf"))]),
    (ONE, Level.DATABASE, queries.FILES_OF_TABLESPACES, []),
    (ONE, Level.DATABASE, queries.FILES_OF_TABLESPACES, [(None, 1, 1, 1, 1, 1, 0)]),
    (ONE, Level.TABLESPACE, queries.TABLESPACES, [("USERS", None)]),
]


@pytest.mark.parametrize(("answers", "level", "query", "rows"), ODD)
def test_an_odd_row_is_a_protocol_error(
    answers: Answers, level: Level, query: str, rows: list[tuple[Any, ...]]
) -> None:
    with pytest.raises(CollectFailed) as caught:
        measured(talk({**answers, query: rows}, level))
    assert caught.value.failure.reason is Reason.PROTOCOL


VALUES = st.none() | st.integers(-5, 2**70) | st.text(max_size=3) | st.floats() | st.booleans()
WIDTHS: Mapping[str, int] = {query: len(rows[0]) for query, rows in {**ROOT, **ONE}.items()}


@given(st.data(), st.sampled_from([(ROOT, Level.DATABASE), (ONE, Level.DATABASE)]))
def test_whatever_the_rows_each_database_has_one_fate_or_it_is_the_protocol(
    data: st.DataObject, shape: tuple[Answers, Level]
) -> None:
    answers, level = shape
    query = data.draw(st.sampled_from(sorted(answers)))
    row = st.tuples(*[VALUES] * WIDTHS[query])
    rows = data.draw(st.lists(row, max_size=3))
    failed: list[Reason] = []
    try:
        oracle = talk({**answers, query: rows}, level)
        names = {each.name for each in oracle.inventory().databases}
        report = oracle.measure(names)
    except CollectFailed as error:
        failed.append(error.failure.reason)
    assert failed in ([], [Reason.PROTOCOL])
    if failed:
        return
    told = [size.name for size in report.sizes] + [each.name for each in report.unmeasured]
    assert sorted(told) == sorted(names)
    assert all(type(each.size_bytes) is int and each.size_bytes >= 0 for each in report.sizes)


def test_the_scripts_grant_reading_the_dictionary_and_no_more() -> None:
    for script in ENGINE.grants("capacity"):
        for statement in script.statements:
            assert statement.startswith(
                (
                    "CREATE USER",
                    "GRANT CREATE SESSION TO",
                    "GRANT SELECT ON SYS.",
                    "GRANT SELECT_CATALOG_ROLE TO",
                    "ALTER USER",
                    "BEGIN rdsadmin.rdsadmin_util.grant_sys_object(",
                )
            )
            assert "ANY" not in statement


def test_a_plain_name_is_spelled_as_the_login_will_be() -> None:
    common, one, *_ = ENGINE.grants("capacity")
    assert common.statements[1] == 'GRANT CREATE SESSION TO "C##CAPACITY"'
    assert one.statements[1] == 'GRANT CREATE SESSION TO "CAPACITY"'
    assert ENGINE.grants("c##me")[0].statements[1] == 'GRANT CREATE SESSION TO "C##ME"'
    assert ENGINE.grants("o'Hara")[3].statements[2].endswith("'o''Hara', 'SELECT'); END;")


@pytest.mark.parametrize("name", ["", 'a"b', "a\0b", "x" * 129])
def test_a_name_that_oracle_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError):
        ENGINE.grants(name)
