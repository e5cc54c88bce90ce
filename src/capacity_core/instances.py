"""Registering and changing instances: what their fields may hold."""

import os.path
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from ipaddress import ip_address
from pathlib import PurePath
from zoneinfo import ZoneInfo

from attrs import evolve, field, frozen

from capacity_core.errors import InvalidInputError
from capacity_core.filters import FilterRules
from capacity_core.messages import text
from capacity_core.model import (
    DEFAULT_ZONE,
    Address,
    EngineFacts,
    FileAddress,
    Instance,
    Level,
    NetworkAddress,
    Tls,
    TlsMode,
)

SEALED = "sealed"  # the password_ref of an instance whose password the store keeps

_HOST_NAME = re.compile(
    r"(?=.{1,253}\.?\Z)[\w](?:[\w-]{0,61}[\w])?(?:\.[\w](?:[\w-]{0,61}[\w])?)*\.?"
)
_PASSWORD_REF = re.compile(
    r"env:CAPACITY_SECRET_(?!(?:KEY|FOLDER)\Z)\w+|file:[\w-][\w.-]*|sealed", re.ASCII
)
_BETWEEN_WORDS = re.compile(r"[\s_-]+")
_LABEL = re.compile(r"[\w][\w.:/-]{0,62}")
_MAX_TAGS = 50
_MAX_PORT = 65_535
_LIMITS = {
    "name": 255,
    "username": 255,
    "database_name": 255,
    "description": 2000,
    "path": 4096,
    "password": 4096,
    "tls.ca": 4096,
    "tls.cert": 4096,
    "tls.key": 4096,
}


def unique(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(labels)))


@frozen(kw_only=True)
class InstanceFields:
    """What a person says of an instance. An engine of files has a path, any other host and port.

    `level` says what its databases are; `port` None takes the engine's default, `timezone` None
    the service's.
    """

    name: str
    db_type: str
    host: str | None = None
    port: int | None = None
    path: str | None = None
    username: str = ""
    database_name: str | None = None
    level: Level = field(default=Level.DATABASE, converter=Level)
    password_ref: str | None = None
    tls: Tls = field(factory=Tls)
    timezone: str | None = None
    filters: FilterRules = field(factory=FilterRules)
    description: str = ""
    tags: tuple[str, ...] = field(default=(), converter=unique)
    zone: str = DEFAULT_ZONE
    is_active: bool = True


def fields_of(instance: Instance) -> InstanceFields:
    """Say of a registered instance what a person would."""
    address = instance.address
    network = address if isinstance(address, NetworkAddress) else None
    return InstanceFields(
        name=instance.name,
        db_type=instance.db_type,
        host=network.host if network else None,
        port=network.port if network else None,
        path=address.path if isinstance(address, FileAddress) else None,
        username=instance.username,
        database_name=instance.database_name,
        level=instance.level,
        password_ref=instance.password_ref,
        tls=instance.tls,
        timezone=instance.timezone,
        filters=instance.filters,
        description=instance.description,
        tags=instance.tags,
        zone=instance.zone,
        is_active=instance.is_active,
    )


def new_instance(
    fields: InstanceFields, engines: Mapping[str, EngineFacts], now: datetime
) -> Instance:
    """Check the fields and build an instance that has no id yet (0).

    Raises InvalidInputError, which names the first field that breaks a rule.
    """
    for name in ("name", "username", "database_name", "description"):
        check_text(name, getattr(fields, name), required=name == "name")
    for name in ("ca", "cert", "key"):
        _check_file(f"tls.{name}", getattr(fields.tls, name))
    if fields.name.isdecimal():
        raise InvalidInputError("name", text("field.digits"))
    check_labels(fields.tags, fields.zone)
    engine = engine_for(fields.db_type, engines)
    _check_identity(fields.tls, engine)
    for name, check in _CHECKS.items():
        check(name, getattr(fields, name))
    return Instance(
        id=0,
        name=fields.name,
        db_type=engine.db_type,
        address=_address(fields, engine),
        username=fields.username,
        database_name=fields.database_name,
        level=_level(fields, engine),
        password_ref=fields.password_ref,
        tls=fields.tls,
        timezone=fields.timezone,
        filters=fields.filters,
        description=fields.description,
        tags=fields.tags,
        zone=fields.zone,
        is_active=fields.is_active,
        created_at=now,
        updated_at=now,
    )


