"""The file of authorities that an instance names, looked at before a TLS library reads it."""

import stat
from pathlib import Path

from capacity_core.model import CollectFailed, Reason

Stamp = tuple[int, int, int]


def stamp_of(ca: str) -> Stamp:
    """Tell one version of the file from another. Raises CollectFailed (tls).

    Only a regular file will do: reading a pipe or a device may never end.
    """
    try:
        file = Path(ca).stat()
    except OSError as error:
        raise CollectFailed(Reason.TLS) from error
    if not stat.S_ISREG(file.st_mode):
        raise CollectFailed(Reason.TLS)
    return file.st_ino, file.st_size, file.st_mtime_ns
