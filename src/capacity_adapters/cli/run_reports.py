"""What commands say of runs: lists, tables, and why instances failed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from capacity_adapters.cli.output import (
    UNKNOWN,
    Block,
    Report,
    Table,
    asked_now,
    databases,
    done,
    every,
    human_size,
    shown,
)
from capacity_core.answer import failure, success
from capacity_core.fleet import CapacityFleet
from capacity_core.messages import Language, Text
from capacity_core.reads import MAX_LIMIT, Paging
from capacity_core.run_views import (
    FAILURES,
    RunFailureView,
    RunItemView,
    run_failure_views,
    run_item_view,
    run_view,
)
from capacity_core.runs import ItemCounts, ItemStatus, Run, RunStatus, Selection

EN: Final = Language.EN
NAMES_SHOWN: Final = 5
LIST_HEADERS: Final = (
    "ID", "STATUS", "SELECTION", "TRIGGER", "BY", "STARTED (UTC)", "TOOK", "DONE", "FAILED",
    "SKIPPED", "SIZE",
)  # fmt: skip
LIST_NUMBERS: Final = frozenset({"ID", "TOOK", "DONE", "FAILED", "SKIPPED", "SIZE"})
LIST_SPARE: Final = ("TRIGGER", "BY", "SKIPPED", "SIZE", "TOOK")
ITEM_HEADERS: Final = ("INSTANCE", "TYPE", "STATUS", "REASON", "TRIES", "DATABASES", "SIZE", "TOOK")
ITEM_NUMBERS: Final = frozenset({"TRIES", "DATABASES", "SIZE", "TOOK"})
ITEM_SPARE: Final = ("TRIES", "TOOK", "DATABASES")
FAILURE_HEADERS: Final = ("COUNT", "STATUS", "REASON", "INSTANCES")


def listed(fleet: CapacityFleet, limit: int) -> Report:
    """Tell of the newest runs."""
    page = fleet.runs(Paging(limit=limit))
    data = {"runs": list(map(run_view, page.rows)), "total": page.total}
    if not page.rows:
        return done(data, "There was no run yet; `capacity sync --all` starts one")
    rows = [
        (
            str(run.id),
            run.status.value,
            _selected(run.selection),
            run.trigger.value,
            shown(run.requested_by) if run.requested_by else UNKNOWN,
            _at(run.started_at),
            _took(run),
            f"{_done(run.counts)}/{run.counts.total}",
            str(run.counts.failed),
            str(run.counts.skipped),
            human_size(run_view(run).size_bytes),
        )
        for run in page.rows
    ]
    rest = page.total - len(rows)
    more = [f"... and {rest} older"] if rest else []
    return done(data, Table(LIST_HEADERS, rows, LIST_NUMBERS, spare=LIST_SPARE), *more)


def detailed(fleet: CapacityFleet, run_id: int, status: str | None, page: int | None) -> Report:
    """Tell of one run and its items: those of one page (from 1), or all. Raises NotFoundError."""
    run = fleet.run(run_id)
    items_of = partial(fleet.items, run_id, status=ItemStatus(status) if status else None)
    if page is None:
        items = every(items_of)
        total = len(items)
    else:
        found = items_of(Paging(page, MAX_LIMIT))
        items, total = list(found.rows), found.total
    views = [run_item_view(item, EN) for item in items]
    failures = run_failure_views(fleet.reasons(run_id), EN)
    data = {"run": run_view(run), "failures": failures, "items": views, "items_total": total}
    blocks: list[Block] = [_about(run), _items(views)]
    if len(views) < total:
        blocks.append(f"{len(views)} of {total} instances; --page and --all show others")
    return done(data, *blocks, *_failures(fleet, run, failures))


def cancelled(run: Run) -> Report:
    """Tell what becomes of the syncs of a run that was cancelled."""
    counts = run.counts
    synced = _done(counts) - counts.cancelled
    said = f"{synced} of {counts.total} instances are done, {counts.cancelled} cancelled"
    if run.status is RunStatus.RUNNING:
        rest = (
            f"Run {run.id}: {counts.running} running syncs finish, and keep what they measure;"
            " then the run is cancelled"
        )
        return done({"run": run_view(run)}, rest, said)
    return done({"run": run_view(run)}, f"Run {run.id} is {_words(run.status)}: {said}")


def ended(fleet: CapacityFleet, run: Run, again: str, seconds: float, *, joined: bool) -> Report:
    """Tell how a run ended that we drove so long; exit code 0 if every instance was synced."""
    failures = run_failure_views(fleet.reasons(run.id), EN)
    summary = _summary(run, seconds)
    data, retry = _data(run, failures, joined=joined), Text(f"Take up the rest: {again}")
    is_whole = run.status is RunStatus.COMPLETED
    document = (
        success(Text(summary), data, asked_now())
        if is_whole
        else failure("RUN_INCOMPLETE", Text(summary), asked_now(), data, retry)
    )
    blocks: list[Block] = [*_failures(fleet, run, failures)]
    if run.database_count:
        blocks.append(f"Total: {human_size(run.size_bytes)} in {databases(run.database_count)}")
    blocks.append(summary)
    if not is_whole:
        blocks.append(f"Take up what did not complete: {again}")
    return Report(document, tuple(blocks), exit_code=int(not is_whole))


def interrupted(
    fleet: CapacityFleet, run: Run, again: str, exit_code: int, *, joined: bool
) -> Report:
    """Tell how far a run came that we were asked to leave."""
    failures = run_failure_views(fleet.reasons(run.id), EN)
    counts = run.counts
    elsewhere = f", {counts.running} are running elsewhere" if counts.running else ""
    said = (
        f"Interrupted: run {run.id} has {_done(counts)} of {counts.total} instances done, "
        f"{counts.pending} wait{elsewhere}"
    )
    data = _data(run, failures, joined=joined)
    document = failure("INTERRUPTED", Text(said), asked_now(), data, Text(f"Go on with: {again}"))
    blocks = (*_failures(fleet, run, failures), said, f"Go on with: {again}")
    return Report(document, blocks, exit_code)


def progress_line(counts: ItemCounts, before: int, seconds: float) -> str:
    """Say how far a run is, how fast since `before` items were done, and how long it will take."""
    finished = _done(counts)
    rate = max(0, finished - before) / seconds if seconds > 0 else 0.0
    parts = [f"{finished}/{counts.total} done"]
    parts += [f"{counts.failed} failed"] if counts.failed else []
    parts += [f"{counts.skipped} skipped"] if counts.skipped else []
    parts += [f"{rate:.1f}/s"] if rate else []
    parts += [f"about {_seconds(counts.open / rate)} left"] if rate and counts.open else []
    return ", ".join(parts)


def _data(run: Run, failures: Sequence[RunFailureView], *, joined: bool) -> Mapping[str, object]:
    return {"run": run_view(run), "joined": joined, "failures": failures}


def _summary(run: Run, seconds: float) -> str:
    counts = {
        status.value: getattr(run.counts, status.value)
        for status in ItemStatus
        if getattr(run.counts, status.value)
    }
    parts = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"Run {run.id} {_words(run.status)} in {_seconds(seconds)}: {parts}"


def _about(run: Run) -> Table:
    view = run_view(run)
    cancelled_at = run.cancel_requested_at
    rows = [
        ("id", str(run.id)),
        ("status", _words(run.status)),
        ("trigger", run.trigger.value),
        ("requested by", shown(run.requested_by) if run.requested_by else UNKNOWN),
        ("selection", _selected(run.selection)),
        ("started", f"{_at(run.started_at)} UTC"),
        ("last activity", f"{_at(run.active_at)} UTC"),
        ("finished", f"{_at(run.finished_at)} UTC" if run.finished_at else UNKNOWN),
        *([("cancel requested", f"{_at(cancelled_at)} UTC")] if cancelled_at else []),
        ("took", _took(run)),
        ("done", f"{_done(run.counts)} of {view.total} ({view.progress_percent:g} %)"),
        *((status.value, str(getattr(run.counts, status.value))) for status in ItemStatus),
        ("databases", str(run.database_count)),
        ("size", human_size(view.size_bytes)),
    ]
    return Table(("FIELD", "VALUE"), rows)


def _items(views: Sequence[RunItemView]) -> Table:
    rows = [
        (
            shown(view.instance_name),
            view.db_type,
            view.status.value,
            view.reason or UNKNOWN,
            str(view.attempts),
            UNKNOWN if view.database_count is None else str(view.database_count),
            human_size(view.size_bytes),
            UNKNOWN if view.duration_ms is None else f"{view.duration_ms} ms",
        )
        for view in views
    ]
    return Table(ITEM_HEADERS, rows, ITEM_NUMBERS, spare=ITEM_SPARE)


def _failures(fleet: CapacityFleet, run: Run, failures: Sequence[RunFailureView]) -> list[Block]:
    """Show each reason with some names, and below what to do."""
    if not failures:
        return []
    names = _names(fleet, run.id, failures)
    rows = [
        (str(each.count), each.status.value, each.reason or UNKNOWN, _some(names[each], each.count))
        for each in failures
    ]
    hints = [f"{each.reason} ({each.status}): {each.hint}" for each in failures if each.hint]
    return [Table(FAILURE_HEADERS, rows, frozenset({"COUNT"})), *hints]


def _names(
    fleet: CapacityFleet, run_id: int, failures: Sequence[RunFailureView]
) -> Mapping[RunFailureView, list[str]]:
    """Name the first instances of each reason; no more pages are read than that takes."""
    names: dict[RunFailureView, list[str]] = {each: [] for each in failures}
    for status in FAILURES:
        wanted = {each.reason: names[each] for each in failures if each.status is status}
        page = 1
        while any(
            len(names[each]) < min(each.count, NAMES_SHOWN)
            for each in failures
            if each.status is status
        ):
            items = fleet.items(run_id, Paging(page, MAX_LIMIT), status).rows
            for item in items:
                wanted.get(item.reason, []).append(shown(item.instance_name))
            if len(items) < MAX_LIMIT:
                break
            page += 1
    return names


def _some(names: Sequence[str], count: int) -> str:
    some = ", ".join(names[:NAMES_SHOWN])
    rest = count - min(len(names), NAMES_SHOWN)
    return f"{some} and {rest} more" if rest else some


def _selected(selection: Selection) -> str:
    ids = ", ".join(map(str, selection.instance_ids))
    parts = {
        "engine": ", ".join(selection.db_types),
        "tag": ", ".join(selection.tags),
        "id": f"{ids[:40]}..." if len(ids) > 40 else ids,  # noqa: PLR2004 -- a column's width
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items() if value) or "all"


def _done(counts: ItemCounts) -> int:
    return counts.total - counts.open


def _words(status: RunStatus) -> str:
    return status.value.replace("_", " ")


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _took(run: Run) -> str:
    if run.finished_at is None:
        return UNKNOWN
    return _seconds((run.finished_at - run.started_at).total_seconds())


def _seconds(seconds: float) -> str:
    """Say a duration in its two largest units."""
    if seconds < 60:  # noqa: PLR2004 -- the unit itself
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
