"""`capacity grants`: the script that gives a login what sizing needs, and nothing more."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from unicodedata import category

import click

from capacity_adapters.cli.output import Report, done, shown
from capacity_adapters.cli.session import Session, with_session
from capacity_core.diagnosis import GrantScript
from capacity_core.errors import CapacityError, EngineNotSupportedError, InvalidInputError
from capacity_core.instances import check_text, engine_for
from capacity_core.messages import Text, text

if TYPE_CHECKING:
    from capacity_adapters.engines.plugins import EnginePlugin

# Control, formatting, and the ends of lines and paragraphs: a script's text is not what it seems.
UNPRINTED = frozenset({"Cc", "Cf", "Zl", "Zp"})


def _checked(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if value != value.strip():  # MySQL drops them; of blanks alone it makes everybody's login
        raise click.BadParameter("no blanks at its ends")
    if any(category(each) in UNPRINTED for each in value):
        raise click.BadParameter("no control characters")
    check_text("username", value, required=True)
    return value


@click.command("grants")
@click.argument("engine")
@click.option(
    "--user", default="capacity", show_default=True, callback=_checked, help="The login's name."
)
@with_session
def grants(_session: Session, *, engine: str, user: str) -> Report:
    """Print the least rights that sizing needs, for an administrator to run.

    ENGINE is a name or alias that `capacity engines` lists. Replace the password in the script.
    What is for other cases follows as comments.
    """
    from capacity_adapters.engines import ENGINES, engine_named  # noqa: PLC0415 -- --help needs none

    db_type = engine_for(engine, ENGINES).db_type
    scripts = _scripts(engine_named(db_type), user)
    data = {"engine": db_type, "user": user, "scripts": scripts}
    lines = (line for place, script in enumerate(scripts) for line in _spelled(place, script))
    return done(data, *lines)


def _scripts(plugin: "EnginePlugin", user: str) -> tuple[GrantScript, ...]:
    from capacity_adapters.engines.plugins import (  # noqa: PLC0415 -- --help needs no engine
        PluginError,
        scripts_of,
    )

    try:
        return scripts_of(plugin, user)
    except PluginError as error:
        cause = error.__cause__
        if isinstance(cause, ImportError):
            raise CapacityError(text("hint.driver_missing", package=plugin.package)) from error
        if isinstance(cause, InvalidInputError):
            raise click.BadParameter(shown(str(cause)), param_hint="--user") from error
        problem = f"The engine {plugin.facts.db_type} is broken: {shown(str(error))}"
        raise EngineNotSupportedError(Text(problem)) from error


def _spelled(place: int, script: GrantScript) -> Sequence[str]:
    """Leave the first script to run as it is printed; it would stumble over the others."""
    if place == 0:
        return str(script).splitlines()
    head, *statements = str(script).splitlines()
    return "", head, *(f"{script.comment} {line}" for line in statements)
