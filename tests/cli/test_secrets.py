"""A password given to the command is told by none of its streams, and kept sealed or not at all."""

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cli.conftest import Cli
from tests.faults.listeners import closer, listening
from tests.rogues import CLEAR, Rogue
from tests.servers import HOST

pytestmark = pytest.mark.unit

MARKER = "hunter2"
SECRETS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=30)


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(secret=SECRETS.map(MARKER.__add__))
def test_no_failure_tells_or_keeps_the_password(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("GIVEN", secret)
    given_so = ("--password-env", "GIVEN")
    told = []
    for db_type in ("postgresql", "mysql"):
        peer = Rogue().postgres((CLEAR,)) if db_type == "postgresql" else closer
        with listening(peer) as port:
            there = f"{HOST}:{port}/"
            told += [
                cli("sync", f"{db_type}://app@{there}", *given_so),
                cli("sync", f"{db_type}://app@{there}", *given_so, "--json"),
                cli("sync", f"{db_type}://app:{quote(secret, safe='')}@{there}"),
                cli("doctor", f"{db_type}://app:{quote(secret, safe='')}@{there}", "--json"),
                cli("sync", f"{db_type}://app:{quote(secret, safe='')}@:x/"),
                cli("instance", "add", "--name", "a b", "--db-type", "db9", *given_so),
                cli("instance", "edit", there, "--port", "0", *given_so),
            ]
    assert all(said.code for said in told)
    assert not [said for said in told if MARKER in said.out + said.err]
    kept = b"".join(file.read_bytes() for file in cli.home.rglob("*") if file.is_file())
    assert kept  # the store
    assert MARKER.encode() not in kept


def test_a_password_that_is_kept_is_sealed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN", MARKER)
    added = cli(
        "instance", "add", "--url", "pg://app@db.test/", "--password-env", "GIVEN", "--json"
    )
    assert added.data["instance"]["has_password"] is True
    shown = cli("instance", "show", "db.test:5432", "--json")
    assert MARKER not in added.out + added.err + shown.out + shown.err
    kept = b"".join(file.read_bytes() for file in cli.home.rglob("*") if file.is_file())
    assert MARKER.encode() not in kept
