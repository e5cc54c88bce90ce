"""The command line in a folder and a data directory of its own."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from capacity_adapters.cli.program import run
from capacity_adapters.store import Store, open_store

PROGRAM = str(Path(sys.executable).with_name("capacity"))


@frozen
class Said:
    """How a call of the command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def data(self) -> Any:
        assert self.code == 0, self
        return self.document["data"]


@frozen
class Cli:
    """Calls the command in this process, or as a process of its own."""

    home: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Said:
        code = run(arguments)
        out, err = self.capsys.readouterr()
        return Said(code, out, err)

    def popen(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=self.home,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def process(self, *arguments: str, **environ: str) -> Said:
        with self.popen(*arguments, **environ) as process:
            out, err = process.communicate(timeout=60)
        return Said(process.returncode, out, err)


def on_a_terminal(cli: Cli, *arguments: str, typed: str = "", **environ: str) -> tuple[int, str]:
    """Run it with a terminal on all three streams; returns the exit code and what it drew."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *arguments],
        cwd=cli.home,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environ},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    drawn = b""
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        while True:
            try:
                drawn += terminal.read(4096)
            except OSError:  # the last process closed its end
                break
            if typed and b"Password" in drawn:
                terminal.write(typed.encode())
                typed = ""
    return process.wait(timeout=20), drawn.decode()


def clean_environment(home: Path) -> Mapping[str, str]:
    return {"HOME": str(home), "XDG_DATA_HOME": str(home / "share")}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    for name in os.environ:
        if name.startswith("CAPACITY_"):
            monkeypatch.delenv(name)
    for name, value in clean_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Cli(tmp_path, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Lend a folder `dbs` with two databases, one broken file and one that is none."""
    dbs = tmp_path / "dbs"
    dbs.mkdir()
    for name, rows in (("shop.db", 2000), ("stock.sqlite", 10)):
        with closing(sqlite3.connect(dbs / name)) as connection, connection:
            connection.execute("CREATE TABLE things (name TEXT)")
            connection.executemany("INSERT INTO things VALUES (?)", [("x" * 90,)] * rows)
    (dbs / "broken.db").write_bytes(b"no database at all")
    (dbs / "notes.txt").write_text("no database by its name")
    return dbs


@pytest.fixture
def store(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Lend the store that the commands use, empty."""
    url = f"sqlite:///{cli.home / 'store.db'}"
    monkeypatch.setenv("CAPACITY_STORE_URL", url)
    opened = open_store(url)
    yield opened
    opened.close()
