"""What workers see of what waits: never all of it, and never only what is full."""

from collections.abc import Iterable, Sequence

from attrs import define, field

from capacity_adapters.queues import backlog
from capacity_adapters.queues.backlog import Backlog
from capacity_core.dispatch import Full, Limits
from capacity_core.runs import Waiting


@define
class Store:
    """What waits, in order, and how often somebody looked."""

    waiting: dict[int, Waiting]
    looks: int = field(default=0)

    def look(self, limit: int, without: Full) -> Sequence[Waiting]:
        self.looks += 1
        return [
            each
            for each in self.waiting.values()
            if each.host not in without.hosts and each.db_type not in without.db_types
        ][:limit]

    def claim(self, taken: Iterable[Waiting]) -> None:
        for each in taken:
            del self.waiting[each.item_id]


def many(first: int, count: int, host: str, db_type: str = "mysql") -> dict[int, Waiting]:
    numbers = range(first, first + count)
    return {number: Waiting(number, 1, number, db_type, host) for number in numbers}


def test_a_host_with_more_than_is_ever_seen_blocks_nobody() -> None:
    store = Store(many(0, 10_000, "a") | many(10_000, 3, "b"))
    seen = Backlog(store.look, Limits(workers=16, per_host=8))
    taken = seen.take([], 16)
    assert [each.host for each in taken] == ["a"] * 8 + ["b"] * 3


def test_only_what_was_looked_for_without_exception_is_empty_once_it_is_taken() -> None:
    store = Store(many(0, 3, "a") | many(3, 1, "b"))
    seen = Backlog(store.look, Limits(workers=16, per_host=2))
    assert not seen.is_empty
    taken = seen.take([], 3)
    assert not seen.is_empty
    store.claim(taken)
    store.claim(last := seen.take(taken[1:], 1))
    assert (len(last), seen.is_empty) == (1, True)
    seen.forget()
    assert not seen.is_empty
    store.waiting = many(9, 1, "a")
    assert not seen.take([*many(7, 2, "a").values()], 1)
    assert not seen.is_empty


def test_a_full_engine_blocks_nobody() -> None:
    store = Store(many(0, 1_000, "a", "oracle") | many(1_000, 3, "b"))
    seen = Backlog(store.look, Limits(per_host=None, per_engine={"oracle": 4}))
    assert [each.db_type for each in seen.take([], 16)] == ["oracle"] * 4 + ["mysql"] * 3


def test_a_long_run_is_seen_in_pieces_and_nothing_is_left_out() -> None:
    waiting = {number: each for host in range(40) for number, each in enumerate_(host)}
    store = Store(dict(waiting))
    seen = Backlog(store.look, Limits(workers=16, per_host=2))
    running: list[Waiting] = []
    order: list[int] = []
    while True:
        taken = seen.take(running, 16 - len(running))
        if not taken and not running:
            break
        store.claim(taken)
        order += [each.item_id for each in taken]
        running = [*running, *taken][1:]  # the longest ends
        assert len(seen._seen) <= backlog.MOST_SEEN
    assert sorted(order) == sorted(waiting)
    assert store.looks < len(waiting) / 10


def enumerate_(host: int) -> Iterable[tuple[int, Waiting]]:
    return many(host * 250, 250, f"host {host}").items()


def test_who_has_seen_everything_looks_again_only_when_told_so() -> None:
    store = Store(many(0, 3, "a"))
    seen = Backlog(store.look, Limits())
    taken = seen.take([], 16)
    store.claim(taken)
    assert (len(taken), store.looks) == (3, 1)
    store.waiting |= many(10, 1, "a")
    assert seen.take(taken, 13) == []
    seen.forget()
    assert [each.item_id for each in seen.take(taken, 13)] == [10]
