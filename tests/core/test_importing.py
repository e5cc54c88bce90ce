"""A file of instances, imported: all of it or nothing, and what is wrong with each line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from attrs import evolve, frozen
from tests.builders import ENGINES, NOON

from capacity_adapters.memory import MemoryStore
from capacity_core.answer import Asked, ErrorEnvelope, SuccessEnvelope, as_json
from capacity_core.application import CapacityApplication
from capacity_core.errors import ConflictError
from capacity_core.importing import ImportResult, import_answer
from capacity_core.instances import SEALED, InstanceFields
from capacity_core.messages import Language, render
from capacity_core.model import Instance, Secret
from capacity_core.ports import Instances, Lease
from capacity_core.reads import Paging

pytestmark = pytest.mark.unit

HEADER = "name,db_type,host,port,path,password_ref\n"
TWO = HEADER + "shop,pg,db1,,,\nfiles,sqlite,,,/srv/files,\n"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def application(store: MemoryStore) -> CapacityApplication:
    def nobody(*_: object, **__: object) -> None:
        raise AssertionError

    return CapacityApplication(
        begin=store.begin,
        leases=store.leases,
        coordinator_for=nobody,  # type: ignore[arg-type]  # nothing is asked
        now=lambda: NOON,
        engines=ENGINES,
        path_allowed=lambda path: path.startswith("/srv/"),
        port_allowed=lambda _, port: port != 666,
    )


def imported(
    application: CapacityApplication,
    content: str,
    *,
    dry_run: bool = False,
    from_afar: bool = False,
) -> ImportResult:
    raw = content.encode()
    return application.importing.instances(raw, dry_run=dry_run, from_afar=from_afar)


def told(result: ImportResult) -> list[tuple[int, str | None, str]]:
    assert (result.added, result.unchanged) == (0, 0)
    return [(each.line, each.field, render(each.message, Language.EN)) for each in result.errors]


def kept(application: CapacityApplication) -> list[str]:
    return [each.name for each in application.instances(Paging()).rows]


def test_a_file_is_registered_as_its_lines_would_be(application: CapacityApplication) -> None:
    assert imported(application, TWO) == ImportResult(added=2)
    fields = InstanceFields(name="other", db_type="pg", host="db1")
    shop, other = application.find_instance("shop"), application.add_instance(fields)
    assert shop == evolve(other, id=1, name="shop")
    assert kept(application) == ["files", "other", "shop"]


def test_a_dry_run_says_the_same_and_keeps_nothing(application: CapacityApplication) -> None:
    assert imported(application, TWO, dry_run=True) == ImportResult(added=2, dry_run=True)
    assert kept(application) == []
    imported(application, TWO.partition("files")[0])
    result = imported(application, TWO, dry_run=True)
    assert result == ImportResult(added=1, unchanged=1, dry_run=True)
    bad = imported(application, TWO.replace("db1", "a b"), dry_run=True)
    assert (bad.dry_run, bad.error_count) == (True, 1)


def test_a_file_that_is_imported_again_changes_nothing(
    application: CapacityApplication, store: MemoryStore
) -> None:
    imported(application, TWO)
    before = store.state.instances.copy()
    assert imported(application, TWO) == ImportResult(unchanged=2)
    assert store.state.instances == before
    more = TWO + "third,postgres,db3,5432,,\n"
    assert imported(application, more) == ImportResult(added=1, unchanged=2)


def test_what_a_line_does_not_tell_may_have_been_edited(application: CapacityApplication) -> None:
    imported(application, TWO)
    application.edit_instance(1, {"description": "edited", "is_active": False})
    application.edit_instance(1, {}, password=Secret("s"))
    assert imported(application, TWO) == ImportResult(unchanged=2)
    assert application.get_instance(1).password_ref == SEALED


def test_a_name_that_is_another_instances_is_refused(application: CapacityApplication) -> None:
    imported(application, TWO)
    other = TWO.replace("db1,", "db2,5433") + "third,pg,db3,,,\n"
    assert told(imported(application, other)) == [
        (2, "host", "Instance shop exists already, and differs in: host, port")
    ]
    assert kept(application) == ["files", "shop"]
    application.remove_instance(1)
    assert imported(application, TWO) == ImportResult(added=1, unchanged=1)


def test_every_faulty_line_is_told_and_nothing_kept(application: CapacityApplication) -> None:
    application.add_instance(InstanceFields(name="taken", db_type="pg", host="h"))
    content = HEADER + (
        "good,pg,h,,,\n"
        "taken,pg,other,,,\n"
        "short,pg\n"
        '"two\nlines",pg,a b,,,\n'
        "good,pg,h,,,\n"
        "x,mongo,h,,,\n"
        "x,pg,h,666,,\n"
        "x,pg,h,0,,\n"
        "x,pg,h,,,sealed\n"
        "x,pg,h,,/srv/a,\n"
        "7,pg,h,,,\n"
    )
    assert told(imported(application, content)) == [
        (3, "host", "Instance taken exists already, and differs in: host"),
        (4, None, "2 cells instead of 6: a separator in a cell needs quotes around it"),
        (5, "host", "'a b' is neither a host name nor an IP address"),
        (7, "name", "The name good is in line 2 already"),
        (8, "db_type", "Unknown db_type 'mongo'; installed engines: postgresql, sqlite"),
        (9, "port", "postgresql may not have port 666: see CAPACITY_TARGET_PORTS"),
        (10, "port", "A port is a number from 1 to 65535"),
        (
            11,
            "password_ref",
            "password_ref is env:CAPACITY_SECRET_... or file: with a plain file name",
        ),
        (12, "path", "path does not apply to postgresql"),
        (13, "name", "A name may not be all digits"),
    ]
    assert kept(application) == ["taken"]


def test_a_path_is_for_those_who_may(application: CapacityApplication) -> None:
    content = TWO + "more,sqlite,,,/etc,\n"
    said = told(imported(application, content, from_afar=True))
    assert said == [(4, "path", "The path '/etc' is not allowed here")]
    assert imported(application, content).added == 3


def test_errors_are_counted_but_not_all_told(application: CapacityApplication) -> None:
    result = imported(application, HEADER + "short\n" * 1234)
    assert result.error_count == 1234
    assert [each.line for each in result.errors] == list(range(2, 102))


@frozen
class Raced:
    """Between the look and the write, `meanwhile` happens."""

    inner: Instances
    meanwhile: Callable[[], object]

    def named(self, names: Iterator[str]) -> list[Instance]:
        return self.inner.named(names)

    def add_many(self, instances: list[Instance]) -> None:
        self.meanwhile()
        self.inner.add_many(instances)


def raced(
    application: CapacityApplication, store: MemoryStore, meanwhile: Callable[[], object]
) -> CapacityApplication:
    @contextmanager
    def begin(lease: Lease | None = None) -> Iterator[object]:
        with store.begin(lease) as work:
            instances = Raced(work.instances, meanwhile)
            yield SimpleNamespace(instances=instances, commit=work.commit)

    return evolve(application, begin=begin)  # type: ignore[arg-type]  # as much of it as is used


def test_two_who_import_the_same_at_once_register_it_once(
    application: CapacityApplication, store: MemoryStore
) -> None:
    late = raced(application, store, lambda: imported(application, TWO))
    assert imported(late, TWO) == ImportResult(unchanged=2)
    assert kept(application) == ["files", "shop"]


def test_names_that_others_keep_taking_are_a_conflict(
    application: CapacityApplication, store: MemoryStore
) -> None:
    third = HEADER + "third,pg,db3,,,\n"
    takers = iter([TWO, third])
    late = raced(application, store, lambda: imported(application, next(takers)))
    with pytest.raises(ConflictError):
        imported(late, TWO + third.removeprefix(HEADER))


@pytest.mark.parametrize(
    ("language", "message"), [(Language.EN, "Faulty lines: 2."), (Language.ZH, "有错误的行: 2")]
)
def test_what_is_wrong_is_one_refusal(
    application: CapacityApplication, language: Language, message: str
) -> None:
    asked = Asked(language, "r", datetime.now(UTC))
    answer = import_answer(imported(application, "name,db_type\nx\nx,pg\n"), asked)
    assert answer.http_status == 400
    assert isinstance(answer.envelope, ErrorEnvelope)
    assert answer.envelope.message_code == "VALIDATION_ERROR"
    assert answer.envelope.message.startswith(message)
    extra = as_json(answer.envelope.extra)
    assert isinstance(extra, dict)
    assert extra["error_count"] == 2
    assert [(each["line"], each["field"]) for each in extra["errors"]] == [(2, None), (3, "host")]


@pytest.mark.parametrize(
    ("dry_run", "message"),
    [
        (False, "Instances added: 2, unchanged: 0"),
        (True, "Dry run: instances to add: 2, unchanged: 0"),
    ],
)
def test_what_was_added_is_counted(
    application: CapacityApplication, dry_run: bool, message: str
) -> None:
    asked = Asked(Language.EN, "r", datetime.now(UTC))
    answer = import_answer(imported(application, TWO, dry_run=dry_run), asked)
    assert answer.http_status == 200
    assert isinstance(answer.envelope, SuccessEnvelope)
    assert answer.envelope.message == message
    assert answer.envelope.data == {"added": 2, "unchanged": 0, "dry_run": dry_run}
