"""What the memory store keeps."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Protocol

from attrs import define, field, frozen

from capacity_core.access import ApiToken
from capacity_core.errors import NotFoundError
from capacity_core.messages import text
from capacity_core.model import Address, Instance, Secret
from capacity_core.periods import Period
from capacity_core.reads import InstanceDay, Page, Paging, Row, SizeRow
from capacity_core.rollup import DatabaseAggregate, InstanceAggregate
from capacity_core.runs import Run, RunItem

Bound = tuple[str, Address]


@frozen
class KnownDatabase:
    """A row of the inventory."""

    is_active: bool
    is_system: bool
    first_seen_date: date
    last_seen_date: date
    deleted_at: datetime | None = None


@frozen
class HeldLease:
    """Who syncs an instance; nobody if `owner` is None. `expires` is in seconds of the clock."""

    owner: str | None
    fencing: int
    since: datetime
    expires: float


@frozen
class KeptItem:
    """An item of a run, and who works on it. Times are seconds of the process's clock."""

    item: RunItem
    owner: str | None = None
    claimed_until: float = 0.0
    not_before: float = 0.0
    queued_until: float = 0.0


def bound_to(instance: Instance) -> Bound:
    """Say what a password is kept for."""
    return instance.db_type, instance.address


@define
class State:
    """All that is kept. A draft shares the values, which are frozen or replaced, never changed."""

    instances: dict[int, Instance] = field(factory=dict)
    passwords: dict[int, tuple[Bound, Secret]] = field(factory=dict)
    tokens: dict[str, ApiToken] = field(factory=dict)
    leases: dict[int, HeldLease] = field(factory=dict)
    databases: dict[int, Mapping[str, KnownDatabase]] = field(factory=dict)
    sizes: dict[tuple[int, str], Mapping[date, SizeRow]] = field(factory=dict)
    totals: dict[int, Mapping[date, InstanceDay]] = field(factory=dict)
    database_aggregates: dict[tuple[int, str, Period], DatabaseAggregate] = field(factory=dict)
    instance_aggregates: dict[tuple[int, Period], InstanceAggregate] = field(factory=dict)
    limits: dict[int, Mapping[str, int]] = field(factory=dict)
    pruned_before: date | None = None
    runs: dict[int, Run] = field(factory=dict)
    run_items: dict[int, KeptItem] = field(factory=dict)
    schedules: dict[str, datetime] = field(factory=dict)
    refused_credentials: dict[int, str] = field(factory=dict)

    def draft(self) -> "State":
        return State(
            dict(self.instances),
            dict(self.passwords),
            dict(self.tokens),
            dict(self.leases),
            dict(self.databases),
            dict(self.sizes),
            dict(self.totals),
            dict(self.database_aggregates),
            dict(self.instance_aggregates),
            dict(self.limits),
            self.pruned_before,
            dict(self.runs),
            dict(self.run_items),
            dict(self.schedules),
            dict(self.refused_credentials),
        )


class Work(Protocol):
    """What the parts of a unit of work see of it."""

    def read(self) -> State: ...

    def write(self) -> State:
        """Begin the transaction if it has not begun."""
        ...


def living(state: State, instance_id: int) -> Instance:
    instance = state.instances.get(instance_id)
    if instance is None or instance.deleted_at is not None:
        raise NotFoundError(text("error.instance_missing"))
    return instance


def latest_size(days: Mapping[date, SizeRow], before: date = date.max) -> SizeRow | None:
    """The last row before that day that has a size."""
    known = [day for day, row in days.items() if day < before and row.size_bytes is not None]
    return days[max(known)] if known else None


def page_of(rows: list[Row], paging: Paging) -> Page[Row]:
    return Page(tuple(rows[paging.offset : paging.offset + paging.limit]), len(rows), paging)
