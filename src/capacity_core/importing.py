"""Many instances from one file: all of them, or none and what is wrong with each line."""

from collections.abc import Mapping
from typing import Final, Protocol

from attrs import frozen

from capacity_core.answer import Answer, Asked, failure, success
from capacity_core.errors import ConflictError, InvalidInputError
from capacity_core.instance_csv import (
    Line,
    LineError,
    column_of,
    differing,
    fields_in,
    read_csv,
)
from capacity_core.instances import fields_of, new_instance
from capacity_core.messages import render, text
from capacity_core.model import EngineFacts, Instance
from capacity_core.ports import Begin, Clock

MAX_ERRORS: Final = 100


class CheckPlace(Protocol):
    """Raises InvalidInputError if an instance may not be where it is."""

    def __call__(self, instance: Instance, *, from_afar: bool) -> None: ...


@frozen(kw_only=True)
class ImportResult:
    """How many lines were added (or would be) and were there already; with errors, none was.

    `errors` are the first 100 of `error_count`, in the order of their lines.
    """

    added: int = 0
    unchanged: int = 0
    dry_run: bool = False
    error_count: int = 0
    errors: tuple[LineError, ...] = ()


@frozen
class ErrorEntry:
    line: int
    field: str | None
    message: str


@frozen
class _Draft:
    line: Line
    instance: Instance


@frozen
class CapacityImport:
    """Registers the instances of a file in one transaction."""

    begin: Begin
    now: Clock
    engines: Mapping[str, EngineFacts]
    check_place: CheckPlace

    def instances(
        self, raw: bytes, *, dry_run: bool = False, from_afar: bool = False
    ) -> ImportResult:
        """Register what the CSV says; what is wrong with it is a result, and nothing is kept.

        A line whose instance is registered already, as far as the line tells, is unchanged. A
        `dry_run` keeps nothing; `from_afar` applies the rule for paths. Raises ConflictError if
        other processes keep taking the names meanwhile.
        """
        drafts, errors = self._read(raw, from_afar=from_afar)
        try:
            return self._keep(drafts, errors, dry_run=dry_run)
        except ConflictError:  # another process registered one of these names just now
            return self._keep(drafts, errors, dry_run=dry_run)

    def _read(self, raw: bytes, *, from_afar: bool) -> tuple[list[_Draft], list[LineError]]:
        drafts: dict[str, _Draft] = {}
        errors = []
        for line in read_csv(raw):
            if isinstance(line, LineError):
                errors.append(line)
                continue
            try:
                instance = new_instance(fields_in(line.cells), self.engines, self.now())
                self.check_place(instance, from_afar=from_afar)
            except InvalidInputError as error:
                errors.append(LineError(line.number, column_of(error.field), error.message))
                continue
            first = drafts.setdefault(instance.name, _Draft(line, instance))
            if first.line is not line:
                said = text("import.name_twice", name=instance.name, line=first.line.number)
                errors.append(LineError(line.number, "name", said))
        return list(drafts.values()), errors

    def _keep(
        self, drafts: list[_Draft], errors: list[LineError], *, dry_run: bool
    ) -> ImportResult:
        with self.begin() as work:
            kept = {one.name: one for one in work.instances.named(d.instance.name for d in drafts)}
            clashes = [*errors, *filter(None, (_clash(each, kept) for each in drafts))]
            if clashes:
                clashes.sort(key=lambda error: error.line)
                return ImportResult(
                    dry_run=dry_run,
                    error_count=len(clashes),
                    errors=tuple(clashes[:MAX_ERRORS]),
                )
            new = [each.instance for each in drafts if each.instance.name not in kept]
            if new and not dry_run:
                work.instances.add_many(new)
                work.commit()
        return ImportResult(added=len(new), unchanged=len(drafts) - len(new), dry_run=dry_run)


def _clash(draft: _Draft, kept: Mapping[str, Instance]) -> LineError | None:
    name = draft.instance.name
    if name not in kept:
        return None
    columns = [column for column in draft.line.cells if column != "name"]
    other = differing(columns, fields_of(kept[name]), fields_of(draft.instance))
    if not other:
        return None
    said = text("import.name_taken", name=name, fields=", ".join(other))
    return LineError(draft.line.number, other[0], said)


def import_answer(result: ImportResult, asked: Asked) -> Answer:
    """Tell how an import ended: with an error in any line, as one refusal of them all."""
    if result.errors:
        extra = {
            "error_count": result.error_count,
            "errors": [
                ErrorEntry(error.line, error.field, render(error.message, asked.language))
                for error in result.errors
            ],
        }
        said = text("import.refused", count=result.error_count)
        return Answer(400, failure("VALIDATION_ERROR", said, asked, extra))
    key = "import.checked" if result.dry_run else "import.done"
    said = text(key, added=result.added, unchanged=result.unchanged)
    data = {
        "added": result.added,
        "unchanged": result.unchanged,
        "dry_run": result.dry_run,
    }
    return Answer(200, success(said, data, asked))
