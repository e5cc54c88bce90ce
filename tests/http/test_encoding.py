"""Answers are written as the core's own `as_json` says, whatever they hold."""

import json

import pytest
from attrs import evolve
from tests.builders import MOMENT, NOON, an_instance

from capacity_core.answer import Asked, as_json, failure, success, sync_answer
from capacity_core.decisions import DECISIONS
from capacity_core.filters import FilterRules
from capacity_core.inventory import reconcile
from capacity_core.messages import Language, text
from capacity_core.model import (
    CapacityReport,
    DatabaseSize,
    Inventory,
    LastSync,
    Outcome,
    Reason,
    Scenario,
    SeenDatabase,
    Unmeasured,
)
from capacity_core.reads import DatabaseRow, Page, Paging, SizeRow
from capacity_core.result import InstanceCapacitySyncActionResult, SyncWarning
from capacity_core.views import instance_view
from capacity_http.facade import encode
from capacity_http.views import database_view, day_view, page_data

pytestmark = pytest.mark.unit

ASKED = Asked(Language.ZH, "r", NOON)
RESULT = InstanceCapacitySyncActionResult(
    instance=an_instance(),
    scenario=Scenario.COMPLETE,
    decision=DECISIONS[Scenario.COMPLETE],
    moment=MOMENT,
    change=reconcile(
        {"订单": True},
        Inventory((SeenDatabase("订单"), SeenDatabase("tmp"), SeenDatabase("sys", is_system=True))),
        FilterRules(("tmp",)),
    ),
    report=CapacityReport(
        (DatabaseSize("订单", 2**63 - 1, "m", None, 5),), (Unmeasured.of("a", Outcome.DENIED),)
    ),
    warnings=(SyncWarning("total_overflow", text("warning.total_overflow")),),
)
ROW = SizeRow("a", NOON.date(), 5, None, None, "m", NOON, Outcome.MEASURED, NOON)
SYNCED = evolve(an_instance(), last_sync=LastSync(NOON, Scenario.CONNECT_FAILED, Reason.TLS))
DATABASE = DatabaseRow("a", True, False, NOON.date(), NOON.date(), NOON, ROW, ROW)  # noqa: FBT003 -- a row

ENVELOPES = {
    "sync": sync_answer(RESULT, ASKED).envelope,
    "failed sync": sync_answer(
        evolve(RESULT, decision=DECISIONS[Scenario.NOTHING_MEASURED]), ASKED
    ).envelope,
    "running sync": sync_answer(
        evolve(RESULT, decision=DECISIONS[Scenario.IN_PROGRESS], since=NOON), ASKED
    ).envelope,
    "instance": success(text("done"), {"instance": instance_view(SYNCED)}, ASKED),
    "databases": success(
        text("done"), page_data(Page((DATABASE,), 1, Paging()), database_view), ASKED
    ),
    "days": success(text("done"), page_data(Page((ROW,), 1, Paging()), day_view), ASKED),
    "failure": failure("INTERNAL_ERROR", text("error.internal"), ASKED),
    "not unicode": success(text("done"), {"name": "\udcff"}, ASKED),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_an_envelope_is_written_as_the_core_says(name: str) -> None:
    envelope = ENVELOPES[name]
    assert json.loads(encode(envelope)) == json.loads(json.dumps(as_json(envelope)))
