"""SQL Server's conversation over H2: our own queries on catalogue tables that we seed.

It proves what our SQL does with such rows; not that a real catalogue has them.
"""

from collections.abc import Callable, Iterator

import pytest
from attrs import frozen
from tests.dialects.h2 import H2, h2
from tests.targets import outcomes

from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.sqlserver import SqlServer, queries
from capacity_adapters.engines.sqlserver.connect import Link
from capacity_adapters.engines.sqlserver.rights import rights_of
from capacity_core.model import CapacityReport, DatabaseSize, Inventory

DATABASES = (
    "database_id int, name nvarchar(128), state tinyint, source_database_id int,"
    " user_access tinyint, is_cleanly_shutdown bit, create_date datetime"
)
FILES = "database_id int, name nvarchar(128), type tinyint, size int, max_size int, growth int"
BORN = "2020-05-01 10:00:00"
LOG_CAP = 268435456
FUNCTIONS = {
    "SERVERPROPERTY": 'String f(String name) { return "3"; }',
    "DB_NAME": 'String f() { return "master"; }',
    "SUSER_SNAME": 'String f() { return "monitor"; }',
    "HAS_PERMS_BY_NAME": "Integer f(String a, String b, String right)"
    ' { return right.equals("VIEW SERVER PERFORMANCE STATE") ? null : Integer.valueOf(1); }',
    "HAS_DBACCESS": "Integer f(String name)"
    ' { return name.equals("gone") ? null : Integer.valueOf(name.equals("shut") ? 0 : 1); }',
    "FILEPROPERTY": "Integer f(String name, String property)"
    ' { return name.equals("defunct") ? null : Integer.valueOf(7); }',
}


@frozen
class OverH2(Link):
    """Asks H2; what only a batch tells stays unknown, for H2 runs none."""

    h2: H2

    def ask(self, question: str) -> list[tuple[object, ...]]:
        return self.h2.ask(question)

    def ask_each(self, question: str, take: Callable[[tuple[object, ...]], None]) -> None:
        pass


@pytest.fixture
def server() -> Iterator[H2]:
    with h2("MSSQLServer") as empty:
        for name, java in FUNCTIONS.items():
            empty.function(name, java)
        yield empty


def talk(server: H2) -> tuple[Inventory, CapacityReport]:
    rights = rights_of(server.ask(queries.SERVER), "whoever")
    assert (rights.edition, rights.login) == (3, "monitor")
    link = OverH2(None, None, server)  # type: ignore[arg-type]  # nothing of the driver is touched
    talking = SqlServer(link, Guard.starting_now(10, 10), rights)
    inventory = talking.inventory()
    return inventory, talking.measure({each.name for each in inventory.databases})


def test_files_are_added_up_by_database_and_kind(server: H2) -> None:
    server.table(
        "sys.databases",
        DATABASES,
        [
            (5, "Shop 数据", 0, None, 0, False, BORN),
            (6, "asleep", 6, None, 0, False, BORN),
            (7, "unseen", 0, None, 1, False, BORN),
        ],
    )
    server.table(
        "sys.master_files",
        FILES,
        [
            (5, "a", 0, 2**31 - 1, 2**31 - 1, 10),
            (5, "b", 0, 2**31 - 1, -1, 0),
            (5, "log", 1, 10, LOG_CAP, 10),
            (6, "a", 0, 3, -1, 10),
            (6, "log", 1, 4, 2, 10),
            (99, "a", 0, 1, 1, 1),
        ],
    )
    _, report = talk(server)
    sizes = {each.name: each for each in report.sizes}
    shop = sizes["Shop 数据"]
    assert (shop.data_size_bytes, shop.log_size_bytes) == (2 * (2**31 - 1) * 8192, 10 * 8192)
    # A file that may not grow ends at its size, though its maximum is none.
    assert shop.ceiling_bytes == (2 * (2**31 - 1) + LOG_CAP) * 8192
    assert (sizes["asleep"].size_bytes, sizes["asleep"].outcome) == (7 * 8192, "offline")
    assert sizes["asleep"].ceiling_bytes is None
    assert outcomes(report) == {"unseen": "denied"}


@pytest.mark.parametrize(
    ("row", "may_enter"),
    [
        ((5, "x", 0, None, 0, False, BORN), 1),
        ((5, "x", 0, None, 1, False, BORN), 0),  # single user
        ((5, "x", 0, None, 2, False, BORN), 1),  # restricted user
        ((5, "x", 0, None, 0, True, BORN), 0),  # closed by itself
        ((5, "x", 1, None, 0, False, BORN), 0),
        ((5, "shut", 0, None, 0, False, BORN), 0),
        ((5, "gone", 0, None, 0, False, BORN), None),
    ],
)
def test_only_what_disturbs_nobody_is_entered(
    server: H2, row: tuple[object, ...], may_enter: int | None
) -> None:
    server.table("sys.databases", DATABASES, [row])
    ((_, _, _, _, entered, _),) = server.ask(queries.DATABASES)
    assert entered == may_enter


def test_used_pages_are_known_only_if_those_of_every_file_are(server: H2) -> None:
    server.table(
        "sys.database_files",
        FILES.partition(", ")[2],
        [
            ("a", 0, 10, 100, 1),
            ("b", 0, 10, 5, 0),
            ("log", 1, 5, LOG_CAP, 1),
            ("defunct", 1, 5, LOG_CAP, 1),
            ("stream", 2, 50, -1, 1),
        ],
    )
    assert sorted(server.ask(queries.INSIDE)) == [
        (0, 20, 110, 0, 14),
        (1, 10, 2 * LOG_CAP, 0, None),
        (2, 50, 50, 1, 50),  # the fourth says that there is no end
    ]


def test_azures_latest_row_counts(server: H2) -> None:
    server.table(
        "sys.resource_stats",
        "database_name nvarchar(128), allocated_storage_in_megabytes float,"
        " storage_in_megabytes float, end_time datetime",
        [
            ("shop", 100, 50, "2026-03-10 11:55:00"),
            ("shop", 0.5, 0.25, "2026-03-10 12:00:00"),
            ("shop", None, 1, "2026-03-10 12:05:00"),
            ("stock", 2.0**40, None, "2010-01-01 00:00:10"),
        ],
    )
    rows = {name: (size, used) for name, size, used, _ in server.ask(queries.AZURE_SIZES)}
    assert rows == {"shop": (2**19, 2**18), "stock": (2**60, None)}
    assert ("stock", 2**60, None, 10) in server.ask(queries.AZURE_SIZES)


def test_a_name_with_quotes_is_only_a_name(server: H2) -> None:
    name = "x'; DROP TABLE y --] \""
    server.table("sys.databases", DATABASES, [(5, name, 0, None, 0, False, BORN)])
    server.table("sys.master_files", FILES, [(5, "a", 0, 1, 1, 0)])
    _, report = talk(server)
    assert [(each.name, each.size_bytes) for each in report.sizes] == [(name, 8192)]
    assert all(isinstance(each, DatabaseSize) for each in report.sizes)
