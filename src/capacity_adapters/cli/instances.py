"""`capacity instance`: the register of instances."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

import click
from attrs import evolve

from capacity_adapters.cli.importing import import_instances
from capacity_adapters.cli.output import UNKNOWN, Report, Table, done, every, shown
from capacity_adapters.cli.passwords import given_password, password_options
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.targets import engines_of, instance_for, located_by, place_of
from capacity_adapters.cli.tls import changed_tls, from_root, tls_options
from capacity_core.answer import as_json
from capacity_core.application import CapacityApplication
from capacity_core.instances import InstanceFields, fields_of
from capacity_core.messages import Language, render, text
from capacity_core.model import DEFAULT_ZONE, Instance, Level, Secret
from capacity_core.views import instance_view

Command = Callable[..., object]

# What is given as an option of the same name and goes into the field as it is.
PLAIN_FIELDS = (
    "name",
    "db_type",
    "host",
    "port",
    "path",
    "username",
    "database_name",
    "level",
    "password_ref",
    "timezone",
    "description",
)
NULLABLE = frozenset({"host", "path", "database_name", "password_ref", "timezone"})
IN_EVERY_URL = ("db_type", "host", "port", "path")
IN_URL = (*IN_EVERY_URL, "username", "database_name")
LISTS = ("exclude", "include")


def _last_sync(kept: Instance) -> str:
    last = kept.last_sync
    if last is None:
        return "never"
    reason = f" ({last.reason})" if last.reason else ""
    return f"{last.at:%Y-%m-%d %H:%M} {last.scenario}{reason}"


COLUMNS: Mapping[str, Callable[[Instance], str]] = MappingProxyType(
    {
        "ID": lambda kept: str(kept.id),
        "NAME": lambda kept: shown(kept.name),
        "TYPE": lambda kept: kept.db_type,
        "PLACE": place_of,
        "TAGS": lambda kept: ", ".join(kept.tags) or UNKNOWN,
        "ZONE": lambda kept: kept.zone,
        "ENABLED": lambda kept: "yes" if kept.is_active else "no",
        "LAST SYNC": _last_sync,
    }
)
# What these columns hold where nobody has set anything: then they are left out.
UNSET = MappingProxyType({"TAGS": UNKNOWN, "ZONE": DEFAULT_ZONE})

FIELD_OPTIONS = (
    click.option("--name", help="What you call it; not all digits."),
    click.option("--db-type", metavar="TYPE", help="Its engine, such as postgresql."),
    click.option("--host", help="Name or address of a server."),
    click.option("--port", type=int, help="Default: the engine's own."),
    click.option("--path", help="A SQLite file, or a folder of them."),
    click.option("--username", help="The login to measure with."),
    click.option("--database-name", metavar="NAME", help="The database to log in to."),
    click.option(
        "--level",
        type=click.Choice([level.value for level in Level]),
        help="What its databases are; tablespace is for Oracle.",
    ),
    click.option(
        "--password-ref", metavar="REF", help="env:CAPACITY_SECRET_..., or file: and a name."
    ),
    click.option("--timezone", metavar="ZONE", help="Decides its business day."),
    click.option("--description", metavar="TEXT"),
    click.option(
        "--tag", "tags", multiple=True, help="To select it by, with `sync --all`; may be repeated."
    ),
    click.option("--zone", help="The network that it is reached from; workers may serve some."),
    click.option("--exclude", multiple=True, metavar="GLOB", help="Databases that do not count."),
    click.option("--include", multiple=True, metavar="GLOB", help="The only ones that count."),
    click.option("--ignore-case/--no-ignore-case", default=None, help="In these globs."),
    tls_options,
    password_options,
)


def field_options(command: Command) -> Command:
    for option in reversed(FIELD_OPTIONS):
        command = option(command)
    return command


@click.group("instance")
def instance() -> None:
    """Register, show, change and remove instances; TARGET is a name, an id or a URL."""


instance.add_command(import_instances)


@instance.command("add")
@click.option("--url", help="Such as postgresql://user@host:5432/, instead of single fields.")
@field_options
@with_session
def add(
    session: Session,
    *,
    url: str | None,
    password_env: str | None,
    password_file: str | None,
    **given: object,
) -> Report:
    """Register an instance, by its URL or by --name, --db-type and --host or --path."""
    with session.application() as application:
        fields, in_url = _new_fields(application, url, given)
        password = given_password(password_env, password_file, in_url)
        added = application.add_instance(fields, password=password)
    return _changed(added, "instance.created")


@instance.command("list")
@click.option("--tag", "tags", multiple=True, help="With one of these tags; may be repeated.")
@with_session
def list_instances(session: Session, *, tags: tuple[str, ...]) -> Report:
    """List the registered instances."""
    with session.application() as application:
        all_of_them = every(application.instances)
    found = [kept for kept in all_of_them if not tags or not set(tags).isdisjoint(kept.tags)]
    cells = {header: [cell(kept) for kept in found] for header, cell in COLUMNS.items()}
    columns = {
        header: column
        for header, column in cells.items()
        if header not in UNSET or set(column) - {UNSET[header]}
    }
    rows = list(zip(*columns.values(), strict=True))
    table = Table(tuple(columns), rows, frozenset({"ID"}), spare=tuple(UNSET))
    return done({"instances": [instance_view(kept) for kept in found]}, table)


@instance.command("show")
@click.argument("target")
@with_session
def show(session: Session, *, target: str) -> Report:
    """Show all that is kept of an instance, but its password."""
    with session.application() as application:
        kept = instance_for(application, target)
    view = instance_view(kept)
    said = cast("Mapping[str, object]", as_json(view))
    rows = [(name, _cell(value)) for name, value in said.items()]
    return done({"instance": view}, Table(("FIELD", "VALUE"), rows))


@instance.command("edit")
@click.argument("target")
@field_options
@with_session
def edit(
    session: Session,
    *,
    target: str,
    password_env: str | None,
    password_file: str | None,
    **given: object,
) -> Report:
    """Change the fields that are given; an empty value takes one away.

    A password belongs to its address: when that changes, a kept one is forgotten, and a
    --password-ref has to be given again.
    """
    password = given_password(password_env, password_file)
    with session.application() as application:
        old = instance_for(application, target)
        changes = _changes(fields_of(old), given)
        if password is None and evolve(fields_of(old), **changes) == fields_of(old):
            raise click.UsageError("Nothing to change: give a field another value.")
        new = application.edit_instance(old.id, changes, password=password)
    return _changed(new, "instance.changed")


@instance.command("enable")
@click.argument("target")
@with_session
def enable(session: Session, *, target: str) -> Report:
    """Mark it as enabled again."""
    return _set_active(session, target, is_active=True)


@instance.command("disable")
@click.argument("target")
@with_session
def disable(session: Session, *, target: str) -> Report:
    """Mark it as disabled: `sync --all` leaves it out, `sync` with its name does not."""
    return _set_active(session, target, is_active=False)


@instance.command("remove")
@click.argument("target")
@with_session
def remove(session: Session, *, target: str) -> Report:
    """Remove an instance; its history stays in the store, its password does not."""
    with session.application() as application:
        gone = application.remove_instance(instance_for(application, target).id)
    return _changed(gone, "instance.removed")


def _set_active(session: Session, target: str, *, is_active: bool) -> Report:
    with session.application() as application:
        old = instance_for(application, target)
        new = application.edit_instance(old.id, {"is_active": is_active})
    return _changed(new, "instance.changed")


def _changed(kept: Instance, key: str) -> Report:
    said = render(text(key, name=shown(kept.name)), Language.EN)
    return done({"instance": instance_view(kept)}, f"{said} (id {kept.id})")


def _new_fields(
    application: CapacityApplication, url: str | None, given: Mapping[str, object]
) -> tuple[InstanceFields, Secret | None]:
    if url is None:
        if given["name"] is None or given["db_type"] is None:
            raise click.UsageError("Give --url, or --name and --db-type.")
        blank, in_url = InstanceFields(name="", db_type=""), None
    else:
        located = located_by(url, engines_of(application))
        _refuse_twice(located.fields, given)
        blank, in_url = located.fields, located.password
    return evolve(blank, **_changes(blank, given)), in_url


def _refuse_twice(in_url: InstanceFields, given: Mapping[str, object]) -> None:
    """Refuse an option for what the URL says already: only one of them could be kept."""
    twice = [
        f"--{name.replace('_', '-')}"
        for name in IN_URL
        if given[name] is not None and (name in IN_EVERY_URL or getattr(in_url, name))
    ]
    if twice:
        raise click.UsageError(f"Give --url or {', '.join(twice)}, not both.")


def _changes(old: InstanceFields, given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the options that were given into changes of fields."""
    changes = {
        name: None if name in NULLABLE and given[name] == "" else given[name]
        for name in PLAIN_FIELDS
        if given[name] is not None
    }
    rules: dict[str, Any] = {
        kind: tuple(filter(None, given[kind])) for kind in LISTS if given[kind]
    }
    if given["ignore_case"] is not None:
        rules["ignore_case"] = given["ignore_case"]
    if given["tags"]:
        changes["tags"] = tuple(filter(None, given["tags"]))
    if given["zone"] is not None:
        changes["zone"] = given["zone"] or DEFAULT_ZONE
    if given["path"]:
        changes["path"] = from_root(given["path"])
    changes["filters"] = evolve(old.filters, **rules)
    changes["tls"] = changed_tls(old.tls, given)
    return changes


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value)) or "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_cell(item)}" for name, item in value.items())
    return "-" if value is None or value == "" else shown(str(value))
