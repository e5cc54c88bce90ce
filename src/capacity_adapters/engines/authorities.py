"""The file of authorities that an instance names, looked at before a TLS library reads it."""

import ssl
import stat
from functools import lru_cache
from pathlib import Path

from capacity_core.model import CollectFailed, Failure, Reason

Stamp = tuple[int, int, int]


def stamp_of(ca: str) -> Stamp:
    """Tell one version of the file from another.

    Raises CollectFailed (tls, and the path) unless it is a regular file of certificates: reading a
    pipe or a device may never end, and a library says no more than that TLS failed.
    """
    try:
        file = Path(ca).stat()
        stamp = file.st_ino, file.st_size, file.st_mtime_ns
        if not stat.S_ISREG(file.st_mode):
            raise _unreadable(ca)
        _try(ca, stamp)
    except OSError as error:  # ssl.SSLError is one
        raise _unreadable(ca) from error
    return stamp


@lru_cache(maxsize=64)
def _try(ca: str, _stamp: Stamp) -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca)


def _unreadable(ca: str) -> CollectFailed:
    failure = Failure.of(Reason.TLS, "ca_file", path=ca)
    return CollectFailed(failure.reason, failure.hint)
