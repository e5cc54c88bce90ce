"""The envelopes, to the letter of the contract."""

import json
from datetime import UTC, date, datetime

import pytest
from attrs import evolve
from tests.builders import MOMENT, NOON, an_instance

from capacity_core.answer import (
    Asked,
    ErrorEnvelope,
    SuccessEnvelope,
    as_json,
    error_answer,
    mebibytes,
    sync_answer,
)
from capacity_core.decisions import DECISIONS, Decision
from capacity_core.errors import (
    AuthenticationRequiredError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermissionRequiredError,
    StoreError,
    SyncInProgressError,
)
from capacity_core.filters import FilterRules
from capacity_core.inventory import reconcile
from capacity_core.messages import Language, text
from capacity_core.model import (
    CapacityReport,
    DatabaseSize,
    Failure,
    Freshness,
    Inventory,
    Outcome,
    Reason,
    Scenario,
    SeenDatabase,
    Unmeasured,
    sql_cure,
)
from capacity_core.result import InstanceCapacitySyncActionResult, SyncWarning

pytestmark = pytest.mark.unit

ZH = Asked(Language.ZH, "r-1", NOON)
EN = Asked(Language.EN, "r-1", NOON)
INVENTORY = Inventory(
    (
        SeenDatabase("a"),
        SeenDatabase("b"),
        SeenDatabase("c"),
        SeenDatabase("template1", is_system=True),
    )
)
REPORT = CapacityReport(
    (
        DatabaseSize("a", 1024 * 1024 + 1, "m", 5, None, 4, 2**40, Freshness.ESTIMATE, 12),
        DatabaseSize("b", 1, "m"),
    ),
    (Unmeasured.of("c", Outcome.DENIED, sql_cure("GRANT it")),),
)


def a_result(scenario: Scenario, **more: object) -> InstanceCapacitySyncActionResult:
    return InstanceCapacitySyncActionResult(
        instance=an_instance(),
        scenario=scenario,
        decision=DECISIONS[scenario],
        moment=MOMENT,
        **more,  # type: ignore[arg-type]  # a builder
    )


def test_a_complete_sync_says_everything_the_contract_asks() -> None:
    result = a_result(
        Scenario.COMPLETE,
        change=reconcile({"z": True}, INVENTORY, FilterRules()),
        report=REPORT,
        saved_count=2,
        instance_stat_updated=True,
        warnings=(SyncWarning("w", text("warning.aggregation_failed")),),
    )
    answer = sync_answer(result, ZH)
    assert answer.http_status == 200
    assert as_json(answer.envelope) == {
        "success": True,
        "error": False,
        "message": "实例 shop 的容量同步任务已成功完成",
        "message_code": "OPERATION_SUCCESS",
        "timestamp": "2026-03-10T12:00:00+00:00",
        "data": {
            "result": {
                "status": "completed",
                "databases": [
                    {
                        "database_name": "a",
                        "size_mb": 2,
                        "data_size_mb": 1,
                        "log_size_mb": None,
                        "size_bytes": 1048577,
                        "data_size_bytes": 5,
                        "log_size_bytes": None,
                        "collected_date": "2026-03-10",
                        "collected_at": "2026-03-10T12:00:00+00:00",
                        "is_system": False,
                        "method": "m",
                        "outcome": "measured",
                        "used_size_bytes": 4,
                        "ceiling_bytes": 2**40,
                        "freshness": "estimate",
                        "duration_ms": 12,
                    },
                    {
                        "database_name": "b",
                        "size_mb": 1,
                        "data_size_mb": None,
                        "log_size_mb": None,
                        "size_bytes": 1,
                        "data_size_bytes": None,
                        "log_size_bytes": None,
                        "collected_date": "2026-03-10",
                        "collected_at": "2026-03-10T12:00:00+00:00",
                        "is_system": False,
                        "method": "m",
                        "outcome": "measured",
                        "used_size_bytes": None,
                        "ceiling_bytes": None,
                        "freshness": "live",
                        "duration_ms": None,
                    },
                ],
                "database_count": 2,
                "total_size_bytes": 1048578,
                "total_size_mb": 2,
                "saved_count": 2,
                "instance_stat_updated": True,
                "inventory": {
                    "created": 3,
                    "refreshed": 0,
                    "reactivated": 0,
                    "deactivated": 1,
                    "active_databases": ["a", "b", "c"],
                    "filtered_databases": ["template1"],
                    "synchronized_databases": ["a", "b", "c"],
                    "filtered": [{"database_name": "template1", "rule": "system"}],
                    "complete": True,
                },
                "unmeasured": [
                    {
                        "database_name": "c",
                        "outcome": "denied",
                        "hint": "账号缺少权限。请管理员执行: GRANT it",
                    }
                ],
                "warnings": [{"code": "w", "message": "容量同步后触发聚合失败"}],
                "message": "成功采集并保存 2 个数据库的容量信息",
            }
        },
    }


