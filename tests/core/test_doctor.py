"""The doctor's use case: what it tells, whatever the target does, and that it writes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from tests.builders import NOON, a_conversation, an_instance

from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_core.answer import Asked, ErrorEnvelope, SuccessEnvelope, as_json
from capacity_core.diagnosis import Check, CheckState, Diagnosis, GrantScript
from capacity_core.diagnosis_answer import diagnosis_answer
from capacity_core.doctor import diagnose
from capacity_core.errors import EngineNotSupportedError
from capacity_core.filters import FilterRules
from capacity_core.messages import Language, text
from capacity_core.model import (
    CollectFailed,
    Failure,
    Instance,
    Inventory,
    Reason,
    Scenario,
    SeenDatabase,
    sql_cure,
)

pytestmark = pytest.mark.unit

SHOP = an_instance()
ABC = Inventory((SeenDatabase("a"), SeenDatabase("b"), SeenDatabase("c", is_system=True)))
ASKED = {language: Asked(language, "r-1", NOON) for language in Language}
FINE = Check("connect", CheckState.OK, text("doctor.connect"))


def lacking(*costs: str) -> Check:
    unlocks = text("doctor.read_sizes")
    return Check("read_sizes", CheckState.MISSING, unlocks, costs, sql_cure("GRANT it"))


def an_examination(**told: Any) -> MemoryCoordinator:
    return a_conversation(**{"inventory": ABC, "checks": (FINE,), **told})


def examined(coordinator: MemoryCoordinator, instance: Instance = SHOP, *known: str) -> Diagnosis:
    found = diagnose(instance, dict.fromkeys(known, True), lambda _instance: coordinator)
    assert coordinator.disconnects == 1
    return found


def test_a_login_that_lacks_nothing_is_ready() -> None:
    found = examined(an_examination())
    assert found == Diagnosis(SHOP, (FINE,), complete=True)
    assert found.ready


@pytest.mark.parametrize(
    "coordinator",
    [
        an_examination(checks=(FINE, lacking("a"))),
        an_examination(checks=(FINE, lacking())),
        an_examination(checks=(evolve(FINE, state=CheckState.UNKNOWN),)),
        an_examination(inventory=evolve(ABC, complete=False)),
    ],
    ids=["costs", "no costs", "unknown", "incomplete"],
)
def test_whatever_is_not_known_to_be_there_is_not_ready(coordinator: MemoryCoordinator) -> None:
    found = examined(coordinator)
    assert found.failure is None
    assert not found.ready


def test_costs_are_of_the_databases_that_count() -> None:
    found = examined(an_examination(checks=(lacking("a", "b", "c"),)))
    assert found.checks == (lacking("a", "b"),)


def test_a_right_that_costs_only_what_is_left_out_is_not_missing() -> None:
    only_b = evolve(SHOP, filters=FilterRules(exclude=("a",)))
    found = examined(an_examination(checks=(lacking("a", "c"),)), only_b)
    assert [(check.state, check.costs) for check in found.checks] == [(CheckState.OK, ())]
    assert found.ready


def test_what_is_known_and_hidden_is_named() -> None:
    hidden = an_examination(inventory=evolve(ABC, complete=False))
    assert examined(hidden, SHOP, "a", "gone", "dark").unseen == ("dark", "gone")
    assert examined(an_examination(), SHOP, "a", "gone").unseen == ()


def failed(**acts: Any) -> Callable[[], MemoryCoordinator]:
    return lambda: an_examination(**acts)


LOCKED = Failure.of(Reason.ACCOUNT_LOCKED)


@pytest.mark.parametrize(
    ("play", "scenario", "reason"),
    [
        (failed(connects=LOCKED), Scenario.CONNECT_FAILED, Reason.ACCOUNT_LOCKED),
        (failed(connects=False), Scenario.CONNECT_FAILED, Reason.OTHER),
        (failed(connects=OSError()), Scenario.CONNECT_FAILED, Reason.OTHER),
        (
            failed(inventory=CollectFailed(Reason.ACCOUNT_LOCKED)),
            Scenario.INVENTORY_FAILED,
            Reason.ACCOUNT_LOCKED,
        ),
        (failed(checks=CollectFailed(Reason.TIMEOUT)), Scenario.INVENTORY_FAILED, Reason.TIMEOUT),
    ],
)
def test_a_target_that_cannot_be_asked_is_a_diagnosis(
    play: Callable[[], MemoryCoordinator], scenario: Scenario, reason: Reason
) -> None:
    found = examined(play())
    assert found.failure is not None
    assert (found.scenario, found.failure.reason) == (scenario, reason)
    assert not found.ready
    told = diagnosis_answer(found, ASKED[Language.EN])
    assert told.http_status == 409
    assert isinstance(told.envelope, ErrorEnvelope)
    assert told.envelope.extra is not None
    assert told.envelope.extra["reason"] == reason
    assert told.envelope.extra["hint"]


def test_a_bug_is_raised_and_the_conversation_ended() -> None:
    coordinator = an_examination(checks=ValueError("bug"))
    with pytest.raises(ValueError, match="bug"):
        diagnose(SHOP, {}, lambda _instance: coordinator)
    assert coordinator.disconnects == 1


def test_an_engine_that_is_not_installed_is_told() -> None:
    def nobody(_instance: Instance) -> MemoryCoordinator:
        raise EngineNotSupportedError(text("sync.engine_not_supported", name="-"))

    told = diagnosis_answer(diagnose(SHOP, {}, nobody), ASKED[Language.ZH]).envelope
    assert told.message_code == "ENGINE_NOT_SUPPORTED"


@pytest.mark.parametrize(
    ("language", "message", "cure"),
    [
        (
            Language.EN,
            "Sizing every database of shop lacks something, or it is unknown",
            "As an administrator, run: GRANT it",
        ),
        (Language.ZH, "实例 shop 有缺少或无法确认的权限", "请管理员执行: GRANT it"),
    ],
)
def test_the_answer_is_said_in_the_readers_language(
    language: Language, message: str, cure: str
) -> None:
    found = Diagnosis(SHOP, (FINE, lacking("a")), complete=True, unseen=("dark",))
    answer = diagnosis_answer(found, ASKED[language])
    assert answer.http_status == 200
    assert isinstance(answer.envelope, SuccessEnvelope)
    assert answer.envelope.message == message
    payload = as_json(answer.envelope.data["diagnosis"])
    assert isinstance(payload, dict)
    first, second = payload.pop("checks")
    assert payload == {"instance_id": 0, "ready": False, "complete": True, "unseen": ["dark"]}
    assert (first["name"], first["state"], first["cure"]) == ("connect", "ok", None)
    assert (second["state"], second["costs"], second["cure"]) == ("missing", ["a"], cure)


def test_a_script_ends_each_statement_once() -> None:
    script = GrantScript("here", ("BEGIN NULL; END;", "GRANT it"), comment="#")
    assert str(script) == "# here\nBEGIN NULL; END;;\nGRANT it;".replace(";;", ";")
