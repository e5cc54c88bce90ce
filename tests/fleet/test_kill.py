"""A killed process loses nothing: the next one finishes its run, and does nothing twice."""

from pathlib import Path

import pytest
from tests.fleet.kill_rounds import embedded_round
from tests.stores import POSTGRESQL, SQLITE, url_of

LEASE_SECONDS = 1.0


@pytest.mark.parametrize(
    ("kill_at", "kind"),
    [
        pytest.param("claimed:1", *SQLITE.values, id="claimed"),
        pytest.param("after_commit:3", *SQLITE.values, id="after_commit"),
        pytest.param(
            "before_commit:2", *POSTGRESQL.values, id="before_commit", marks=POSTGRESQL.marks
        ),
    ],
)
def test_a_second_start_finishes_what_a_killed_process_left(
    kill_at: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ended = embedded_round(url_of(kind, request), tmp_path, kill_at, LEASE_SECONDS)
    assert ended.faults == []
    assert ended.killed
