"""What runs next: a choice among what waits, that overloads no machine and lets none block others.

Whatever affects the choice is in this file; it asks nobody and waits for nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import define, field, frozen

from capacity_core.runs import Waiting


@frozen
class Limits:
    """How many syncs run at once: in all, on one host (None: any number), of one engine.

    A quarter is kept from suspects: however many dead are waited for, the others go on.
    """

    workers: int = 16
    per_host: int | None = 8
    per_engine: Mapping[str, int] = field(factory=dict)

    @property
    def suspects(self) -> int:
        return max(1, self.workers - max(1, self.workers // 4))


@frozen
class Full:
    """The hosts and engines that take no more, and whether no more suspects may begin."""

    hosts: frozenset[str] = frozenset()
    db_types: frozenset[str] = frozenset()
    suspects: bool = False


@frozen
class Wanted:
    """Which waiting items are looked for: of this run, of these zones, if they are named.

    None that is full.
    """

    run_id: int | None = None
    zones: tuple[str, ...] = ()
    full: Full = field(factory=Full)


ANYTHING: Final = Wanted()


@define
class _Load:
    limits: Limits
    hosts: Counter[str | None] = field(factory=Counter)
    db_types: Counter[str] = field(factory=Counter)
    instance_ids: set[int] = field(factory=set)
    suspects: int = 0

    @classmethod
    def of(cls, running: Iterable[Waiting], limits: Limits) -> "_Load":
        load = cls(limits)
        for each in running:
            load.add(each)
        return load

    def add(self, each: Waiting) -> None:
        self.hosts[each.host] += 1
        self.db_types[each.db_type] += 1
        self.instance_ids.add(each.instance_id)
        self.suspects += each.is_suspect

    @property
    def suspects_are_full(self) -> bool:
        return self.suspects >= self.limits.suspects

    def host_is_full(self, host: str | None) -> bool:
        most = self.limits.per_host
        return host is not None and most is not None and self.hosts[host] >= most

    def engine_is_full(self, db_type: str) -> bool:
        most = self.limits.per_engine.get(db_type)
        return most is not None and self.db_types[db_type] >= most

    def takes(self, each: Waiting) -> bool:
        return not (
            each.instance_id in self.instance_ids
            or self.host_is_full(each.host)
            or self.engine_is_full(each.db_type)
            or (each.is_suspect and self.suspects_are_full)
        )


def choose(
    waiting: Iterable[Waiting], running: Iterable[Waiting], limits: Limits, slots: int
) -> list[Waiting]:
    """Choose what begins in so many free slots: in order, but for what is full at present.

    No instance is chosen twice, nor one that is running.
    """
    load = _Load.of(running, limits)
    chosen: list[Waiting] = []
    for each in waiting:
        if len(chosen) >= slots:
            break
        if load.takes(each):
            load.add(each)
            chosen.append(each)
    return chosen


def full(running: Iterable[Waiting], limits: Limits) -> Full:
    """Say where no more may begin while these run."""
    load = _Load.of(running, limits)
    hosts = (host for host in load.hosts if host is not None and load.host_is_full(host))
    db_types = filter(load.engine_is_full, limits.per_engine)
    return Full(frozenset(hosts), frozenset(db_types), load.suspects_are_full)
