"""Write docs/reference.md from the tables it tells of: `python -m docs.generate`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from capacity_adapters.cli.program import capacity
from capacity_adapters.memory import MemoryStore
from capacity_adapters.settings import SETTINGS
from capacity_core import CapacityApplication
from capacity_core.answer import ERROR_KINDS
from capacity_core.decisions import DECISIONS
from capacity_core.messages import CATALOGUE, Language, Text, render, text
from capacity_core.model import Failure, Outcome, Reason, Tls, TlsMode
from capacity_http import create_app
from capacity_http.auth import SCOPE

REFERENCE = Path(__file__).with_name("reference.md")
KEPT = {
    "ATTEMPT": "the attempt",
    "INVENTORY": "inventory",
    "STATS": "sizes, and why the rest has none",
    "TOTAL": "the instance's total",
    "ZERO_TOTAL": "a zero total, if the login sees everything",
    "AGGREGATES": "daily aggregates",
}


SETTINGS_HEAD = """\
## Settings

Read once from the environment, or from the TOML file that `CAPACITY_CONFIG` names (there without
the prefix, in lower case). The environment wins."""
HTTP_HEAD = """\
## HTTP

The schema is served at `/schema`; bearer tokens have the scopes view < update < admin. Sizes are
exact in `*_bytes`; `*_mb` are whole MiB, each rounded up by itself, so parts may sum to more.
`instance_id` and `db_type` of growth may be repeated; `period_type` is daily (unless said), weekly,
monthly or quarterly, `order` newest (unless said), size, growth or percent; `count=false` leaves
`total` and `pages` out. Dates are included, and select periods that overlap them; `time_range` is a
whole number of days before today, from which on periods are selected where no date is given. Routes
of growth refuse parameters that they do not take. A summary says by `oldest_period_start` and
`newest_period_start` which periods it adds up: of every series the latest one.

A request for a run of a selection that is running gets that run (202 both times). The service
collects runs in the background, with `CAPACITY_FLEET_WORKERS` syncs at once, those that a killed
process left as well. The events of a run are `progress`, with the run as JSON whenever its counts
have changed, and a last `end`; whichever process collects it, they look at the store every second.
A comment every ten seconds keeps the connection alive. A stream without an `end` was cut, by a
server that stops: ask again. More than 64 at once are refused, 503 SERVICE_BUSY."""
METHODS_HEAD = """\
## Methods

How a size was found out (`method`)."""
METHODS = {
    "pg.database_size": "`pg_database_size`: all files, in every tablespace; exact.",
    "my.innodb_files": """\
InnoDB's files, exact, and the server's table statistics for every other storage engine.""",
    "my.tables": "The server's table statistics for all tables: an estimate for InnoDB.",
    "ms.master_files": "`sys.master_files`: data and log files, in whatever state the database is.",
    "ms.database_files": """\
`sys.database_files` of the database itself: where FILESTREAM or tempdb makes the server's list
untrue, or the login may not see that.""",
    "ms.snapshot_files": "What a database snapshot takes on disk, not what its files may reach.",
    "ms.resource_stats": """\
`sys.resource_stats` of Azure SQL Database: data files as last published, some minutes old.""",
    "ora.files": """\
Data and temporary files as the dictionary lists them (`CDB_DATA_FILES`, `CDB_TEMP_FILES`, or \
`DBA_...`); exact. Redo logs belong to no database.""",
    "ora.pdb_total_size": "`V$PDBS.TOTAL_SIZE`, where the login may not read the lists of files.",
    "sqlite.file_size": "The file with its `-wal` and `-journal`; exact.",
}
TLS_HEAD = """\
## TLS to targets

Modes as libpq names them. `prefer`, the default, takes what the server offers and verifies
nothing; what a mode is worth is shown as the instance's `tls.state`."""
COMMANDS_HEAD = """\
## Command line

Exit status: 0 success, 1 anything that failed, 2 wrong usage, 130 interrupted by Ctrl-C, 143 by
SIGTERM; `serve` and `worker` end with 0 when a signal stops them, and with those at a second one.
What failed is told on stderr, also of a run of which some did not; `--json` always on stdout."""

REASONS_HEAD = """## Reasons

Why a target could not be asked (`extra.reason`), and the hint: a closer one where the cause is
known, followed by the SQL that cures where there is some."""


