"""`capacity sync`: measure one instance now, or all of them, and keep what was measured."""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click

from capacity_adapters.cli.deadline import deadline_option
from capacity_adapters.cli.output import (
    Block,
    Report,
    Table,
    asked_now,
    databases,
    human_size,
    progress,
    shown,
)
from capacity_adapters.cli.passwords import given_password, password_options, prompted_password
from capacity_adapters.cli.runs import concurrency_option
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.targets import (
    engines_of,
    instance_for,
    is_url,
    located_by,
    place_of,
    registered,
)
from capacity_adapters.cli.tls import changed_tls, tls_options
from capacity_core.answer import sync_answer
from capacity_core.messages import Language, render, text
from capacity_core.model import DatabaseSize, Freshness, Outcome, Reason
from capacity_core.result import InstanceCapacitySyncActionResult

EN = Language.EN
# What goes with one TARGET only, and with --all only.
ONLY_ONE: Mapping[str, str] = MappingProxyType(
    {
        "password_env": "--password-env",
        "password_file": "--password-file",
        "tls": "--tls",
        "tls_ca": "--tls-ca",
        "tls_cert": "--tls-cert",
        "tls_key": "--tls-key",
    }
)
ONLY_ALL: Mapping[str, str] = MappingProxyType(
    {"engines": "--engine", "tags": "--tag", "concurrency": "--concurrency"}
)
LOGIN_REASONS = frozenset({Reason.AUTH_FAILED, Reason.CREDENTIAL_UNAVAILABLE})


@click.command("sync")
@click.argument("target", required=False)
@click.option("--all", "all_wanted", is_flag=True, help="Every instance that is enabled.")
@click.option("--engine", "engines", multiple=True, metavar="ENGINE", help="With --all: of these.")
@click.option("--tag", "tags", multiple=True, help="With --all: those with one of these.")
@concurrency_option
@deadline_option
@password_options
@tls_options
@with_session
def sync(
    session: Session,
    *,
    target: str | None,
    all_wanted: bool,
    deadline: float | None,
    **given: Any,
) -> Report:
    """Measure every database of one instance, or of all.

    TARGET is the name or id of a registered instance, or a URL such as
    postgresql://user@host:5432/, mysql://user@host/ or sqlite:///folder, which is registered
    first. The password is asked for at a terminal, and kept, sealed, once it connected.

    With --all a run is started, or the one of the same selection that is running is joined: see
    `capacity run`. Exit status 1: some failed, were skipped or cancelled; 130 and 143: Ctrl-C and
    SIGTERM, after which the running syncs finish, and `capacity run retry` goes on.
    """
    _refuse_mixed(target, given, all_wanted=all_wanted)
    if target is None:
        return _all(session, given, deadline)
    return _one(session, target, deadline, **{name: given[name] for name in ONLY_ONE})


def _refuse_mixed(target: str | None, given: Mapping[str, Any], *, all_wanted: bool) -> None:
    """Refuse what makes no sense together. Raises click.UsageError."""
    if all_wanted == (target is not None):
        raise click.UsageError("Give a TARGET or --all.")
    for name, option in (ONLY_ONE if all_wanted else ONLY_ALL).items():
        if given[name] not in {None, ()}:
            goes_with = "a TARGET" if all_wanted else "--all"
            raise click.UsageError(f"{option} goes with {goes_with} only.")


def _all(session: Session, given: Mapping[str, Any], deadline: float | None) -> Report:
    from capacity_adapters.cli.driving import collect_all  # noqa: PLC0415 -- one sync needs none

    return collect_all(
        session,
        db_types=given["engines"],
        tags=given["tags"],
        deadline=deadline,
        concurrency=given["concurrency"],
    )


def _one(
    session: Session,
    target: str,
    deadline: float | None,
    password_env: str | None,
    password_file: str | None,
    **tls: str | None,
) -> Report:
    with session.application() as application:
        located = located_by(target, engines_of(application)) if is_url(target) else None
        given = given_password(password_env, password_file, located.password if located else None)
        if located is None:
            instance = instance_for(application, target)
        else:
            instance = registered(application, located)
        wanted = changed_tls(instance.tls, tls)
        if wanted != instance.tls:
            instance = application.edit_instance(instance.id, {"tls": wanted})
        password = given or prompted_password(instance)
        what = f"Syncing {shown(instance.name)} ({instance.db_type} at {place_of(instance)}) ..."
        with progress(what, json_wanted=session.json_wanted):
            result = application.sync(instance.id, deadline=deadline, password=password)
    return report_of(result)


def report_of(result: InstanceCapacitySyncActionResult) -> Report:
    """Tell how a sync ended."""
    answer = sync_answer(result, asked_now())
    blocks = _success(result) if result.success else _failure(result)
    return Report(answer.envelope, blocks, exit_code=0 if result.success else 1)


def _success(result: InstanceCapacitySyncActionResult) -> tuple[Block, ...]:
    blocks = [*_sizes(result)]
    count, without = len(result.report.sizes), len(result.report.unmeasured)
    if count:
        rest = f", and {without} without a size" if without else ""
        blocks.append(f"Total: {human_size(result.total_size_bytes)} in {databases(count)}{rest}")
    else:
        blocks.append(render(text("sync.inventory_only"), EN))
    blocks += [
        f"Left out: {databases(count)} (rule: {rule})" for rule, count in _rules(result).items()
    ]
    blocks += [f"warning: {render(warning.message, EN)}" for warning in result.warnings]
    return tuple(blocks)


def _rules(result: InstanceCapacitySyncActionResult) -> Mapping[str, int]:
    return Counter(left_out.rule for left_out in (result.change.filtered if result.change else ()))


def _failure(result: InstanceCapacitySyncActionResult) -> tuple[Block, ...]:
    name = shown(result.instance.name)
    said = render(text(result.decision.message, name=name), EN)
    blocks: list[Block] = [f"error: {said}"]
    if result.failure is not None:
        hint = render(result.failure.hint, EN).strip()
        blocks.append(f"{result.failure.reason}: {hint}")
        if result.failure.reason in LOGIN_REASONS:
            blocks.append(f"Another password: capacity sync {name} --password-env VARIABLE")
    if result.since is not None:
        blocks.append(f"It began at {result.since:%Y-%m-%d %H:%M:%S} UTC.")
    blocks += _sizes(result)
    return tuple(blocks)


def _how(size: DatabaseSize) -> str:
    """A database that is not usable may have bytes all the same; not every size is live."""
    said = [size.method]
    said += [size.freshness] if size.freshness is not Freshness.LIVE else []
    said += [size.outcome] if size.outcome is not Outcome.MEASURED else []
    return ", ".join(said)


def _sizes(result: InstanceCapacitySyncActionResult) -> list[Block]:
    """Show every database in one table, and below it each hint once."""
    report = result.report
    rows = [(shown(size.name), human_size(size.size_bytes), _how(size)) for size in report.sizes]
    rows += [(shown(each.name), human_size(None), each.outcome) for each in report.unmeasured]
    hints = dict.fromkeys(
        f"{each.outcome}: {render(each.hint, EN).strip()}" for each in report.unmeasured
    )
    return [Table(("DATABASE", "SIZE", "HOW"), rows), *hints] if rows else []
