"""The questions that lists and pages ask, and their answers, as values."""

from datetime import date, datetime
from enum import StrEnum, auto
from typing import Generic, TypeVar

from attrs import field, frozen
from attrs.converters import optional

from capacity_core.errors import InvalidInputError
from capacity_core.messages import text
from capacity_core.model import Freshness, Outcome

Row = TypeVar("Row")

MAX_LIMIT = 200
MAX_PAGE = 1_000_000


@frozen
class DateRange:
    """From and to, both included; None is open."""

    start: date | None = None
    end: date | None = None


@frozen
class OldRows:
    """How many are too old: sizes of databases, totals of instances, and ended runs."""

    database_rows: int = 0
    instance_rows: int = 0
    runs: int = 0

    def __add__(self, other: "OldRows") -> "OldRows":
        return OldRows(
            self.database_rows + other.database_rows,
            self.instance_rows + other.instance_rows,
            self.runs + other.runs,
        )


class AggregateLevel(StrEnum):
    DATABASE = auto()
    INSTANCE = auto()


@frozen
class Paging:
    """Which page (from 1) of how many rows (at most 200)."""

    page: int = 1
    limit: int = 20

    def __attrs_post_init__(self) -> None:
        for name, value, most in (("page", self.page, MAX_PAGE), ("limit", self.limit, MAX_LIMIT)):
            if not 1 <= value <= most:
                raise InvalidInputError(name, text("field.page", field=name, least=1, most=most))

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.limit


@frozen
class Page(Generic[Row]):
    """Some of `total` rows."""

    rows: tuple[Row, ...]
    total: int
    paging: Paging


@frozen
class SizeRow:
    """One database on one business day.

    Bytes are those of the day's latest measurement, None if there was none, as are `method`,
    `freshness` and `duration_ms` (milliseconds); `last_outcome` and `last_attempt_at` are of the
    day's latest attempt, measured or not. `identity` is what the engine itself knows the database
    by, where it knows: one that is dropped and made anew has another. `method_changed`: the latest
    earlier day with a size had another method, so the two do not compare.
    """

    database_name: str
    collected_date: date
    size_bytes: int | None
    data_size_bytes: int | None
    log_size_bytes: int | None
    method: str | None
    collected_at: datetime | None
    last_outcome: Outcome = field(converter=Outcome)
    last_attempt_at: datetime
    used_size_bytes: int | None = None
    ceiling_bytes: int | None = None
    freshness: Freshness | None = field(default=None, converter=optional(Freshness))
    duration_ms: int | None = None
    identity: str | None = None
    method_changed: bool = False


@frozen
class DatabaseRow:
    """One known database: its place in the inventory, its last known size and last outcome.

    `size` is the latest day that has a size, `latest` the latest day that has an attempt;
    either is None if there is no such day.
    """

    database_name: str
    is_active: bool
    is_system: bool
    first_seen_date: date
    last_seen_date: date
    deleted_at: datetime | None
    size: SizeRow | None
    latest: SizeRow | None


@frozen
class InstanceDay:
    """An instance's total on one business day, in bytes.

    `total_size_bytes` are the active databases measured that day, `carried_size_bytes` the last
    known sizes of the active ones that were not.
    """

    collected_date: date
    total_size_bytes: int
    carried_size_bytes: int
    measured_count: int
    active_count: int
    collected_at: datetime
