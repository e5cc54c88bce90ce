"""What waits for workers, as far as they have looked: bounded, however long a run is."""

from collections.abc import Sequence
from typing import Final, Protocol

from attrs import define, field

from capacity_core.dispatch import Full, Limits, choose, full
from capacity_core.runs import Waiting

LOOK: Final = 500
MOST_SEEN: Final = 2_000


class Look(Protocol):
    """Read the first that wait, but for those whose host or engine is full."""

    def __call__(self, limit: int, without: Full) -> Sequence[Waiting]: ...


@define(eq=False)
class Backlog:
    """Chooses by the limits from what it has seen, and looks for more if that is not enough."""

    _look: Look
    _limits: Limits
    _seen: dict[int, Waiting] = field(factory=dict, init=False)
    _nothing_more: Full | None = field(default=None, init=False)

    def forget(self) -> None:
        """There may be more than was seen, and some of it may be taken."""
        self._seen.clear()
        self._nothing_more = None

    @property
    def is_empty(self) -> bool:
        """Say whether all that waited, when it was looked for, is taken."""
        return not self._seen and self._nothing_more == Full()

    def take(self, running: Sequence[Waiting], slots: int) -> list[Waiting]:
        """Take what begins next, at most so many. Raises StoreError."""
        taken = self._choose(running, slots)
        while len(taken) < slots:
            now_full = full([*running, *taken], self._limits)
            if now_full == self._nothing_more:
                break
            self._look_for_more(now_full)
            more = self._choose([*running, *taken], slots - len(taken))
            if not more:
                break
            taken += more
        return taken

    def _choose(self, running: Sequence[Waiting], slots: int) -> list[Waiting]:
        chosen = choose(self._seen.values(), running, self._limits, slots)
        for each in chosen:
            del self._seen[each.item_id]
        return chosen

    def _look_for_more(self, without: Full) -> None:
        found = self._look(LOOK, without)
        if len(self._seen) + len(found) > MOST_SEEN:  # all wait for what is full
            self._seen.clear()
        self._seen.update((each.item_id, each) for each in found)
        self._nothing_more = without if len(found) < LOOK else None
