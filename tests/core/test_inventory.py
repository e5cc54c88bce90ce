"""reconcile and account_for: nothing is forgotten, nothing is invented."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from capacity_core.filters import FilterRules
from capacity_core.inventory import account_for, reconcile
from capacity_core.model import (
    MAX_BYTES,
    CapacityReport,
    DatabaseSize,
    Inventory,
    Outcome,
    SeenDatabase,
    Unmeasured,
)

pytestmark = pytest.mark.unit

NAMES = st.sampled_from(["orders", "Orders", " a b ", "归档", "x", "y"])


def seen(*names: str, complete: bool = True) -> Inventory:
    return Inventory(tuple(SeenDatabase(name) for name in names), complete=complete)


def test_each_database_takes_the_transition_that_its_history_calls_for() -> None:
    known = {"old": True, "dormant": False, "gone": True, "forgotten": False, "hidden": True}
    change = reconcile(
        known, seen("old", "dormant", "new", "hidden"), FilterRules(exclude=("hidden",))
    )
    assert change.created == {"new"}
    assert change.refreshed == {"old"}
    assert change.reactivated == {"dormant"}
    assert change.deactivated == {"gone", "hidden"}
    assert change.unseen == frozenset()
    assert change.active_names == ["dormant", "new", "old"]
    assert [(f.database_name, f.rule) for f in change.filtered] == [("hidden", "exclude: hidden")]


def test_what_a_login_cannot_see_is_not_taken_for_dropped() -> None:
    change = reconcile({"a": True, "b": True}, seen("a", complete=False), FilterRules())
    assert change.unseen == {"b"}
    assert change.deactivated == frozenset()


def test_a_filtered_database_is_deactivated_even_if_not_all_are_seen() -> None:
    change = reconcile({"a": True}, seen("a", complete=False), FilterRules(exclude=("a",)))
    assert change.deactivated == {"a"}
    assert change.unseen == frozenset()


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 1025])
def test_a_name_that_no_store_can_keep_does_not_cost_the_others(name: str) -> None:
    change = reconcile({}, seen("fine", name), FilterRules())
    assert change.active_names == ["fine"]
    assert [left_out.rule for left_out in change.filtered] == ["the name cannot be kept"]


@pytest.mark.parametrize("size", [None, 1.5, True, "7"])
def test_a_size_that_is_no_whole_number_is_an_error(size: Any) -> None:
    report = account_for(frozenset("a"), CapacityReport((DatabaseSize("a", size, "m"),)))
    assert [fate.outcome for fate in report.unmeasured] == [Outcome.ERROR]


@pytest.mark.parametrize("outcome", Outcome)
def test_an_offline_or_invalid_database_may_have_a_size_and_no_other(outcome: Outcome) -> None:
    size = DatabaseSize("a", 5, "m", outcome=outcome)
    kept = account_for(frozenset("a"), CapacityReport((size,))).sizes
    may = {Outcome.MEASURED, Outcome.OFFLINE, Outcome.INVALID}
    assert kept == ((size,) if outcome in may else ())


@pytest.mark.parametrize("extra", ["used_size_bytes", "ceiling_bytes", "duration_ms"])
@pytest.mark.parametrize("nonsense", [-1, MAX_BYTES + 1, True, 1.5])
def test_what_comes_with_a_size_and_cannot_be_is_unknown(extra: str, nonsense: int) -> None:
    good = DatabaseSize("a", 5, "m", used_size_bytes=4, ceiling_bytes=MAX_BYTES, duration_ms=0)
    lie: dict[str, Any] = {extra: nonsense}
    unknown: dict[str, Any] = {extra: None}
    told = CapacityReport((evolve(good, **lie),))
    assert account_for(frozenset("a"), told).sizes == (evolve(good, **unknown),)
    assert account_for(frozenset("a"), CapacityReport((good,))).sizes == (good,)


def test_a_fate_without_a_size_is_never_called_measured() -> None:
    said = CapacityReport((), (Unmeasured.of("a", Outcome.ERROR),))
    liar = CapacityReport((), (evolve(said.unmeasured[0], outcome=Outcome.MEASURED),))
    assert account_for(frozenset("a"), liar) == said


@pytest.mark.parametrize("method", [None, 7, "", "x" * 101, "a\0", "a\nb", "\x1b[2J", "\udcff"])
def test_a_method_that_no_store_can_keep_is_an_error(method: Any) -> None:
    told = CapacityReport((DatabaseSize("a", 1, method), DatabaseSize("b", 1, "x" * 100)))
    report = account_for(frozenset("ab"), told)
    assert [each.name for each in report.sizes] == ["b"]
    assert report.unmeasured == (Unmeasured.of("a", Outcome.ERROR),)


@pytest.mark.parametrize("identity", [7, b"7", "", "x" * 101, "a\0", "a\nb", "\x1b[2J", "\udcff"])
def test_an_identity_that_no_store_can_keep_is_unknown(identity: Any) -> None:
    good = DatabaseSize("a", 1, "m", identity="x" * 100)
    for told, kept in ((identity, None), ("x" * 100, "x" * 100), (None, None)):
        report = account_for(frozenset("a"), CapacityReport((evolve(good, identity=told),)))
        assert report.sizes == (evolve(good, identity=kept),)


def test_a_name_listed_twice_counts_once() -> None:
    assert reconcile({}, seen("a", "a"), FilterRules()).active_names == ["a"]


@given(st.dictionaries(NAMES, st.booleans()), st.sets(NAMES), st.booleans())
def test_every_known_or_seen_name_has_exactly_one_fate(
    known: dict[str, bool], now: set[str], complete: bool
) -> None:
    change = reconcile(known, seen(*now, complete=complete), FilterRules())
    fates = [
        change.created,
        change.refreshed,
        change.reactivated,
        change.deactivated,
        change.unseen,
    ]
    assert sum(len(fate) for fate in fates) == len(frozenset().union(*fates))
    dormant = {name for name, active in known.items() if not active} - now
    assert frozenset().union(*fates) == (known.keys() | now) - dormant
    assert set(change.active_names) == now


SIZES = st.builds(
    DatabaseSize,
    NAMES,
    st.integers(-2, 5) | st.just(MAX_BYTES) | st.just(MAX_BYTES + 1),
    st.just("m"),
    st.none() | st.integers(-1, 1),
    st.none() | st.integers(-1, 1),
)
FATES = st.builds(Unmeasured.of, NAMES, st.sampled_from(list(Outcome)[1:]))


@given(st.frozensets(NAMES), st.lists(SIZES), st.lists(FATES))
def test_every_database_asked_for_is_measured_or_explained_once(
    asked: frozenset[str], sizes: list[DatabaseSize], fates: list[Unmeasured]
) -> None:
    report = account_for(asked, CapacityReport(tuple(sizes), tuple(fates)))
    names = [size.name for size in report.sizes] + [fate.name for fate in report.unmeasured]
    assert sorted(names) == sorted(asked)
    assert all(0 <= size.size_bytes <= MAX_BYTES for size in report.sizes)
    assert list(report.sizes) == sorted(report.sizes, key=lambda s: (-s.size_bytes, s.name))


def test_a_database_that_the_report_forgets_or_missizes_is_an_error_not_a_zero() -> None:
    report = account_for(frozenset("ab"), CapacityReport((DatabaseSize("a", -1, "m"),)))
    assert [(u.name, u.outcome) for u in report.unmeasured] == [
        ("a", Outcome.ERROR),
        ("b", Outcome.ERROR),
    ]
