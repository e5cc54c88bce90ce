"""The life of a conversation, its deadline and its errors: written once, for every engine."""

import logging
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Final

from attrs import define, field

from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import (
    Conversation,
    Engine,
    Target,
    TargetPolicy,
    classify,
)
from capacity_core.diagnosis import Check
from capacity_core.model import (
    CapacityReport,
    CollectFailed,
    Failure,
    Instance,
    Inventory,
    Reason,
    Secret,
)

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 0.3
_LOGGED_CHARACTERS: Final = 300
# What a farewell of foreign code may raise: nothing that was learned is lost for it.
_CLOSING: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@define(eq=False)
class EngineCoordinator:
    """One conversation with one instance; fits the port CapacityExaminer.

    `load` gives the engine and is called late, for the driver is imported with it; `package` is
    what to install if that fails. `deadline`, in seconds, counts from `connect`, once
    `secret` is known.
    """

    instance: Instance
    load: Callable[[], Engine]
    package: str
    policy: TargetPolicy
    deadline: float
    secret: Callable[[], Secret]
    failure: Failure | None = field(default=None, init=False)
    _guard: Guard | None = field(default=None, init=False)
    _engine: Engine | None = field(default=None, init=False)
    _conversation: Conversation | None = field(default=None, init=False)

    def connect(self) -> bool:
        self.disconnect()
        self.failure = None
        try:
            engine = self._engine = self._load()
            target = Target(self.instance, self.secret(), self.policy)
            # What the store took to tell the password is no time of the target's.
            guard = self._guard = Guard.starting_now(self.policy.connect_deadline, self.deadline)
            with self._seam(engine, guard, target.password):
                guard.remaining()
                self._conversation = engine.open(target, guard)
                guard.connected()
        except CollectFailed as error:
            self.failure = error.failure
            self.disconnect()
        return self.failure is None

    def fetch_inventory(self) -> Inventory:
        with self._conversing() as conversation:
            return conversation.inventory()

    def collect_capacity(self, names: AbstractSet[str]) -> CapacityReport:
        with self._conversing() as conversation:
            return conversation.measure(names)

    def examine(self) -> tuple[Check, ...]:
        with self._conversing() as conversation:
            return conversation.examine()

    def disconnect(self) -> None:
        conversation, self._conversation = self._conversation, None
        guard, self._guard = self._guard, None
        if guard is None:
            return
        try:
            if conversation is not None and self._engine is not None:
                guard.hurry(CLOSE_SECONDS)
                with self._seam(self._engine, guard):
                    conversation.close()
        except CollectFailed:
            pass  # logged at the seam; the conversation is over either way
        except _CLOSING as error:
            log.warning("instance %s: closing: %s", self.instance.id, type(error).__name__)
        finally:
            guard.close()

    def _load(self) -> Engine:
        try:
            return self.load()
        except ImportError as error:
            log.warning("the driver of %s is missing: %s", self.instance.db_type, error)
            failure = Failure.of(Reason.DRIVER_MISSING, package=self.package)
            raise CollectFailed(failure.reason, failure.hint) from error

    @contextmanager
    def _conversing(self) -> Iterator[Conversation]:
        conversation, guard, engine = self._conversation, self._guard, self._engine
        if conversation is None or guard is None or engine is None:
            raise CollectFailed(Reason.CONNECTION_LOST)
        with self._seam(engine, guard):
            guard.remaining()
            yield conversation

    @contextmanager
    def _seam(self, engine: Engine, guard: Guard, password: Secret | None = None) -> Iterator[None]:
        """Whatever a driver raises leaves here as CollectFailed, with one reason."""
        errors: tuple[type[Exception], ...] = (CollectFailed, *engine.errors)
        try:
            yield
        except errors as error:
            failure = Failure.of(guard.reason) if guard.fired else classify(error, engine)
            level = logging.WARNING if failure.reason is Reason.OTHER else logging.INFO
            log.log(
                level,
                "instance %s: %s: %s",
                self.instance.id,
                failure.reason,
                _redacted(error, password),
            )
            raise CollectFailed(failure.reason, failure.hint) from error


def _redacted(error: Exception, password: Secret | None) -> str:
    """Tell an error in one line, or its kind alone if it has the password, sent back by a peer.

    Of ours it is the cause that has something to say: what the driver raised.
    """
    told = error.__cause__ if isinstance(error, CollectFailed) and error.__cause__ else error
    kind, said = type(told).__name__, str(told)
    if password is not None and _tells(said, password.reveal()):
        return kind  # stars in its place would say what it was, if it is short
    return ascii(f"{kind}: {said}"[:_LOGGED_CHARACTERS])


def _tells(said: str, password: str) -> bool:
    """Say whether a text holds the password, as it is or as the text of an error spells it.

    That is with escapes, once or twice, which quotes depend on what else is in it.
    """
    spelled = {password, ascii(password)[1:-1], repr(password)[1:-1]}
    spelled |= {repr(password.encode("utf-8", "surrogatepass"))[2:-1], repr(ascii(password))[2:-2]}
    bare = said.replace("\\", "")
    return any(form.replace("\\", "") in bare for form in spelled) if password else False
