"""What is too old goes in batches; what the present stands on stays."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve
from tests.stores import AnyStore, add_instance, aggregates_of, on_day, sync

from capacity_core.model import Outcome
from capacity_core.reads import DateRange, OldRows, Paging

CUT = on_day(5).day


def days_of(store: AnyStore, instance_id: int, name: str) -> list[int]:
    with store.begin() as work:
        page = work.reads.history(instance_id, name, DateRange(), Paging(limit=200))
    return sorted((row.collected_date - on_day(0).day).days for row in page.rows)


def totals_of(store: AnyStore, instance_id: int) -> list[int]:
    with store.begin() as work:
        page = work.reads.instance_days(instance_id, Paging(limit=200))
    return sorted((row.collected_date - on_day(0).day).days for row in page.rows)


def delete(store: AnyStore, instance_id: int, most: int = 100) -> OldRows:
    with store.begin() as work:
        gone = work.retention.delete_batch(instance_id, CUT, most)
        work.commit()
    return gone


def known_on_cut(store: AnyStore, instance_id: int) -> tuple[object, ...]:
    """Everything that is shown of the first day that stays whole."""
    with store.begin() as work:
        total = work.reads.instance_day(instance_id, CUT)
        return total, work.reads.sizes_on(instance_id, CUT), aggregates_of(store, instance_id)


def filled(store: AnyStore, instance_id: int) -> None:
    """Keep eight days: `a` always known, `b` to the third day, `c` never."""
    for number in range(8):
        b = 20 + number if number < 3 else Outcome.DENIED
        found = {"a": 10 + number, "b": b, "c": Outcome.DENIED}
        sync(store, instance_id, found, on_day(number))


def test_the_last_known_size_before_the_day_stays(store: AnyStore, instance_id: int) -> None:
    filled(store, instance_id)
    with store.begin() as work:
        assert work.retention.prunable(CUT) == {instance_id: OldRows(4 + 4 + 5, 4)}
        assert work.retention.oldest_day() == on_day(0).day
    assert delete(store, instance_id) == OldRows(13, 4)
    assert days_of(store, instance_id, "a") == [4, 5, 6, 7]
    assert days_of(store, instance_id, "b") == [2, 5, 6, 7]
    assert days_of(store, instance_id, "c") == [5, 6, 7]
    assert totals_of(store, instance_id) == [4, 5, 6, 7]
    assert delete(store, instance_id) == OldRows()
    with store.begin() as work:
        assert work.retention.prunable(CUT) == {}
        assert work.retention.oldest_day() == on_day(2).day


def test_a_later_day_takes_what_stayed_before(store: AnyStore, instance_id: int) -> None:
    filled(store, instance_id)
    delete(store, instance_id)
    with store.begin() as work:
        last = work.retention.delete_batch(instance_id, on_day(100).day, 100)
        work.commit()
    assert last == OldRows(3 + 3 + 3, 3)
    assert days_of(store, instance_id, "a") == [7]
    assert days_of(store, instance_id, "b") == [2]
    assert days_of(store, instance_id, "c") == []


def test_a_batch_is_no_larger_than_asked_and_takes_the_oldest(
    store: AnyStore, instance_id: int
) -> None:
    filled(store, instance_id)
    assert delete(store, instance_id, 3) == OldRows(3, 3)
    assert (days_of(store, instance_id, "a")[0], totals_of(store, instance_id)[0]) == (1, 3)
    assert [delete(store, instance_id, 3) for _ in range(5)] == [
        OldRows(3, 1), OldRows(3, 0), OldRows(3, 0), OldRows(1, 0), OldRows(),
    ]  # fmt: skip


def test_a_batch_takes_from_its_instance_only(store: AnyStore, instance_id: int) -> None:
    other = add_instance(store, "other", port=1)
    for each in (instance_id, other):
        filled(store, each)
    delete(store, instance_id)
    assert days_of(store, other, "a") == list(range(8))
    with store.begin() as work:
        assert work.retention.prunable(CUT) == {other: OldRows(13, 4)}


def test_the_day_is_remembered_with_the_first_batch_and_never_goes_back(
    store: AnyStore, instance_id: int
) -> None:
    filled(store, instance_id)
    with store.begin() as work:
        assert work.retention.pruned_before() is None
    with store.begin() as work:
        work.retention.delete_batch(instance_id, CUT, 1)  # killed: never committed
    with store.begin() as work:
        assert work.retention.pruned_before() is None
    delete(store, instance_id)
    with store.begin() as work:
        work.retention.delete_batch(instance_id, on_day(1).day, 1)
        work.commit()
    with store.begin() as work:
        assert work.retention.pruned_before() == CUT


def test_nobody_prunes_while_somebody_counts_on_the_day(store: AnyStore, instance_id: int) -> None:
    filled(store, instance_id)
    with ThreadPoolExecutor(1) as pool:
        with store.begin() as work:
            assert work.retention.hold() is None
            pruned = pool.submit(delete, store, instance_id)
            with pytest.raises(TimeoutError):
                pruned.result(timeout=0.3)
            assert days_of(store, instance_id, "a") == list(range(8))
        assert pruned.result(timeout=20) == OldRows(13, 4)


def test_what_is_carried_and_compared_is_as_before(store: AnyStore, instance_id: int) -> None:
    filled(store, instance_id)
    before = known_on_cut(store, instance_id)
    delete(store, instance_id)
    with store.begin() as work:
        work.repository.update_instance_total_size(instance_id, on_day(5))
        work.aggregator.calculate_daily_database_aggregations_for_instance(instance_id, CUT)
        work.aggregator.calculate_daily_aggregations_for_instance(instance_id, CUT)
        work.commit()
    assert known_on_cut(store, instance_id) == before


def test_an_empty_store_has_nothing_to_prune(store: AnyStore) -> None:
    with store.begin() as work:
        assert work.retention.prunable(CUT) == {}
        assert work.retention.oldest_day() is None


def test_removed_instances_are_pruned_too(store: AnyStore, instance_id: int) -> None:
    filled(store, instance_id)
    with store.begin() as work:
        kept = work.instances.hold(instance_id)
        work.instances.save(evolve(kept, deleted_at=on_day(8).at, is_active=False))
        work.commit()
    with store.begin() as work:
        assert work.retention.prunable(CUT) == {instance_id: OldRows(13, 4)}
    assert delete(store, instance_id) == OldRows(13, 4)
