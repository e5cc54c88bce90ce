"""The driving door: what routes, commands and jobs come in through."""

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import date
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from attrs import evolve, frozen

from capacity_core.access import ApiToken, Scope, hash_token, new_token
from capacity_core.decisions import DECISIONS, Decision
from capacity_core.errors import (
    AuthenticationRequiredError,
    CapacityError,
    ConflictError,
    InvalidInputError,
    PermissionRequiredError,
    SyncInProgressError,
)
from capacity_core.instances import (
    SEALED,
    InstanceFields,
    changed_instance,
    check_text,
    fields_of,
    new_instance,
)
from capacity_core.messages import text
from capacity_core.model import EngineFacts, FileAddress, Instance, Moment, Scenario, Secret, Tls
from capacity_core.ports import Begin, Clock, CoordinatorFor, Lease, LeaseKeeper, Leases
from capacity_core.reads import DatabaseRow, DateRange, InstanceDay, Page, Paging, SizeRow
from capacity_core.result import InstanceCapacitySyncActionResult
from capacity_core.sync import InstanceCapacitySyncActionsService

if TYPE_CHECKING:
    from capacity_core.diagnosis import Diagnosis
    from capacity_core.fleet import CapacityFleet
    from capacity_core.forecasts import CapacityForecasts
    from capacity_core.growth import CapacityGrowth
    from capacity_core.importing import CapacityImport
    from capacity_core.retention import CapacityRetention

log = logging.getLogger(__name__)

LEASE_GRACE_SECONDS = 30
NOT_CONNECTED = frozenset({Scenario.CONNECT_FAILED, Scenario.ENGINE_NOT_SUPPORTED})


def _nothing() -> None:
    pass


def _no_mark(_instance: Instance) -> None:
    return None


def _any_path(_path: str) -> bool:
    return True


def _any_port(_db_type: str, _port: int) -> bool:
    return True


