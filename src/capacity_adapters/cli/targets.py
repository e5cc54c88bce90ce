"""Which instance a command means: a name, an id, or a URL."""

import os.path
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import evolve, frozen

from capacity_adapters.cli.output import note, shown
from capacity_adapters.credentials import password
from capacity_core.application import CapacityApplication
from capacity_core.errors import InvalidInputError, NotFoundError
from capacity_core.instances import InstanceFields, engine_for, new_instance
from capacity_core.messages import Text
from capacity_core.model import EngineFacts, FileAddress, Instance, NetworkAddress, Secret

MAX_ID_DIGITS = 18  # more do not fit into the store's 64 bits


@frozen
class Located:
    """What a URL says: the fields of an instance, and maybe its password."""

    fields: InstanceFields
    password: Secret | None = None


def is_url(target: str) -> bool:
    return "://" in target


def instance_for(application: CapacityApplication, target: str) -> Instance:
    """Find a registered instance by name, id or URL. Raises NotFoundError."""
    found = found_instance(application, target)
    if found is None:
        named = "that URL" if is_url(target) else repr(target)
        said = f"No instance {named} is registered; `capacity instance list` shows those that are"
        raise NotFoundError(Text(said))
    return found


def registered(application: CapacityApplication, located: Located) -> Instance:
    """Find the instance of that engine, address and user, or register it under a free name.

    Raises ConflictError if the address is registered with another user.
    """
    wanted = located.fields.name
    names = chain([wanted], (f"{wanted}-{number}" for number in count(2)))
    free = next(name for name in names if application.find_instance(name) is None)
    return application.get_or_add_instance(evolve(located.fields, name=free))


def place_of(instance: Instance) -> str:
    """Say where an instance is, as it may be drawn on a terminal."""
    address = instance.address
    return shown(address.path if isinstance(address, FileAddress) else _host_and_port(address))


def located_by(
    url: str, engine_of: Callable[[str], EngineFacts], name: str | None = None
) -> Located:
    """Read a URL such as postgresql://user@host:5432/ or sqlite:///folder.

    Without a `name` it is host:port, or the folder's name. Raises InvalidInputError, which
    never repeats the URL: it may hold a password.
    """
    scheme, _, rest = url.partition("://")
    engine = engine_of(scheme)
    if engine.default_port is None:
        return _files(engine, rest, name)
    return _network(engine, url, name)


def engines_of(application: CapacityApplication) -> Callable[[str], EngineFacts]:
    return lambda scheme: engine_for(scheme, application.engines)


def found_instance(application: CapacityApplication, target: str) -> Instance | None:
    """Find a registered instance by name, id or URL, if there is one."""
    if is_url(target):
        fields = located_by(target, engines_of(application)).fields
        draft = new_instance(fields, application.engines, application.now())
        with application.begin() as work:
            there = work.instances.at_address(draft)
        return next((found for found in there if found.username == draft.username), None)
    if not target.isdecimal():
        return application.find_instance(target)
    try:
        return application.get_instance(int(target)) if len(target) <= MAX_ID_DIGITS else None
    except NotFoundError:
        return None


def _files(engine: EngineFacts, rest: str, name: str | None) -> Located:
    if not rest.startswith("/") or not rest.strip("/"):
        raise _bad_url(f"after {engine.db_type}:// comes /folder, or //folder from the root")
    written = Path(rest[1:])
    path = Path(os.path.normpath(written.absolute()))
    if not written.is_absolute() and not path.exists():
        note(
            f"warning: there is no {path}; "
            f"an absolute path takes four slashes: {engine.db_type}:////..."
        )
    # A name may not be all digits, and the root folder has none.
    own = path.name if path.name and not path.name.isdecimal() else f"{engine.db_type}-{path.name}"
    return Located(InstanceFields(name=name or own, db_type=engine.db_type, path=str(path)))


def _network(engine: EngineFacts, url: str, name: str | None) -> Located:
    # Not as a scheme: the name of an engine may have an underscore, which no scheme has.
    parts = _split(f"//{url.partition('://')[2]}")
    database = parts.path.removeprefix("/")
    if parts.query or parts.fragment or "/" in database or "@" in database:
        raise _bad_url(
            "nothing may follow the database's name, and / ? # @ in a user, password or name "
            "are written %2F %3F %23 %40; TLS is set by --tls"
        )
    host, port = parts.hostname, parts.port
    if not host:
        raise _bad_url("it names no host")
    address = NetworkAddress(host, engine.default_port if port is None else port)  # type: ignore[arg-type]  # this engine has a port
    fields = InstanceFields(
        name=name or _host_and_port(address),
        db_type=engine.db_type,
        host=host,
        port=address.port,
        username=unquote(parts.username or ""),
        database_name=unquote(database) or None,
    )
    return Located(fields, _password_in(parts))


def _password_in(parts: SplitResult) -> Secret | None:
    if parts.password is None:
        return None
    try:
        return password(unquote(parts.password, errors="strict"))
    except ValueError:
        raise _bad_url("its password is no text") from None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read here: it is checked only when it is read
    except ValueError:
        raise _bad_url("its host or its port is malformed") from None
    return parts


def _host_and_port(address: NetworkAddress) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def _bad_url(why: str) -> InvalidInputError:
    return InvalidInputError("target", Text(f"The URL is not valid: {why}"))
