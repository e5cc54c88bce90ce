"""Write docs/reference.md from the tables it tells of: `python -m docs.generate`."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import click

from capacity_adapters.cli import capacity
from capacity_adapters.memory import MemoryStore
from capacity_adapters.settings import SETTINGS
from capacity_core import CapacityApplication
from capacity_core.answer import ERROR_KINDS
from capacity_core.decisions import DECISIONS
from capacity_core.messages import Language, render, text
from capacity_core.model import Failure, Outcome, Reason
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

The schema is served at `/schema`; bearer tokens have the scopes view < update < admin."""
COMMANDS_HEAD = """\
## Command line

Exit status: 0 success, 1 anything that failed, 2 wrong usage, 130 interrupted."""


def reference() -> str:
    """Return the whole page, in Markdown."""
    parts = [
        "# Reference\n\nMade from the code by `python -m docs.generate`; a test keeps it true.",
        "## Decision table\n\nHow each way a sync can end is told, and what of it is kept.",
        _table(("scenario", "HTTP", "message_code", "message", "kept"), _decisions()),
        "## Reasons\n\nWhy a target could not be asked (`extra.reason`), and the hint.",
        _table(("reason", "hint"), _reasons()),
        "## Outcomes\n\nWhat became of a database in a sync that reached collection.",
        _table(("outcome", "hint"), _outcomes()),
        "## Errors\n\nEvery `message_code` of a failing answer.",
        _table(("message_code", "category", "severity", "recoverable"), _errors()),
        SETTINGS_HEAD,
        _table(("variable", "default", "allowed", "meaning"), _settings()),
        HTTP_HEAD,
        _table(("route", "scope", "what", "statuses"), sorted(_routes())),
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
        yield reason, render(Failure.of(reason).hint, Language.EN).strip()


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


def _routes() -> Iterator[tuple[str, str, str, str]]:
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
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if handler.include_in_schema is False or not handler.responses:
                continue
            path = route.path.replace(":str", "")
            said = (handler.fn.__doc__ or "").strip().partition("\n")[0]
            statuses = ", ".join(str(status) for status in sorted(handler.responses))
            for method in sorted(handler.http_methods):
                yield f"`{method} {path}`", handler.opt.get(SCOPE, "-"), said, statuses


def _nobody(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError


def _commands(command: click.Command, name: str) -> Iterator[str]:
    with click.Context(command, info_name=name, terminal_width=80) as context:
        if isinstance(command, click.Group):
            for child in sorted(command.commands):
                yield from _commands(command.commands[child], f"{name} {child}")
            return
        yield f"### `{name}`\n\n```text\n{command.get_help(context)}\n```"


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
