"""The contract's answers: the same envelope over HTTP and from the command line."""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from uuid import uuid4

from attrs import AttrsInstance, fields, frozen, has

from capacity_core.errors import (
    AuthenticationRequiredError,
    CapacityError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermissionRequiredError,
    SyncInProgressError,
)
from capacity_core.inventory import FilteredDatabase
from capacity_core.messages import Language, Text, render, text
from capacity_core.model import DatabaseSize, Unmeasured
from capacity_core.result import InstanceCapacitySyncActionResult

MIB = 1024 * 1024


@frozen
class DatabaseEntry:
    """One measured database; `*_mb` are whole MiB, rounded up: what exists never shows as 0.

    `used_size_bytes` is what its files hold, `ceiling_bytes` how large they may become by
    themselves, `duration_ms` how many milliseconds the statement took that told the size.
    """

    database_name: str
    size_mb: int
    data_size_mb: int | None
    log_size_mb: int | None
    size_bytes: int
    data_size_bytes: int | None
    log_size_bytes: int | None
    collected_date: str
    collected_at: str
    is_system: bool
    method: str
    outcome: str
    used_size_bytes: int | None
    ceiling_bytes: int | None
    freshness: str
    duration_ms: int | None


@frozen
class UnmeasuredEntry:
    database_name: str
    outcome: str
    hint: str


@frozen
class InventoryEntry:
    created: int
    refreshed: int
    reactivated: int
    deactivated: int
    active_databases: list[str]
    filtered_databases: list[str]
    synchronized_databases: list[str]
    filtered: list[FilteredDatabase]
    complete: bool


@frozen
class WarningEntry:
    code: str
    message: str


@frozen
class SyncPayload:
    """`data.result` of a sync that succeeded."""

    status: str
    databases: list[DatabaseEntry]
    database_count: int
    total_size_bytes: int
    total_size_mb: int
    saved_count: int
    instance_stat_updated: bool
    inventory: InventoryEntry
    unmeasured: list[UnmeasuredEntry]
    warnings: list[WarningEntry]
    message: str


@frozen(kw_only=True)
class SuccessEnvelope:
    success: bool = True
    error: bool = False
    message: str
    message_code: str = "OPERATION_SUCCESS"
    timestamp: str
    data: Mapping[str, object]


@frozen
class ErrorContext:
    request_id: str


@frozen(kw_only=True)
class ErrorEnvelope:
    """`extra` is left out where there is nothing to say."""

    success: bool = False
    error: bool = True
    error_id: str
    category: str
    severity: str
    message_code: str
    message: str
    timestamp: str
    recoverable: bool
    suggestions: list[str]
    context: ErrorContext
    extra: Mapping[str, object] | None = None


@frozen
class Answer:
    """An envelope and the status it has over HTTP."""

    http_status: int
    envelope: SuccessEnvelope | ErrorEnvelope


@frozen
class Asked:
    """Who asks: the language to answer in, the request's id, and the time (UTC)."""

    language: Language
    request_id: str
    now: datetime


@frozen
class ErrorKind:
    category: str
    severity: str
    recoverable: bool


_SYSTEM = ErrorKind("system", "medium", recoverable=True)

ERROR_KINDS: Mapping[str, ErrorKind] = MappingProxyType(
    {
        "VALIDATION_ERROR": ErrorKind("validation", "low", recoverable=True),
        "AUTHENTICATION_REQUIRED": ErrorKind("authentication", "medium", recoverable=True),
        "PERMISSION_REQUIRED": ErrorKind("authorization", "medium", recoverable=True),
        "RESOURCE_NOT_FOUND": ErrorKind("business", "low", recoverable=True),
        "INVALID_REQUEST": ErrorKind("business", "medium", recoverable=True),
        "CONSTRAINT_VIOLATION": ErrorKind("business", "low", recoverable=True),
        "ENGINE_NOT_SUPPORTED": _SYSTEM,
        "DATABASE_CONNECTION_ERROR": _SYSTEM,
        "SYNC_DATA_ERROR": _SYSTEM,
        "SYNC_IN_PROGRESS": _SYSTEM,
        "SERVICE_BUSY": _SYSTEM,
        "RUN_INCOMPLETE": _SYSTEM,
        "INTERRUPTED": _SYSTEM,
        "INTERNAL_ERROR": ErrorKind("system", "high", recoverable=False),
    }
)

# Each of our errors that a caller caused: its status and code. Any other error is a 500.
ERROR_CODES: Mapping[type[CapacityError], tuple[int, str]] = MappingProxyType(
    {
        InvalidInputError: (400, "VALIDATION_ERROR"),
        AuthenticationRequiredError: (401, "AUTHENTICATION_REQUIRED"),
        PermissionRequiredError: (403, "PERMISSION_REQUIRED"),
        NotFoundError: (404, "RESOURCE_NOT_FOUND"),
        ConflictError: (409, "CONSTRAINT_VIOLATION"),
        SyncInProgressError: (409, "SYNC_IN_PROGRESS"),
    }
)


def success(message: Text, data: Mapping[str, object], asked: Asked) -> SuccessEnvelope:
    said = render(message, asked.language)
    return SuccessEnvelope(message=said, timestamp=asked.now.isoformat(), data=data)


