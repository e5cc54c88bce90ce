"""What the parts of a unit of work see of it."""

from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection


class Work(Protocol):
    def read(self) -> AbstractContextManager[Connection]:
        """Lend a connection for one answer; it holds nothing before the first write."""
        ...

    def write(self) -> AbstractContextManager[Connection]:
        """Begin the transaction if it has not begun, and lend its connection."""
        ...

    def savepoint(self) -> AbstractContextManager[Connection]:
        """Likewise, for a part that may fail alone."""
        ...
