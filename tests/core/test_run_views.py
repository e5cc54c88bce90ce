"""What is shown of runs and their items: whole bytes, honest percentages, reasons with hints."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from capacity_core.messages import Language, render
from capacity_core.model import Reason
from capacity_core.run_views import item_hint, run_failure_views, run_item_view, run_view
from capacity_core.runs import (
    ItemCounts,
    ItemReason,
    ItemStatus,
    Run,
    RunItem,
    RunStatus,
    Selection,
    Trigger,
)

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
RUN = Run(
    id=7,
    trigger=Trigger.MANUAL,
    requested_by="ann",
    selection=Selection(db_types=("mysql",), tags=("prod",)),
    status=RunStatus.RUNNING,
    started_at=NOW,
    active_at=NOW,
    counts=ItemCounts(pending=1, completed=1998, failed=1),
    size_bytes=2**20 + 1,
    database_count=3,
)
ITEM = RunItem(
    id=1, run_id=7, instance_id=2, instance_name="shop", db_type="mysql", status=ItemStatus.PENDING
)


def test_a_run_is_not_done_while_an_item_is_open() -> None:
    view = run_view(RUN)
    assert (view.total, view.progress_percent) == (2000, 99.9)
    assert (view.size_bytes, view.size_mb, view.database_count) == (2**20 + 1, 2, 3)
    assert (view.started_at, view.finished_at) == ("2026-03-04T12:00:00+00:00", None)
    assert view.selection.tags == ("prod",)
    ended = evolve(RUN, counts=ItemCounts(failed=3), finished_at=NOW + timedelta(seconds=1))
    assert run_view(ended).progress_percent == 100.0
    assert run_view(ended).finished_at == "2026-03-04T12:00:01+00:00"
    assert run_view(evolve(RUN, counts=ItemCounts())).progress_percent == 100.0


def test_what_is_not_known_of_an_item_is_null() -> None:
    view = run_item_view(ITEM, Language.EN)
    assert (view.reason, view.hint, view.size_bytes, view.size_mb) == (None,) * 4
    done = evolve(ITEM, status=ItemStatus.COMPLETED, size_bytes=1, started_at=NOW)
    assert run_item_view(done, Language.EN).size_mb == 1
    assert run_item_view(done, Language.EN).started_at == NOW.isoformat()


def test_a_login_that_was_not_tried_again_says_why() -> None:
    failed = evolve(ITEM, status=ItemStatus.FAILED, reason=Reason.AUTH_FAILED)
    skipped = evolve(failed, status=ItemStatus.SKIPPED)
    assert "Wrong user or password" in (run_item_view(failed, Language.EN).hint or "")
    assert "not tried again" in (run_item_view(skipped, Language.EN).hint or "")
    assert "凭据" in (run_item_view(skipped, Language.ZH).hint or "")


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("reason", [*ItemReason, *Reason])
@pytest.mark.parametrize("status", [ItemStatus.FAILED, ItemStatus.SKIPPED])
def test_every_reason_of_an_item_has_a_hint(
    status: ItemStatus, reason: Reason | ItemReason, language: Language
) -> None:
    said = render(item_hint(status, reason), language)
    assert said
    assert not said.startswith("item.")


def test_failures_come_by_how_many_there_are_and_nothing_else_does() -> None:
    reasons = {
        (ItemStatus.COMPLETED, None): 90,
        (ItemStatus.CANCELLED, None): 9,
        (ItemStatus.PENDING, Reason.REFUSED): 5,
        (ItemStatus.FAILED, Reason.TIMEOUT): 2,
        (ItemStatus.FAILED, Reason.REFUSED): 2,
        (ItemStatus.SKIPPED, ItemReason.INSTANCE_MISSING): 3,
        (ItemStatus.FAILED, None): 1,
    }
    told = run_failure_views(reasons, Language.EN)
    assert [(each.status, each.reason, each.count) for each in told] == [
        ("skipped", "instance_missing", 3),
        ("failed", "refused", 2),
        ("failed", "timeout", 2),
        ("failed", None, 1),
    ]
    assert told[-1].hint is None
