"""`capacity grants`: the script that gives a login what sizing needs, and nothing more."""

import click

from capacity_adapters.cli.output import Report, done
from capacity_adapters.cli.session import Session, with_session
from capacity_core.diagnosis import GrantScript
from capacity_core.errors import CapacityError
from capacity_core.instances import check_text, engine_for
from capacity_core.messages import text


def _checked(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if value != value.strip():  # MySQL drops them; of blanks alone it makes everybody's login
        raise click.BadParameter("no blanks at its ends")
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
    plugin = engine_named(db_type)
    try:
        scripts = plugin.load().grants(user)
    except ImportError as error:
        raise CapacityError(text("hint.driver_missing", package=plugin.package)) from error
    data = {"engine": db_type, "user": user, "scripts": scripts}
    return done(data, *(_spelled(place, script) for place, script in enumerate(scripts)))


def _spelled(place: int, script: GrantScript) -> str:
    """Leave the first script to run as it is printed; it would stumble over the others."""
    if place == 0:
        return str(script)
    head, *statements = str(script).splitlines()
    return "\n".join(["", head, *(f"{script.comment} {line}" for line in statements)])
