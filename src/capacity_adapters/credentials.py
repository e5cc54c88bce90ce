"""Passwords of instances: found at the moment of use, and the key that seals those we keep."""

import hmac
import json
import os
import secrets
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import field, frozen

from capacity_adapters.settings import KEY_BYTES, SETTINGS, Settings, read_at_most, read_regular
from capacity_core.errors import CapacityError, SettingsError
from capacity_core.instances import SEALED
from capacity_core.messages import Text
from capacity_core.model import CollectFailed, Failure, Instance, Reason, Secret

ENV_PREFIX = "CAPACITY_SECRET_"
KEY_FILE = "secret.key"
MAX_PASSWORD_BYTES = 1 << 16
OTHERS = 0o077  # the mode bits of group and world
# CAPACITY_SECRET_KEY begins like a password's variable: no target may be sent it.
OWN_VARIABLES = frozenset(setting.variable for setting in SETTINGS)


@frozen
class PasswordSource:
    """Where passwords come from: the environment, one folder, and the store (`sealed`)."""

    environ: Mapping[str, str] = field(repr=False)
    folder: Path | None
    sealed: Callable[[Instance], Secret | None]

    def secret_for(self, instance: Instance) -> Secret:
        """Find the instance's password; one without a reference logs in with none.

        Raises CollectFailed (credential_unavailable), which names the reference only.
        """
        reference = instance.password_ref
        if reference is None:
            return Secret("")
        try:
            secret = self._find(instance, reference)
        except CollectFailed:
            raise
        except (OSError, ValueError, CapacityError) as error:
            raise _unavailable(reference) from error
        if secret is None:
            raise _unavailable(reference)
        return secret

    def _find(self, instance: Instance, reference: str) -> Secret | None:
        if reference == SEALED:
            return self.sealed(instance)
        kind, _, name = reference.partition(":")
        if kind == "env" and name.startswith(ENV_PREFIX) and name not in OWN_VARIABLES:
            value = self.environ.get(name)
            return None if value is None else password(value)
        if kind == "file" and self.folder is not None:
            return _filed(read_regular(_inside(self.folder, name), MAX_PASSWORD_BYTES))
        return None


def credential_mark(
    secret_for: Callable[[Instance], Secret], key_of: Callable[[], bytes], instance: Instance
) -> str | None:
    """Tell credentials apart by a keyed hash: whoever reads it learns nothing of the password.

    Whoever edits the instance, and be it to give the same password again, makes it another one.
    None where there is no password to be had, or no key.
    """
    try:
        secret, key = secret_for(instance), key_of()
    except (CollectFailed, SettingsError):
        return None
    asked = [instance.id, instance.updated_at.isoformat(), secret.reveal()]
    own_key = hmac.digest(key, b"capacity-sync credential mark 1", "sha256")
    return hmac.digest(own_key, json.dumps(asked).encode(), "sha256").hex()


def password(value: str) -> Secret:
    """Take a text as a password. Raises ValueError if no driver could."""
    value.encode()
    if "\0" in value:  # would cut short what libpq is told, TLS options included
        raise ValueError("a password holds a NUL")
    return Secret(value)


def read_password(path: Path) -> Secret:
    """Read a file or pipe, less one newline at its end. Raises OSError, ValueError."""
    with path.open("rb") as file:
        return _filed(read_at_most(file, MAX_PASSWORD_BYTES))


def _filed(content: bytes) -> Secret:
    return password(content.decode().removesuffix("\n").removesuffix("\r"))


def _inside(folder: Path, name: str) -> Path:
    # Links are followed first: mounted secrets are links, but none may lead out of the folder.
    path = (folder / name).resolve(strict=True)
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(name)
    return path


def _unavailable(reference: str) -> CollectFailed:
    failure = Failure.of(Reason.CREDENTIAL_UNAVAILABLE, ref=reference)
    return CollectFailed(failure.reason, failure.hint)


def secret_key_of(settings: Settings) -> bytes:
    """Give the key that seals passwords; without a setting it is a file, made on first need.

    Raises SettingsError if others may read the file, or it cannot be read or made.
    """
    if settings.secret_key is not None:
        return settings.secret_key
    folder = settings.data_folder()
    path = folder / KEY_FILE
    try:
        if not path.exists():
            make_private(folder)
            _make_key_file(path)
        return _read_key_file(path)
    except OSError as error:
        raise SettingsError(Text(f"The key file {path}: {error.strerror}")) from error


def make_private(folder: Path) -> None:
    """Make a folder that only its owner enters. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def _make_key_file(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole or not at all, and never replaces what another process made.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _read_key_file(path: Path) -> bytes:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & OTHERS:
            raise SettingsError(Text(f"Others may read the key file {path}: chmod 600 it"))
        try:
            key = b64decode(file.read().strip(), validate=True)
        except Base64Error:
            key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(Text(f"The key file {path} holds no key: restore it, or remove it"))
    return key
