"""Whatever is synced, lost, repeated or undone: every store tells the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.servers import Server
from tests.stores import (
    AnyStore,
    add_instance,
    aggregates_of,
    copied_sqlite,
    new_database,
    on_day,
    stage,
)

from capacity_adapters.memory import MemoryStore
from capacity_adapters.store import Store, open_store
from capacity_core.errors import SyncInProgressError
from capacity_core.model import MAX_BYTES, DatabaseSize, Freshness, Outcome
from capacity_core.ports import Lease
from capacity_core.reads import DateRange, Paging

NAMES = st.sampled_from(["orders", "Orders", "a b", "归档", "z'\"", "éa", "_", ""])
BYTES = st.one_of(st.integers(0, 50), st.integers(0, MAX_BYTES), st.just(MAX_BYTES // 2))
PARTS = st.none() | BYTES
FATES = st.one_of(
    st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.MEASURED]),
    BYTES,
    st.builds(
        DatabaseSize,
        st.just(""),
        BYTES,
        st.sampled_from(["m", "n"]),
        *[PARTS] * 4,
        st.sampled_from(Freshness),
        PARTS,
        identity=st.sampled_from([None, "1", "2"]),
    ),
)
FOUND = st.dictionaries(NAMES, FATES, max_size=5)
Found = dict[str, int | DatabaseSize | Outcome]


def named(found: Found) -> Found:
    return {
        name: evolve(fate, name=name) if isinstance(fate, DatabaseSize) else fate
        for name, fate in found.items()
    }


class StoresAgree(RuleBasedStateMachine):
    """Days go up and down; two instances share each store."""

    open_others: Callable[[], list[AnyStore]] = staticmethod(list)

    def __init__(self) -> None:
        super().__init__()
        self.stores: list[AnyStore] = [MemoryStore(), *self.open_others()]
        self.ids = [[add_instance(store, name) for name in "xy"] for store in self.stores]
        self.leases: list[Lease] | None = None

    @rule(
        which=st.integers(0, 1),
        day=st.integers(0, 4),
        seconds=st.integers(0, 9),
        found=FOUND,
        commit=st.sampled_from([True, True, True, False]),
    )
    def sync(self, which: int, day: int, seconds: int, found: Found, *, commit: bool) -> None:
        kept = []
        for store, ids in zip(self.stores, self.ids, strict=True):
            with store.begin() as work:
                kept.append(stage(work, ids[which], named(found), on_day(day, seconds)))
                if commit:
                    work.commit()
        assert len(set(kept)) == 1

    @rule()
    def acquire(self) -> None:
        taken: list[Lease | None] = []
        for store, ids in zip(self.stores, self.ids, strict=True):
            try:
                taken.append(store.leases.acquire(ids[0], 60))
            except SyncInProgressError:
                taken.append(None)
        held = [lease for lease in taken if lease is not None]
        assert len(held) in {0, len(self.stores)}
        assert len({lease.fencing for lease in held}) <= 1
        self.leases = held or self.leases

    @precondition(lambda self: self.leases)
    @rule()
    def release(self) -> None:
        for store, lease in zip(self.stores, self.leases or [], strict=True):
            store.leases.release(lease)

    @precondition(lambda self: self.leases)
    @rule(day=st.integers(0, 4), found=FOUND)
    def sync_with_the_lease(self, day: int, found: Found) -> None:
        refused = []
        for store, ids, lease in zip(self.stores, self.ids, self.leases or [], strict=True):
            try:
                with store.begin(lease) as work:
                    stage(work, ids[0], named(found), on_day(day))
                    work.commit()
            except SyncInProgressError:
                refused.append(lease)
        assert len(refused) in {0, len(self.stores)}

    @invariant()
    def all_tell_the_same(self) -> None:
        told = [
            [_everything(store, instance_id) for instance_id in ids]
            for store, ids in zip(self.stores, self.ids, strict=True)
        ]
        for other in told[1:]:
            assert other == told[0]

    def teardown(self) -> None:
        for store in self.stores:
            if isinstance(store, Store):
                store.close()


def _everything(store: AnyStore, instance_id: int) -> list[object]:
    with store.begin() as work:
        reads = work.reads
        page = reads.databases(instance_id, Paging())
        instance, known = work.repository.get_instance_and_databases(instance_id)
        names = [row.database_name for row in page.rows]
        histories = [reads.history(instance_id, name, DateRange(), Paging()) for name in names]
        days = [on_day(number).day for number in range(5)]
        return [
            dict(work.repository.known_databases(instance_id)),
            dict(known),
            instance.last_sync,
            page,
            histories,
            reads.sizes_on(instance_id, None),
            [reads.instance_day(instance_id, day) for day in days],
            reads.instance_days(instance_id, Paging()),
            aggregates_of(store, instance_id),
        ]


def machine_over(others: Callable[[], list[AnyStore]]) -> type[StoresAgree]:
    return type("Machine", (StoresAgree,), {"open_others": staticmethod(others)})


def test_memory_and_sqlite_agree(sqlite_template: Path, tmp_path: Path) -> None:
    def open_sqlite() -> list[AnyStore]:
        return [open_store(copied_sqlite(sqlite_template, tmp_path))]

    run_state_machine_as_test(machine_over(open_sqlite), settings=_settings(25))


@pytest.mark.live
def test_all_three_agree(
    sqlite_template: Path, tmp_path: Path, postgres: Server, postgres_template: str
) -> None:
    def open_both() -> list[AnyStore]:
        return [
            open_store(copied_sqlite(sqlite_template, tmp_path)),
            open_store(new_database(postgres, postgres_template)),
        ]

    run_state_machine_as_test(machine_over(open_both), settings=_settings(8))


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
