"""What a URL says of an instance."""

from pathlib import Path

import pytest

from capacity_adapters.cli.targets import located_by
from capacity_adapters.engines import ENGINES
from capacity_core.errors import InvalidInputError
from capacity_core.instances import InstanceFields, engine_for
from capacity_core.messages import Language, render
from capacity_core.model import EngineFacts


def engine_of(scheme: str) -> EngineFacts:
    return engine_for(scheme, ENGINES)


NETWORK = [
    (
        "postgresql://me@db.example:5433/",
        InstanceFields(
            name="db.example:5433",
            db_type="postgresql",
            host="db.example",
            port=5433,
            username="me",
        ),
    ),
    (
        "postgres://db.example",
        InstanceFields(
            name="db.example:5432", db_type="postgresql", host="db.example", port=5432, username=""
        ),
    ),
    (
        "mariadb://a%40b@10.0.0.1/a%2Fb",
        InstanceFields(
            name="10.0.0.1:3306",
            db_type="mysql",
            host="10.0.0.1",
            port=3306,
            username="a@b",
            database_name="a/b",
        ),
    ),
    (
        "mysql://me@[::1]:3307",
        InstanceFields(name="[::1]:3307", db_type="mysql", host="::1", port=3307, username="me"),
    ),
    *(
        (
            f"{scheme}://sa@host",
            InstanceFields(
                name="host:1433", db_type="sqlserver", host="host", port=1433, username="sa"
            ),
        )
        for scheme in ("mssql", "SQL_Server", "sql-server")
    ),
]


@pytest.mark.parametrize(("url", "fields"), NETWORK, ids=lambda value: str(value)[:30])
def test_a_url_names_a_server(url: str, fields: InstanceFields) -> None:
    assert located_by(url, engine_of).fields == fields


def test_a_password_in_the_url_is_decoded() -> None:
    password = located_by("mysql://me:p%40ss%2F%23@host/", engine_of).password
    assert password is not None
    assert password.reveal() == "p@ss/#"
    assert located_by("mysql://me@host/", engine_of).password is None


@pytest.mark.parametrize(
    ("rest", "path", "name"),
    [
        ("/dbs", "{cwd}/dbs", "dbs"),
        ("/dbs/", "{cwd}/dbs", "dbs"),
        ("/a b?c#d%20", "{cwd}/a b?c#d%20", "a b?c#d%20"),
        ("//srv/dbs/shop.db", "/srv/dbs/shop.db", "shop.db"),
        ("/2026", "{cwd}/2026", "sqlite-2026"),
    ],
)
def test_a_sqlite_url_names_a_folder_or_file(
    rest: str, path: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fields = located_by(f"sqlite://{rest}", engine_of).fields
    assert fields == InstanceFields(
        name=name, db_type="sqlite", path=path.replace("{cwd}", str(tmp_path))
    )


def test_a_folder_spelled_in_another_way_is_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    for url, path in (("sqlite:///../files", "files"), (f"sqlite:///{tmp_path}/./link/", "link")):
        fields = located_by(url, engine_of).fields
        assert (fields.path, fields.name) == (str(tmp_path / path), path)


def test_a_relative_path_that_is_not_there_may_have_been_meant_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    located_by("sqlite:///srv/dbs", engine_of)
    assert f"there is no {tmp_path}/srv/dbs; an absolute path takes four slashes" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "url",
    [
        "dbase://me:hunter2@host/",
        "postgresql://",
        "postgresql:///db",
        "postgresql://me:hunter2@/db",
        "postgresql://me:hunter2@host:port/",
        "postgresql://me:hunter2@host:70000/",
        "postgresql://me:hunter2@host/db?sslmode=require",
        "postgresql://me:hunter2@host/db#x",
        "postgresql://me:hunter2@host/db/more",
        "postgresql://me:1/hunter2@host/db",
        "postgresql://me:1/hunter2@host",
        "postgresql://me:hunter2@[::1/db",
        "sqlite://folder",
        "sqlite:///",
        "sqlite:////",
    ],
)
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        located_by(url, engine_of)
    assert "hunter2" not in render(caught.value.message, Language.EN)
