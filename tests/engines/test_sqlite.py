"""SQLite files: their sizes on disk, and that looking at them changes nothing."""

import os
import pwd
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.targets import ask, connected, coordinator_of, file_instance, outcomes, refusal, sizes

from capacity_adapters.engines.sqlite import ENDINGS, HEADER, METHOD, header_of, shown_name
from capacity_core.model import CapacityReport, Freshness, Reason

pytestmark = pytest.mark.unit


def make_database(path: Path, rows: int = 10) -> int:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE t (x)")
        database.executemany("INSERT INTO t VALUES (?)", [("x" * 100,)] * rows)
    return path.stat().st_size


@contextmanager
def open_database(path: Path, journal: str) -> Iterator[sqlite3.Connection]:
    """Hold a database in the middle of work, with its side files beside it."""
    make_database(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        database.execute("PRAGMA cache_spill = 1")
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 2000)
        yield database


def the_size(report: CapacityReport) -> tuple[int, int | None, int | None]:
    (size,) = report.sizes
    assert size.freshness is Freshness.LIVE
    assert size.duration_ms
    return size.size_bytes, size.data_size_bytes, size.log_size_bytes


def test_files_with_an_ending_or_the_header_are_databases(tmp_path: Path) -> None:
    expected = {
        name: make_database(tmp_path / name, rows)
        for rows, name in enumerate(("a.db", "b.sqlite", "c.sqlite3", "d.db3", "E.DB", "no ending"))
    }
    (tmp_path / "notes.txt").write_text("no database")
    (tmp_path / "short").write_bytes(HEADER[:8])
    (tmp_path / "sub.db").mkdir()
    make_database(tmp_path / "sub.db" / "deeper.db")
    inventory, report = ask(file_instance(tmp_path))
    assert inventory.complete
    assert sizes(report) == expected
    assert {size.method for size in report.sizes} == {METHOD}


def test_one_file_is_an_instance_of_its_own(tmp_path: Path) -> None:
    size = make_database(tmp_path / "any.name")
    make_database(tmp_path / "other.db")
    _, report = ask(file_instance(tmp_path / "any.name"))
    assert sizes(report) == {"any.name": size}


def test_an_empty_file_is_a_database_of_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "new.db").touch()
    _, report = ask(file_instance(tmp_path))
    assert the_size(report) == (0, 0, 0)


def test_a_file_without_the_header_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"not a database at all")
    (tmp_path / "half.db").write_bytes(HEADER[:9])
    _, report = ask(file_instance(tmp_path))
    assert outcomes(report) == {"broken.db": "invalid", "half.db": "invalid"}


@pytest.mark.parametrize(("journal", "ending"), [("WAL", "-wal"), ("DELETE", "-journal")])
def test_what_is_still_in_a_side_file_counts_as_log(
    tmp_path: Path, journal: str, ending: str
) -> None:
    path = tmp_path / "busy.db"
    with open_database(path, journal):
        data, log = path.stat().st_size, Path(f"{path}{ending}").stat().st_size
        _, report = ask(file_instance(tmp_path))
    assert log > 0
    assert the_size(report) == (data + log, data, log)