def reference() -> str:
    """Return the whole page, in Markdown."""
    parts = [
        "# Reference\n\nMade from the code by `python -m docs.generate`; a test keeps it true.",
        "## Decision table\n\nHow each way a sync can end is told, and what of it is kept.",
        _table(("scenario", "HTTP", "message_code", "message", "kept"), _decisions()),
        REASONS_HEAD,
        _table(("reason", "hint"), _reasons()),
        "## Outcomes\n\nWhat became of a database in a sync that reached collection.",
        _table(("outcome", "hint"), _outcomes()),
        METHODS_HEAD,
        _table(("method", "meaning"), METHODS.items()),
        TLS_HEAD,
        _table(("mode", "state"), ((mode, Tls(mode).state) for mode in TlsMode)),
        "## Errors\n\nEvery `message_code` of a failing answer.",
        _table(("message_code", "category", "severity", "recoverable"), _errors()),
        SETTINGS_HEAD,
        _table(("variable", "default", "allowed", "meaning"), _settings()),
        HTTP_HEAD,
        _table(("route", "scope", "what", "statuses", "parameters and body"), sorted(_routes())),
        COMMANDS_HEAD,
        *_commands(capacity, "capacity"),
    ]
    return "\n\n".join(parts) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _decisions() -> Iterator[Sequence[object]]:
    for scenario, decision in DECISIONS.items():
        message = render(text(decision.message, name="{name}"), Language.EN)
        kept = ", ".join(KEPT[keep.name] for keep in sorted(decision.keeps)) or "-"
        yield scenario, decision.http_status, decision.message_key, message, kept


def _reasons() -> Iterator[Sequence[object]]:
    for reason in Reason:
        yield reason, _said(Failure.of(reason).hint)
        own = f"hint.{reason}."
        for cause in (key.removeprefix(own) for key in CATALOGUE if key.startswith(own)):
            yield f"{reason}, {cause}", _said(Failure.of(reason, cause, cure="").hint)


def _said(hint: Text) -> str:
    return render(hint, Language.EN).strip().rstrip(":")


def _outcomes() -> Iterator[Sequence[object]]:
    yield Outcome.MEASURED, "-"
    for outcome in list(Outcome)[1:]:
        yield outcome, render(text(f"outcome.{outcome}", cure=""), Language.EN).strip()


def _errors() -> Iterator[Sequence[object]]:
    for code, kind in ERROR_KINDS.items():
        yield code, kind.category, kind.severity, str(kind.recoverable).lower()


def _settings() -> Iterator[Sequence[object]]:
    for setting in SETTINGS:
        yield f"`{setting.variable}`", setting.default, setting.allowed, setting.meaning


def _routes() -> Iterator[tuple[str, ...]]:
    store = MemoryStore()
    app = create_app(
        CapacityApplication(
            begin=store.begin,
            leases=store.leases,
            coordinator_for=_nobody,
            now=_nobody,
            engines={},
        )
    )
    paths = app.openapi_schema.to_schema()["paths"]
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if handler.include_in_schema is False or not handler.responses:
                continue
            path = route.path.replace(":str", "")
            said = (handler.fn.__doc__ or "").strip().partition("\n")[0]
            statuses = ", ".join(str(status) for status in sorted(handler.responses))
            for method in sorted(handler.http_methods):
                asked = ", ".join(_parameters(paths[path][method.lower()])) or "-"
                yield f"`{method} {path}`", handler.opt.get(SCOPE, "-"), said, statuses, asked


def _parameters(operation: Mapping[str, Any]) -> Iterator[str]:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query":
            yield f"`{parameter['name']}`" + (" (required)" if parameter["required"] else "")
    content = operation.get("requestBody", {}).get("content", {})
    yield from (f"a body of `{kind}` (required)" for kind in content if kind != "application/json")
    body = content.get("application/json", {})
    required = body.get("schema", {}).get("required", ())
    for name in body.get("schema", {}).get("properties", ()):
        yield f"`{name}`" + (" (required)" if name in required else "")


def _nobody(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError


def _commands(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[str]:
    settings = command.context_settings
    with click.Context(command, parent, name, terminal_width=80, **settings) as context:
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                if found := command.get_command(context, child):
                    yield from _commands(found, child, context)
            return
        yield f"### `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```"


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
