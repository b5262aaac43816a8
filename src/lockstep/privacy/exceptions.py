"""What privacy raises. No text of an error repeats content."""

from __future__ import annotations

from lockstep.core.exceptions import LockstepError

__all__ = [
    "DetectorFailed",
    "DetectorMisconfigured",
    "EncryptionUnavailable",
    "KnownError",
    "PrivacyError",
    "RightsError",
    "TooLong",
    "Unredactable",
]


class PrivacyError(LockstepError):
    """Privacy cannot do what was asked. What could not be redacted is not kept."""


class DetectorMisconfigured(PrivacyError, ValueError):
    """A detector of the settings cannot be made."""


class DetectorFailed(PrivacyError, RuntimeError):
    """A detector raised, took too long or returned spans that cannot be."""

    detector: str = ""
    """Name of its class."""
    why: str = ""
    """What it did, without content."""


class Unredactable(PrivacyError, TypeError):
    """The content is no text and no structure as JSON has them. Nothing of it is kept."""


class TooLong(PrivacyError, ValueError):
    """The content is longer than ``LOCKSTEP["privacy"]["most_characters"]``. Nothing of it is kept."""


class KnownError(PrivacyError, ValueError):
    """The objects that a request is about are not those that known() declares for the feature."""


class EncryptionUnavailable(PrivacyError, RuntimeError):
    """The policy redact_encrypt needs a key: LOCKSTEP["privacy"]["encryption_keys"], and django-lockstep[privacy]."""


class RightsError(PrivacyError, ValueError):
    """Nobody can be erased or exported like this. Nothing was changed."""
