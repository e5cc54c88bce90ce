"""Have libpq tell the code of an error: a failed connect has no other place for it.

The words are in the server's own language; the code, and the server's function that raised it, are
the same in all. psycopg has no call for this switch of libpq, so it is found in the library that
psycopg itself has loaded.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from psycopg import pq
from psycopg.pq.abc import PGconn

VERBOSE: Final = 2  # PQERRORS_VERBOSE


def tell_codes(pgconn: PGconn) -> None:
    """Switch it on; where the switch is not to be found, words have to do."""
    switch, connection = _switch(), getattr(pgconn, "pgconn_ptr", None)
    if switch is not None and connection:
        switch(connection, VERBOSE)


@lru_cache(maxsize=1)
def _switch() -> Callable[[int, int], int] | None:
    try:
        # A symbol is looked for in the library and in those that it was linked to.
        switch = ctypes.CDLL(sys.modules[pq.PGconn.__module__].__file__).PQsetErrorVerbosity
    except (OSError, AttributeError, TypeError):
        return None
    switch.argtypes = (ctypes.c_void_p, ctypes.c_int)
    switch.restype = ctypes.c_int
    return switch