@frozen(kw_only=True)
class CapacityApplication:
    """Everything a service, a command or a page may ask for; it commits, its parts never do.

    `sync_deadline` bounds one conversation with an instance, in seconds; with
    `aggregation_required` a sync whose aggregation fails is undone. `path_allowed` says
    whether a caller from afar may register files at that path, `port_allowed` whether an engine
    may have that port, `check_store` raises StoreError while the store cannot be used, and `close`
    lets go of it. `pause` rests a moment between two transactions of a long work, `credential_mark`
    hashes the credential that an instance would be asked with, if it can.
    """

    begin: Begin
    leases: Leases
    coordinator_for: CoordinatorFor
    now: Clock
    engines: Mapping[str, EngineFacts]
    timezone: str = "UTC"
    sync_deadline: float = 300.0
    decisions: Mapping[Scenario, Decision] = DECISIONS
    aggregation_required: bool = False
    path_allowed: Callable[[str], bool] = _any_path
    port_allowed: Callable[[str, int], bool] = _any_port
    check_store: Callable[[], None] = _nothing
    close: Callable[[], None] = _nothing
    pause: Callable[[], None] = _nothing
    credential_mark: Callable[[Instance], str | None] = _no_mark

    def sync(
        self,
        instance_id: int,
        *,
        deadline: float | None = None,
        password: Secret | None = None,
        keeper: LeaseKeeper | None = None,
    ) -> InstanceCapacitySyncActionResult:
        """Sync one instance under its lease, and commit.

        `deadline` is in seconds. A `password` given is used instead of the kept one, and kept,
        sealed, if it connected. A `keeper` renews a short lease; else it lasts for the deadline
        and 30 seconds. Raises NotFoundError, InvalidInputError (password), and
        ConflictError if the instance was moved meanwhile; a running sync is a result.
        """
        _check_password(password)
        seconds = self.sync_deadline if deadline is None else deadline
        try:
            lasts = keeper.seconds if keeper else seconds + LEASE_GRACE_SECONDS
            lease = self.leases.acquire(instance_id, lasts)
        except SyncInProgressError as error:
            return self._in_progress(instance_id, error)
        committed = False
        try:
            kept = keeper.keep(lease) if keeper else nullcontext()
            # Whoever keeps leases says elsewhere how the sync ended, and that commit is lasting.
            with kept, self.begin(lease, unhurried=keeper is not None) as work:
                service = InstanceCapacitySyncActionsService(
                    repository=work.repository,
                    aggregator=work.aggregator,
                    coordinator_for=partial(
                        self.coordinator_for, deadline=seconds, password=password
                    ),
                    now=self.now,
                    timezone=self.timezone,
                    decisions=self.decisions,
                    aggregation_required=self.aggregation_required,
                )
                result = service.sync_instance_capacity(instance_id)
                if password is not None and result.scenario not in NOT_CONNECTED:
                    now = work.instances.hold(instance_id)  # it may have been edited meanwhile
                    work.credentials.seal(now, password)
                    work.instances.save(evolve(now, password_ref=SEALED))
                work.commit()
                committed = True
        except SyncInProgressError as error:
            return self._in_progress(instance_id, error)
        finally:
            if not committed:
                self._give_back(lease)
        return result

    def doctor(
        self,
        instance_id: int,
        *,
        deadline: float | None = None,
        password: Secret | None = None,
        tls: Tls | None = None,
    ) -> "Diagnosis":
        """Find out which rights an instance's login lacks; the store is read, never written.

        `deadline` is in seconds; `password` and `tls` are used instead of the kept ones, and not
        kept. Raises NotFoundError, InvalidInputError (password).
        """
        with self.begin() as work:
            instance, known = work.repository.get_instance_and_databases(instance_id)
        found = instance if tls is None else evolve(instance, tls=tls)
        return self._diagnose(found, known, deadline, password)

    def doctor_of(
        self,
        fields: InstanceFields,
        *,
        deadline: float | None = None,
        password: Secret | None = None,
    ) -> "Diagnosis":
        """Likewise for an instance that need not be registered; its id is 0.

        Raises InvalidInputError.
        """
        _refuse_sealed(fields.password_ref)
        draft = new_instance(fields, self.engines, self.now())
        return self._diagnose(draft, {}, deadline, password)

    def _diagnose(
        self,
        instance: Instance,
        known: Mapping[str, bool],
        deadline: float | None,
        password: Secret | None,
    ) -> "Diagnosis":
        from capacity_core.doctor import diagnose  # noqa: PLC0415 -- a sync does without

        _check_password(password)
        seconds = self.sync_deadline if deadline is None else deadline
        conversation = partial(self.coordinator_for, deadline=seconds, password=password)
        return diagnose(instance, known, conversation)

    def _give_back(self, lease: Lease) -> None:
        try:
            self.leases.release(lease)
        except CapacityError:  # what went wrong before says more
            log.warning("the lease of instance %s stays until it expires", lease.instance_id)

    def _in_progress(
        self, instance_id: int, error: SyncInProgressError
    ) -> InstanceCapacitySyncActionResult:
        instance = self.get_instance(instance_id)
        return InstanceCapacitySyncActionResult(
            instance=instance,
            scenario=Scenario.IN_PROGRESS,
            decision=self.decisions[Scenario.IN_PROGRESS],
            moment=self.moment_of(instance),
            since=error.since,
        )

    def moment_of(self, instance: Instance) -> Moment:
        """Now, and the business day it is for that instance."""
        at = self.now()
        return Moment(at, at.astimezone(ZoneInfo(instance.timezone or self.timezone)).date())

    # Instances.

    def add_instance(
        self, fields: InstanceFields, *, password: Secret | None = None, from_afar: bool = False
    ) -> Instance:
        """Register an instance. Raises InvalidInputError, ConflictError.

        A password is kept sealed. `from_afar` applies the rule for paths.
        """
        _refuse_sealed(fields.password_ref)
        draft = new_instance(_with_password(fields, password), self.engines, self.now())
        self._check_place(draft, from_afar=from_afar)
        with self.begin() as work:
            instance = work.instances.add(draft)
            if password is not None:
                work.credentials.seal(instance, password)
            work.commit()
        return instance

    def get_or_add_instance(self, fields: InstanceFields) -> Instance:
        """Find the instance of that engine, address and user, or register it.

        Raises ConflictError if it is registered with another user, or logs in to another
        database than the one that the fields name.
        """
        _refuse_sealed(fields.password_ref)
        draft = new_instance(fields, self.engines, self.now())
        try:
            return self._find_or_add(draft)
        except ConflictError:  # another process may have registered it just now
            return self._find_or_add(draft)

    def _find_or_add(self, draft: Instance) -> Instance:
        with self.begin() as work:
            there = work.instances.at_address(draft)
            same_user = [instance for instance in there if instance.username == draft.username]
            if same_user:
                return _the_same(same_user[0], draft)
            if there:
                first = there[0]
                said = text("error.other_user", name=first.name, user=first.username or "-")
                raise ConflictError(said)
            self._check_place(draft, from_afar=False)
            instance = work.instances.add(draft)
            work.commit()
        return instance

    def get_instance(self, instance_id: int) -> Instance:
        """Raises NotFoundError."""
        with self.begin() as work:
            return work.instances.get(instance_id)

    def find_instance(self, name: str) -> Instance | None:
        with self.begin() as work:
            return work.instances.find(name)

    def instances(self, paging: Paging) -> Page[Instance]:
        """Those not removed, by name."""
        with self.begin() as work:
            return work.instances.page(paging)

    def edit_instance(
        self,
        instance_id: int,
        changes: Mapping[str, object],
        *,
        password: Secret | None = None,
        from_afar: bool = False,
    ) -> Instance:
        """Change the named fields of InstanceFields.

        A password belongs to its address: when that changes, a kept one is forgotten, and a
        password_ref has to be given again. A new password takes the place of a reference.
        Raises NotFoundError, InvalidInputError, ConflictError.
        """
        _refuse_sealed(changes.get("password_ref"))
        if password is not None:
            changes = {"password_ref": None, **changes}
        with self.begin() as work:
            old = work.instances.hold(instance_id)
            fields = evolve(fields_of(old), **changes)  # type: ignore[arg-type]  # names checked by evolve
            new = changed_instance(old, _with_password(fields, password), self.engines, self.now())
            moved = (old.db_type, old.address) != (new.db_type, new.address)
            if moved:
                self._check_place(new, from_afar=from_afar)
            if moved and password is None and "password_ref" not in changes:
                new = _without_password(new)
            if password is not None:
                work.credentials.seal(new, password)
            elif new.password_ref != SEALED:
                work.credentials.forget(instance_id)
            work.instances.save(new)
            work.commit()
        return new

    def remove_instance(self, instance_id: int) -> Instance:
        """Retire it softly: its history stays, its name is free again, its password forgotten."""
        now = self.now()
        with self.begin() as work:
            old = work.instances.hold(instance_id)
            gone = evolve(old, is_active=False, deleted_at=now, updated_at=now, password_ref=None)
            work.credentials.forget(instance_id)
            work.instances.save(gone)
            work.commit()
        return gone

    def _check_place(self, instance: Instance, *, from_afar: bool) -> None:
        """Raises InvalidInputError."""
        address, db_type = instance.address, instance.db_type
        if isinstance(address, FileAddress):
            if from_afar and not self.path_allowed(address.path):
                raise InvalidInputError("path", text("field.path", path=repr(address.path)))
        elif not self.port_allowed(db_type, address.port):
            said = text("field.port_refused", db_type=db_type, port=address.port)
            raise InvalidInputError("port", said)

    # Reads.

    @property
    def growth(self) -> "CapacityGrowth":
        """What changed, and the recomputation of it."""
        from capacity_core.growth import CapacityGrowth  # noqa: PLC0415 -- a sync does without

        return CapacityGrowth(self.begin, self.now, self.timezone, self.pause)

    @property
    def fleet(self) -> "CapacityFleet":
        """Many instances at once."""
        from capacity_core.fleet import CapacityFleet  # noqa: PLC0415 -- a sync does without

        return CapacityFleet(
            begin=self.begin,
            now=self.now,
            sync=self.sync,
            engines=self.engines,
            credential_mark=self.credential_mark,
        )

    @property
    def importing(self) -> "CapacityImport":
        """Many instances from one file."""
        from capacity_core.importing import CapacityImport  # noqa: PLC0415 -- a sync does without

        return CapacityImport(self.begin, self.now, self.engines, self._check_place)

    @property
    def retention(self) -> "CapacityRetention":
        """How long days are kept."""
        from capacity_core.retention import CapacityRetention  # noqa: PLC0415 -- a sync does without

        return CapacityRetention(self.begin, self.growth)

    @property
    def forecasts(self) -> "CapacityForecasts":
        """When it will be full, and the limits that users set."""
        from capacity_core.forecasts import CapacityForecasts  # noqa: PLC0415 -- a sync does without

        return CapacityForecasts(self.begin, self.growth.today)

    def databases(self, instance_id: int, paging: Paging) -> Page[DatabaseRow]:
        """The known databases of an instance with their latest sizes. Raises NotFoundError."""
        with self.begin() as work:
            work.instances.get(instance_id)
            return work.reads.databases(instance_id, paging)

    def history(
        self, instance_id: int, database_name: str, days: DateRange, paging: Paging
    ) -> Page[SizeRow]:
        """The daily sizes of one database, newest first. Raises NotFoundError."""
        with self.begin() as work:
            work.instances.get(instance_id)
            return work.reads.history(instance_id, database_name, days, paging)

    def sizes_on(self, instance_id: int, day: date | None) -> list[SizeRow]:
        """Every database's row of one day, or of the latest day that has any."""
        with self.begin() as work:
            return work.reads.sizes_on(instance_id, day)

    def instance_day(self, instance_id: int, day: date) -> InstanceDay | None:
        """The instance's total of one day (bytes)."""
        with self.begin() as work:
            return work.reads.instance_day(instance_id, day)

    def instance_days(self, instance_id: int, paging: Paging) -> Page[InstanceDay]:
        """The instance's total of each day that has one, newest first. Raises NotFoundError."""
        with self.begin() as work:
            work.instances.get(instance_id)
            return work.reads.instance_days(instance_id, paging)

    # Access.

    def create_token(self, name: str, scope: Scope) -> tuple[ApiToken, str]:
        """Make a token; its text is returned here and never again.

        Raises ConflictError, InvalidInputError.
        """
        check_text("name", name, required=True)
        token = new_token()
        with self.begin() as work:
            kept = work.tokens.add(name, scope, hash_token(token), self.now())
            work.commit()
        return kept, token

    def tokens(self) -> list[ApiToken]:
        with self.begin() as work:
            return work.tokens.all()

    def revoke_token(self, name: str) -> None:
        """Raises NotFoundError."""
        with self.begin() as work:
            work.tokens.revoke(name, self.now())
            work.commit()

    def authorize(self, token: str | None, needed: Scope) -> ApiToken:
        """Raises AuthenticationRequiredError, PermissionRequiredError."""
        with self.begin() as work:
            known = work.tokens.find(hash_token(token)) if token else None
        if known is None:
            raise AuthenticationRequiredError(text("error.unauthenticated"))
        if not known.scope.covers(needed):
            raise PermissionRequiredError(text("error.forbidden", scope=needed))
        return known


def _the_same(kept: Instance, draft: Instance) -> Instance:
    if draft.database_name not in {None, kept.database_name}:
        said = text("error.other_database", name=kept.name, database=kept.database_name or "-")
        raise ConflictError(said)
    return kept


def _refuse_sealed(password_ref: object) -> None:
    """The mark of a password in the store is ours to set."""
    if password_ref == SEALED:
        raise InvalidInputError("password_ref", text("field.password_ref"))


def _check_password(password: Secret | None) -> None:
    if password is not None:
        check_text("password", password.reveal())


def _without_password(moved: Instance) -> Instance:
    """Take no password along to another address unless somebody says so.

    Raises InvalidInputError for a reference, which whoever moved the instance cannot see through.
    """
    if moved.password_ref not in {None, SEALED}:
        raise InvalidInputError("password_ref", text("field.password_ref_again"))
    return evolve(moved, password_ref=None)


def _with_password(fields: InstanceFields, password: Secret | None) -> InstanceFields:
    if password is None:
        return fields
    _check_password(password)
    if fields.password_ref not in {None, SEALED}:
        raise InvalidInputError("password", text("field.one_password"))
    return evolve(fields, password_ref=SEALED)
