"""What this library raises: one root, and a child for each meaning."""

from datetime import datetime

from capacity_core.messages import Language, Text, render


class CapacityError(Exception):
    """Root of everything raised on purpose; `message` is safe to show to anybody."""

    def __init__(self, message: Text) -> None:
        super().__init__(render(message, Language.EN))
        self.message = message


class NotFoundError(CapacityError, LookupError):
    """What was asked for does not exist, or was removed."""


class ConflictError(CapacityError):
    """Something with that name, or at that address, exists already."""


class InvalidInputError(CapacityError, ValueError):
    """A value from outside breaks a rule; `field` names the value."""

    def __init__(self, field: str, message: Text) -> None:
        super().__init__(message)
        self.field = field


class AuthenticationRequiredError(CapacityError):
    """No token, or one that is unknown or revoked."""


class PermissionRequiredError(CapacityError):
    """The token's scope does not reach that far."""


class NotAggregatedError(CapacityError):
    """What days amount to could not be kept, so that they cannot go."""


class EngineNotSupportedError(CapacityError, LookupError):
    """No engine of that db_type is installed."""


class SyncInProgressError(CapacityError):
    """Somebody else holds, or has meanwhile taken, the instance's lease."""

    def __init__(self, message: Text, since: datetime) -> None:
        super().__init__(message)
        self.since = since


class StoreError(CapacityError):
    """The store cannot be used: missing, locked, read-only, of another version, not ours."""


class SettingsError(CapacityError, ValueError):
    """A setting has a wrong value; the message names it."""
