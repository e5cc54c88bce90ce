"""Parameters that several routes take."""

from typing import Annotated

from litestar.params import PathParameter, QueryParameter

from capacity_core.model import MAX_BYTES as MAX_ID
from capacity_core.reads import MAX_LIMIT, MAX_PAGE, Paging

InstanceId = Annotated[int, PathParameter(schema_extra={"minimum": 1, "maximum": MAX_ID})]
PageNumber = Annotated[int, QueryParameter(schema_extra={"minimum": 1, "maximum": MAX_PAGE})]
Limit = Annotated[int, QueryParameter(schema_extra={"minimum": 1, "maximum": MAX_LIMIT})]


def paging_of(page: PageNumber = 1, limit: Limit = 20) -> Paging:
    """Raises InvalidInputError."""
    return Paging(page, limit)