def test_an_inventory_only_sync_says_so() -> None:
    change = reconcile({}, Inventory(), FilterRules())
    answer = sync_answer(a_result(Scenario.INVENTORY_ONLY, change=change), ZH)
    assert isinstance(answer.envelope, SuccessEnvelope)
    result = as_json(answer.envelope.data)["result"]  # type: ignore[index]  # known shape
    assert result["message"] == "未发现活跃数据库,已仅同步数据库列表"
    assert (result["status"], result["databases"], result["total_size_mb"]) == ("completed", [], 0)


@pytest.mark.parametrize(
    ("scenario", "failure", "code", "message"),
    [
        (
            Scenario.CONNECT_FAILED,
            Failure.of(Reason.AUTH_FAILED),
            "DATABASE_CONNECTION_ERROR",
            "无法连接到实例 shop",
        ),
        (Scenario.INVENTORY_FAILED, Failure.of(Reason.OTHER), "SYNC_DATA_ERROR", "容量采集失败"),
        (Scenario.COLLECT_FAILED, Failure.of(Reason.TIMEOUT), "SYNC_DATA_ERROR", "容量采集失败"),
        (
            Scenario.NOTHING_MEASURED,
            Failure.of(Reason.EMPTY),
            "SYNC_DATA_ERROR",
            "未采集到任何数据库大小数据",
        ),
        (
            Scenario.ENGINE_NOT_SUPPORTED,
            Failure.of(Reason.DRIVER_MISSING),
            "ENGINE_NOT_SUPPORTED",
            "实例 shop 的数据库类型未安装",
        ),
    ],
)
def test_a_failure_of_the_target_says_reason_and_hint(
    scenario: Scenario, failure: Failure, code: str, message: str
) -> None:
    answer = sync_answer(a_result(scenario, failure=failure), ZH)
    envelope = answer.envelope
    assert isinstance(envelope, ErrorEnvelope)
    assert answer.http_status == 409
    assert (envelope.message_code, envelope.message) == (code, message)
    assert (envelope.category, envelope.severity, envelope.recoverable) == (
        "system",
        "medium",
        True,
    )
    extra = envelope.extra or {}
    assert extra["instance_id"] == 0
    assert extra["reason"] == failure.reason
    assert extra["hint"]
    assert envelope.suggestions == [extra["hint"]]


def test_nothing_measured_lists_why() -> None:
    report = CapacityReport((), REPORT.unmeasured)
    failure = Failure(Reason.PERMISSION_DENIED, REPORT.unmeasured[0].hint)
    result = a_result(Scenario.NOTHING_MEASURED, failure=failure, report=report)
    envelope = sync_answer(result, EN).envelope
    assert isinstance(envelope, ErrorEnvelope)
    assert as_json(envelope.extra) == {
        "instance_id": 0,
        "reason": "permission_denied",
        "hint": "The login lacks a right. As an administrator, run: GRANT it",
        "unmeasured": [
            {
                "database_name": "c",
                "outcome": "denied",
                "hint": "The login lacks a right. As an administrator, run: GRANT it",
            }
        ],
    }


def test_a_running_sync_says_since_when() -> None:
    envelope = sync_answer(a_result(Scenario.IN_PROGRESS, since=NOON), EN).envelope
    assert isinstance(envelope, ErrorEnvelope)
    assert envelope.extra == {"instance_id": 0, "since": NOON.isoformat()}
    assert envelope.message_code == "SYNC_IN_PROGRESS"


def test_a_foreign_table_may_bring_a_code_of_its_own() -> None:
    own = Decision(503, "TARGET_DOWN", "sync.connect_failed")
    result = evolve(a_result(Scenario.CONNECT_FAILED), decision=own)
    answer = sync_answer(result, EN)
    assert answer.http_status == 503
    assert isinstance(answer.envelope, ErrorEnvelope)
    assert (answer.envelope.message_code, answer.envelope.category) == ("TARGET_DOWN", "system")


