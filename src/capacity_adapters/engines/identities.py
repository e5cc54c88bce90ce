"""The client certificate that an instance names, looked at before a TLS library reads it."""

import os
import ssl
import stat
from functools import lru_cache
from pathlib import Path
from typing import Final

from capacity_adapters.engines.authorities import Stamp
from capacity_core.model import CollectFailed, Failure, Reason, Tls, TlsMode

# Mode bits of a key that others could read; root may share its own with a group, as libpq has it:
# https://www.postgresql.org/docs/current/libpq-ssl.html
OTHERS: Final = 0o077
OTHERS_OF_ROOT: Final = 0o037


def identity_of(tls: Tls) -> tuple[Stamp, ...]:
    """Tell one version of the certificate and its key from another; without them there is none.

    Raises CollectFailed (credential_unavailable) unless both are regular files, the key is for
    our eyes only and not encrypted, and the two belong together. A library would wait for a pipe,
    ask at the terminal, or log in without a certificate that it does not find.
    """
    if tls.cert is None or tls.key is None or tls.mode is TlsMode.INSECURE:
        return ()
    shown, hidden = _look_at("tls.cert", tls.cert), _look_at("tls.key", tls.key)
    others = OTHERS if hidden.st_uid else OTHERS_OF_ROOT
    if hidden.st_mode & others:
        raise _unavailable("client_key_open")
    stamps = _stamp(shown), _stamp(hidden)
    try:
        _try(tls.cert, tls.key, stamps)
    except OSError as error:  # ssl.SSLError is one
        raise _unavailable("client_certificate") from error
    return stamps


@lru_cache(maxsize=64)
def _try(cert: str, key: str, _stamps: tuple[Stamp, ...]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(cert, key, password=lambda: b"")


def _look_at(field: str, path: str) -> os.stat_result:
    try:
        found = Path(path).stat()
    except OSError as error:
        raise _unavailable("client_file", field) from error
    if not stat.S_ISREG(found.st_mode):
        raise _unavailable("client_file", field)
    return found


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _unavailable(cause: str, field: str = "tls.key") -> CollectFailed:
    failure = Failure.of(Reason.CREDENTIAL_UNAVAILABLE, cause, ref=field)
    return CollectFailed(failure.reason, failure.hint)
