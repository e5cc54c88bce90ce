"""Pages of growth: their keys first, most of them in an index alone, then their rows."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    Select,
    and_,
    cast,
    func,
    literal,
    select,
    union_all,
)

from capacity_adapters.store.growth_rows import DATABASES, Asked, ordering
from capacity_adapters.store.running import databases_in, instances_in
from capacity_core.growth_reads import Order
from capacity_core.periods import Period

Rows = list[Row[Any]]


def page_of(connection: Connection, asked: Asked) -> tuple[Rows, bool]:
    """Find the rows of the page, and say whether there are more: one more is looked for."""
    paging, running = asked.question.paging, asked.running
    if running is not None and asked.question.order is Order.NEWEST:
        return _newest(connection, asked, running)
    if running is None:
        rows = _kept(connection, asked, paging.limit + 1, paging.offset)
    else:
        rows = _sorted(connection, asked)
    return rows[: paging.limit], len(rows) > paging.limit


def count_of(connection: Connection, asked: Asked) -> int:
    kept = _count(connection, asked, asked.kept())
    running = asked.running
    return kept if running is None else kept + _count(connection, asked, asked.known_in(running))


def _count(connection: Connection, asked: Asked, keys: Select[Any]) -> int:
    count = select(func.count()).select_from(keys.subquery())
    return connection.execute(count, asked.values).scalar_one()


def _newest(connection: Connection, asked: Asked, running: Period) -> tuple[Rows, bool]:
    """Compute the running rows of the page only; what they leave free is for kept ones."""
    offset, limit = asked.question.paging.offset, asked.question.paging.limit
    wanted = limit + 1
    series = asked.known_in(running)
    ordered = series.order_by(*series.selected_columns).limit(wanted).offset(offset)
    keys = connection.execute(ordered, asked.values).all()
    computed = _computed(connection, asked, running, keys[:limit]) if keys else []
    if len(keys) == wanted:
        return computed, True
    passed = offset + len(keys) if keys or not offset else _count(connection, asked, series)
    kept = _kept(connection, asked, wanted - len(keys), max(0, offset - passed))
    return [*computed, *kept[: limit - len(keys)]], len(keys) + len(kept) > limit


def _computed(
    connection: Connection, asked: Asked, running: Period, keys: Sequence[Row[Any]]
) -> Rows:
    if asked.level is DATABASES:
        rows = databases_in(
            connection, running, [(key.instance_id, key.database_name) for key in keys]
        )
    else:
        rows = instances_in(connection, running, [key.instance_id for key in keys])
    return sorted(rows, key=lambda row: [getattr(row, name) for name in asked.level.series])


def _kept(connection: Connection, asked: Asked, limit: int, offset: int) -> Rows:
    level, order, keys = asked.level, asked.question.order, asked.kept()
    if order is Order.NEWEST and _has_long_periods(asked):
        periods, offset = _periods_of_page(connection, asked, limit, offset)
        keys = keys.where(level.table.c.period_start.in_(periods))
    page = keys.order_by(*ordering(level.table, level, order)).limit(limit).offset(offset)
    found = page.subquery()
    same = and_(*(level.table.c[key.name] == key for key in found.c))
    rows = select(level.table).join_from(found, level.table, same)
    ordered = rows.order_by(*ordering(level.table, level, order))
    return list(connection.execute(ordered, asked.values).all())


def _has_long_periods(asked: Asked) -> bool:
    """Say whether the newest periods hold so many rows of others that a page must not read them."""
    return asked.level is DATABASES and asked.question.database_name is None


def _periods_of_page(
    connection: Connection, asked: Asked, limit: int, offset: int
) -> tuple[list[date], int]:
    """Walk from the newest period to those of the page, counting; returns what is left to skip."""
    table, most = asked.level.table, offset + limit
    start, when = table.c.period_start, asked.when(table)
    newest = select(func.max(start).label("start"), cast(0, BigInteger).label("before"))
    walk = newest.where(*when).cte("walk", recursive=True)
    held = select(literal(1)).where(*when, *asked.whose(table), start == walk.c.start)
    count = select(func.count()).select_from(held.limit(most).correlate(walk).subquery())
    older = select(func.max(start)).where(*when, start < walk.c.start).correlate(walk)
    walked = walk.union_all(
        select(older.scalar_subquery(), walk.c.before + count.scalar_subquery()).where(
            walk.c.start.is_not(None), walk.c.before < most
        )
    )
    steps = connection.execute(select(walked.c.start, walked.c.before), asked.values).all()
    pairs = [
        (step.start, step.before)
        for step, following in pairwise(steps)
        if following.before > offset
    ]
    return [start for start, _ in pairs], offset - pairs[0][1] if pairs else 0


def _sorted(connection: Connection, asked: Asked) -> Rows:
    """Compute the running period of all, and sort it among what is kept."""
    level, question = asked.level, asked.question
    computed, table = asked.computed(connection), level.table
    kept = select(table).where(*asked.when(table), *asked.whose(table))
    everything = union_all(select(computed), kept).subquery()
    page = (
        select(everything)
        .order_by(*ordering(everything, level, question.order))
        .limit(question.paging.limit + 1)
        .offset(question.paging.offset)
    )
    return list(connection.execute(page, asked.values).all())
