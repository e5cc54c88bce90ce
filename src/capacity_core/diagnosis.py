"""What an engine can tell, which rights that takes, and which of them a login has."""

from enum import StrEnum, auto

from attrs import field, frozen

from capacity_core.messages import Text, text
from capacity_core.model import Failure, Instance, Scenario


@frozen
class Capabilities:
    """What an engine can tell of a database beside its size.

    `visibility_proof`: it knows from the login's rights whether the list of databases is complete.
    `identity`: it tells a database that was dropped and made anew from the one before.
    """

    log_size: bool = False
    used_size: bool = False
    ceiling: bool = False
    system_databases: bool = False
    visibility_proof: bool = False
    identity: bool = False


@frozen
class GrantScript:
    """The least rights that sizing needs: SQL for an administrator, and where it applies.

    `comment` is what begins a comment in the script's language.
    """

    applies_to: str
    statements: tuple[str, ...]
    comment: str = "--"

    def __str__(self) -> str:
        """Spell the whole script, each statement ended."""
        lines = [f"{self.comment} {self.applies_to}"]
        lines += [f"{statement.removesuffix(';')};" for statement in self.statements]
        return "\n".join(lines)


class CheckState(StrEnum):
    OK = auto()
    MISSING = auto()
    UNKNOWN = auto()


@frozen
class Check:
    """One right or setting that sizing needs, as a read-only probe found it.

    `unlocks` says what it is good for, `costs` names the databases that have no size today for
    want of it, and `cure` is what an administrator should run.
    """

    name: str
    state: CheckState
    unlocks: Text
    costs: tuple[str, ...] = ()
    cure: Text = field(factory=lambda: text(""))


@frozen
class Diagnosis:
    """How ready an instance is to be sized.

    `complete` says whether the login sees every database, `unseen` names those known and active
    that it does not see. `failure` says why nobody could look, and `scenario` how far that came.
    """

    instance: Instance
    checks: tuple[Check, ...] = ()
    complete: bool = False
    unseen: tuple[str, ...] = ()
    scenario: Scenario = Scenario.COMPLETE
    failure: Failure | None = None

    @property
    def ready(self) -> bool:
        """Whether everything is seen, and every check is known to be all right."""
        fine = all(check.state is CheckState.OK for check in self.checks)
        return self.failure is None and self.complete and fine
