"""What runs next, whatever waits and whatever runs."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from capacity_core.dispatch import Full, Limits, choose, full
from capacity_core.runs import Waiting

HOSTS = (None, "a", "b", "c")
ENGINES = ("mysql", "oracle", "sqlite")

limits_of_any_kind = st.builds(
    Limits,
    st.integers(1, 8),
    st.none() | st.integers(1, 4),
    st.dictionaries(st.sampled_from(ENGINES), st.integers(1, 4)),
)


@st.composite
def items(draw: st.DrawFn) -> list[Waiting]:
    many = draw(
        st.lists(
            st.tuples(st.integers(1, 12), st.sampled_from(ENGINES), st.sampled_from(HOSTS)),
            max_size=30,
        )
    )
    return [Waiting(number, 1, *each) for number, each in enumerate(many)]


def within(running: Sequence[Waiting], limits: Limits) -> bool:
    hosts = Counter(each.host for each in running if each.host is not None)
    engines = Counter(each.db_type for each in running)
    ids = [each.instance_id for each in running]
    return (
        (limits.per_host is None or all(many <= limits.per_host for many in hosts.values()))
        and all(engines[name] <= most for name, most in limits.per_engine.items())
        and len(set(ids)) == len(ids)
    )


@given(items(), limits_of_any_kind, st.integers(0, 20), st.integers(0, 20))
def test_no_limit_is_exceeded_and_nothing_that_fits_is_left_behind(
    waiting: list[Waiting], limits: Limits, first: int, slots: int
) -> None:
    running = choose(waiting, [], limits, first)
    left = [each for each in waiting if each not in running]
    chosen = choose(left, running, limits, slots)
    assert len(running) <= first
    assert len(chosen) <= slots
    assert within([*running, *chosen], limits)
    assert chosen == [each for each in left if each in chosen]  # in order
    if len(chosen) < slots:
        rest = (each for each in left if each not in chosen)
        assert not any(within([*running, *chosen, each], limits) for each in rest)


@given(items(), limits_of_any_kind, st.integers(0, 20))
def test_full_is_where_nothing_more_fits(
    waiting: list[Waiting], limits: Limits, slots: int
) -> None:
    running = choose(waiting, [], limits, slots)
    found = full(running, limits)

    def fits(host: str | None, db_type: str) -> bool:
        return within([*running, Waiting(99, 1, 99, db_type, host)], limits)

    assert found.hosts == {host for host in HOSTS if host and not fits(host, "no limit")}
    assert found.db_types == {name for name in ENGINES if not fits(None, name)}


def test_a_full_host_blocks_nobody_else() -> None:
    crowd = [Waiting(number, 1, number, "mysql", "a") for number in range(100)]
    other = Waiting(100, 1, 100, "mysql", "b")
    limits = Limits(workers=16, per_host=8)
    assert choose([*crowd, other], [], limits, 16) == [*crowd[:8], other]
    assert full(crowd[:8], limits) == Full(frozenset({"a"}))


def test_an_instance_of_two_runs_is_synced_once_at_a_time() -> None:
    first, second = Waiting(1, 1, 7, "mysql", "a"), Waiting(2, 2, 7, "mysql", "a")
    assert choose([first, second], [], Limits(), 16) == [first]
    assert choose([second], [first], Limits(), 16) == []
