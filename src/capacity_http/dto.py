"""The bodies of requests: their shape, checked strictly, and the fields they stand for."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from capacity_core.errors import InvalidInputError
from capacity_core.filters import FilterRules
from capacity_core.growth import MAX_DAYS
from capacity_core.growth_reads import Order
from capacity_core.instances import SEALED
from capacity_core.messages import Text, text
from capacity_core.model import MAX_BYTES as MAX_ID
from capacity_core.model import Level, Secret, Tls, TlsMode
from capacity_core.periods import PeriodType
from capacity_core.runs import ItemStatus

Body = TypeVar("Body", bound=Struct)

FilePath = Annotated[str, Meta(max_length=4096, pattern=r"^[^\x00]+$")]


class TlsBody(Struct, forbid_unknown_fields=True):
    """Replaced as a whole, so that the mode is always said."""

    mode: TlsMode
    ca: FilePath | None = None
    cert: FilePath | None = None
    key: FilePath | None = None


class FiltersBody(Struct, forbid_unknown_fields=True):
    """Replaced as a whole."""

    exclude: list[str] = []
    include: list[str] = []
    ignore_case: bool = False


class _Fields(Struct, forbid_unknown_fields=True, kw_only=True):
    """What may be left out of both bodies; null clears."""

    host: str | UnsetType | None = UNSET
    port: int | UnsetType | None = UNSET
    path: str | UnsetType | None = UNSET
    username: str | UnsetType = UNSET
    password: str | UnsetType | None = UNSET
    password_ref: str | UnsetType | None = UNSET
    database_name: str | UnsetType | None = UNSET
    level: Level | UnsetType = UNSET
    description: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    zone: str | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    timezone: str | UnsetType | None = UNSET
    filters: FiltersBody | UnsetType = UNSET
    tls: TlsBody | UnsetType = UNSET


class NewInstance(_Fields, kw_only=True):
    """An instance to register. An engine of files has a path, any other host and port."""

    name: str
    db_type: str


class InstanceChanges(_Fields, kw_only=True):
    """What to change of an instance; what is left out stays."""

    name: str | UnsetType = UNSET
    db_type: str | UnsetType = UNSET


class AggregationRange(Struct, forbid_unknown_fields=True, kw_only=True):
    """What to recompute. An instance by its id, else all; no period type means every one.

    Without dates: each type's last complete period, and the days since then.
    """

    start_date: date | None = None
    end_date: date | None = None
    period_types: list[PeriodType] = []
    instance_id: Annotated[int, Meta(ge=1, le=MAX_ID)] | None = None


class RunSelection(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which active instances to collect; what is empty narrows nothing."""

    db_types: list[str] = []
    tags: list[str] = []
    instance_ids: list[Annotated[int, Meta(ge=1, le=MAX_ID)]] = []


def core_fields(body: NewInstance | InstanceChanges) -> tuple[dict[str, Any], Secret | None]:
    """Map a body to the fields of InstanceFields that it names, and its password.

    Raises InvalidInputError. A password of null, and a new password alone, end a password_ref.
    """
    given = {name: getattr(body, name) for name in body.__struct_fields__}
    named = {name: value for name, value in given.items() if value is not UNSET}
    if named.get("password_ref") == SEALED:
        raise InvalidInputError("password_ref", text("field.password_ref"))
    if isinstance(body.tls, TlsBody):
        named["tls"] = Tls(body.tls.mode, body.tls.ca, body.tls.cert, body.tls.key)
    if isinstance(body.filters, FiltersBody):
        rules = body.filters
        named["filters"] = FilterRules(
            tuple(rules.exclude), tuple(rules.include), rules.ignore_case
        )
    if "password" not in named:
        return named, None
    password = named.pop("password")
    named.setdefault("password_ref", None)
    return named, None if password is None else Secret(password)


def decode(raw: bytes, kind: type[Body]) -> Body:
    """Read a body strictly: no number in quotes, no unknown field. Raises InvalidInputError."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise _shape_error(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidInputError("body", text("error.malformed", why="JSON")) from None


def type_error(field: str) -> InvalidInputError:
    """Say that a field has the wrong type, in the field's own words where it has some."""
    rule = _TYPE_TEXTS.get(field.partition("[")[0])
    return InvalidInputError(field, rule or text("field.type", field=field))


def _one_of(field: str, known: Iterable[str]) -> Text:
    return text("field.one_of", field=field, known=", ".join(known))


_TYPE_TEXTS: Mapping[str, Text] = MappingProxyType(
    {
        "tls.mode": text("field.tls", known=", ".join(TlsMode)),
        "level": text("field.level", known=", ".join(Level)),
        "start_date": text("field.date", field="start_date"),
        "end_date": text("field.date", field="end_date"),
        "time_range": text("field.days", field="time_range", most=MAX_DAYS),
        "period_type": _one_of("period_type", PeriodType),
        "period_types": _one_of("period_types", PeriodType),
        "status": _one_of("status", ItemStatus),
        "order": _one_of("order", Order),
    }
)

# How msgspec says which field is wrong.
_WRONG_FIELD = re.compile(
    r"(?:Object contains (?P<unknown>unknown) field `(?P<extra>.*?)`"
    r"|Object (?P<missing>missing) required field `(?P<absent>\w+)`"
    r"|.*?)"
    r"(?: - at `\$\.?(?P<path>[^`]*)`)?",
    re.DOTALL,
)


def _shape_error(said: str) -> InvalidInputError:
    found = _WRONG_FIELD.fullmatch(said)
    groups = found.groupdict() if found else {}
    name = groups.get("extra") or groups.get("absent")
    field = ".".join(part for part in (groups.get("path"), name) if part)
    if groups.get("unknown"):
        return InvalidInputError(field, text("field.unknown", field=field))
    if groups.get("missing"):
        return InvalidInputError(field, text("field.required", field=field))
    return type_error(field or "body")