def test_a_foreign_table_may_call_a_failure_a_success() -> None:
    result = InstanceCapacitySyncActionResult(
        instance=an_instance(),
        scenario=Scenario.CONNECT_FAILED,
        decision=Decision(200, "OPERATION_SUCCESS", "done"),
        moment=MOMENT,
    )
    assert result.success
    assert result.message_key == "OPERATION_SUCCESS"
    envelope = sync_answer(result, EN).envelope
    assert isinstance(envelope, SuccessEnvelope)
    assert as_json(envelope.data)["result"]["inventory"]["complete"] is False  # type: ignore[index]  # known shape


@pytest.mark.parametrize(
    ("error", "status", "code", "kind"),
    [
        (
            InvalidInputError("port", text("field.port")),
            400,
            "VALIDATION_ERROR",
            ("validation", "low", True),
        ),
        (
            AuthenticationRequiredError(text("error.unauthenticated")),
            401,
            "AUTHENTICATION_REQUIRED",
            ("authentication", "medium", True),
        ),
        (
            PermissionRequiredError(text("error.forbidden", scope="admin")),
            403,
            "PERMISSION_REQUIRED",
            ("authorization", "medium", True),
        ),
        (
            NotFoundError(text("error.instance_missing")),
            404,
            "RESOURCE_NOT_FOUND",
            ("business", "low", True),
        ),
        (
            ConflictError(text("error.name_taken", name="x")),
            409,
            "CONSTRAINT_VIOLATION",
            ("business", "low", True),
        ),
        (
            SyncInProgressError(text("error.internal"), NOON),
            409,
            "SYNC_IN_PROGRESS",
            ("system", "medium", True),
        ),
        (
            StoreError(text("secret detail")),
            500,
            "INTERNAL_ERROR",
            ("system", "high", False),
        ),
        (ZeroDivisionError("secret detail"), 500, "INTERNAL_ERROR", ("system", "high", False)),
    ],
)
def test_every_error_has_its_row(
    error: Exception, status: int, code: str, kind: tuple[str, str, bool]
) -> None:
    answer = error_answer(error, EN)
    told = as_json(answer.envelope)
    assert isinstance(told, dict)
    assert answer.http_status == status
    assert (told["category"], told["severity"], told["recoverable"]) == kind
    assert told["message_code"] == code
    assert "secret detail" not in json.dumps(told)
    assert told["context"] == {"request_id": "r-1"}
    assert len(told["error_id"]) == 32
    assert told["suggestions"]
    assert told.get("extra") == ({"field": "port"} if status == 400 else None)
    assert ("extra" in told) == (status == 400)


@pytest.mark.parametrize(
    ("size", "expected"), [(0, 0), (1, 1), (1024**2, 1), (1024**2 + 1, 2), (2**63 - 1, 2**43)]
)
def test_nothing_that_exists_shows_as_zero(size: int, expected: int) -> None:
    assert mebibytes(size) == expected


def test_any_value_becomes_plain_json() -> None:
    value = {
        "day": date(2026, 1, 2),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "s": {Scenario.COMPLETE},
    }
    assert as_json(value) == {
        "day": "2026-01-02",
        "at": "2026-01-02T00:00:00+00:00",
        "s": ["complete"],
    }


@pytest.mark.parametrize("scenario", Scenario)
def test_the_decision_table_is_the_contracts(scenario: Scenario) -> None:
    expected = {
        Scenario.INSTANCE_MISSING: (404, "RESOURCE_NOT_FOUND", False),
        Scenario.ENGINE_NOT_SUPPORTED: (409, "ENGINE_NOT_SUPPORTED", False),
        Scenario.CONNECT_FAILED: (409, "DATABASE_CONNECTION_ERROR", False),
        Scenario.INVENTORY_FAILED: (409, "SYNC_DATA_ERROR", False),
        Scenario.INVENTORY_ONLY: (200, "OPERATION_SUCCESS", True),
        Scenario.COLLECT_FAILED: (409, "SYNC_DATA_ERROR", False),
        Scenario.NOTHING_MEASURED: (409, "SYNC_DATA_ERROR", False),
        Scenario.COMPLETE: (200, "OPERATION_SUCCESS", True),
        Scenario.IN_PROGRESS: (409, "SYNC_IN_PROGRESS", False),
        Scenario.INTERNAL_ERROR: (500, "INTERNAL_ERROR", False),
    }
    row = DECISIONS[scenario]
    assert (row.http_status, row.message_key, row.success) == expected[scenario]
