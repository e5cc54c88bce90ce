"""Questions about the databases of one instance."""

from datetime import date
from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from capacity_core.access import Scope
from capacity_core.answer import Answer, Asked
from capacity_core.messages import text
from capacity_core.reads import DateRange, Paging
from capacity_http.asking import AnyRequest
from capacity_http.auth import KNOWN_INSTANCE, SCOPE
from capacity_http.facade import Facade, done
from capacity_http.openapi import answers
from capacity_http.routes.parameters import (
    MAX_DATABASE_NAME,
    InstanceId,
    check_database_name,
)
from capacity_http.views import (
    DatabasesData,
    DayView,
    InstanceDayView,
    PageData,
    database_view,
    day_view,
    instance_day_view,
    page_data,
)

# Required; the default only lets us refuse its absence in our own words.
DatabaseName = Annotated[
    str,
    QueryParameter(required=True, schema_extra={"minLength": 1, "maxLength": MAX_DATABASE_NAME}),
]


@get(
    "/instances/{instance_id:str}/databases",
    operation_id="list_databases",
    opt={SCOPE: Scope.VIEW, KNOWN_INSTANCE: True},
    responses=answers(DatabasesData, 404),
    tags=["sizes"],
)
async def databases(
    request: AnyRequest,
    facade: NamedDependency[Facade],
    instance_id: InstanceId,
    paging: NamedDependency[Paging],
) -> Response[bytes]:
    """List the known databases with their latest sizes: active first, then by name."""
    application = facade.application

    def work(asked: Asked) -> Answer:
        found = application.databases(instance_id, paging)
        tls = application.get_instance(instance_id).tls.state
        data = {**page_data(found, database_view), "tls": tls}
        return done(data, asked, text("done"))

    return await facade.read(request, work)


@get(
    "/instances/{instance_id:str}/sizes",
    operation_id="list_database_sizes",
    opt={SCOPE: Scope.VIEW, KNOWN_INSTANCE: True},
    responses=answers(PageData[DayView], 404),
    tags=["sizes"],
)
async def database_sizes(
    request: AnyRequest,
    facade: NamedDependency[Facade],
    instance_id: InstanceId,
    paging: NamedDependency[Paging],
    database_name: DatabaseName = "",
    start_date: FromQuery[date | None] = None,
    end_date: FromQuery[date | None] = None,
) -> Response[bytes]:
    """List the daily sizes of one database, newest first; both dates are included."""

    def work(asked: Asked) -> Answer:
        check_database_name(database_name)
        days = DateRange(start_date, end_date)
        found = facade.application.history(instance_id, database_name, days, paging)
        return done(page_data(found, day_view), asked, text("done"))

    return await facade.read(request, work)


@get(
    "/instances/{instance_id:str}/days",
    operation_id="list_instance_days",
    opt={SCOPE: Scope.VIEW, KNOWN_INSTANCE: True},
    responses=answers(PageData[InstanceDayView], 404),
    tags=["sizes"],
)
async def instance_days(
    request: AnyRequest,
    facade: NamedDependency[Facade],
    instance_id: InstanceId,
    paging: NamedDependency[Paging],
) -> Response[bytes]:
    """List the instance's days, newest first: how many databases have a size, and the total."""

    def work(asked: Asked) -> Answer:
        found = facade.application.instance_days(instance_id, paging)
        return done(page_data(found, instance_day_view), asked, text("done"))

    return await facade.read(request, work)
