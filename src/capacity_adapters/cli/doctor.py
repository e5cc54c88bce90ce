"""`capacity doctor`: what an instance's login lacks, and what an administrator should run."""

from collections.abc import Iterator, Sequence

import click
from attrs import evolve

from capacity_adapters.cli.deadline import deadline_option
from capacity_adapters.cli.output import (
    UNKNOWN,
    Block,
    Report,
    Table,
    asked_now,
    databases,
    progress,
    shown,
)
from capacity_adapters.cli.passwords import given_password, password_options, prompted_password
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.targets import (
    engines_of,
    found_instance,
    instance_for,
    is_url,
    located_by,
    place_of,
)
from capacity_adapters.cli.tls import changed_tls, tls_options
from capacity_core.diagnosis import Check, Diagnosis
from capacity_core.diagnosis_answer import diagnosis_answer
from capacity_core.instances import fields_of, new_instance
from capacity_core.messages import Language, render

EN = Language.EN
NAMES_SHOWN = 5


@click.command("doctor")
@click.argument("target")
@deadline_option
@password_options
@tls_options
@with_session
def doctor(
    session: Session,
    *,
    target: str,
    deadline: float | None,
    password_env: str | None,
    password_file: str | None,
    **tls: str | None,
) -> Report:
    """Tell which rights an instance's login lacks, and the SQL that grants them.

    TARGET is the name or id of a registered instance, or a URL, which need not be registered.
    Nothing is changed or kept, here or there. Exit status 0: nothing is missing.
    """
    with session.application() as application:
        located = located_by(target, engines_of(application)) if is_url(target) else None
        given = given_password(password_env, password_file, located.password if located else None)
        if located is None:
            instance = instance_for(application, target)
        else:
            draft = new_instance(located.fields, application.engines, application.now())
            instance = found_instance(application, target) or draft
        wanted = changed_tls(instance.tls, tls)
        password = given or prompted_password(instance)
        what = f"Examining {shown(instance.name)} ({instance.db_type} at {place_of(instance)}) ..."
        with progress(what, json_wanted=session.json_wanted):
            if instance.id:
                diagnosis = application.doctor(
                    instance.id, deadline=deadline, password=password, tls=wanted
                )
            else:
                fields = evolve(fields_of(instance), tls=wanted)
                diagnosis = application.doctor_of(fields, deadline=deadline, password=password)
    return report_of(diagnosis)


def report_of(diagnosis: Diagnosis) -> Report:
    """Tell what the doctor found."""
    told = diagnosis_answer(diagnosis, asked_now()).envelope
    if diagnosis.failure is not None:
        hint = render(diagnosis.failure.hint, EN).strip()
        blocks = (f"error: {told.message}", f"{diagnosis.failure.reason}: {hint}")
        return Report(told, blocks, exit_code=1)
    found = (_checks(diagnosis.checks), *_remarks(diagnosis), told.message)
    return Report(told, found, exit_code=0 if diagnosis.ready else 1)


def _checks(checks: Sequence[Check]) -> Table:
    rows = [
        (check.name, str(check.state), render(check.unlocks, EN), _some(check.costs) or UNKNOWN)
        for check in checks
    ]
    return Table(("CHECK", "STATE", "GOOD FOR", "COSTS TODAY"), rows)


def _some(names: Sequence[str]) -> str:
    told = ", ".join(map(shown, names[:NAMES_SHOWN]))
    rest = len(names) - NAMES_SHOWN
    return f"{told} and {databases(rest)} more" if rest > 0 else told


def _remarks(diagnosis: Diagnosis) -> Iterator[Block]:
    """Say each cure once, and what is hidden."""
    yield from dict.fromkeys(
        said for check in diagnosis.checks if (said := render(check.cure, EN).strip())
    )
    if diagnosis.unseen:
        yield f"Known, but hidden from this login: {_some(diagnosis.unseen)}"
