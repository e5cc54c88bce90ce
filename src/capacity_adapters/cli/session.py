"""What every command shares: its two options, the settings, and the application."""

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from types import MappingProxyType
from typing import Final

import click
from attrs import frozen

from capacity_adapters.cli.output import Report
from capacity_adapters.settings import STORE_URL, Settings, read_settings
from capacity_core.application import CapacityApplication

NOTHING: Final[Mapping[str, None]] = MappingProxyType({})


@frozen
class Session:
    """How this call was made: with which store, and for whom it prints."""

    store: str | None
    json_wanted: bool

    def settings(self, chosen: Mapping[str, str | None] = NOTHING) -> Settings:
        """Read them; what was chosen by an option wins, by its variable. Raises SettingsError."""
        options = {STORE_URL: self.store, **chosen}
        told = {name: value for name, value in options.items() if value is not None}
        return read_settings({**os.environ, **told})

    def store_url(self) -> str:
        """Raises SettingsError, StoreError."""
        from capacity_adapters.wiring import store_url_of  # noqa: PLC0415 -- --help needs none

        return store_url_of(self.settings())

    @contextmanager
    def application(
        self, settings: Settings | None = None, *, upgrade: bool = False
    ) -> Iterator[CapacityApplication]:
        """Lend the application. Raises SettingsError, StoreError."""
        from capacity_adapters.wiring import build_application  # noqa: PLC0415 -- --help needs none

        application = build_application(settings or self.settings(), upgrade=upgrade)
        _look_for_garbage()
        try:
            yield application
        finally:
            application.close()


def _look_for_garbage() -> None:
    if not gc.isenabled():  # the command is a process of its own
        gc.freeze()
        gc.enable()


def with_session(command: Callable[..., Report]) -> Callable[..., Report]:
    """Give a command `--store` and `--json`, and hand it their Session."""

    @click.option("--store", metavar="URL", help="Where sizes are kept (CAPACITY_STORE_URL).")
    @click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document.")
    @wraps(command)
    def wrapped(store: str | None, json_wanted: bool, **given: object) -> Report:  # noqa: FBT001 -- click passes it by name
        return command(Session(store, json_wanted), **given)

    return wrapped
