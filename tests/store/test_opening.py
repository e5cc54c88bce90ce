"""Opening a store: created when new, refused with a cure when it cannot be used."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.servers import Server
from tests.stores import add_instance, copied_sqlite, execute, new_database, table_names

from capacity_adapters.store import StoreState, open_store, schema, store_status, upgrade_store
from capacity_adapters.store.database import LEAST_SQLITE
from capacity_core.errors import StoreError
from capacity_core.messages import CATALOGUE, Language, render

NOBODY = 65534
CREATORS = 10
CREATE = """
import sys
from capacity_adapters.store import open_store
store = open_store(sys.argv[1])
store.check()
store.close()
"""


def refusal(url: str, *, upgrade: bool = False) -> StoreError:
    with pytest.raises(StoreError) as refused:
        open_store(url, upgrade=upgrade)
    assert refused.value.message.key in CATALOGUE
    for language in Language:
        assert "{" not in render(refused.value.message, language)
    return refused.value


def says(error: StoreError) -> str:
    return render(error.message, Language.EN)


@contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Root may write everywhere: be somebody else for a while, who may enter the folder."""
    if os.geteuid() != 0:
        yield
        return
    for each in [folder, *folder.parents]:
        each.chmod(each.stat().st_mode | stat.S_IXGRP | stat.S_IXOTH)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_missing_file_is_created_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    open_store(f"sqlite:///{path}").close()
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_looking_does_not_create(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    status = store_status(f"sqlite:///{path}")
    assert (status.state, status.version, status.where) == (StoreState.MISSING, None, str(path))
    assert not path.exists()


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    assert store_status(f"sqlite:///{path}").state is StoreState.EMPTY
    assert upgrade_store(f"sqlite:///{path}").state is StoreState.CURRENT


@pytest.mark.live
def test_an_empty_postgresql_database_becomes_a_store(postgres: Server) -> None:
    url = new_database(postgres)
    assert store_status(url).state is StoreState.EMPTY
    open_store(url).close()
    status = store_status(url)
    assert (status.state, status.version) == (StoreState.CURRENT, status.needed)


def test_what_was_kept_is_there_after_reopening(store_url: str) -> None:
    store = open_store(store_url)
    instance_id = add_instance(store)
    store.close()
    store = open_store(store_url)
    with store.begin() as work:
        assert work.instances.get(instance_id).name == "shop"
    store.close()


def create_at_once(url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", CREATE, url]
    creators = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(CREATORS)
    ]
    said = [creator.communicate(timeout=120)[0].decode() for creator in creators]
    assert [creator.returncode for creator in creators] == [0] * CREATORS, said


def test_ten_processes_may_create_the_same_file_at_once(tmp_path: Path) -> None:
    create_at_once(f"sqlite:///{tmp_path / 'new.db'}")


@pytest.mark.live
def test_ten_processes_may_create_the_same_schema_at_once(postgres: Server) -> None:
    create_at_once(new_database(postgres))


def test_an_older_schema_is_refused_with_the_cure(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9999"))
    assert store_status(store_url).state is StoreState.OLDER
    assert "capacity store upgrade" in says(refusal(store_url))


def test_an_older_schema_is_migrated_when_told_and_keeps_what_it_holds(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(store_url)
    instance_id = add_instance(store)
    store.close()
    scripts = newer_scripts(tmp_path)
    monkeypatch.setattr(schema, "SCRIPTS", str(scripts))
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9999"))
    store = open_store(store_url, upgrade=True)
    assert "later" in table_names(store)
    with store.begin() as work:
        assert work.instances.get(instance_id).name == "shop"
    store.close()
    assert store_status(store_url).state is StoreState.CURRENT


def test_a_migration_that_fails_leaves_the_older_schema(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = newer_scripts(tmp_path, "op.execute('SELECT no_such_column')")
    monkeypatch.setattr(schema, "SCRIPTS", str(scripts))
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9999"))
    assert refusal(store_url, upgrade=True).message.key == "store.failed"
    monkeypatch.undo()
    store = open_store(store_url)
    assert "later" not in table_names(store)
    store.close()


@pytest.mark.live
def test_a_migration_may_take_longer_than_an_answer(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database(postgres)
    open_store(url).close()
    scripts = newer_scripts(tmp_path, "op.execute('SELECT pg_sleep(0.5)')")
    monkeypatch.setattr(schema, "SCRIPTS", str(scripts))
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9999"))
    impatient = f"{url}?options=-c%20statement_timeout%3D200"
    open_store(impatient, upgrade=True).close()
    assert store_status(url).state is StoreState.CURRENT


def newer_scripts(folder: Path, last: str = "pass") -> Path:
    """Copy the migrations and add one."""
    source = Path(schema.__file__).parent / "migrations"
    scripts = folder / "scripts"
    (scripts / "versions").mkdir(parents=True)
    for file in [*source.glob("*.py"), *source.glob("versions/*.py")]:
        (scripts / file.relative_to(source)).write_text(file.read_text())
    head = schema.REVISIONS[-1]
    (scripts / "versions" / "9999_later.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision = '9999'\ndown_revision = '{head}'\n"
        "def upgrade():\n    op.create_table('later', sa.Column('x', sa.Integer))\n"
        f"    {last}\n"
    )
    return scripts


@pytest.mark.parametrize("upgrade", [False, True])
def test_a_newer_schema_is_always_refused(store_url: str, *, upgrade: bool) -> None:
    store = open_store(store_url)
    execute(store, "UPDATE capacity_store_version SET version_num = '9999'")
    with pytest.raises(StoreError):
        store.check()
    store.close()
    assert "newer" in says(refusal(store_url, upgrade=upgrade))


@pytest.mark.parametrize("upgrade", [False, True])
def test_the_database_of_somebody_else_is_refused_untouched(
    tmp_path: Path, *, upgrade: bool
) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    before = path.read_bytes()
    assert str(path) in says(refusal(f"sqlite:///{path}", upgrade=upgrade))
    assert path.read_bytes() == before


@pytest.mark.live
def test_a_postgresql_database_of_somebody_else_is_refused(postgres: Server) -> None:
    url = new_database(postgres)
    open_store(url).close()
    store = open_store(url)
    execute(store, "DROP TABLE capacity_store_version")
    store.close()
    assert refusal(url, upgrade=True).message.key == "store.foreign"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no" / "such" / "store.db"
    assert str(path.parent) in says(refusal(f"sqlite:///{path}"))
    assert not path.parent.exists()


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    assert str(tmp_path) in says(refusal(f"sqlite:///{tmp_path}"))


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("these are my notes, not a database " * 100)
    before = path.read_bytes()
    error = refusal(f"sqlite:///{path}")
    assert (error.message.key, path.read_bytes()) == ("store.not_a_database", before)
    assert str(path) in says(error)


def test_a_read_only_file_is_refused(sqlite_template: Path, tmp_path: Path) -> None:
    url = copied_sqlite(sqlite_template, tmp_path)
    path = Path(url.removeprefix("sqlite:///"))
    path.chmod(0o444)
    with unprivileged(tmp_path):
        error = refusal(url)
    assert error.message.key == "store.readonly"
    assert str(path) in says(error)


def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with unprivileged(tmp_path):
        error = refusal(f"sqlite:///{tmp_path / 'new.db'}")
    tmp_path.chmod(0o755)
    assert error.message.key == "store.readonly"


def test_a_locked_file_is_named_after_a_while(sqlite_template: Path, tmp_path: Path) -> None:
    url = copied_sqlite(sqlite_template, tmp_path)
    store = open_store(f"{url}?timeout=0.1")
    instance_id = add_instance(store)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        for write in (lambda: add_instance(store, "b"), lambda: store.leases.acquire(1, 60)):
            with pytest.raises(StoreError) as busy:
                write()
            assert busy.value.message.key == "store.locked"
            assert url.removeprefix("sqlite:///") in says(busy.value)
        holder.rollback()
    assert add_instance(store, "b") > instance_id
    store.close()


@pytest.mark.parametrize(
    "url", ["mysql://u:geheim@h/d", "nonsense", "sqlite://", "sqlite:///:memory:", "sqlite://h:x/"]
)
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    error = refusal(url)
    assert error.message.key == "store.url"
    assert "geheim" not in says(error)


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (LEAST_SQLITE[0], LEAST_SQLITE[1] - 1, 9))
    assert refusal(f"sqlite:///{tmp_path / 'new.db'}").message.key == "store.sqlite_version"


def test_a_server_that_is_not_there_is_named() -> None:
    error = refusal("postgresql://u:geheim@127.0.0.1:1/d")
    assert error.message.key == "store.unreachable"
    assert "127.0.0.1:1/d" in says(error)
    assert "geheim" not in says(error) + str(error) + repr(error)


@pytest.mark.live
def test_a_wrong_password_or_database_is_told(postgres: Server) -> None:
    place = f"{postgres.host}:{postgres.port}"
    error = refusal(f"postgres://nobody:geheim@{place}/postgres")
    assert error.message.key == "store.login"
    assert "geheim" not in says(error) + str(error) + repr(error.__cause__)
    assert refusal(postgres.url("no_such_database")).message.key == "store.no_database"


@pytest.mark.live
def test_a_login_without_rights_is_told(postgres: Server) -> None:
    url = new_database(postgres)
    store = open_store(url)
    execute(store, "CREATE ROLE storeless LOGIN PASSWORD 'x'")
    store.close()
    as_other = url.replace(f"{postgres.user}:{postgres.password}@", "storeless:x@")
    assert refusal(as_other).message.key == "store.denied"
    empty = new_database(postgres).replace(f"{postgres.user}:{postgres.password}@", "storeless:x@")
    assert refusal(empty).message.key == "store.denied"
