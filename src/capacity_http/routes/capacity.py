"""Growth: how much databases and instances changed, and the recomputation of it."""

from datetime import timedelta
from functools import partial
from typing import Annotated

from attrs import asdict, evolve
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from capacity_core.access import Scope
from capacity_core.answer import Answer, Asked
from capacity_core.errors import InvalidInputError
from capacity_core.growth import MAX_DAYS
from capacity_core.growth_reads import AggregateQuestion, Order
from capacity_core.messages import text
from capacity_core.periods import PeriodType
from capacity_core.reads import DateRange
from capacity_http.asking import AnyRequest
from capacity_http.auth import KNOWN_QUERY, SCOPE
from capacity_http.dto import AggregationRange, decode
from capacity_http.facade import Facade, done
from capacity_http.growth_views import (
    AggregationData,
    DatabaseGrowthItem,
    DatabaseSummaryData,
    GrowthData,
    InstanceGrowthItem,
    InstanceSummaryData,
    aggregation_data,
    database_item,
    database_summary_data,
    growth_data,
    instance_item,
    instance_summary_data,
)
from capacity_http.openapi import answers, operation_with
from capacity_http.routes.parameters import MAX_DATABASE_NAME, check_database_name

TAGS = ("growth",)
PATH = "/capacity"

# Required; the default only lets us refuse its absence in our own words.
RequiredType = Annotated[PeriodType | None, QueryParameter(required=True)]
ExactName = Annotated[
    str | None, QueryParameter(schema_extra={"minLength": 1, "maxLength": MAX_DATABASE_NAME})
]
TimeRange = Annotated[
    int | None,
    QueryParameter(
        description="Since so many days before today, where no date is given.",
        schema_extra={"minimum": 0, "maximum": MAX_DAYS},
    ),
]
Question = NamedDependency[AggregateQuestion]


@get(
    f"{PATH}/databases",
    operation_id="list_database_growth",
    opt={SCOPE: Scope.VIEW, KNOWN_QUERY: True},
    responses=answers(GrowthData[DatabaseGrowthItem]),
    tags=TAGS,
)
async def database_growth(
    request: AnyRequest,
    facade: NamedDependency[Facade],
    listing: Question,
    database_name: ExactName = None,
) -> Response[bytes]:
    """List how large databases were in each period, and what changed; a running one is partial."""

    def work(asked: Asked) -> Answer:
        found = facade.application.growth.database_growth(_named(listing, database_name))
        view = partial(database_item, today=listing.today)
        return done(growth_data(found, view), asked, text("done"))

    answer = facade.read if listing.order is Order.NEWEST else facade.report
    return await answer(request, work)


@get(
    f"{PATH}/databases/summary",
    operation_id="summarize_database_growth",
    opt={SCOPE: Scope.VIEW, KNOWN_QUERY: True},
    responses=answers(DatabaseSummaryData),
    tags=TAGS,
)
async def database_summary(
    request: AnyRequest,
    facade: NamedDependency[Facade],
    question: Question,
    period_type: RequiredType = None,
    database_name: ExactName = None,
) -> Response[bytes]:
    """Add up the latest period of every active database that a list would show."""

    def work(asked: Asked) -> Answer:
        kind = _required(period_type)
        wanted = evolve(_named(question, database_name), period_type=kind)
        found = facade.application.growth.database_summary(wanted)
        return done(database_summary_data(found, kind), asked, text("done"))

    return await facade.report(request, work)


@get(
    f"{PATH}/instances",
    operation_id="list_instance_growth",
    opt={SCOPE: Scope.VIEW, KNOWN_QUERY: True},
    responses=answers(GrowthData[InstanceGrowthItem]),
    tags=TAGS,
)
async def instance_growth(
    request: AnyRequest,
    facade: NamedDependency[Facade],
    listing: Question,
    time_range: TimeRange = None,
) -> Response[bytes]:
    """List how large instances were in each period, and what changed; carried sizes are partial."""

    def work(asked: Asked) -> Answer:
        found = facade.application.growth.instance_growth(_within(listing, time_range))
        view = partial(instance_item, today=listing.today)
        return done(growth_data(found, view), asked, text("done"))

    answer = facade.read if listing.order is Order.NEWEST else facade.report
    return await answer(request, work)


@get(
    f"{PATH}/instances/summary",
    operation_id="summarize_instance_growth",
    opt={SCOPE: Scope.VIEW, KNOWN_QUERY: True},
    responses=answers(InstanceSummaryData),
    tags=TAGS,
)
async def instance_summary(
    request: AnyRequest,
    facade: NamedDependency[Facade],
    question: Question,
    period_type: RequiredType = None,
    time_range: TimeRange = None,
) -> Response[bytes]:
    """Add up the latest period of every instance that a list would show."""

    def work(asked: Asked) -> Answer:
        kind = _required(period_type)
        wanted = evolve(_within(question, time_range), period_type=kind)
        found = facade.application.growth.instance_summary(wanted)
        return done(instance_summary_data(found, kind), asked, text("done"))

    return await facade.report(request, work)


@post(
    f"{PATH}/aggregations",
    operation_id="recompute_aggregations",
    status_code=200,
    opt={SCOPE: Scope.ADMIN, KNOWN_QUERY: True},
    responses=answers(AggregationData, 404, 413),
    operation_class=operation_with(AggregationRange, required=False),
    tags=TAGS,
)
async def recompute_aggregations(
    request: AnyRequest, facade: NamedDependency[Facade]
) -> Response[bytes]:
    """Recompute every period that holds a day of the range, and what compares with it."""
    body = await request.body()

    def work(asked: Asked) -> Answer:
        said = decode(body or b"{}", AggregationRange)
        kinds = said.period_types or tuple(PeriodType)
        found = facade.application.growth.aggregate(
            said.start_date, said.end_date, kinds, said.instance_id
        )
        data = aggregation_data(found, asked)
        counts = {"completed": data.completed, "skipped": data.skipped, "failed": data.failed}
        return done(asdict(data, recurse=False), asked, text("aggregation.done", **counts))

    return await facade.report(request, work)


def _named(question: AggregateQuestion, database_name: str | None) -> AggregateQuestion:
    if database_name is not None:
        check_database_name(database_name)
    return evolve(question, database_name=database_name)


def _within(question: AggregateQuestion, time_range: int | None) -> AggregateQuestion:
    """Look back so many days, unless a date is given. Raises InvalidInputError."""
    if time_range is None:
        return question
    if not 0 <= time_range <= MAX_DAYS:
        said = text("field.days", field="time_range", most=MAX_DAYS)
        raise InvalidInputError("time_range", said)
    if question.days != DateRange():
        return question
    return evolve(question, days=DateRange(question.today - timedelta(days=time_range)))


def _required(period_type: PeriodType | None) -> PeriodType:
    if period_type is None:
        field = "period_type"
        raise InvalidInputError(field, text("field.required", field=field))
    return period_type
