"""The doctor's answer: the same envelope over HTTP and from the command line."""

from collections.abc import Mapping

from attrs import frozen

from capacity_core.answer import Answer, Asked, failure, success
from capacity_core.decisions import DECISIONS, Decision
from capacity_core.diagnosis import Check, Diagnosis
from capacity_core.messages import Language, render, text
from capacity_core.model import Scenario


@frozen
class CheckEntry:
    """One right or setting; `cure` is null where there is nothing to do."""

    name: str
    state: str
    unlocks: str
    costs: list[str]
    cure: str | None


@frozen
class DiagnosisPayload:
    """`data.diagnosis` of an instance that could be asked; `unseen` are known yet hidden names."""

    instance_id: int
    ready: bool
    complete: bool
    checks: list[CheckEntry]
    unseen: list[str]


def diagnosis_answer(
    diagnosis: Diagnosis, asked: Asked, decisions: Mapping[Scenario, Decision] = DECISIONS
) -> Answer:
    """Tell the checks; an instance that could not be asked fails as its sync would."""
    name = diagnosis.instance.name
    if diagnosis.failure is None:
        payload = diagnosis_payload(diagnosis, asked.language)
        message = text("doctor.ready" if diagnosis.ready else "doctor.lacking", name=name)
        return Answer(200, success(message, {"diagnosis": payload}, asked))
    decision = decisions[diagnosis.scenario]
    hint = diagnosis.failure.hint
    extra: Mapping[str, object] = {
        "instance_id": diagnosis.instance.id,
        "reason": diagnosis.failure.reason,
        "hint": render(hint, asked.language).strip(),
    }
    said = text(_FAILED.get(decision.message, decision.message), name=name)
    return Answer(decision.http_status, failure(decision.message_key, said, asked, extra, hint))


def diagnosis_payload(diagnosis: Diagnosis, language: Language) -> DiagnosisPayload:
    """Build `data.diagnosis`."""
    return DiagnosisPayload(
        instance_id=diagnosis.instance.id,
        ready=diagnosis.ready,
        complete=diagnosis.complete,
        checks=[_entry(check, language) for check in diagnosis.checks],
        unseen=list(diagnosis.unseen),
    )


def _entry(check: Check, language: Language) -> CheckEntry:
    cure = render(check.cure, language).strip()
    unlocks = render(check.unlocks, language)
    return CheckEntry(check.name, check.state, unlocks, list(check.costs), cure or None)


# A sync that could not list the databases failed to collect; the doctor failed to look.
_FAILED: Mapping[str, str] = {"sync.collect_failed": "doctor.failed"}
