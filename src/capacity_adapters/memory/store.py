"""The memory store, its units of work and its leases."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock
from uuid import uuid4

from attrs import define, evolve, field, frozen

from capacity_adapters.memory.aggregator import MemoryAggregator
from capacity_adapters.memory.growth import MemoryGrowth
from capacity_adapters.memory.reads import MemoryReads
from capacity_adapters.memory.register import MemoryCredentials, MemoryInstances, MemoryTokens
from capacity_adapters.memory.retention import MemoryRetention
from capacity_adapters.memory.rows import HeldLease, State, bound_to, living
from capacity_adapters.memory.runs import MemoryRuns
from capacity_adapters.memory.series import MemoryLimits, MemorySeries
from capacity_adapters.memory.sync import MemoryRepository
from capacity_core.errors import StoreError, SyncInProgressError
from capacity_core.instances import SEALED
from capacity_core.messages import text
from capacity_core.model import CollectFailed, Failure, Instance, Reason, Secret
from capacity_core.ports import Lease

WRITER_PATIENCE_SECONDS = 30


@define
class MemoryStore:
    """Keeps everything until the process ends; one writer at a time, like SQLite."""

    state: State = field(factory=State)
    _writer: Lock = field(factory=Lock)

    @contextmanager
    def begin(
        self,
        lease: Lease | None = None,
        *,
        unhurried: bool = False,  # noqa: ARG002 -- memory outlives nothing anyway
    ) -> Iterator["MemoryUnitOfWork"]:
        work = MemoryUnitOfWork(self, lease)
        try:
            yield work
        finally:
            work.end()

    @property
    def leases(self) -> "MemoryLeases":
        return MemoryLeases(self)

    def secret_of(self, instance: Instance) -> Secret | None:
        """Give the kept password. Raises CollectFailed if it is for another address."""
        bound, secret = self.state.passwords.get(instance.id, (None, None))
        if secret is not None and bound != bound_to(instance):
            failure = Failure.of(Reason.CREDENTIAL_UNAVAILABLE, ref=SEALED)
            raise CollectFailed(failure.reason, failure.hint)
        return secret

    def check(self) -> None:
        """Memory can always be used."""

    def close(self) -> None:
        """Nothing is held."""

    def lock_writer(self) -> State:
        """Wait for the other writer; lend a draft. Raises StoreError after 30 seconds."""
        if not self._writer.acquire(timeout=WRITER_PATIENCE_SECONDS):
            raise StoreError(text("store.locked", where="memory"))
        return self.state.draft()

    def unlock_writer(self) -> None:
        self._writer.release()


@define
class MemoryUnitOfWork:
    """Reads what is committed until its first write, then its own draft."""

    _store: MemoryStore
    _lease: Lease | None
    _draft: State | None = None

    def read(self) -> State:
        return self._draft or self._store.state

    def write(self) -> State:
        if self._draft is None:
            draft = self._store.lock_writer()
            if self._lease is not None and not free(draft, self._lease):
                self._store.unlock_writer()
                raise taken(draft, self._lease.instance_id)
            self._draft = draft
        return self._draft

    def commit(self) -> None:
        if self._draft is not None:
            self._store.state = self._draft
        self.end()

    def end(self) -> None:
        if self._draft is not None:
            self._draft = None
            self._store.unlock_writer()

    @property
    def repository(self) -> "MemoryRepository":
        return MemoryRepository(self)

    @property
    def aggregator(self) -> "MemoryAggregator":
        return MemoryAggregator(self)

    @property
    def instances(self) -> "MemoryInstances":
        return MemoryInstances(self)

    @property
    def credentials(self) -> "MemoryCredentials":
        return MemoryCredentials(self)

    @property
    def tokens(self) -> "MemoryTokens":
        return MemoryTokens(self)

    @property
    def reads(self) -> "MemoryReads":
        return MemoryReads(self)

    @property
    def growth(self) -> "MemoryGrowth":
        return MemoryGrowth(self)

    @property
    def series(self) -> "MemorySeries":
        return MemorySeries(self)

    @property
    def limits(self) -> "MemoryLimits":
        return MemoryLimits(self)

    @property
    def runs(self) -> "MemoryRuns":
        return MemoryRuns(self)

    @property
    def retention(self) -> "MemoryRetention":
        return MemoryRetention(self)


@frozen
class MemoryLeases:
    _store: MemoryStore

    def acquire(self, instance_id: int, seconds: float) -> Lease:
        with self._store.begin() as work:
            state = work.write()
            living(state, instance_id)
            held = state.leases.get(instance_id)
            if held is not None and held.owner is not None and held.expires > time.monotonic():
                raise taken(state, instance_id)
            lease = Lease(instance_id, uuid4().hex, held.fencing + 1 if held else 1)
            expires = time.monotonic() + seconds
            now = datetime.now(UTC)
            state.leases[instance_id] = HeldLease(lease.owner, lease.fencing, now, expires)
            work.commit()
        return lease

    def release(self, lease: Lease) -> None:
        with self._store.begin() as work:
            if free(work.write(), lease):
                work.commit()

    def renew(self, leases: Iterable[Lease], seconds: float) -> None:
        with self._store.begin() as work:
            state = work.write()
            for lease in leases:
                held = state.leases.get(lease.instance_id)
                if held and (held.owner, held.fencing) == (lease.owner, lease.fencing):
                    until = time.monotonic() + seconds
                    state.leases[lease.instance_id] = evolve(held, expires=until)
            work.commit()


def free(state: State, lease: Lease) -> bool:
    """Give the lease back; False if it is no longer ours."""
    held = state.leases.get(lease.instance_id)
    if held is None or (held.owner, held.fencing) != (lease.owner, lease.fencing):
        return False
    state.leases[lease.instance_id] = evolve(held, owner=None)
    return True


def taken(state: State, instance_id: int) -> SyncInProgressError:
    held = state.leases.get(instance_id)
    name = state.instances[instance_id].name
    since = held.since if held else datetime.now(UTC)
    return SyncInProgressError(text("sync.in_progress", name=name), since)
