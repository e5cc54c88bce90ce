"""Parameters that several routes take."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import cache
from inspect import signature
from types import MappingProxyType
from typing import Annotated, Any, Final

from attrs import evolve
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import FromQuery, PathParameter, QueryParameter

from capacity_core.errors import InvalidInputError
from capacity_core.growth_reads import AggregateQuestion, Order
from capacity_core.instances import engine_for
from capacity_core.messages import text
from capacity_core.model import MAX_BYTES as MAX_ID
from capacity_core.periods import PeriodType
from capacity_core.reads import MAX_LIMIT, MAX_PAGE, DateRange, Paging
from capacity_http.asking import Connection
from capacity_http.auth import KNOWN_QUERY
from capacity_http.facade import Facade

MAX_DATABASE_NAME = 255
MAX_VALUES = 100

InstanceId = Annotated[int, PathParameter(schema_extra={"minimum": 1, "maximum": MAX_ID})]
RunId = Annotated[int, PathParameter(schema_extra={"minimum": 1, "maximum": MAX_ID})]
PageNumber = Annotated[int, QueryParameter(schema_extra={"minimum": 1, "maximum": MAX_PAGE})]
Limit = Annotated[int, QueryParameter(schema_extra={"minimum": 1, "maximum": MAX_LIMIT})]
InstanceIds = Annotated[
    list[int] | None,
    QueryParameter(
        description="May be repeated.",
        schema_extra={"maxItems": MAX_VALUES, "items": {"minimum": 1, "maximum": MAX_ID}},
    ),
]
DbTypes = Annotated[
    list[str] | None,
    QueryParameter(description="May be repeated.", schema_extra={"maxItems": MAX_VALUES}),
]


def paging_of(page: PageNumber = 1, limit: Limit = 20) -> Paging:
    """Raises InvalidInputError."""
    return Paging(page, limit)


def question_of(
    facade: NamedDependency[Facade],
    instance_id: InstanceIds = None,
    db_type: DbTypes = None,
    start_date: FromQuery[date | None] = None,
    end_date: FromQuery[date | None] = None,
) -> AggregateQuestion:
    """Ask about growth by day; what a route knows besides, it adds. Raises InvalidInputError."""
    for name, values in (("instance_id", instance_id), ("db_type", db_type)):
        if values is not None and len(values) > MAX_VALUES:
            raise InvalidInputError(name, text("field.values", field=name, most=MAX_VALUES))
    if any(not 1 <= each <= MAX_ID for each in instance_id or ()):
        said = text("field.page", field="instance_id", least=1, most=MAX_ID)
        raise InvalidInputError("instance_id", said)
    if start_date and end_date and end_date < start_date:
        said = text("field.date_order", first=start_date, last=end_date)
        raise InvalidInputError("end_date", said)
    application = facade.application
    return AggregateQuestion(
        period_type=PeriodType.DAILY,
        today=application.growth.today,
        days=DateRange(start_date, end_date),
        instance_ids=tuple(instance_id or ()),
        db_types=tuple(engine_for(each, application.engines).db_type for each in db_type or ()),
    )


def listing_of(
    question: NamedDependency[AggregateQuestion],
    paging: NamedDependency[Paging],
    period_type: FromQuery[PeriodType] = PeriodType.DAILY,
    order: FromQuery[Order] = Order.NEWEST,
    count: FromQuery[bool] = True,  # noqa: FBT002 -- a query has names only
) -> AggregateQuestion:
    """Ask for a page of growth."""
    return evolve(question, period_type=period_type, order=order, paging=paging, count=count)


# What handlers may ask for by name, beside their own parameters.
DEPENDENCIES: Final[Mapping[str, Callable[..., object]]] = MappingProxyType(
    {"paging": paging_of, "question": question_of, "listing": listing_of}
)
_NO_PARAMETERS: Final = frozenset({"request", "facade"})


async def refuse_unknown(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard routes that say KNOWN_QUERY: a slip in a name must not widen the answer.

    It waits for nothing, but Litestar would take a thread for a plain function. Raises
    InvalidInputError.
    """
    if handler.opt.get(KNOWN_QUERY):
        taken = _taken_by(handler.fn) - connection.path_params.keys()
        for name in connection.query_params:
            if name not in taken:
                raise InvalidInputError(name, text("field.unknown", field=name))


@cache
def _taken_by(handler: Callable[..., Any]) -> frozenset[str]:
    return frozenset(_parameters_of(handler)) - _NO_PARAMETERS


def _parameters_of(asking: Callable[..., Any]) -> Iterator[str]:
    for name in signature(asking).parameters:
        if name in DEPENDENCIES:
            yield from _parameters_of(DEPENDENCIES[name])
        else:
            yield name


def check_database_name(name: str) -> None:
    """Raises InvalidInputError."""
    field = "database_name"
    if not name:
        raise InvalidInputError(field, text("field.required", field=field))
    if len(name) > MAX_DATABASE_NAME or "\0" in name:
        raise InvalidInputError(field, text("field.text", field=field, limit=MAX_DATABASE_NAME))
