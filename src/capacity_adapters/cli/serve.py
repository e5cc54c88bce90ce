"""`capacity serve`: the HTTP service, reached by name, since adapters know no HTTP."""

import logging
import os
import socket
from importlib import import_module
from itertools import chain, count
from typing import Any, NoReturn

import click

from capacity_adapters.cli.output import Block, done, say
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.settings import SCHEDULE, STORE_URL
from capacity_core.access import Scope
from capacity_core.application import CapacityApplication
from capacity_core.errors import CapacityError
from capacity_core.messages import Text

SERVER = "capacity_http.serve"


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65_535))
@click.option(
    "--schedule",
    metavar="CRON",
    help='When to collect all instances, as "0 3 * * *" (CAPACITY_SCHEDULE).',
)
@with_session
@click.pass_context
def serve(
    context: click.Context, session: Session, *, host: str, port: int, schedule: str | None
) -> NoReturn:
    """Serve the HTTP API; the store is migrated first.

    Without a token that works an admin token is made, and printed once.
    """
    from capacity_adapters.wiring import build_collectors  # noqa: PLC0415 -- --help needs none

    if schedule is not None:
        os.environ[SCHEDULE] = schedule  # the service reads its settings by itself
    check_port(host, port)
    configure_logging()
    with session.application(upgrade=True) as application:
        application.check_store()
        build_collectors(session.settings(), application, works=False)  # what is missing is told
        token = _first_token(application)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    told: tuple[Block, ...] = (f"Serving on {url}",)
    if token is not None:
        told = (f"Admin token, shown only this once: {token}", *told)
    say(done({"url": url, "token": token}, *told), json_wanted=session.json_wanted)
    if session.store is not None:
        os.environ[STORE_URL] = session.store  # likewise
    try:
        import_module(SERVER).serve(host, port)
    except SystemExit as ended:  # the server has logged why it could not start
        context.exit(1 if ended.code else 0)
    context.exit(0)


def _first_token(application: CapacityApplication) -> str | None:
    tokens = application.tokens()
    if any(kept.revoked_at is None for kept in tokens):
        return None
    taken = {kept.name for kept in tokens}
    names = chain(["admin"], (f"admin-{number}" for number in count(2)))
    name = next(name for name in names if name not in taken)
    return application.create_token(name, Scope.ADMIN)[1]


def check_port(host: str, port: int) -> None:
    """See that we may listen there, before anything is made. Raises CapacityError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        said = f"Cannot listen on {host} port {port}: {error.strerror}"
        raise CapacityError(Text(said)) from error


def configure_logging() -> None:
    """Log JSON lines to stderr; `component` is rendered as `module`, the event as `message`."""
    import structlog  # noqa: PLC0415 -- only the service needs it

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.EventRenamer("message"),
        structlog.processors.format_exc_info,
        _rename_component,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its migrations say little of use


def _rename_component(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    # The standard library owns the word `module`, so the code says `component`.
    if "component" in event:
        event["module"] = event.pop("component")
    event.pop("color_message", None)  # uvicorn's, for terminals
    return event
