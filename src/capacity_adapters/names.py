"""Which names a store can keep verbatim."""

from collections.abc import Iterable

from capacity_core.errors import StoreError
from capacity_core.messages import text


def is_storable(name: str) -> bool:
    """Any text but one with NUL or half a surrogate pair, which no SQL store can hold."""
    try:
        return b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False


def refuse_unstorable(names: Iterable[str]) -> None:
    """Raises StoreError: a name is refused rather than kept as another."""
    for name in names:
        if not is_storable(name):
            raise StoreError(text("store.name", name=ascii(name)))
