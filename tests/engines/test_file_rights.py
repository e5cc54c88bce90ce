"""The doctor before files: what our process may not read, and the command that opens it."""

import os
import pwd
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.targets import ask, coordinator_of, cures, file_instance

from capacity_adapters.engines.file_rights import grants
from capacity_core.diagnosis import Check, CheckState, Diagnosis
from capacity_core.doctor import diagnose
from capacity_core.messages import Language, render

pytestmark = pytest.mark.unit

ACCOUNT = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
IS_ROOT = os.geteuid() == 0


@contextmanager
def not_root() -> Iterator[None]:
    """Step down for a while: root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(pwd.getpwnam(ACCOUNT).pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Lend a folder that others may enter; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


def examined(path: Path) -> Diagnosis:
    with not_root():
        return diagnose(file_instance(path), {}, coordinator_of)


def files_check(path: Path) -> Check:
    listed, files = examined(path).checks
    assert listed.state is CheckState.OK
    return files


def make(path: Path, mode: int = 0o644) -> Path:
    path.touch()
    path.chmod(mode)
    return path


def test_a_folder_whose_files_may_be_read_is_ready(folder: Path) -> None:
    make(folder / "a.db")
    make(folder / "broken.db").write_bytes(b"no database")  # no right would mend it
    (folder / "loop.db").symlink_to("loop.db")
    assert examined(folder).ready


def test_a_closed_file_costs_itself_and_names_the_command(folder: Path) -> None:
    make(folder / "a.db")
    closed = make(folder / "it's closed.db", 0)
    found = files_check(folder)
    assert (found.state, found.costs) == (CheckState.MISSING, ("it's closed.db",))
    assert found.cure.params["sql"] == f"setfacl -m u:{ACCOUNT}:r {shlex.quote(str(closed))}"


def test_a_link_into_a_closed_folder_names_that_folder_once(folder: Path) -> None:
    inner = folder / "closed"
    inner.mkdir(mode=0o755)
    for name in ("a.db", "b.db"):
        make(inner / name)
        (folder / name).symlink_to(inner / name)
    inner.chmod(0o700)
    found = files_check(folder)
    assert found.costs == ("a.db", "b.db")
    assert found.cure.params["sql"] == f"setfacl -m u:{ACCOUNT}:x {inner}"


def test_a_folder_that_may_be_listed_but_not_entered(folder: Path) -> None:
    make(folder / "a.db")
    folder.chmod(0o744)
    found = files_check(folder)
    assert found.costs == ("a.db",)
    assert found.cure.params["sql"] == f"setfacl -m u:{ACCOUNT}:rx {folder}"


def test_an_account_without_a_name_is_told_by_its_number(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(number: int) -> None:
        raise KeyError(number)

    make(folder / "a.db", 0)
    monkeypatch.setattr("capacity_adapters.engines.file_rights.pwd.getpwuid", unknown)
    with not_root():
        number = os.geteuid()
    assert f"u:{number}:r" in str(files_check(folder).cure.params["sql"])


@pytest.mark.skipif(not IS_ROOT, reason="only root gives rights to another account")
def test_the_commands_open_what_they_say(folder: Path) -> None:
    make(folder / "a.db", 0)
    make(folder / "two words.db", 0)
    folder.chmod(0o744)
    for _ in ("the folder", "its files"):
        subprocess.run(str(files_check(folder).cure.params["sql"]), shell=True, check=True)  # noqa: S602 -- as an administrator would
    assert examined(folder).ready


@pytest.mark.skipif(not IS_ROOT, reason="only root gives rights to another account")
def test_the_script_is_enough_for_files_that_come_later_too(folder: Path) -> None:
    make(folder / "a.db", 0)
    folder.chmod(0o700)
    (script,) = grants(ACCOUNT)
    text = str(script).replace("/path/to/folder", str(folder))
    subprocess.run(text, shell=True, check=True)  # noqa: S602 -- likewise
    (folder / "later.db").touch(0o640)
    found = examined(folder)
    assert found.ready
    assert os.access(folder / "later.db", os.R_OK)


def test_the_cure_is_in_the_report_and_in_a_refused_connect_too(folder: Path) -> None:
    secret = make(folder / "a.db", 0)
    inner = folder / "closed"
    inner.mkdir(mode=0)
    with not_root():
        _, report = ask(file_instance(folder))
        refused = coordinator_of(file_instance(inner))
        assert not refused.connect()
    assert cures(report) == {"a.db": f"setfacl -m u:{ACCOUNT}:r {secret}"}
    assert refused.failure is not None
    hint = render(refused.failure.hint, Language.EN)
    assert hint.endswith(f"run: setfacl -m u:{ACCOUNT}:rx {inner}")
