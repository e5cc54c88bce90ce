"""Which databases exist, which count, and which were measured: pure decisions."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from attrs import evolve, frozen

from capacity_core.filters import FilterRules
from capacity_core.model import (
    MAX_BYTES,
    CapacityReport,
    DatabaseSize,
    Inventory,
    Outcome,
    SeenDatabase,
    Unmeasured,
)

MAX_NAME_BYTES = 1024
MAX_WORD_CHARACTERS = 100
UNKEEPABLE_RULE = "the name cannot be kept"

_WITHOUT_SIZE = frozenset(Outcome) - {Outcome.MEASURED}
_WITH_SIZE = frozenset({Outcome.MEASURED, Outcome.OFFLINE, Outcome.INVALID})


@frozen
class FilteredDatabase:
    database_name: str
    rule: str


@frozen
class InventoryChange:
    """What leads from the known databases to the seen ones.

    `active` holds the seen databases that count: created, refreshed or reactivated.
    `unseen` are known and active, yet hidden from a login that does not see all: left as is.
    """

    active: tuple[SeenDatabase, ...]
    created: frozenset[str]
    refreshed: frozenset[str]
    reactivated: frozenset[str]
    deactivated: frozenset[str]
    unseen: frozenset[str]
    filtered: tuple[FilteredDatabase, ...]

    @property
    def active_names(self) -> list[str]:
        return sorted(database.name for database in self.active)


def reconcile(
    known: Mapping[str, bool], inventory: Inventory, filters: FilterRules
) -> InventoryChange:
    """Compare the names known so far (each: is it active?) with what the login sees now."""
    seen = {database.name: database for database in inventory.databases}
    rules = {name: _rule_against(database, filters) for name, database in seen.items()}
    active = {name: database for name, database in seen.items() if rules[name] is None}
    known_active = frozenset(name for name, is_active in known.items() if is_active)
    unseen = frozenset() if inventory.complete else known_active - seen.keys()
    return InventoryChange(
        active=tuple(active.values()),
        created=frozenset(active) - known.keys(),
        refreshed=frozenset(active) & known_active,
        reactivated=frozenset(active) & (known.keys() - known_active),
        deactivated=known_active - active.keys() - unseen,
        unseen=unseen,
        filtered=tuple(
            FilteredDatabase(name, rule) for name, rule in sorted(rules.items()) if rule is not None
        ),
    )


def _rule_against(database: SeenDatabase, filters: FilterRules) -> str | None:
    if not _can_be_kept(database.name):
        return UNKEEPABLE_RULE
    return filters.rule_against(database.name, is_system=database.is_system)


def _can_be_kept(name: str) -> bool:
    """No store holds NUL or half a surrogate pair, nor an index a name of any length."""
    try:
        return len(name.encode()) <= MAX_NAME_BYTES and "\0" not in name
    except UnicodeEncodeError:
        return False


def account_for(asked: AbstractSet[str], report: CapacityReport) -> CapacityReport:
    """Give every database that was asked for exactly one fate, and no other database any.

    Outcome `error` are a size outside 0 ... 2**63 - 1, with an outcome that has none or a method
    that cannot be kept, and a database that the report forgets; what merely comes with a size
    (used, ceiling, duration, identity) and cannot be is unknown.
    """
    fates = {f.name: f for f in report.unmeasured if f.outcome in _WITHOUT_SIZE}
    good = {s.name: _believed(s) for s in report.sizes if s.name in asked and _is_possible(s)}
    missing = [name for name in sorted(asked) if name not in good]
    return CapacityReport(
        sizes=tuple(sorted(good.values(), key=lambda size: (-size.size_bytes, size.name))),
        unmeasured=tuple(fates.get(name, Unmeasured.of(name, Outcome.ERROR)) for name in missing),
    )


def _is_possible(size: DatabaseSize) -> bool:
    parts = (size.size_bytes, size.data_size_bytes or 0, size.log_size_bytes or 0)
    return size.outcome in _WITH_SIZE and _is_word(size.method) and all(map(_is_count, parts))


def _is_word(said: object) -> bool:
    """Say whether it is a short text that shows as it is, which every store can keep."""
    is_short = isinstance(said, str) and 0 < len(said) <= MAX_WORD_CHARACTERS
    return is_short and str(said).isprintable()


def _believed(size: DatabaseSize) -> DatabaseSize:
    """Forget what comes with a size and cannot be."""
    extras = (size.used_size_bytes, size.ceiling_bytes, size.duration_ms)
    used, ceiling, duration = (n if _is_count(n) else None for n in extras)
    identity = size.identity if _is_word(size.identity) else None
    if (used, ceiling, duration) == extras and identity == size.identity:
        return size
    return evolve(
        size,
        used_size_bytes=used,
        ceiling_bytes=ceiling,
        duration_ms=duration,
        identity=identity,
    )


def _is_count(number: object) -> bool:
    return type(number) is int and 0 <= number <= MAX_BYTES