def changed_instance(
    instance: Instance, fields: InstanceFields, engines: Mapping[str, EngineFacts], now: datetime
) -> Instance:
    """Check the changed fields and build the instance they describe. Raises InvalidInputError."""
    return evolve(
        new_instance(fields, engines, now),
        id=instance.id,
        created_at=instance.created_at,
        last_sync=instance.last_sync,
    )


def engine_for(db_type: str, engines: Mapping[str, EngineFacts]) -> EngineFacts:
    """Find the engine by its name or an alias, as engine_key spells it. Raises InvalidInputError.

    `engines` is read only as far as the one that fits.
    """
    wanted = engine_key(db_type)
    for facts in engines.values():
        if wanted in map(engine_key, (facts.db_type, *facts.aliases)):
            return facts
    known = ", ".join(sorted(engines))
    raise InvalidInputError("db_type", text("field.db_type", value=repr(db_type), known=known))


def engine_key(name: str) -> str:
    """Spell an engine's name so that case, blanks, hyphens and underscores make no difference."""
    return _BETWEEN_WORDS.sub("", name).lower()


def _address(fields: InstanceFields, engine: EngineFacts) -> Address:
    if engine.default_port is None:
        _refuse(engine, {"host": fields.host, "port": fields.port})
        check_text("path", fields.path or "", required=True)
        # The same folder in other words (`..`) is the same instance; links stay as they are.
        return FileAddress(os.path.normpath(fields.path or ""))
    _refuse(engine, {"path": fields.path})
    host, port = fields.host, fields.port
    if host is None:
        raise InvalidInputError("host", text("field.required", field="host"))
    if not _is_host(host):
        raise InvalidInputError("host", text("field.host", host=repr(host)))
    if port is not None and not 1 <= port <= _MAX_PORT:
        raise InvalidInputError("port", text("field.port"))
    return NetworkAddress(host, engine.default_port if port is None else port)


def _check_identity(tls: Tls, engine: EngineFacts) -> None:
    if tls.cert is None and tls.key is None:
        return
    if engine.default_port is None:
        _refuse(engine, {"tls.cert": tls.cert, "tls.key": tls.key})
    for name, value in (("tls.cert", tls.cert), ("tls.key", tls.key)):
        if not value:
            raise InvalidInputError(name, text("field.tls_pair"))
    if tls.mode is TlsMode.INSECURE:
        raise InvalidInputError("tls.mode", text("field.tls_unused"))


def _level(fields: InstanceFields, engine: EngineFacts) -> Level:
    if fields.level not in engine.levels:
        _refuse(engine, {"level": fields.level})
    return fields.level


def _refuse(engine: EngineFacts, given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if value is not None:
            said = text("field.not_for_engine", db_type=engine.db_type, field=name)
            raise InvalidInputError(name, said)


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return _HOST_NAME.fullmatch(host) is not None
    return "%" not in host


def check_text(name: str, value: str | None, *, required: bool = False) -> None:
    """Raises InvalidInputError unless it is a text that every store can keep."""
    limit = _LIMITS[name]
    if value is None or (value == "" and not required):
        return
    is_blank = name != "password" and not value.strip()
    if is_blank or len(value) > limit or "\0" in value or not _is_unicode(value):
        raise InvalidInputError(name, text("field.text", field=name, limit=limit))


def check_labels(tags: Iterable[str], *zones: str) -> None:
    """Raises InvalidInputError unless tags and zones are short words."""
    labels = [("tags", tag) for tag in tags]
    for name, label in [*labels, *(("zone", zone) for zone in zones)]:
        if len(labels) > _MAX_TAGS or not _LABEL.fullmatch(label):
            raise InvalidInputError(name, text("field.label", field=name, value=repr(label)))


def _check_file(name: str, value: str | None) -> None:
    check_text(name, value)
    if value and not PurePath(value).is_absolute():
        raise InvalidInputError(name, text("field.absolute", field=name))


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_timezone(name: str, value: str | None) -> None:
    if value is None:
        return
    try:
        ZoneInfo(value)
    except (LookupError, ValueError, OSError):
        raise InvalidInputError(name, text("field.timezone", value=repr(value))) from None


def _check_password_ref(name: str, value: str | None) -> None:
    if value is not None and not _PASSWORD_REF.fullmatch(value):
        raise InvalidInputError(name, text("field.password_ref"))


_CHECKS: Mapping[str, Callable[[str, str | None], None]] = {
    "timezone": _check_timezone,
    "password_ref": _check_password_ref,
}
