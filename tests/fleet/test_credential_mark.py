"""A login that was refused is not tried again by a fleet, until its credential changes."""

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from attrs import evolve
from tests.builders import an_instance
from tests.servers import Server

from capacity_adapters.credentials import credential_mark
from capacity_adapters.settings import Settings
from capacity_adapters.wiring import build_application, build_workers
from capacity_core.application import CapacityApplication
from capacity_core.errors import SettingsError
from capacity_core.instances import InstanceFields
from capacity_core.messages import Text
from capacity_core.model import CollectFailed, Instance, Reason, Secret
from capacity_core.reads import Paging
from capacity_core.runs import ItemStatus, RunItem, Selection

KEY = bytes(range(32))


def secret(password: str) -> Secret:
    return Secret(password)


def collected(application: CapacityApplication, settings: Settings) -> RunItem:
    run, _ = application.fleet.start(Selection())
    build_workers(settings, application).drive(run.id)
    [item] = application.fleet.items(run.id, Paging()).rows
    return item


@pytest.mark.live
def test_a_wrong_password_is_tried_once(postgres: Server, tmp_path: Path) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE marked LOGIN PASSWORD 'right'")
    settings = Settings(data_directory=tmp_path, secret_key=KEY)
    application = build_application(settings)
    fields = InstanceFields(
        name="shop",
        db_type="postgresql",
        host=postgres.host,
        port=postgres.port,
        username="marked",
        database_name="postgres",
    )
    shop = application.add_instance(fields, password=secret("wrong"))
    first, second = (collected(application, settings) for _ in range(2))
    assert (first.status, first.reason, first.attempts) == (
        ItemStatus.FAILED,
        Reason.AUTH_FAILED,
        1,
    )
    assert (second.status, second.reason) == (ItemStatus.SKIPPED, Reason.AUTH_FAILED)
    assert application.sync(shop.id).failure is not None  # whoever asks for it is heard
    application.edit_instance(shop.id, {}, password=secret("wrong, too"))
    assert collected(application, settings).status is ItemStatus.FAILED
    assert collected(application, settings).status is ItemStatus.SKIPPED
    application.edit_instance(shop.id, {}, password=secret("right"))
    assert collected(application, settings).status is ItemStatus.COMPLETED
    application.close()


def test_a_mark_tells_credentials_apart_and_nothing_of_them() -> None:
    shop = an_instance()
    others = [
        evolve(shop, id=2),
        evolve(shop, updated_at=shop.updated_at + timedelta(seconds=1)),
    ]

    def mark(instance: Instance, said: str = "pw", key: bytes = KEY) -> str | None:
        return credential_mark(lambda _: secret(said), lambda: key, instance)

    marks = [mark(shop), mark(shop, "pw2"), mark(shop, key=bytes(32)), *map(mark, others)]
    assert len(set(marks)) == len(marks)
    assert mark(shop) == mark(shop)
    assert all(each is not None and "pw" not in each and len(each) == 64 for each in marks)


def test_there_is_no_mark_without_a_password_or_a_key() -> None:
    def missing(_instance: object) -> Secret:
        raise CollectFailed(Reason.CREDENTIAL_UNAVAILABLE)

    def keyless() -> bytes:
        raise SettingsError(Text("no key"))

    assert credential_mark(missing, lambda: KEY, an_instance()) is None
    assert credential_mark(lambda _: secret("pw"), keyless, an_instance()) is None
