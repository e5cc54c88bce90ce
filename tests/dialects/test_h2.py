"""The harness around H2: it speaks for other engines, so it is tested itself."""

from datetime import datetime
from decimal import Decimal

import pytest
from tests.dialects.h2 import H2Error, bound, h2


def test_a_query_in_oracles_words_reads_a_seeded_catalogue() -> None:
    with h2("Oracle") as oracle:
        oracle.table(
            "cdb_data_files",
            "con_id NUMBER, bytes NUMBER, status VARCHAR2(9)",
            [(3, 2**53 + 1, "AVAILABLE"), (3, 8192, "AVAILABLE"), (4, None, "é")],
        )
        oracle.table("v$pdbs", "con_id NUMBER, name VARCHAR2(128)", [(3, "SHOP"), (4, "Lager")])
        rows = oracle.ask(
            "SELECT p.name, SUM(f.bytes), MAX(NVL(f.status, ':no name'))"
            " FROM v$pdbs p LEFT JOIN cdb_data_files f ON f.con_id = p.con_id"
            " WHERE p.con_id >= :least GROUP BY p.name ORDER BY p.name DESC",
            {"least": 3},
        )
    assert rows == [("SHOP", 2**53 + 8193, "AVAILABLE"), ("Lager", None, "é")]


def test_a_query_in_sql_servers_words_reads_a_seeded_catalogue() -> None:
    with h2("MSSQLServer", "tempdb") as server:
        server.table(
            "sys.master_files",
            "database_id int, type tinyint, size int",
            [(5, 0, 2**31 - 1), (5, 1, 128), (6, 0, 1)],
        )
        server.function("DB_NAME", 'String f(Integer id) { return "db " + id; }')
        rows = server.ask(
            "SELECT TOP 1 DB_NAME([database_id]), SUM(CAST([size] AS bigint)) * 8192, '100%%'"
            " FROM [sys].[master_files] WITH (NOLOCK) WHERE type IN (%s, %s)"
            " GROUP BY [database_id] ORDER BY 2 DESC",
            (0, 1),
        )
        there = server.ask("SELECT COUNT(*) FROM tempdb.sys.master_files")
    assert rows == [("db 5", (2**31 + 127) * 8192, "100%")]
    assert there == [(3,)]


def test_values_come_out_as_a_driver_would_give_them() -> None:
    noon = datetime(2026, 3, 10, 12)  # noqa: DTZ001 -- the catalogues have no zone either
    with h2("MSSQLServer") as server:
        server.table("t", "a bit, b decimal(5, 2), c datetime, d nvarchar(9), e varbinary(9)")
        server.execute("INSERT INTO t VALUES (1, 1.5, '2026-03-10 12:00', N'订单', X'00ff')")
        server.execute("INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL)")
        rows = server.ask("SELECT * FROM t WHERE c = %s OR c IS NULL ORDER BY a", (noon,))
    assert rows == [(None,) * 5, (True, Decimal("1.5"), noon, "订单", b"\x00\xff")]


def test_each_database_is_empty_and_errors_have_their_number() -> None:
    for _ in range(2):
        with h2("Oracle") as oracle:
            with pytest.raises(H2Error) as caught:
                oracle.ask("SELECT * FROM dba_data_files")
            oracle.table("dba_data_files", "bytes NUMBER")
            assert oracle.ask("SELECT * FROM dba_data_files") == []
        assert caught.value.code == 42104


def test_placeholders_are_bound_as_the_drivers_do() -> None:
    assert bound("SELECT ':a', \":b\", :c /* :d */, :c -- :e", {"c": 1}) == (
        "SELECT ':a', \":b\", ? /* :d */, ? -- :e",
        [1, 1],
    )
    assert bound("a LIKE '%%' AND b = %s", ["x"]) == ("a LIKE '%' AND b = ?", ["x"])
    assert bound("a LIKE '%%'", None) == ("a LIKE '%%'", [])
    with pytest.raises(KeyError):
        bound(":c", {})
    for values in ([], [1, 2]):
        with pytest.raises(IndexError):
            bound("%s", values)