def test_looking_at_a_quiet_wal_database_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "quiet.db"
    make_database(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    before = sorted(tmp_path.iterdir()), path.read_bytes()
    ask(file_instance(tmp_path))
    assert (sorted(tmp_path.iterdir()), path.read_bytes()) == before


def test_a_link_keeps_its_name_and_has_its_target_s_side_files(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    (here / "link.db").symlink_to(there / "real.db")
    (here / "dangling.db").symlink_to(there / "nothing.db")
    with open_database(there / "real.db", "WAL"):
        _, report = ask(file_instance(here))
        total = sum(f.stat().st_size for f in there.iterdir() if not f.name.endswith("-shm"))
    assert sizes(report) == {"link.db": total}


def test_a_file_of_several_names_counts_once(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside.db"
    folder.mkdir()
    size, other = make_database(folder / "m.db"), make_database(outside, 500)
    assert size != other
    (folder / "z.db").hardlink_to(folder / "m.db")
    (folder / "a.db").symlink_to("m.db")
    for name in ("y.db", "x.db"):
        (folder / name).symlink_to(outside)
    inventory, report = ask(file_instance(folder))
    assert [database.name for database in inventory.databases] == ["m.db", "x.db"]
    assert sizes(report) == {"m.db": size, "x.db": other}


def test_a_pipe_is_no_database_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    inventory, _ = ask(file_instance(tmp_path))
    assert inventory.databases == ()


def test_a_file_that_became_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "was.db"
    make_database(path)
    with connected(coordinator_of(file_instance(tmp_path))) as coordinator:
        coordinator.fetch_inventory()
        path.unlink()
        os.mkfifo(path)
        report = coordinator.collect_capacity({"was.db"})
    assert outcomes(report) == {"was.db": "invalid"}
    assert header_of(path) == b""


def test_a_link_that_leads_nowhere_hides_no_other_file(tmp_path: Path) -> None:
    size = make_database(tmp_path / "good.db")
    for ending in (".db", ".txt"):
        (tmp_path / f"loop{ending}").symlink_to(f"loop{ending}")
        (tmp_path / f"long{ending}").symlink_to("x" * 300)
        (tmp_path / f"below{ending}").symlink_to("good.db/below")
    _, report = ask(file_instance(tmp_path))
    assert sizes(report) == {"good.db": size}
    assert outcomes(report) == dict.fromkeys(("loop.db", "long.db", "below.db"), "error")


def test_a_system_that_lists_no_descriptors_has_sizes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capacity_adapters.engines.sqlite.DESCRIPTORS", tmp_path / "none")
    size = make_database(tmp_path / "a.db")
    _, report = ask(file_instance(tmp_path))
    assert sizes(report) == {"a.db": size}


def test_a_path_that_is_not_there_or_no_place_is_told(tmp_path: Path) -> None:
    make_database(tmp_path / "a.db")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        told = {
            name: refusal(file_instance(tmp_path / name))
            for name in ("missing", "a.db/below", "socket", "nul\0", "x" * 300)
        }
    assert set(told.values()) == {Reason.PATH_MISSING}


def test_a_file_that_vanishes_costs_its_own_row(tmp_path: Path) -> None:
    kept = make_database(tmp_path / "kept.db")
    make_database(tmp_path / "gone.db")
    with connected(coordinator_of(file_instance(tmp_path))) as coordinator:
        coordinator.fetch_inventory()
        (tmp_path / "gone.db").unlink()
        report = coordinator.collect_capacity({"kept.db", "gone.db"})
    assert sizes(report) == {"kept.db": kept}
    assert outcomes(report) == {"gone.db": "vanished"}


def test_files_that_the_deadline_leaves_out_are_timed_out(tmp_path: Path) -> None:
    make_database(tmp_path / "a.db")
    with connected(coordinator_of(file_instance(tmp_path))) as coordinator:
        coordinator.fetch_inventory()
        conversation = coordinator._conversation  # type: ignore[attr-defined]  # a look inside
        conversation.guard.hurry(0.0)
        report = conversation.measure({"a.db"})
    assert outcomes(report) == {"a.db": "timed_out"}


@contextmanager
def not_root() -> Iterator[None]:
    """Step down for a while: root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_told() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for file in ("secret.db", "secret too"):
            make_database(folder / file)
            (folder / file).chmod(0)
        (folder / "closed").mkdir(mode=0)
        (folder / "into.db").symlink_to("closed/x.db")
        with not_root():
            _, report = ask(file_instance(folder))
            closed = refusal(file_instance(folder / "closed"))
    assert outcomes(report) == {"secret.db": "denied", "into.db": "denied"}
    assert closed == Reason.PERMISSION_DENIED


NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."}
)


@given(name=NAMES, ending=st.sampled_from(ENDINGS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_file_name_can_be_told_and_measured(tmp_path: Path, name: bytes, ending: str) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + ending.encode()))
    path.write_bytes(HEADER + b"rest")
    try:
        _, report = ask(file_instance(tmp_path))
    finally:
        path.unlink()
    ((told, size),) = sizes(report).items()
    assert told == shown_name(path.name)
    assert told.encode()
    assert size == len(HEADER) + 4


def test_two_names_that_show_alike_are_two_files(tmp_path: Path) -> None:
    for name in (b"a\xff.db", rb"a\xff.db"):
        (tmp_path / os.fsdecode(name)).write_bytes(HEADER)
    _, report = ask(file_instance(tmp_path))
    raw = (tmp_path / os.fsdecode(b"a\xff.db")).stat().st_ino
    assert sizes(report).keys() == {r"a\xff.db", rf"a\xff.db (inode {raw})"}


TAKE = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"


@pytest.mark.parametrize("name", ["store.db", "no_ending"])
def test_measuring_a_file_leaves_the_locks_of_this_process_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with closing(sqlite3.connect(path, isolation_level=None)) as ours:
        ours.execute("CREATE TABLE t (x)")
        ours.execute("BEGIN IMMEDIATE")
        _, report = ask(file_instance(tmp_path))
        assert name in sizes(report)
        taken = subprocess.run(
            [sys.executable, "-c", TAKE, str(path)], capture_output=True, text=True, check=False
        )
    assert "database is locked" in taken.stderr
