"""The hand-worked examples of the page on growth are what every kind of store tells."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from attrs import frozen
from tests.docs.test_pages import ROOT, blocks
from tests.stores import (  # noqa: F401 -- pytest finds the fixtures here
    AnyStore,
    Found,
    add_instance,
    lent_url,
    postgres_template,
    sqlite_template,
    store,
    sync,
)

from capacity_core.growth import CapacityGrowth
from capacity_core.growth_reads import AggregateQuestion
from capacity_core.growth_views import (
    DatabaseGrowthView,
    InstanceGrowthView,
    database_growth_view,
    instance_growth_view,
)
from capacity_core.model import DatabaseSize, Moment, Outcome
from capacity_core.periods import Period, PeriodType, period_of
from capacity_core.reads import DateRange

PAGE: Final = "docs/growth.md"
ZONE: Final = "Europe/Berlin"
DAY: Final = timedelta(days=1)
EXAMPLES: Final = blocks(PAGE, "growth")
# What there has to be an example of, in the words that begin it.
SUBJECTS: Final = {
    "Two identical weeks",
    "The fourth quarter against the third",
    "A gap",
    "A first period",
    "Averages are compared unrounded",
    "A break",
    "A database made anew",
    "A database dropped in mid-period",
    "A database denied for a week",
    "DST days",
    "A leap February",
    "A running week",
    "Days that come late, or are corrected,",
}


@frozen
class Claim:
    """A line that says what is told of a series over a period."""

    series: str
    period: Period
    words: str

    @classmethod
    def read(cls, line: str) -> "Claim":
        asked, _, words = line.partition(": ")
        kind, day, series = asked.split()
        period = period_of(PeriodType(kind), date.fromisoformat(day))
        assert period.start.isoformat() == day
        return cls(series, period, words)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.partition(":")[0])
def test_an_example_is_what_the_stores_tell(store: AnyStore, example: str) -> None:  # noqa: F811
    given, _, told = example.partition("\n\n")
    claims = [Claim.read(line) for line in told.splitlines()]
    add_instance(store)
    days, today = [], max(claim.period.end for claim in claims) + DAY
    for line in given.splitlines():
        when, _, what = line.partition(": ")
        if when == "today":
            today = date.fromisoformat(what)
            continue
        for moment in moments(when):
            sync(store, 1, fates(what), moment)
            days.append(moment.day)
    growth = CapacityGrowth(store.begin, lambda: noon(today), ZONE)
    growth.aggregate(min(days), today, {claim.period.type for claim in claims})
    assert [(claim, spelled(growth, claim)) for claim in claims] == [
        (claim, claim.words) for claim in claims
    ]


def test_there_is_an_example_of_everything() -> None:
    said = (ROOT / PAGE).read_text(encoding="utf-8")
    _, _, examples = said.partition("\n## Examples")
    begun = re.findall(r"\n\*\*(.+?)\*\*(.+?)(?=\n\*\*|$)", examples, re.DOTALL)
    assert {subject for subject, text in begun if "```growth\n" in text} == SUBJECTS


def moments(said: str) -> Iterator[Moment]:
    """Read a day or an instant, or all from one to another."""
    first, _, last = said.partition(" to ")
    at, end = instant(first), instant(last or first)
    while at <= end:
        yield Moment(at, at.astimezone(ZoneInfo(ZONE)).date())
        at += DAY


def instant(said: str) -> datetime:
    return datetime.fromisoformat(said) if "T" in said else noon(date.fromisoformat(said))


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


def fates(said: str) -> Found:
    """Read `orders 100 by my.tables, audit 40 as 16384, old denied`."""
    found: dict[str, int | DatabaseSize | Outcome] = {}
    for each in said.split(", "):
        name, fate, *more = each.split()
        about = dict(zip(more[::2], more[1::2], strict=True))
        assert about.keys() <= {"by", "as"}
        found[name] = (
            DatabaseSize(name, int(fate), about.get("by", "m"), identity=about.get("as"))
            if fate.isdigit()
            else Outcome(fate)
        )
    return found


def spelled(growth: CapacityGrowth, claim: Claim) -> str:
    """Ask for the row, and spell it as the page does."""
    is_instance = claim.series == "instance"
    question = AggregateQuestion(
        period_type=claim.period.type,
        today=growth.today,
        days=DateRange(claim.period.start, claim.period.start),
        database_name=None if is_instance else claim.series,
    )
    views: list[DatabaseGrowthView | InstanceGrowthView] = (
        [instance_growth_view(row, growth.today) for row in growth.instance_growth(question).rows]
        if is_instance
        else [
            database_growth_view(row, growth.today) for row in growth.database_growth(question).rows
        ]
    )
    assert len(views) <= 1
    return words_of(views[0]) if views else "nothing"


def words_of(view: DatabaseGrowthView | InstanceGrowthView) -> str:
    partial_days = view.partial_days if isinstance(view, InstanceGrowthView) else 0
    assert view.partial is (view.is_running or partial_days > 0)
    words = [
        *figures_of(view),
        str(view.trend_direction),
        f"{view.data_count} of {view.elapsed_days} days",
        f"against {view.baseline_date}" if view.baseline_date else "",
        f"{partial_days} partial" if partial_days else "",
        "break" if view.is_break else "",
        "running" if view.is_running else "",
    ]
    return ", ".join(filter(None, words))


def figures_of(view: DatabaseGrowthView | InstanceGrowthView) -> tuple[str, str]:
    if isinstance(view, DatabaseGrowthView):
        average, change = view.avg_size_bytes, view.size_change_bytes
        percent = view.size_change_percent
    else:
        average, change = view.avg_total_size_bytes, view.total_size_change_bytes
        percent = view.total_size_change_percent
    assert view.growth_rate == percent
    if change is None:
        assert percent is None
        return str(average), "change unknown"
    shown = "unknown" if percent is None else f"{percent:.2f} %"
    return str(average), f"change {change} ({shown})"
