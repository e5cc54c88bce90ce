"""Registering, changing and retiring instances over HTTP."""

from typing import Any

import pytest
from tests.http.service import Service

pytestmark = pytest.mark.unit

NO_FILES = {"ca": None, "cert": None, "key": None}
FULL: dict[str, Any] = {
    "name": "shop",
    "db_type": "pg",
    "host": "db.example",
    "port": 6432,
    "username": "reader",
    "password": "s3cret",
    "database_name": "orders",
    "level": "database",
    "description": "the shop",
    "is_active": False,
    "timezone": "Europe/Berlin",
    "filters": {"exclude": ["tmp_*"], "include": ["*"], "ignore_case": True},
    "tags": ["eu", "prod"],
    "zone": "dmz",
    "tls": {
        "mode": "verify-ca",
        "ca": "/etc/ca.pem",
        "cert": "/etc/us.pem",
        "key": "/etc/us.key",
    },
}


def added(service: Service, **fields: Any) -> dict[str, Any]:
    answer = service.call("POST", "/instances", json=fields)
    assert answer.status_code == 201, answer.text
    instance: dict[str, Any] = answer.json()["data"]["instance"]
    return instance


def changed(service: Service, instance_id: int, **fields: Any) -> dict[str, Any]:
    answer = service.call("PATCH", f"/instances/{instance_id}", json=fields)
    assert answer.status_code == 200, answer.text
    instance: dict[str, Any] = answer.json()["data"]["instance"]
    return instance


def test_every_field_of_a_new_instance_is_kept_and_shown_but_its_password(
    service: Service,
) -> None:
    shown = added(service, **FULL)
    hidden = {"id", "path", "has_password", "password_ref", "created_at", "updated_at", "last_sync"}
    expected = {name: value for name, value in FULL.items() if name != "password"}
    expected |= {"db_type": "postgresql", "tls": {**FULL["tls"], "state": "verified"}}
    assert {name: value for name, value in shown.items() if name not in hidden} == expected
    assert (shown["has_password"], shown["password_ref"]) == (True, None)
    got = service.call("GET", f"/instances/{shown['id']}").json()["data"]["instance"]
    assert got == shown
    secret = service.store.secret_of(service.application.get_instance(shown["id"]))
    assert secret is not None
    assert secret.reveal() == "s3cret"


def test_a_new_instance_needs_but_a_name_an_engine_and_a_host(service: Service) -> None:
    shown = added(service, name="n", db_type="POSTGRES", host="::1")
    assert (shown["port"], shown["username"], shown["is_active"]) == (5432, "", True)
    assert (shown["has_password"], shown["timezone"]) == (False, None)
    assert shown["tls"] == {**NO_FILES, "mode": "prefer", "state": "unverified or none"}


def test_a_change_leaves_alone_what_it_does_not_name(service: Service) -> None:
    before = added(service, **FULL)
    after = changed(service, before["id"], description="new")
    assert {**after, "updated_at": 0} == {**before, "description": "new", "updated_at": 0}
    assert changed(service, before["id"]) | {"updated_at": 0} == after | {"updated_at": 0}


def test_null_clears_what_may_be_empty(service: Service) -> None:
    instance_id = added(service, **FULL)["id"]
    after = changed(service, instance_id, port=None, database_name=None, timezone=None)
    assert (after["port"], after["database_name"], after["timezone"]) == (5432, None, None)


def test_null_as_password_forgets_it(service: Service) -> None:
    instance_id = added(service, **FULL)["id"]
    assert changed(service, instance_id, password=None)["has_password"] is False
    assert service.store.secret_of(service.application.get_instance(instance_id)) is None


def test_a_password_and_a_reference_take_each_others_place(service: Service) -> None:
    instance_id = added(service, **FULL)["id"]
    reference = "env:CAPACITY_SECRET_SHOP"
    after = changed(service, instance_id, password_ref=reference)
    assert (after["has_password"], after["password_ref"]) == (False, reference)
    assert service.store.secret_of(service.application.get_instance(instance_id)) is None
    after = changed(service, instance_id, password="new")
    assert (after["has_password"], after["password_ref"]) == (True, None)
    after = changed(service, instance_id, password=None, password_ref=reference)
    assert (after["has_password"], after["password_ref"]) == (False, reference)


def test_a_kept_password_does_not_follow_to_another_host(service: Service) -> None:
    instance_id = added(service, **FULL)["id"]
    assert changed(service, instance_id, description="x")["has_password"] is True
    assert changed(service, instance_id, host="elsewhere.example")["has_password"] is False
    assert service.store.secret_of(service.application.get_instance(instance_id)) is None


def test_a_reference_follows_to_another_host_only_if_it_is_given_again(service: Service) -> None:
    reference = "env:CAPACITY_SECRET_SHOP"
    made = added(service, **{**FULL, "password": None, "password_ref": reference})
    path, moved = f"/instances/{made['id']}", {"host": "elsewhere.example"}
    refused = service.call("PATCH", path, json=moved)
    assert refused.status_code == 400
    assert refused.json()["extra"] == {"field": "password_ref"}
    after = changed(service, made["id"], **moved, password_ref=reference)
    assert (after["host"], after["password_ref"]) == ("elsewhere.example", reference)


def test_filters_and_tls_are_replaced_whole(service: Service) -> None:
    instance_id = added(service, **FULL)["id"]
    after = changed(service, instance_id, filters={"include": ["a"]}, tls={"mode": "insecure"})
    assert after["filters"] == {"exclude": [], "include": ["a"], "ignore_case": False}
    assert after["tls"] == {**NO_FILES, "mode": "insecure", "state": "none"}


def test_an_instance_of_files_moves_to_another_engine_with_its_address(service: Service) -> None:
    shown = added(service, name="files", db_type="sqlite", path="/data/x")
    assert (shown["path"], shown["host"], shown["port"]) == ("/data/x", None, None)
    after = changed(service, shown["id"], db_type="pg", path=None, host="h")
    assert (after["path"], after["host"], after["port"]) == (None, "h", 5432)


def test_a_removed_instance_is_gone_and_its_name_free(service: Service) -> None:
    path = f"/instances/{added(service, **FULL)['id']}"
    answer = service.call("DELETE", path)
    assert (answer.status_code, answer.json()["message"]) == (200, "实例 shop 已删除")
    assert answer.json()["data"]["instance"]["has_password"] is False
    for method in ("GET", "PATCH", "DELETE"):
        assert service.call(method, path, json={}).status_code == 404
    assert service.names() == []
    assert added(service, **FULL)["name"] == "shop"


def test_a_list_is_paged_by_name(service: Service) -> None:
    empty = service.call("GET", "/instances").json()["data"]
    assert empty == {
        "items": [],
        "total": 0,
        "page": 1,
        "pages": 0,
        "limit": 20,
        "has_prev": False,
        "has_next": False,
    }
    for number in range(5):
        service.add(f"i{number}")
    pages = [
        service.call("GET", f"/instances?page={page}&limit=2").json()["data"]
        for page in (1, 2, 3, 4)
    ]
    names = [[row["name"] for row in page["items"]] for page in pages]
    assert names == [["i0", "i1"], ["i2", "i3"], ["i4"], []]
    assert [(page["has_prev"], page["has_next"]) for page in pages] == [
        (False, True),
        (True, True),
        (True, False),
        (True, False),
    ]
    assert {(page["total"], page["pages"], page["limit"]) for page in pages} == {(5, 3, 2)}
