"""The wiring: the one place where ports meet adapters."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from capacity_adapters.credentials import PasswordSource, make_private, secret_key_of
from capacity_adapters.engines import ENGINES, TargetPolicy, coordinators
from capacity_adapters.settings import Settings
from capacity_adapters.store import open_store
from capacity_adapters.target_rules import ports_by_engine
from capacity_core.application import CapacityApplication
from capacity_core.errors import StoreError
from capacity_core.messages import Text


def build_application(settings: Settings, *, upgrade: bool = False) -> CapacityApplication:
    """Join the store, the engines and the passwords. Raises StoreError, SettingsError.

    With `upgrade` an older store is migrated, else it is refused.
    """
    url = store_url_of(settings)
    store = open_store(url, secret_key=partial(secret_key_of, settings), upgrade=upgrade)
    passwords = PasswordSource(os.environ, settings.secret_folder, store.secret_of)
    policy = TargetPolicy(
        connect_deadline=settings.connect_deadline,
        size_connections=settings.size_connections,
        networks=settings.target_networks,
        ports=ports_by_engine(settings.target_ports, ENGINES),
    )
    return CapacityApplication(
        begin=store.begin,
        leases=store.leases,
        coordinator_for=coordinators(policy, passwords.secret_for),
        now=utc_now,
        engines=ENGINES,
        timezone=settings.timezone,
        sync_deadline=settings.sync_deadline,
        port_allowed=policy.allows_port,
        path_allowed=below(settings.sqlite_root),
        check_store=store.check,
        close=store.close,
    )


def utc_now() -> datetime:
    return datetime.now(UTC)


def store_url_of(settings: Settings) -> str:
    """Give the store's URL; the default's folder is made, for its owner alone.

    Raises SettingsError, StoreError.
    """
    if settings.store_url is not None:
        return settings.store_url
    folder = settings.data_folder()
    try:
        make_private(folder)
    except OSError as error:
        said = f"Cannot make {folder} for the store: {error.strerror}. Set CAPACITY_STORE_URL"
        raise StoreError(Text(said)) from error
    return f"sqlite:///{folder / 'capacity.db'}"


def below(root: Path | None) -> Callable[[str], bool]:
    """Say of a path whether it lies below the root, links followed; nothing lies below none."""

    def allowed(path: str) -> bool:
        if root is None or not Path(path).is_absolute() or "\0" in path:
            return False
        try:
            return Path(path).resolve().is_relative_to(root.resolve())
        except (OSError, RuntimeError, ValueError):  # a loop of links, or no path at all
            return False

    return allowed
