"""Instances, their passwords, and API tokens, in memory."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import count

from attrs import evolve, frozen

from capacity_adapters.memory.rows import State, Work, bound_to, living, page_of
from capacity_adapters.names import refuse_unstorable
from capacity_core.access import ApiToken, Scope
from capacity_core.errors import ConflictError, NotFoundError
from capacity_core.messages import text
from capacity_core.model import FileAddress, Instance, Secret
from capacity_core.reads import Page, Paging


@frozen
class MemoryInstances:
    _work: Work

    def add(self, instance: Instance) -> Instance:
        state = self._work.write()
        self._refuse_taken_name(state, instance)
        kept = evolve(instance, id=max(state.instances, default=0) + 1, last_sync=None)
        state.instances[kept.id] = kept
        return kept

    def add_many(self, instances: Sequence[Instance]) -> None:
        state = self._work.write()
        names = [each.name for each in (*self._all_living(), *instances)]
        if len(set(names)) < len(names):
            raise ConflictError(text("import.names_taken"))
        numbers = count(max(state.instances, default=0) + 1)
        state.instances.update(
            (number, evolve(each, id=number, last_sync=None))
            for number, each in zip(numbers, instances, strict=False)
        )

    def get(self, instance_id: int) -> Instance:
        return living(self._work.read(), instance_id)

    def hold(self, instance_id: int) -> Instance:
        return living(self._work.write(), instance_id)

    def find(self, name: str) -> Instance | None:
        return next((found for found in self._all_living() if found.name == name), None)

    def named(self, names: Iterable[str]) -> list[Instance]:
        wanted = set(names)
        return [found for found in self._all_living() if found.name in wanted]

    def at_address(self, instance: Instance) -> list[Instance]:
        wanted = _place(instance)
        there = [found for found in self._all_living() if _place(found) == wanted]
        return sorted(there, key=lambda found: found.id)

    def page(self, paging: Paging) -> Page[Instance]:
        return page_of(sorted(self._all_living(), key=lambda found: found.name), paging)

    def save(self, instance: Instance) -> None:
        state = self._work.write()
        old = living(state, instance.id)
        if instance.deleted_at is None:
            self._refuse_taken_name(state, instance)
        state.instances[instance.id] = evolve(instance, last_sync=old.last_sync)

    def _all_living(self) -> list[Instance]:
        instances = self._work.read().instances.values()
        return [instance for instance in instances if instance.deleted_at is None]

    def _refuse_taken_name(self, state: State, instance: Instance) -> None:
        for other in state.instances.values():
            same = other.name == instance.name and other.deleted_at is None
            if same and other.id != instance.id:
                raise ConflictError(text("error.name_taken", name=instance.name))


def _place(instance: Instance) -> tuple[str, str, int]:
    address = instance.address
    if isinstance(address, FileAddress):
        return instance.db_type, address.path, 0
    return instance.db_type, address.host.lower(), address.port


@frozen
class MemoryCredentials:
    _work: Work

    def seal(self, instance: Instance, secret: Secret) -> None:
        self._work.write().passwords[instance.id] = bound_to(instance), secret

    def forget(self, instance_id: int) -> None:
        self._work.write().passwords.pop(instance_id, None)


@frozen
class MemoryTokens:
    _work: Work

    def add(self, name: str, scope: Scope, token_hash: str, now: datetime) -> ApiToken:
        refuse_unstorable([name])
        state = self._work.write()
        if self._living_hash(name) is not None:
            raise ConflictError(text("error.name_taken", name=name))
        token = ApiToken(len(state.tokens) + 1, name, scope, now)
        state.tokens[token_hash] = token
        return token

    def find(self, token_hash: str) -> ApiToken | None:
        token = self._work.read().tokens.get(token_hash)
        return None if token is None or token.revoked_at is not None else token

    def all(self) -> list[ApiToken]:
        return sorted(self._work.read().tokens.values(), key=lambda token: token.id)

    def revoke(self, name: str, now: datetime) -> None:
        state = self._work.write()
        token_hash = self._living_hash(name)
        if token_hash is None:
            raise NotFoundError(text("error.token_missing"))
        state.tokens[token_hash] = evolve(state.tokens[token_hash], revoked_at=now)

    def _living_hash(self, name: str) -> str | None:
        tokens = self._work.read().tokens.items()
        living = (key for key, token in tokens if token.name == name and token.revoked_at is None)
        return next(living, None)
