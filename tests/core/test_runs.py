"""The state machine of runs and items, as data; and in what order a run goes."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import NOON

from capacity_core.model import FileAddress, NetworkAddress, Reason
from capacity_core.runs import (
    ITEM_MOVES,
    OPEN,
    RETRIED,
    RUN_MOVES,
    SLOW_MS,
    Candidate,
    ItemCounts,
    ItemEnd,
    ItemReason,
    ItemStatus,
    RunStatus,
    Selection,
    host_of,
    in_order,
    reason_of,
    run_status,
)

pytestmark = pytest.mark.unit

# Who may become what; a cross is a move that must never be seen.
ITEM_TABLE = """
          pending running completed failed cancelled skipped
pending      x       -        x        x       -        x
running      -       x        -        -       -        -
completed    x       x        x        x       x        x
failed       -       x        x        x       x        x
cancelled    -       x        x        x       x        x
skipped      -       x        x        x       x        x
"""
RUN_TABLE = """
                      running completed completed_with_errors failed cancelled
running                  x        -              -               -       -
completed                x        x              x               x       x
completed_with_errors    -        x              x               x       x
failed                   -        x              x               x       x
cancelled                -        x              x               x       x
"""
COUNTS = st.builds(ItemCounts, *[st.integers(0, 3)] * 6)


def table_of(drawn: str) -> dict[str, set[str]]:
    head, *lines = (line.split() for line in drawn.strip().splitlines())
    return {
        name: {to for to, mark in zip(head, marks, strict=True) if mark == "-"}
        for name, *marks in lines
    }


def test_items_and_runs_move_as_drawn() -> None:
    assert table_of(ITEM_TABLE) == ITEM_MOVES
    assert table_of(RUN_TABLE) == RUN_MOVES


def test_what_is_open_or_tried_again_follows_from_the_moves() -> None:
    assert {ItemStatus.PENDING, ItemStatus.RUNNING} == OPEN
    assert {ItemStatus.FAILED, ItemStatus.CANCELLED, ItemStatus.SKIPPED} == RETRIED


@pytest.mark.parametrize("status", ItemStatus)
def test_an_attempt_ends_as_a_running_item_may_move(status: ItemStatus) -> None:
    if status in ITEM_MOVES[ItemStatus.RUNNING]:
        assert ItemEnd(status=status).status is status
    else:
        with pytest.raises(ValueError, match="status"):
            ItemEnd(status=status)


@given(COUNTS)
def test_no_status_of_a_run_contradicts_its_items(counts: ItemCounts) -> None:
    status = run_status(counts)
    good, bad = counts.completed, counts.failed + counts.skipped
    meaning = {
        RunStatus.RUNNING: counts.pending + counts.running > 0,
        RunStatus.CANCELLED: counts.open == 0 and counts.cancelled > 0,
        RunStatus.COMPLETED: good == counts.total,
        RunStatus.COMPLETED_WITH_ERRORS: good > 0 and bad > 0 and good + bad == counts.total,
        RunStatus.FAILED: good == 0 and bad > 0 and bad == counts.total,
    }
    assert [each for each, holds in meaning.items() if holds] == [status]


@given(COUNTS, st.sampled_from(sorted(ItemStatus)), st.data())
def test_a_move_of_an_item_moves_its_run_as_allowed_or_not_at_all(
    counts: ItemCounts, old: ItemStatus, data: st.DataObject
) -> None:
    many = {status: getattr(counts, status) for status in ItemStatus}
    if not many[old] or not ITEM_MOVES[old]:
        return
    new = data.draw(st.sampled_from(sorted(ITEM_MOVES[old])))
    before = run_status(counts)
    after = run_status(ItemCounts.of({**many, old: many[old] - 1, new: many[new] + 1}))
    assert after is before or after in RUN_MOVES[before]


def test_counts_add_up() -> None:
    counts = ItemCounts.of({status: 2**n for n, status in enumerate(ItemStatus)})
    assert (counts.open, counts.total) == (3, 63)
    assert ItemCounts.of({}) == ItemCounts()


def test_equal_selections_have_equal_keys() -> None:
    one = Selection(("b", "a", "a"), ("y", "x"), (3, 1, 3))
    same = Selection(("a", "b"), ("x", "y", "y"), (1, 3))
    assert one == same
    assert one.key == same.key == '[["a","b"],["x","y"],[1,3]]'
    assert Selection().key == "[[],[],[]]"


LABELS = st.lists(st.text(max_size=3), max_size=3).map(tuple)


@given(st.builds(Selection, LABELS, LABELS, st.lists(st.integers(1), max_size=3)))
def test_a_selection_is_read_from_its_key(selection: Selection) -> None:
    again = Selection.of_key(selection.key)
    assert again == selection
    assert again.key == selection.key


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), True),
        (Selection(db_types=("oracle", "pg")), True),
        (Selection(db_types=("oracle",)), False),
        (Selection(tags=("prod", "none")), True),
        (Selection(tags=("none",)), False),
        (Selection(instance_ids=(7, 8)), True),
        (Selection(instance_ids=(8,)), False),
        (Selection(("pg",), ("prod",), (7,)), True),
        (Selection(("pg",), ("prod",), (8,)), False),
        (Selection(("pg",), ("none",), (7,)), False),
        (Selection(("oracle",), ("prod",), (7,)), False),
    ],
)
def test_a_selection_takes_what_fits_all_that_it_names(
    selection: Selection, *, taken: bool
) -> None:
    candidate = Candidate(7, "pg", ("eu", "prod"))
    assert selection.among([candidate]) == [candidate] * taken


def test_known_slow_ones_go_first_and_then_the_longest_waiting() -> None:
    def candidate(number: int, days_ago: int | None, took: int | None) -> Candidate:
        last = None if days_ago is None else NOON - timedelta(days=days_ago)
        return Candidate(number, "pg", (), last, took)

    ordered = [
        candidate(9, 3, SLOW_MS),
        candidate(8, 1, 10 * SLOW_MS),
        candidate(4, None, None),
        candidate(5, None, 2),
        candidate(7, 2, SLOW_MS - 1),
        candidate(2, 1, None),
        candidate(6, 1, 0),
    ]
    by_id = sorted(ordered, key=lambda each: each.instance_id)
    assert in_order(by_id) == in_order(ordered[::-1]) == ordered


def test_a_reason_is_read_as_it_was_kept() -> None:
    assert reason_of(None) is None
    assert reason_of("worker_lost") is ItemReason.WORKER_LOST
    assert reason_of("timeout") is Reason.TIMEOUT
    assert set(map(str, ItemReason)).isdisjoint(Reason)


def test_a_host_is_named_in_one_way_and_a_file_has_none() -> None:
    assert host_of(NetworkAddress("DB.Example.org", 1)) == "db.example.org"
    assert host_of(FileAddress("/srv/x")) is None
