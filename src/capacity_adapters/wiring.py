"""The wiring: the one place where ports meet adapters."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from capacity_adapters.credentials import (
    PasswordSource,
    credential_mark,
    make_private,
    secret_key_of,
)
from capacity_adapters.engines import ENGINES, TargetPolicy, coordinators
from capacity_adapters.settings import Queue, Settings
from capacity_adapters.store import driver_arguments, open_store
from capacity_adapters.target_rules import limits_by_engine, ports_by_engine
from capacity_core.application import CapacityApplication
from capacity_core.errors import SettingsError, StoreError
from capacity_core.messages import Text

if TYPE_CHECKING:
    from capacity_adapters.queues.embedded import EmbeddedWorkers
    from capacity_adapters.queues.schedule import Schedule
    from capacity_core.runs import Run

# SQLite's other writers look at least that often whether it is their turn.
PAUSE_SECONDS: Final = 0.1


def build_application(settings: Settings, *, upgrade: bool = False) -> CapacityApplication:
    """Join the store, the engines and the passwords. Raises StoreError, SettingsError.

    With `upgrade` an older store is migrated, else it is refused.
    """
    url = store_url_of(settings)
    key_of = partial(secret_key_of, settings)
    store = open_store(url, secret_key=key_of, upgrade=upgrade)
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
        pause=partial(time.sleep, PAUSE_SECONDS),
        engines=ENGINES,
        timezone=settings.timezone,
        sync_deadline=settings.sync_deadline,
        port_allowed=policy.allows_port,
        path_allowed=below(settings.sqlite_root),
        check_store=store.check,
        close=store.close,
        credential_mark=partial(credential_mark, passwords.secret_for, key_of),
    )


def build_workers(settings: Settings, application: CapacityApplication) -> "EmbeddedWorkers":
    """Let this process collect runs. Raises SettingsError for a limit of an unknown engine."""
    from capacity_adapters.queues.embedded import (  # noqa: PLC0415 -- a single sync does without
        EmbeddedWorkers,
    )
    from capacity_core.dispatch import Limits  # noqa: PLC0415 -- likewise

    per_engine = limits_by_engine(settings.engine_limits, application.engines)
    limits = Limits(settings.fleet_workers, settings.host_limit, per_engine)
    return EmbeddedWorkers(application.fleet, application.leases, limits, zones=settings.zones)


class Collectors(Protocol):
    """Collects the runs of the store in the background, or lets workers do so, until `stop`."""

    def start(self) -> None: ...

    def wake(self) -> None:
        """There is new work."""
        ...

    def stop(self) -> None: ...


def build_collectors(
    settings: Settings, application: CapacityApplication, *, works: bool = True
) -> Collectors:
    """Collect runs in the background, by whatever queue is set.

    One that does not work only offers items to workers, if they take them from a queue. Raises
    SettingsError.
    """
    if settings.queue is Queue.EMBEDDED:
        return build_workers(settings, application)
    server = driver_arguments(store_url_of(settings))
    if server is None:
        raise SettingsError(Text("CAPACITY_QUEUE=procrastinate needs a PostgreSQL store"))
    try:
        from capacity_adapters.queues import offers, procrastinate  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        said = "CAPACITY_QUEUE needs more: pip install 'capacity-sync[procrastinate]'"
        raise SettingsError(Text(said)) from error
    if not works:
        return offers.Enqueuer(application.fleet, server)
    return procrastinate.ProcrastinateWorkers(
        application.fleet,
        application.leases,
        server,
        settings.fleet_workers,
        zones=settings.zones,
    )


def _nothing(_run: "Run") -> None:
    pass


def build_schedule(
    settings: Settings,
    application: CapacityApplication,
    on_run: Callable[["Run"], object] = _nothing,
) -> "Schedule | None":
    """Make what starts due collections, if there is a schedule; `on_run` hears of each run."""
    if settings.schedule is None:
        return None
    from capacity_adapters.queues.schedule import Schedule  # noqa: PLC0415 -- a sync does without

    return Schedule(application, settings.schedule, settings.schedule_jitter, on_run)


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
