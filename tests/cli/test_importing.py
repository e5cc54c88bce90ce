"""A file of instances on the command line: what was added, or what is wrong with which line."""

import io
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.cli.conftest import PROGRAM, Cli

from capacity_adapters.cli import importing

TWO = "name,db_type,host\nshop,postgresql,db1\n=中,mysql,db2\n"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.csv"
    path.write_text(TWO, encoding="utf-8")
    return path


def names(cli: Cli) -> list[str]:
    return [kept["name"] for kept in cli("instance", "list", "--json").data["instances"]]


def test_a_file_is_imported_once(cli: Cli, fleet: Path) -> None:
    said = cli("instance", "import", "fleet.csv", "--dry-run")
    assert (said.code, said.out) == (0, "Dry run: instances to add: 2, unchanged: 0\n")
    assert names(cli) == []
    assert cli("instance", "import", str(fleet)).out == "Instances added: 2, unchanged: 0\n"
    assert cli("instance", "import", str(fleet)).out == "Instances added: 0, unchanged: 2\n"
    assert names(cli) == ["=中", "shop"]


def test_programs_are_told_the_same(cli: Cli, fleet: Path) -> None:
    data = cli("instance", "import", str(fleet), "--json").data
    assert data == {"added": 2, "unchanged": 0, "dry_run": False}
    fleet.write_text("name,db_type,host\nx,pg,a b\n")
    said = cli("instance", "import", str(fleet), "--json")
    assert (said.code, said.err) == (1, "")
    assert said.document["message_code"] == "VALIDATION_ERROR"
    assert said.document["extra"] == {
        "error_count": 1,
        "errors": [
            {
                "line": 2,
                "field": "host",
                "message": "'a b' is neither a host name nor an IP address",
            }
        ],
    }


def test_every_faulty_line_is_shown_and_nothing_kept(cli: Cli, fleet: Path) -> None:
    fleet.write_text(TWO + "\x1b[31m,pg,a b\nshort,pg\n", encoding="utf-8")
    said = cli("instance", "import", str(fleet))
    assert (said.code, said.out) == (1, "")
    lines = said.err.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [
        ["LINE", "COLUMN"],
        ["4", "host"],
        ["5", "-"],
    ]
    assert lines[3:] == ["error: Faulty lines: 2. Nothing was imported"]
    assert names(cli) == []


def test_of_many_faulty_lines_some_are_shown(cli: Cli, fleet: Path) -> None:
    fleet.write_text("name,db_type\n" + "x\n" * 150)
    lines = cli("instance", "import", str(fleet)).err.splitlines()
    assert len(lines) == 1 + 100 + 2
    assert lines[-2] == "... and 50 more lines"


def test_what_comes_on_stdin_is_imported(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(TWO.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert cli("instance", "import", "-").out == "Instances added: 2, unchanged: 0\n"
    done = subprocess.run(
        [PROGRAM, "instance", "import", "-"],
        input=TWO.encode(),
        check=True,
        capture_output=True,
        cwd=cli.home,
    )
    assert done.stdout == b"Instances added: 0, unchanged: 2\n"


@pytest.mark.parametrize("kind", ["nowhere", "folder", "pipe", "nul", "large"])
def test_what_is_no_file_of_some_size_is_refused(
    cli: Cli, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MAX_FILE_BYTES", 1000)
    (cli.home / "folder").mkdir()
    os.mkfifo(cli.home / "pipe")
    (cli.home / "large").write_bytes(b"x" * 1001)
    said = cli("instance", "import", "a\0b" if kind == "nul" else kind)
    assert (said.code, said.out) == (2, "")
    assert "Invalid value for FILE" in said.err
    assert "None" not in said.err
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"x" * 1001)))
    assert cli("instance", "import", "-").code == 2
