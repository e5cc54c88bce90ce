"""Instances, their passwords, and API tokens."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from tests.builders import NOON, an_instance
from tests.stores import AnyStore, add_instance, instance_in

from capacity_core.access import ApiToken, Scope, hash_token
from capacity_core.errors import ConflictError, NotFoundError, StoreError
from capacity_core.filters import FilterRules
from capacity_core.model import (
    CollectFailed,
    FileAddress,
    Instance,
    LastSync,
    Level,
    NetworkAddress,
    Reason,
    Scenario,
    Secret,
    Tls,
    TlsMode,
)
from capacity_core.reads import Paging

if TYPE_CHECKING:
    from capacity_adapters.memory import MemoryStore
    from capacity_adapters.store import Store

FULL = Instance(
    id=0,
    name="订单 'prod' ",
    db_type="mysql",
    address=NetworkAddress("Db.Example", 3307),
    username="o'reader",
    database_name=" main ",
    level=Level.TABLESPACE,
    password_ref="env:CAPACITY_SECRET_X",
    tls=Tls(TlsMode.VERIFY_CA, "/etc/ca.pem", "/etc/cert.pem", "/etc/key.pem"),
    timezone="Asia/Shanghai",
    filters=FilterRules(("tmp_*", "a\\*b"), ("订*",), ignore_case=True),
    description="two\nlines",
    is_active=False,
    created_at=NOON,
    updated_at=NOON + timedelta(microseconds=1),
)


def register(store: AnyStore, instance: Instance) -> Instance:
    with store.begin() as work:
        kept = work.instances.add(instance)
        work.commit()
    return kept


def remove(store: AnyStore, instance_id: int) -> None:
    with store.begin() as work:
        work.instances.save(evolve(work.instances.get(instance_id), deleted_at=NOON))
        work.commit()


@pytest.mark.parametrize(
    "instance", [FULL, an_instance(), evolve(an_instance(), address=FileAddress("/data/a b.db"))]
)
def test_an_instance_comes_back_as_it_was(store: AnyStore, instance: Instance) -> None:
    kept = register(store, instance)
    assert kept.id > 0
    with store.begin() as work:
        assert work.instances.get(kept.id) == kept == evolve(instance, id=kept.id)
        assert work.instances.find(instance.name) == kept
        assert work.repository.get_instance_and_databases(kept.id) == (kept, {})


def test_a_living_name_is_taken_once(store: AnyStore) -> None:
    register(store, an_instance("a"))
    with pytest.raises(ConflictError):
        register(store, an_instance("a"))
    register(store, an_instance("A"))


def test_a_removed_instance_is_gone_and_its_name_free(store: AnyStore) -> None:
    old = register(store, an_instance("a"))
    remove(store, old.id)
    with store.begin() as work:
        assert work.instances.find("a") is None
        assert work.instances.at_address(an_instance()) == []
        assert work.instances.page(Paging()).total == 0
        for ask in (work.instances.get, work.repository.get_instance_and_databases):
            with pytest.raises(NotFoundError):
                ask(old.id)
        with pytest.raises(NotFoundError):
            work.instances.save(old)
    assert register(store, an_instance("a")).id != old.id


def test_saving_overwrites_all_but_the_last_sync(store: AnyStore) -> None:
    kept = register(store, an_instance())
    attempt = LastSync(NOON, Scenario.COMPLETE)
    changed = evolve(FULL, id=kept.id, last_sync=None)
    with store.begin() as work:
        work.repository.save_last_sync(kept.id, attempt)
        work.instances.save(changed)
        work.commit()
    with store.begin() as work:
        assert work.instances.get(kept.id) == evolve(changed, last_sync=attempt)


def test_an_instance_cannot_take_the_name_of_another(store: AnyStore) -> None:
    register(store, an_instance("a"))
    other = register(store, an_instance("b"))
    with pytest.raises(ConflictError), store.begin() as work:
        work.instances.save(evolve(other, name="a"))
    with store.begin() as work:
        work.instances.save(evolve(other, name="b", description="its own name is free"))
        work.commit()


def test_a_missing_instance_cannot_be_saved(store: AnyStore) -> None:
    for missing in (5, 2**63):
        with pytest.raises(NotFoundError), store.begin() as work:
            work.instances.save(evolve(an_instance(), id=missing))


@pytest.mark.parametrize("name", ["nobody", "", "nul\0", "half \udcff"])
def test_an_unknown_name_finds_nothing(store: AnyStore, name: str) -> None:
    with store.begin() as work:
        assert work.instances.find(name) is None


def test_an_address_is_found_whatever_the_case_of_its_host(store: AnyStore) -> None:
    here = [
        register(store, evolve(an_instance(name), address=NetworkAddress(host, 5432)))
        for name, host in (("one", "DB.Example"), ("two", "db.example"))
    ]
    register(store, evolve(an_instance("port"), address=NetworkAddress("db.example", 5433)))
    register(store, evolve(an_instance("host"), address=NetworkAddress("db2.example", 5432)))
    register(store, evolve(an_instance("mysql"), db_type="mysql", address=here[0].address))
    files = register(store, evolve(an_instance("file"), address=FileAddress("/A/b")))
    register(store, evolve(an_instance("case"), address=FileAddress("/a/b")))
    with store.begin() as work:
        assert work.instances.at_address(evolve(here[1], id=0)) == here
        assert work.instances.at_address(evolve(files, id=0)) == [files]


def test_pages_are_ordered_by_code_point(store: AnyStore) -> None:
    names = ["b", "a", "B", "é", "Z", "中", " a", "10", "9"]
    for name in names:
        add_instance(store, name)
    with store.begin() as work:
        pages = [work.instances.page(Paging(number, 4)) for number in (1, 2, 3, 4)]
    assert [row.name for page in pages for row in page.rows] == sorted(names)
    assert [len(page.rows) for page in pages] == [4, 4, 1, 0]
    assert {page.total for page in pages} == {9}


def test_a_sealed_password_opens_again(store: "MemoryStore | Store", instance_id: int) -> None:
    instance = instance_in(store, instance_id)
    assert store.secret_of(instance) is None
    for password in ("first", "zweites 密码\n ", ""):
        with store.begin() as work:
            work.credentials.seal(instance, Secret(password))
            work.commit()
        secret = store.secret_of(instance)
        assert secret is not None
        assert secret.reveal() == password
    with store.begin() as work:
        work.credentials.forget(instance_id)
        work.commit()
    assert store.secret_of(instance) is None


def test_a_sealed_password_opens_at_its_own_address_only(
    store: "MemoryStore | Store", instance_id: int
) -> None:
    instance = instance_in(store, instance_id)
    with store.begin() as work:
        work.credentials.seal(instance, Secret("s"))
        work.commit()
    for elsewhere in (
        evolve(instance, address=NetworkAddress("rogue.example.org", 5432)),
        evolve(instance, address=NetworkAddress("127.0.0.1", 1)),
        evolve(instance, address=FileAddress("/rogue")),
        evolve(instance, db_type="mysql"),
    ):
        with pytest.raises(CollectFailed) as refused:
            store.secret_of(elsewhere)
        assert refused.value.failure.reason is Reason.CREDENTIAL_UNAVAILABLE
    assert store.secret_of(evolve(instance, description="new")) is not None


def test_a_token_is_found_by_its_hash_until_it_is_revoked(store: AnyStore) -> None:
    with store.begin() as work:
        kept = work.tokens.add("ci", Scope.UPDATE, hash_token("t"), NOON)
        work.commit()
    assert kept == ApiToken(kept.id, "ci", Scope.UPDATE, NOON)
    with store.begin() as work:
        assert work.tokens.find(hash_token("t")) == kept
        assert work.tokens.find(hash_token("other")) is None
        work.tokens.revoke("ci", NOON + timedelta(days=1))
        work.commit()
    with store.begin() as work:
        assert work.tokens.find(hash_token("t")) is None
        assert work.tokens.all() == [evolve(kept, revoked_at=NOON + timedelta(days=1))]


def test_a_living_token_has_its_name_alone(store: AnyStore) -> None:
    with store.begin() as work:
        first = work.tokens.add("ci", Scope.VIEW, "1", NOON)
        with pytest.raises(ConflictError):
            work.tokens.add("ci", Scope.ADMIN, "2", NOON)
        work.tokens.revoke("ci", NOON)
        second = work.tokens.add("ci", Scope.ADMIN, "3", NOON)
        work.commit()
    with store.begin() as work:
        assert work.tokens.all() == [evolve(first, revoked_at=NOON), second]


@pytest.mark.parametrize("name", ["nobody", "nul\0"])
def test_an_unknown_token_cannot_be_revoked(store: AnyStore, name: str) -> None:
    with pytest.raises(NotFoundError), store.begin() as work:
        work.tokens.revoke(name, NOON)


def test_a_token_name_that_no_store_can_hold_is_refused(store: AnyStore) -> None:
    with pytest.raises(StoreError), store.begin() as work:
        work.tokens.add("nul\0", Scope.VIEW, "1", NOON)


def test_a_store_that_works_says_nothing(store: "MemoryStore | Store") -> None:
    store.check()


def test_what_is_held_is_changed_by_one_at_a_time(store: AnyStore) -> None:
    kept = register(store, evolve(FULL, description=""))

    def append(letter: str) -> None:
        with store.begin() as work:
            old = work.instances.hold(kept.id)
            work.instances.save(evolve(old, description=old.description + letter))
            work.commit()

    letters = "abcdefgh" * 3
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, letters))
    with store.begin() as work:
        assert sorted(work.instances.get(kept.id).description) == sorted(letters)


def test_nothing_that_is_missing_is_held(store: AnyStore) -> None:
    with store.begin() as work, pytest.raises(NotFoundError):
        work.instances.hold(7)


def test_many_are_added_as_one_would_be(store: AnyStore) -> None:
    old = register(store, an_instance("old"))
    files = evolve(an_instance("file"), address=FileAddress("/data/a b.db"), tags=("中", "b"))
    with store.begin() as work:
        work.instances.add_many([FULL, files, evolve(an_instance("x"), zone="dmz")])
        work.instances.add_many([])
        work.commit()
    with store.begin() as work:
        kept = [work.instances.find(each.name) for each in (FULL, files, an_instance("x"))]
        assert work.instances.page(Paging()).total == 4
    found = [each for each in kept if each is not None]
    assert [evolve(each, id=0) for each in found] == [
        FULL,
        files,
        evolve(an_instance("x"), zone="dmz"),
    ]
    assert len({old.id, *(each.id for each in found)}) == 4
    assert register(store, an_instance("next")).id not in {each.id for each in found}


def test_many_are_added_or_none(store: AnyStore) -> None:
    register(store, an_instance("a"))
    for names in (["b", "a"], ["b", "c", "b"]):
        with pytest.raises(ConflictError), store.begin() as work:
            work.instances.add_many([an_instance(name) for name in names])
    with store.begin() as work:
        with pytest.raises(ConflictError):
            work.instances.add_many([an_instance("b"), an_instance("a")])
        work.instances.add_many([an_instance("d")])
        work.commit()
    with store.begin() as work:
        assert [row.name for row in work.instances.page(Paging()).rows] == ["a", "d"]


def test_those_of_some_names_are_found_at_once(store: AnyStore) -> None:
    kept = [register(store, an_instance(name)) for name in ("a", "b", "=中 \n", "gone")]
    remove(store, kept.pop().id)
    asked = ["a", "=中 \n", "A", "gone", "nobody", "", "nul\0", "half \udcff"]
    with store.begin() as work:
        found = work.instances.named(iter(asked))
        assert sorted(found, key=lambda each: each.id) == [kept[0], kept[2]]
        assert work.instances.named([]) == []
    assert instance_in(store, kept[1].id) == kept[1]
