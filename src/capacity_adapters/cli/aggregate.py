"""`capacity aggregate`: recompute what days amount to; for schedules, and after corrections."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import click

from capacity_adapters.cli.growth_tables import PERIODS
from capacity_adapters.cli.output import Block, Report, Table, asked_now, progress, shown
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.targets import instance_for
from capacity_core.aggregation import AggregationOutcome, AggregationStatus, Outcomes
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
            outcomes = application.growth.aggregate(start, end, kinds, instance_id)
    return report_of(outcomes)


def report_of(outcomes: Outcomes) -> Report:
    """Count the outcomes, and why; what failed is named."""
    counts = {str(status): 0 for status in AggregationStatus}
    counts |= Counter(str(outcome.status) for outcome in outcomes)
    failed = [each for each in outcomes if each.status is AggregationStatus.FAILED]
    said = text("aggregation.done", **counts)
    reasons = Counter((each.status, _reason(each)) for each in outcomes if each.reason)
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
    blocks = (_counts(outcomes), *skipped, *_failures(failed), UNIT_NOTE, document.message)
    return Report(document, blocks, exit_code=1 if failed else 0)


def _counts(outcomes: Outcomes) -> Table:
    found = Counter((each.period.type, each.status) for each in outcomes)
    rows = [
        (kind, *(str(found[kind, status]) for status in AggregationStatus))
        for kind in PeriodType
        if any(found[kind, status] for status in AggregationStatus)
    ]
    return Table(("PERIOD", *(status.upper() for status in AggregationStatus)), rows, _NUMBERS)


def _failures(failed: Sequence[AggregationOutcome]) -> list[Block]:
    lines = [
        f"failed: {each.period.type} {each.level}s of {shown(each.instance.name)} "
        f"from {each.period.start}: {_reason(each)}"
        for each in failed[:FAILURES_SHOWN]
    ]
    rest = len(failed) - FAILURES_SHOWN
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
