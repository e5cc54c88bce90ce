"""The driving door: it commits, keeps leases and passwords in order, and answers reads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, evolve, field
from tests.builders import ENGINES, MOMENT, NOON, a_conversation

from capacity_adapters.memory import MemoryStore
from capacity_core.access import Scope
from capacity_core.application import CapacityApplication
from capacity_core.errors import (
    AuthenticationRequiredError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermissionRequiredError,
    StoreError,
)
from capacity_core.filters import FilterRules
from capacity_core.instances import SEALED, InstanceFields
from capacity_core.messages import text
from capacity_core.model import (
    CapacityReport,
    Failure,
    Instance,
    Inventory,
    Level,
    NetworkAddress,
    Outcome,
    Reason,
    Scenario,
    Secret,
    Tls,
    TlsMode,
)
from capacity_core.ports import CapacityExaminer, Instances, Lease, UnitOfWork
from capacity_core.reads import DateRange, Paging

pytestmark = pytest.mark.unit

SHOP = InstanceFields(name="shop", db_type="pg", host="db.example.org", username="reader")
REFERRED: dict[str, Any] = {"password_ref": "env:CAPACITY_SECRET_X"}
FILES = InstanceFields(name="files", db_type="sqlite", path="/srv/files")


@define
class Target:
    """What stands behind every instance of these tests, and what it was asked with."""

    coordinator: CapacityExaminer = field(factory=a_conversation)
    meanwhile: Callable[[], object] = lambda: None
    deadline: float | None = None
    password: Secret | None = None

    def converse(
        self, _: Instance, /, *, deadline: float, password: Secret | None = None
    ) -> CapacityExaminer:
        self.deadline, self.password = deadline, password
        self.meanwhile()
        return self.coordinator


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def application(store: MemoryStore, target: Target) -> CapacityApplication:
    return CapacityApplication(
        begin=store.begin,
        leases=store.leases,
        coordinator_for=target.converse,
        now=lambda: NOON,
        engines=ENGINES,
        path_allowed=lambda path: path.startswith("/srv/"),
        port_allowed=lambda db_type, port: (db_type, port) != ("postgresql", 22),
    )


def test_a_sync_is_committed(application: CapacityApplication, target: Target) -> None:
    shop = application.add_instance(SHOP)
    assert application.sync(shop.id).scenario is Scenario.COMPLETE
    rows = application.sizes_on(shop.id, None)
    assert [(row.database_name, row.size_bytes) for row in rows] == [("a", 10)]
    assert application.sizes_on(shop.id, MOMENT.day) == rows
    assert (target.deadline, target.password) == (300.0, None)
    day = application.instance_day(shop.id, MOMENT.day)
    assert day is not None
    assert day.total_size_bytes == 10


def test_a_caller_may_set_the_deadline(application: CapacityApplication, target: Target) -> None:
    application.sync(application.add_instance(SHOP).id, deadline=5)
    assert target.deadline == 5


def test_the_second_sync_of_an_instance_is_told_that_one_is_running(
    application: CapacityApplication, target: Target
) -> None:
    shop = application.add_instance(SHOP)
    results = []
    target.meanwhile = lambda: results.append(application.sync(shop.id))
    assert application.sync(shop.id).scenario is Scenario.COMPLETE
    assert [result.scenario for result in results] == [Scenario.IN_PROGRESS]
    assert results[0].since is not None
    assert results[0].instance == shop


def test_a_sync_whose_lease_was_taken_keeps_nothing(
    application: CapacityApplication, target: Target, store: MemoryStore
) -> None:
    shop = application.add_instance(SHOP)
    slow = evolve(application, sync_deadline=-30.0)  # its lease is over before it begins
    target.meanwhile = lambda: store.leases.acquire(shop.id, 60)
    assert slow.sync(shop.id).scenario is Scenario.IN_PROGRESS
    assert application.sizes_on(shop.id, None) == []
    assert application.sync(shop.id).scenario is Scenario.IN_PROGRESS


def test_a_bug_rolls_back_and_frees_the_lease(
    application: CapacityApplication, target: Target
) -> None:
    shop = application.add_instance(SHOP)
    target.coordinator = a_conversation(report=ValueError("bug"))
    with pytest.raises(ValueError, match="bug"):
        application.sync(shop.id)
    assert application.get_instance(shop.id).last_sync is None
    target.coordinator = a_conversation()
    assert application.sync(shop.id).scenario is Scenario.COMPLETE


def test_a_missing_instance_is_not_found(application: CapacityApplication) -> None:
    for ask in (application.sync, application.get_instance, application.remove_instance):
        with pytest.raises(NotFoundError):
            ask(7)
    with pytest.raises(NotFoundError):
        application.databases(7, Paging())
    with pytest.raises(NotFoundError):
        application.history(7, "a", DateRange(), Paging())


def test_a_password_is_kept_only_after_a_connect_that_worked(
    application: CapacityApplication, target: Target, store: MemoryStore
) -> None:
    shop = application.add_instance(SHOP)
    target.coordinator = a_conversation(connects=Failure.of(Reason.AUTH_FAILED))
    application.sync(shop.id, password=Secret("wrong"))
    assert store.secret_of(shop) is None
    assert application.get_instance(shop.id).password_ref is None
    target.coordinator = a_conversation(report=CapacityReport())
    application.sync(shop.id, password=Secret("right"))
    kept = store.secret_of(shop)
    assert kept is not None
    assert kept.reveal() == "right"
    assert application.get_instance(shop.id).password_ref == SEALED
    assert target.password is not None


def test_an_edit_during_a_sync_survives_the_keeping_of_its_password(
    application: CapacityApplication, target: Target
) -> None:
    shop = application.add_instance(SHOP)
    target.meanwhile = lambda: application.edit_instance(shop.id, {"description": "new"})
    application.sync(shop.id, password=Secret("s"))
    kept = application.get_instance(shop.id)
    assert (kept.description, kept.password_ref) == ("new", SEALED)


@pytest.mark.parametrize(
    "changes", [{"host": "other.example.org"}, {"username": "other"}, {"database_name": "x"}]
)
def test_a_sync_of_an_instance_that_moved_meanwhile_keeps_nothing(
    application: CapacityApplication,
    target: Target,
    store: MemoryStore,
    changes: dict[str, object],
) -> None:
    shop = application.add_instance(SHOP)
    target.meanwhile = lambda: application.edit_instance(shop.id, changes)
    with pytest.raises(ConflictError):
        application.sync(shop.id, password=Secret("of the old place"))
    assert store.secret_of(shop) is None
    assert application.sizes_on(shop.id, None) == []
    target.meanwhile = lambda: None
    assert application.sync(shop.id).scenario is Scenario.COMPLETE


def test_databases_are_not_kept_as_tablespaces_if_the_level_changed_meanwhile(
    application: CapacityApplication, target: Target, store: MemoryStore
) -> None:
    shop = application.add_instance(SHOP)

    def change_level() -> None:
        with store.begin() as work:
            work.instances.save(evolve(work.instances.get(shop.id), level=Level.TABLESPACE))
            work.commit()

    target.meanwhile = change_level
    with pytest.raises(ConflictError):
        application.sync(shop.id)
    assert application.sizes_on(shop.id, None) == []


def test_a_sync_of_an_instance_that_was_removed_meanwhile_keeps_nothing(
    application: CapacityApplication, target: Target
) -> None:
    shop = application.add_instance(SHOP)
    target.meanwhile = lambda: application.remove_instance(shop.id)
    with pytest.raises(NotFoundError):
        application.sync(shop.id)
    assert application.sizes_on(shop.id, None) == []


@pytest.mark.parametrize("bad", ["a\0b", "\ud800", "x" * 4097])
def test_a_password_that_no_driver_takes_whole_is_refused(
    application: CapacityApplication, bad: str
) -> None:
    shop = application.add_instance(SHOP)
    with pytest.raises(InvalidInputError) as caught:
        application.sync(shop.id, password=Secret(bad))
    assert caught.value.field == "password"
    with pytest.raises(InvalidInputError):
        application.edit_instance(shop.id, {}, password=Secret(bad))


def test_a_lease_that_cannot_be_given_back_does_not_hide_what_went_wrong(
    application: CapacityApplication, target: Target, store: MemoryStore
) -> None:
    class StuckLeases:
        def acquire(self, instance_id: int, seconds: float) -> Lease:
            return store.leases.acquire(instance_id, seconds)

        def release(self, _lease: Lease, /) -> None:
            raise StoreError(text("store.locked", where="here"))

        def renew(self, _leases: object, _seconds: float, /) -> None: ...

    shop = application.add_instance(SHOP)
    target.coordinator = a_conversation(report=ValueError("bug"))
    stuck = evolve(application, leases=StuckLeases())
    with pytest.raises(ValueError, match="bug"):
        stuck.sync(shop.id)


def test_two_who_register_the_same_instance_at_once_get_the_same(
    application: CapacityApplication, store: MemoryStore
) -> None:
    first = application.add_instance(SHOP)
    finds = iter([[], [first]])

    @define
    class Late:
        """Sees nothing at the first look."""

        inner: Instances

        def at_address(self, _: Instance) -> list[Instance]:
            return next(finds)

        def add(self, instance: Instance) -> Instance:
            return self.inner.add(instance)

    @contextmanager
    def begin(lease: Lease | None = None) -> Iterator[object]:
        with store.begin(lease) as work:
            yield SimpleNamespace(instances=Late(work.instances), commit=work.commit)

    late = evolve(application, begin=begin)  # type: ignore[arg-type]  # as much of it as is used
    assert late.get_or_add_instance(SHOP).id == first.id


def test_a_registered_password_is_sealed(
    application: CapacityApplication, store: MemoryStore
) -> None:
    shop = application.add_instance(SHOP, password=Secret("s"))
    kept = store.secret_of(shop)
    assert kept is not None
    assert (shop.password_ref, kept.reveal()) == (SEALED, "s")


def test_a_password_and_a_reference_are_one_too_many(application: CapacityApplication) -> None:
    fields = evolve(SHOP, password_ref="env:CAPACITY_SECRET_X")
    with pytest.raises(InvalidInputError) as caught:
        application.add_instance(fields, password=Secret("s"))
    assert caught.value.field == "password"


def test_a_sealed_password_never_follows_its_instance_to_another_address(
    application: CapacityApplication, store: MemoryStore
) -> None:
    shop = application.add_instance(SHOP, password=Secret("s"))
    moved = application.edit_instance(shop.id, {"host": "rogue.example.org"})
    assert moved.password_ref is None
    assert store.secret_of(shop) is None


def test_an_edit_that_stays_at_the_address_keeps_the_password(
    application: CapacityApplication, store: MemoryStore
) -> None:
    shop = application.add_instance(SHOP, password=Secret("s"))
    edited = application.edit_instance(
        shop.id, {"description": "d", "filters": FilterRules(("x",))}
    )
    assert edited.password_ref == SEALED
    assert application.get_instance(shop.id).description == "d"
    assert store.secret_of(shop) is not None


def test_a_new_password_may_come_with_a_new_address(
    application: CapacityApplication, store: MemoryStore
) -> None:
    shop = application.add_instance(SHOP, password=Secret("old"))
    changes = {"host": "new.example.org"}
    moved = application.edit_instance(shop.id, changes, password=Secret("new"))
    kept = store.secret_of(moved)
    assert kept is not None
    assert (moved.password_ref, kept.reveal()) == (SEALED, "new")


@pytest.mark.parametrize("changes", [{"host": "rogue.example.org"}, {"port": 1}])
def test_a_reference_never_follows_its_instance_to_another_address_unsaid(
    application: CapacityApplication, changes: dict[str, object]
) -> None:
    shop = application.add_instance(evolve(SHOP, **REFERRED))
    with pytest.raises(InvalidInputError) as caught:
        application.edit_instance(shop.id, changes)
    assert caught.value.field == "password_ref"
    assert application.get_instance(shop.id).address == shop.address
    for given in (REFERRED["password_ref"], None):
        moved = application.edit_instance(shop.id, {**changes, "password_ref": given})
        assert moved.password_ref == given
        application.edit_instance(shop.id, {"host": SHOP.host, "port": SHOP.port, **REFERRED})


def test_an_edit_that_stays_at_the_address_keeps_the_reference(
    application: CapacityApplication,
) -> None:
    shop = application.add_instance(evolve(SHOP, **REFERRED))
    changes = {"username": "other", "tls": Tls(TlsMode.REQUIRE), "host": SHOP.host}
    assert application.edit_instance(shop.id, changes).password_ref == shop.password_ref


def test_a_new_password_takes_the_place_of_a_reference(
    application: CapacityApplication, store: MemoryStore
) -> None:
    shop = application.add_instance(evolve(SHOP, password_ref="env:CAPACITY_SECRET_X"))
    edited = application.edit_instance(shop.id, {}, password=Secret("new"))
    assert edited.password_ref == SEALED
    assert store.secret_of(shop) is not None


def test_nobody_says_from_outside_that_a_password_is_sealed(
    application: CapacityApplication,
) -> None:
    shop = application.add_instance(SHOP)
    sealed = evolve(SHOP, name="sealed", password_ref=SEALED)
    with pytest.raises(InvalidInputError):
        application.add_instance(sealed)
    with pytest.raises(InvalidInputError):
        application.get_or_add_instance(sealed)
    with pytest.raises(InvalidInputError) as caught:
        application.edit_instance(shop.id, {"password_ref": SEALED})
    assert caught.value.field == "password_ref"


def test_names_are_unique_among_the_living(application: CapacityApplication) -> None:
    shop = application.add_instance(SHOP)
    with pytest.raises(ConflictError):
        application.add_instance(evolve(SHOP, host="other"))
    gone = application.remove_instance(shop.id)
    assert gone.deleted_at == NOON
    assert application.add_instance(SHOP).id != shop.id


def test_a_removed_instance_forgets_its_password_and_is_gone(
    application: CapacityApplication, store: MemoryStore
) -> None:
    shop = application.add_instance(SHOP, password=Secret("s"))
    application.remove_instance(shop.id)
    assert store.secret_of(shop) is None
    assert application.find_instance("shop") is None
    assert application.instances(Paging()).total == 0


def test_the_same_address_and_user_is_the_same_instance(application: CapacityApplication) -> None:
    first = application.get_or_add_instance(SHOP)
    again = application.get_or_add_instance(evolve(SHOP, name="other", db_type="postgresql"))
    assert again.id == first.id
    with pytest.raises(ConflictError) as caught:
        application.get_or_add_instance(evolve(SHOP, name="third", username="writer"))
    assert caught.value.message.params["name"] == "shop"
    assert "registered as shop with user reader" in str(caught.value)
    with pytest.raises(ConflictError):
        application.get_or_add_instance(evolve(SHOP, name="fourth", database_name="sales"))


def test_files_from_afar_lie_below_the_root(application: CapacityApplication) -> None:
    assert application.add_instance(FILES, from_afar=True).name == "files"
    outside = evolve(FILES, name="outside", path="/etc")
    with pytest.raises(InvalidInputError) as caught:
        application.add_instance(outside, from_afar=True)
    assert caught.value.field == "path"
    here = application.add_instance(outside)
    with pytest.raises(InvalidInputError):
        application.edit_instance(here.id, {"path": "/root"}, from_afar=True)


def test_a_target_has_no_port_that_its_engine_may_not_have(
    application: CapacityApplication,
) -> None:
    there = evolve(SHOP, port=22)
    shop = application.add_instance(SHOP)
    attempts: list[Callable[[], object]] = [
        lambda: application.add_instance(there),
        lambda: application.get_or_add_instance(there),
        lambda: application.edit_instance(shop.id, {"port": 22}),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidInputError) as caught:
            attempt()
        assert caught.value.field == "port"
    narrowed = evolve(application, port_allowed=lambda _db_type, _port: False)
    assert narrowed.edit_instance(shop.id, {"description": "was here"}).address == shop.address


def test_instances_are_listed_by_name(application: CapacityApplication) -> None:
    for name in ("b", "a", "c"):
        application.add_instance(evolve(SHOP, name=name, host=f"{name}.example.org"))
    page = application.instances(Paging(1, 2))
    assert ([instance.name for instance in page.rows], page.total) == (["a", "b"], 3)
    found = application.find_instance("c")
    assert found is not None
    assert found.address == NetworkAddress("c.example.org", 5432)


def test_databases_and_their_history_can_be_read(application: CapacityApplication) -> None:
    shop = application.add_instance(SHOP)
    application.sync(shop.id)
    (row,) = application.databases(shop.id, Paging()).rows
    assert row.is_active
    assert row.size is not None
    assert row.size.last_outcome is Outcome.MEASURED
    assert application.history(shop.id, "a", DateRange(), Paging()).rows == (row.size,)


def test_tokens_open_what_their_scope_covers(application: CapacityApplication) -> None:
    kept, token = application.create_token("ci", Scope.UPDATE)
    assert application.authorize(token, Scope.VIEW) == kept
    assert application.tokens() == [kept]
    with pytest.raises(PermissionRequiredError):
        application.authorize(token, Scope.ADMIN)
    for bad in (None, "", "cap_guess"):
        with pytest.raises(AuthenticationRequiredError):
            application.authorize(bad, Scope.VIEW)
    with pytest.raises(ConflictError):
        application.create_token("ci", Scope.VIEW)
    with pytest.raises(InvalidInputError):
        application.create_token("a\0b", Scope.VIEW)
    application.revoke_token("ci")
    with pytest.raises(AuthenticationRequiredError):
        application.authorize(token, Scope.VIEW)
    with pytest.raises(NotFoundError):
        application.revoke_token("ci")


def test_a_bare_application_takes_any_path_and_closes_quietly(store: MemoryStore) -> None:
    bare = CapacityApplication(
        begin=store.begin,
        leases=store.leases,
        coordinator_for=Target().converse,
        now=lambda: NOON,
        engines=ENGINES,
    )
    assert bare.add_instance(FILES, from_afar=True).name == "files"
    bare.check_store()
    bare.close()


def test_the_doctor_reads_the_store_and_never_writes(
    application: CapacityApplication, target: Target, store: MemoryStore
) -> None:
    shop = application.add_instance(SHOP)
    application.sync(shop.id)
    before = application.get_instance(shop.id), application.databases(shop.id, Paging(1, 9))
    lease = store.leases.acquire(shop.id, 60)  # a sync may be running all the while
    hidden = Inventory(complete=False)
    target.coordinator = a_conversation(inventory=hidden)
    found = application.doctor(shop.id, deadline=7, password=Secret("x"), tls=Tls(TlsMode.REQUIRE))
    store.leases.release(lease)
    assert found.unseen == ("a",)
    assert found.instance.tls == Tls(TlsMode.REQUIRE)
    assert target.deadline == 7
    assert target.password is not None
    assert before == (
        application.get_instance(shop.id),
        application.databases(shop.id, Paging(1, 9)),
    )


def test_the_doctor_holds_nothing_of_the_store_while_it_asks(
    application: CapacityApplication, target: Target
) -> None:
    shop = application.add_instance(SHOP)
    held: list[int] = []
    asked: list[int] = []

    @contextmanager
    def counted(lease: Lease | None = None, *, unhurried: bool = False) -> Iterator[UnitOfWork]:
        held.append(1)
        with application.begin(lease, unhurried=unhurried) as work:
            yield work
        held.pop()

    target.meanwhile = lambda: asked.append(len(held))
    evolve(application, begin=counted).doctor(shop.id)
    assert (asked, held) == ([0], [])


def test_the_doctor_sees_what_is_not_registered_too(application: CapacityApplication) -> None:
    found = application.doctor_of(SHOP)
    assert (found.instance.id, found.complete) == (0, True)
    assert application.find_instance("shop") is None
    with pytest.raises(InvalidInputError):
        application.doctor_of(evolve(SHOP, password_ref=SEALED))
    with pytest.raises(InvalidInputError):
        application.doctor_of(SHOP, password=Secret("nul\0"))
    with pytest.raises(NotFoundError):
        application.doctor(999)
