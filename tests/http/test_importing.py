"""A file of instances over HTTP: all of it, or every faulty line of it."""

import pytest
from httpx import Response
from tests.http.service import Service

from capacity_core.access import Scope
from capacity_http.plugin import MAX_BODY_BYTES
from capacity_http.routes.importing import MAX_FILE_BYTES

pytestmark = pytest.mark.unit

PATH = "/instances/import"
HEADER = "name,db_type,host,path,password_ref,tags\n"
TWO = HEADER + '"=shop",pg,db1,,,"prod;eu"\n库,sqlite,,/data/files,,\n'


def sent(service: Service, content: str, query: str = "", **request: object) -> Response:
    return service.call("POST", PATH + query, content=content.encode(), **request)  # type: ignore[arg-type]  # as httpx takes them


def test_a_file_is_imported_once(service: Service) -> None:
    english = {"Accept-Language": "en", "Content-Type": "text/csv"}
    answer = sent(service, TWO, "?dry_run=true", headers=english)
    assert (answer.status_code, service.names()) == (200, [])
    assert answer.json()["message"] == "Dry run: instances to add: 2, unchanged: 0"
    assert answer.json()["data"] == {"added": 2, "unchanged": 0, "dry_run": True}
    answer = sent(service, TWO)
    assert answer.status_code == 200
    assert answer.json()["message"] == "已添加 2 个实例, 0 个未变"
    assert answer.json()["data"] == {"added": 2, "unchanged": 0, "dry_run": False}
    assert service.names() == ["=shop", "库"]
    data = sent(service, TWO, "?dry_run=false").json()["data"]
    assert data == {"added": 0, "unchanged": 2, "dry_run": False}


def test_every_faulty_line_is_told_in_the_callers_language(service: Service) -> None:
    content = (
        TWO
        + "short,pg\n"
        + '"two\nlines",pg,a b,,,\n'
        + "=shop,pg,db1,,,\n"
        + "files,sqlite,,/etc,,\n"
        + "files,sqlite,,files,,\n"
        + "sealed,pg,h,,sealed,\n"
        + "reference,pg,h,,env:HOME,\n"
        + "labels,pg,h,,,a b\n"
    )
    answer = sent(service, content, headers={"Accept-Language": "en"})
    assert answer.status_code == 400
    refused = answer.json()
    assert refused["message_code"] == "VALIDATION_ERROR"
    assert refused["message"] == "Faulty lines: 8. Nothing was imported"
    assert refused["extra"]["error_count"] == 8
    assert [(each["line"], each["field"]) for each in refused["extra"]["errors"]] == [
        (4, None),
        (5, "host"),
        (7, "name"),
        (8, "path"),
        (9, "path"),
        (10, "password_ref"),
        (11, "password_ref"),
        (12, "tags"),
    ]
    assert refused["extra"]["errors"][2]["message"] == "The name =shop is in line 2 already"
    chinese = sent(service, content).json()
    assert chinese["message"] == "有错误的行: 8, 未导入任何实例"
    assert chinese["extra"]["errors"][2]["message"] == "名称 =shop 已在第 2 行"
    assert service.names() == []


def test_an_import_is_for_administrators(service: Service) -> None:
    assert sent(service, TWO, scope=Scope.UPDATE).status_code == 403
    assert sent(service, TWO, scope=None).status_code == 401
    assert service.names() == []


@pytest.mark.parametrize(
    ("query", "field"), [("?dryrun=true", "dryrun"), ("?dry_run=maybe", "dry_run")]
)
def test_a_slip_in_the_query_is_no_import(service: Service, query: str, field: str) -> None:
    answer = sent(service, TWO, query)
    assert (answer.status_code, answer.json()["extra"]) == (400, {"field": field})
    assert service.names() == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"csv": "name"}', b"\xff\xfe\0", TWO.encode()[:46]])
def test_a_body_that_is_no_such_file_is_refused(service: Service, body: bytes) -> None:
    answer = service.call("POST", PATH, content=body)
    assert answer.status_code == 400
    assert answer.json()["extra"]["errors"]


def test_a_file_may_be_larger_than_other_bodies_but_not_endless(service: Service) -> None:
    long = "x" * 1900
    lines = (f"db{number},pg,h,{long}\n" for number in range(600))
    content = "name,db_type,host,description\n" + "".join(lines)
    assert len(content) > MAX_BODY_BYTES
    assert sent(service, content).json()["data"]["added"] == 600
    answer = sent(service, " " * (MAX_FILE_BYTES + 1))
    assert (answer.status_code, answer.json()["extra"]) == (413, {"field": "body"})
