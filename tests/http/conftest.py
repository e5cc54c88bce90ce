"""A fresh service for every test."""

from collections.abc import Iterator

import pytest
from tests.http.service import Play, Service, an_application, running
from tests.stores import (  # noqa: F401 -- pytest finds the fixtures here
    postgres_template,
    sqlite_template,
    store_url,
)

from capacity_adapters.memory import MemoryStore


@pytest.fixture
def play() -> Play:
    return Play()


@pytest.fixture
def service(play: Play) -> Iterator[Service]:
    store = MemoryStore()
    with running(an_application(store, play), store) as running_service:
        yield running_service
