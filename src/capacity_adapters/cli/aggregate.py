"""`capacity aggregate`: recompute what days amount to; for schedules, and after corrections."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import click

from capacity_adapters.cli.growth_tables import PERIODS
from capacity_adapters.cli.output import Block, Report, Table, asked_now, progress, shown
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.targets import instance_for
from capacity_core.aggregation import AggregationOutcome, AggregationStatus, Recomputation
from capacity_core.answer import success
from capacity_core.messages import Language, render, text
from capacity_core.periods import PeriodType

_DAY = click.DateTime(["%Y-%m-%d"])
_NUMBERS = frozenset(status.upper() for status in AggregationStatus)
FAILURES_SHOWN = 20
UNIT_NOTE = "Counted is each period of an instance, its databases and its totals apart."


@click.command("aggregate")
@click.argument("target", required=False)
@click.option(
    "--from",
    "first",
    type=_DAY,
    metavar="YYYY-MM-DD",
    help="The first day; that of each period's last complete one unless said.",
)
@click.option("--to", "last", type=_DAY, metavar="YYYY-MM-DD", help="The last day; else today.")
@click.option(
    "--period",
    "periods",
    type=click.Choice(PERIODS),
    multiple=True,
    help="May be repeated; all unless said.",
)
@with_session
def aggregate(
    session: Session,
    *,
    target: str | None,
    first: datetime | None,
    last: datetime | None,
    periods: tuple[str, ...],
) -> Report:
    """Recompute what days amount to, of one instance or all.

    That is every period that holds a day of the range, and those that compare with them. TARGET is
    the name, id or URL of an instance; without it, all that are active. Weeks, months and quarters
    are kept when they are complete: run this every night. Without --from, the last complete period
    of each kind and the days since are recomputed: older ones, as of a history that nobody has
    aggregated yet, need it. Exit status 1: some failed.
    """
    with session.application() as application:
        instance_id = None if target is None else instance_for(application, target).id
        start, end = (None if each is None else each.date() for each in (first, last))
        kinds = [PeriodType(period) for period in periods] or list(PeriodType)
        with progress("Aggregating ...", json_wanted=session.json_wanted):
            done = application.growth.aggregate(start, end, kinds, instance_id)
    return report_of(done)


def report_of(done: Recomputation) -> Report:
    """Count the outcomes, and why; what failed is named."""
    counts = {str(status): done.count(status) for status in AggregationStatus}
    failed = [each for each in done.outcomes if each.status is AggregationStatus.FAILED]
    said = text("aggregation.done", **counts)
    reasons = {
        (status, render(why, Language.EN)): count for (status, why), count in done.reasons.items()
    }
    data = {
        **counts,
        "reasons": [
            {"status": status, "reason": reason, "count": count}
            for (status, reason), count in reasons.items()
        ],
        "failures": [_failure(each) for each in failed],
    }
    document = success(said, data, asked_now())
    skipped = [
        f"{count} skipped: {reason}"
        for (status, reason), count in reasons.items()
        if status is AggregationStatus.SKIPPED
    ]
    blocks = (
        _counts(done),
        *skipped,
        *_failures(failed, counts["failed"]),
        UNIT_NOTE,
        document.message,
    )
    return Report(document, blocks, exit_code=1 if failed else 0)


def _counts(done: Recomputation) -> Table:
    rows = [
        (kind, *(str(done.counts.get((kind, status), 0)) for status in AggregationStatus))
        for kind in PeriodType
        if any((kind, status) in done.counts for status in AggregationStatus)
    ]
    return Table(("PERIOD", *(status.upper() for status in AggregationStatus)), rows, _NUMBERS)


def _failures(failed: Sequence[AggregationOutcome], count: int) -> list[Block]:
    lines = [
        f"failed: {each.period.type} {each.level}s of {shown(each.instance.name)} "
        f"from {each.period.start}: {_reason(each)}"
        for each in failed[:FAILURES_SHOWN]
    ]
    rest = count - FAILURES_SHOWN
    return [*lines, *([f"... and {rest} more"] if rest > 0 else [])]


def _failure(outcome: AggregationOutcome) -> Mapping[str, object]:
    return {
        "instance": outcome.instance,
        "level": outcome.level,
        "period_type": outcome.period.type,
        "period_start": outcome.period.start,
        "period_end": outcome.period.end,
        "status": outcome.status,
        "reason": _reason(outcome),
    }


def _reason(outcome: AggregationOutcome) -> str | None:
    return None if outcome.reason is None else render(outcome.reason, Language.EN)