def failure(
    code: str,
    message: Text,
    asked: Asked,
    extra: Mapping[str, object] | None = None,
    suggestion: Text | None = None,
) -> ErrorEnvelope:
    """Build the envelope of a failure; A `code` of a caller's own table is a system error.

    Without a suggestion of its own it has that of its category.
    """
    kind = ERROR_KINDS.get(code, _SYSTEM)
    suggested = suggestion or text(f"suggest.{kind.category}")
    return ErrorEnvelope(
        error_id=uuid4().hex,
        category=kind.category,
        severity=kind.severity,
        message_code=code,
        message=render(message, asked.language),
        timestamp=asked.now.isoformat(),
        recoverable=kind.recoverable,
        suggestions=[render(suggested, asked.language).strip()],
        context=ErrorContext(asked.request_id),
        extra=extra,
    )


def error_answer(error: Exception, asked: Asked) -> Answer:
    """Answer an exception; one that is not a caller's fault is a 500 and its text stays inside."""
    for kind, (status, code) in ERROR_CODES.items():
        if isinstance(error, kind):
            extra = {"field": error.field} if isinstance(error, InvalidInputError) else None
            return Answer(status, failure(code, error.message, asked, extra))
    return Answer(500, failure("INTERNAL_ERROR", text("error.internal"), asked))


def sync_answer(result: InstanceCapacitySyncActionResult, asked: Asked) -> Answer:
    """Tell how a sync ended, to the letter of the contract."""
    decision = result.decision
    message = text(decision.message, name=result.instance.name)
    if decision.success:
        payload = sync_payload(result, asked.language)
        return Answer(decision.http_status, success(message, {"result": payload}, asked))
    extra = _failure_extra(result, asked.language)
    hint = result.failure.hint if result.failure else None
    told = failure(decision.message_key, message, asked, extra, hint)
    return Answer(decision.http_status, told)


def sync_payload(result: InstanceCapacitySyncActionResult, language: Language) -> SyncPayload:
    """Build `data.result` of a sync that succeeded."""
    sizes = result.report.sizes
    told = text("sync.saved", n=len(sizes)) if sizes else text("sync.inventory_only")
    return SyncPayload(
        status="completed",
        databases=_database_entries(result),
        database_count=len(sizes),
        total_size_bytes=result.total_size_bytes,
        total_size_mb=mebibytes(result.total_size_bytes),
        saved_count=result.saved_count,
        instance_stat_updated=result.instance_stat_updated,
        inventory=_inventory_entry(result),
        unmeasured=_unmeasured_entries(result.report.unmeasured, language),
        warnings=[WarningEntry(w.code, render(w.message, language)) for w in result.warnings],
        message=render(told, language),
    )


def mebibytes(size: int) -> int:
    """Whole MiB, rounded up: only nothing at all is 0."""
    return -(-size // MIB)


def _optional_mebibytes(size: int | None) -> int | None:
    return None if size is None else mebibytes(size)


def _database_entries(result: InstanceCapacitySyncActionResult) -> list[DatabaseEntry]:
    active = result.change.active if result.change else ()
    system = {database.name for database in active if database.is_system}
    day, at = result.moment.day.isoformat(), result.moment.at.isoformat()

    def entry(size: DatabaseSize) -> DatabaseEntry:
        return DatabaseEntry(
            database_name=size.name,
            size_mb=mebibytes(size.size_bytes),
            data_size_mb=_optional_mebibytes(size.data_size_bytes),
            log_size_mb=_optional_mebibytes(size.log_size_bytes),
            size_bytes=size.size_bytes,
            data_size_bytes=size.data_size_bytes,
            log_size_bytes=size.log_size_bytes,
            collected_date=day,
            collected_at=at,
            is_system=size.name in system,
            method=size.method,
            outcome=size.outcome,
            used_size_bytes=size.used_size_bytes,
            ceiling_bytes=size.ceiling_bytes,
            freshness=size.freshness,
            duration_ms=size.duration_ms,
        )

    return [entry(size) for size in result.report.sizes]


def _unmeasured_entries(
    unmeasured: tuple[Unmeasured, ...], language: Language
) -> list[UnmeasuredEntry]:
    return [
        UnmeasuredEntry(database.name, database.outcome, render(database.hint, language).strip())
        for database in unmeasured
    ]


def _inventory_entry(result: InstanceCapacitySyncActionResult) -> InventoryEntry:
    change = result.change
    if change is None:  # only a caller's own decision table can call such a sync a success
        return InventoryEntry(0, 0, 0, 0, [], [], [], [], complete=False)
    return InventoryEntry(
        created=len(change.created),
        refreshed=len(change.refreshed),
        reactivated=len(change.reactivated),
        deactivated=len(change.deactivated),
        active_databases=change.active_names,
        filtered_databases=[database.database_name for database in change.filtered],
        synchronized_databases=change.active_names,
        filtered=list(change.filtered),
        complete=result.inventory_complete,
    )


def _failure_extra(
    result: InstanceCapacitySyncActionResult, language: Language
) -> Mapping[str, object]:
    extra: dict[str, object] = {"instance_id": result.instance.id}
    if result.failure is not None:
        extra["reason"] = result.failure.reason
        extra["hint"] = render(result.failure.hint, language).strip()
    if result.report.unmeasured:
        extra["unmeasured"] = _unmeasured_entries(result.report.unmeasured, language)
    if result.since is not None:
        extra["since"] = result.since.isoformat()
    return extra


@cache
def _names(kind: type[AttrsInstance]) -> tuple[str, ...]:
    return tuple(attribute.name for attribute in fields(kind))


def as_json(value: object) -> object:
    """Turn answers into what any JSON encoder takes; an `extra` of None is left out."""
    kind = type(value)
    if has(kind):
        pairs = ((name, getattr(value, name)) for name in _names(kind))
        return {name: as_json(item) for name, item in pairs if (name, item) != ("extra", None)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item) for item in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value) if isinstance(value, StrEnum) else value
