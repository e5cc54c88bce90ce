"""`capacity growth` and `capacity top`: how much larger databases and instances became."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

import click
from attrs import evolve

from capacity_adapters.cli.growth_tables import (
    PERIODS,
    AnyView,
    average_line,
    growth_csv,
    growth_table,
    period_name,
)
from capacity_adapters.cli.output import Block, Report, done, shown
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.targets import engines_of, instance_for
from capacity_core.application import CapacityApplication
from capacity_core.errors import NotFoundError
from capacity_core.growth import CapacityGrowth
from capacity_core.growth_reads import AggregateQuestion, Order
from capacity_core.growth_views import (
    DatabaseGrowthView,
    InstanceGrowthView,
    database_growth_view,
    instance_growth_view,
)
from capacity_core.messages import text
from capacity_core.model import Instance
from capacity_core.periods import PeriodType, period_of
from capacity_core.reads import MAX_LIMIT, DateRange, Paging

Command = Callable[..., Any]
NOTHING_GREW = "Nothing is known to have grown in this period."
ORDERS = tuple(str(order) for order in Order if order is not Order.NEWEST)


def _options(period: PeriodType, limit: int) -> Callable[[Command], Command]:
    """Give a command what both of them know: the period, how many lines, and CSV."""

    def given(command: Command) -> Command:
        for option in (
            click.option("--csv", "csv_wanted", is_flag=True, help="Print CSV, exact bytes."),
            click.option(
                "--limit",
                type=click.IntRange(1, MAX_LIMIT),
                default=limit,
                show_default=True,
                help="How many lines at most.",
            ),
            click.option(
                "--period",
                type=click.Choice(PERIODS),
                default=str(period),
                show_default=True,
                callback=lambda _context, _option, value: PeriodType(value),
                help="How long each period is.",
            ),
        ):
            command = option(command)
        return command

    return given


@click.command("growth")
@click.argument("target")
@click.argument("database", required=False)
@_options(PeriodType.DAILY, 30)
@with_session
def growth(
    session: Session,
    *,
    target: str,
    database: str | None,
    period: PeriodType,
    limit: int,
    csv_wanted: bool,
) -> Report:
    """Show the periods of an instance, or of one of its databases, newest last.

    TARGET is the name, id or URL of a registered instance. Sizes of an instance are what was
    measured and what was carried; changes are between averages, against the period before.
    """
    _refuse_both(session, csv_wanted=csv_wanted)
    with session.application() as application:
        instance = instance_for(application, target)
        question = AggregateQuestion(
            period_type=period,
            today=application.growth.today,
            instance_ids=(instance.id,),
            database_name=database,
            paging=Paging(limit=limit),
            count=False,
        )
        views = _asked(application.growth, question, instances=database is None)[::-1]
        if database is not None and not views:
            _refuse_unknown(application, instance, database)
    kind = InstanceGrowthView if database is None else DatabaseGrowthView
    data = {"instance": instance.name, "database_name": database, "period_type": period}
    if csv_wanted:
        return done(data, growth_csv(kind, views))
    return done({**data, "items": views}, *_series(instance, database, period, views))


def _series(
    instance: Instance, database: str | None, period: PeriodType, views: Sequence[AnyView]
) -> list[Block]:
    whose = shown(instance.name) + (f", {shown(database)}" if database is not None else "")
    if not views:
        return [_nothing(period, f" of {whose}")]
    table = growth_table(("PERIOD",), views, lambda view: (period_name(view),))
    hint = "Periods that are complete are kept by `capacity aggregate`."
    only_running = period is not PeriodType.DAILY and all(view.is_running for view in views)
    return [*table, *average_line(period, views), *([hint] if only_running else [])]


@click.command("top")
@click.option(
    "--by",
    "order",
    type=click.Choice(ORDERS),
    default=str(Order.SIZE),
    show_default=True,
    callback=lambda _context, _option, value: Order(value),
    help="The largest average, the largest change, or the largest change in percent first.",
)
@click.option("--type", "db_types", multiple=True, metavar="DB_TYPE", help="May be repeated.")
@click.option("--instances", is_flag=True, help="Whole instances instead of databases.")
@_options(PeriodType.MONTHLY, 20)
@with_session
def top(
    session: Session,
    *,
    order: Order,
    period: PeriodType,
    limit: int,
    db_types: tuple[str, ...],
    instances: bool,
    csv_wanted: bool,
) -> Report:
    """Show the largest databases of all instances, or those that grew most.

    The period is the running one, or else the latest of which anything is known.
    """
    _refuse_both(session, csv_wanted=csv_wanted)
    with session.application() as application:
        engine_of = engines_of(application)
        question = AggregateQuestion(
            period_type=period,
            today=application.growth.today,
            db_types=tuple(engine_of(each).db_type for each in db_types),
            order=order,
            paging=Paging(limit=limit),
            count=False,
        )
        views = _latest(application.growth, question, instances=instances)
    kind = InstanceGrowthView if instances else DatabaseGrowthView
    data: Mapping[str, object] = {"period_type": period, "order": order}
    if csv_wanted:
        return done(data, growth_csv(kind, views))
    if not views:
        return done({**data, "items": views}, _nothing(period))
    headers = ("INSTANCE",) if instances else ("INSTANCE", "DATABASE")
    running = " (running: it has not ended yet)" if views[0].is_running else ""
    return done(
        {**data, "items": views},
        f"{period_name(views[0])}{running}, by {order}",
        *growth_table(headers, views, _place_of, told={"running"}),
        *([NOTHING_GREW] if order is not Order.SIZE and (views[0].growth_rate or 0) <= 0 else []),
    )


def _asked(
    reads: CapacityGrowth, question: AggregateQuestion, *, instances: bool
) -> Sequence[AnyView]:
    today = question.today
    if instances:
        return [instance_growth_view(row, today) for row in reads.instance_growth(question).rows]
    return [database_growth_view(row, today) for row in reads.database_growth(question).rows]


def _latest(
    reads: CapacityGrowth, question: AggregateQuestion, *, instances: bool
) -> Sequence[AnyView]:
    """Ask for the running period; if nothing is known of it, for the latest."""
    ask = partial(_asked, reads, instances=instances)
    running = period_of(question.period_type, question.today)
    found = ask(evolve(question, days=DateRange(running.start, running.end)))
    if found:
        return found
    newest = ask(evolve(question, order=Order.NEWEST, paging=Paging(limit=1)))
    if not newest:
        return []
    start, end = map(date.fromisoformat, (newest[0].period_start, newest[0].period_end))
    return ask(evolve(question, days=DateRange(start, end)))


def _place_of(view: AnyView) -> tuple[str, ...]:
    if isinstance(view, DatabaseGrowthView):
        return shown(view.instance.name), shown(view.database_name)
    return (shown(view.instance.name),)


def _nothing(period: PeriodType, whose: str = "") -> str:
    command = "sync" if period is PeriodType.DAILY else "aggregate"
    return f"No {period} sizes{whose} are known; run `capacity {command}`"


def _refuse_both(session: Session, *, csv_wanted: bool) -> None:
    if csv_wanted and session.json_wanted:
        raise click.UsageError("--csv and --json exclude each other.")


def _refuse_unknown(application: CapacityApplication, instance: Instance, database: str) -> None:
    """Raises NotFoundError for a database of which no day is kept at all."""
    days = application.history(instance.id, database, DateRange(), Paging(limit=1))
    if not days.rows:
        raise NotFoundError(text("error.database_missing", name=repr(database)))
