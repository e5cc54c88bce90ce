"""A store of an earlier version keeps what it holds, and tells of it what is true today."""

from pathlib import Path

import pytest
from tests.builders import NOON
from tests.stores import POSTGRESQL, SQLITE, aggregates_of, execute, new_database, on_day

from capacity_adapters.store import Store, open_store, schema
from capacity_core.model import Level, Tls, TlsMode
from capacity_core.reads import DateRange, Paging

AT = "2026-03-10 12:00:00+00:00"
INSTANCE = """
INSERT INTO instances (id, name, db_type, host, port, username, tls_mode, tls_ca, filters,
    description, is_active, created_at, updated_at)
VALUES (1, 'shop', 'postgresql', 'db', 5432, 'reader', 'verify-ca', '/ca.pem', :filters, '', true,
    :at, :at)
"""
SIZE = """
INSERT INTO database_size_stats (instance_id, database_name, collected_date, size_bytes, method,
    collected_at, last_outcome, last_attempt_at)
VALUES (1, :name, :day, 8, :method, :at, 'measured', :at)
"""
AGGREGATE = """
INSERT INTO database_size_aggregations (instance_id, database_name, period_type, period_start,
    period_end, data_count, size_sum_bytes, max_size_bytes, min_size_bytes, data_size_count,
    log_size_count, baseline_date, size_change_bytes, size_change_percent, growth_rate)
VALUES (1, :name, 'daily', :day, :day, 1, 8, 8, 8, 0, 0, :baseline, 0, 0.0, 0.0)
"""
INSTANCE_AGGREGATE = """
INSERT INTO instance_size_aggregations (instance_id, period_type, period_start, period_end,
    data_count, total_size_sum_bytes, max_total_size_bytes, min_total_size_bytes,
    measured_count_sum, active_count_sum, max_active_count, min_active_count, baseline_date,
    total_size_change_bytes, total_size_change_percent, active_count_change, growth_rate,
    trend_direction)
VALUES (1, 'daily', :day, :day, 1, 16, 16, 16, 2, 2, 2, 2, :baseline, 0, 0.0, 0, 0.0, 'stable')
"""


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return new_database(request.getfixturevalue("postgres"))


def open_at(url: str, version: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Make the store that an earlier version of ours made."""
    source = Path(schema.__file__).parent / "migrations"
    (folder / "versions").mkdir(parents=True)
    for file in [*source.glob("*.py"), *source.glob("versions/*.py")]:
        if file.parent == source or file.name <= f"{version}~":
            (folder / file.relative_to(source)).write_text(file.read_text())
    until = schema.REVISIONS.index(version) + 1
    monkeypatch.setattr(schema, "SCRIPTS", str(folder))
    monkeypatch.setattr(schema, "REVISIONS", schema.REVISIONS[:until])
    store = open_store(url)
    monkeypatch.undo()
    return store


def test_the_first_version_becomes_the_ledgers(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_at(empty_url, "0001", tmp_path / "scripts", monkeypatch)
    first, second = str(on_day(0).day), str(on_day(1).day)
    filters = '{"exclude": [], "include": [], "ignore_case": false}'
    execute(old, INSTANCE, filters=filters, at=AT)
    for name, method in (("same", "old"), ("other", "new")):
        execute(old, SIZE, name=name, day=first, method="old", at=AT)
        execute(old, SIZE, name=name, day=second, method=method, at=AT)
        execute(old, AGGREGATE, name=name, day=second, baseline=first)
    third = str(on_day(2).day)
    execute(old, INSTANCE_AGGREGATE, day=second, baseline=first)
    execute(old, INSTANCE_AGGREGATE, day=third, baseline=second)
    old.close()

    store = open_store(empty_url, upgrade=True)
    with store.begin() as work:
        instance = work.instances.get(1)
        sizes = work.reads.history(1, "other", DateRange(), Paging()).rows
    databases, days = aggregates_of(store, 1)
    changes = {name: row[15:] for (name, _), row in databases.items()}
    store.close()
    assert (instance.level, instance.tls) == (Level.DATABASE, Tls(TlsMode.VERIFY_CA, "/ca.pem"))
    assert instance.created_at == NOON
    unknown = (8, None, None)
    assert [(r.size_bytes, r.freshness, r.duration_ms) for r in sizes] == [unknown, unknown]
    assert [row.method_changed for row in sizes] == [True, False]
    assert changes == {
        "same": (0, None, None, 0.0, None, None, 0.0, False),
        "other": (*(None,) * 7, True),
    }
    assert [row[10:] for row in days] == [
        (on_day(0).day, None, None, 0, None, None, "unknown", True),
        (on_day(1).day, 0, 0.0, 0, None, 0.0, "stable", False),
    ]
