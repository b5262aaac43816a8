"""The ``privacy`` section of the ``LOCKSTEP`` setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from lockstep.core.conf import Section
from lockstep.core.features import DATA_CLASSES

__all__ = ["POLICIES", "PrivacySettings", "settings"]

POLICIES = ("off", "metadata", "redact", "redact_encrypt")
PACK = {"pack": {"BACKEND": "lockstep.privacy.detectors.pack.Pack", "OPTIONS": {}}}
BY_CLASS = {"public": "redact", "internal": "redact", "personal": "metadata", "special": "metadata"}


@dataclass(frozen=True)
class PrivacySettings:
    policies: Mapping[str, str] = field(default_factory=dict)
    """Feature -> policy: metadata, redact, redact_encrypt, or off for a feature of data class public."""
    defaults: Mapping[str, str] = field(default_factory=lambda: dict(BY_CLASS))
    """Data class -> policy of its features that ``policies`` does not name."""
    detectors: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: dict(PACK))
    """Alias -> ``{"BACKEND": dotted path, "OPTIONS": {…}}``; known identities are looked for beside them."""
    keep: Mapping[str, timedelta] = field(default_factory=dict)
    """Feature -> how long its content is kept; the others' as ``LOCKSTEP["retention"]`` says for the table."""
    most_characters: int = 400_000
    """Of a longer content nothing is kept: looking through it would hold up the call."""
    timeout_s: float = 2.0
    """Longest that a detector which is not ours may take for one content, in seconds."""
    encryption_keys: Sequence[str] = ()
    """Fernet keys, newest first: the first encrypts, all of them decrypt."""

    def __post_init__(self) -> None:
        for name, policy in {**self.policies, **self.defaults}.items():
            if policy not in POLICIES:
                raise ValueError(f"{name!r} has the policy {policy!r}: take one of {', '.join(POLICIES)}.")
        for name in self.defaults:
            if name not in DATA_CLASSES:
                raise ValueError(f"defaults: {name!r} is no data class: {', '.join(DATA_CLASSES)}.")
        if "off" in {policy for name, policy in self.defaults.items()}:
            raise ValueError("defaults: 'off' is said for each feature by name, in policies.")
        for name, lifetime in self.keep.items():
            if not isinstance(lifetime, timedelta) or lifetime <= timedelta(0):
                raise ValueError(f"keep: {name!r} needs a timedelta of more than nothing, not {lifetime!r}.")
        if not (isinstance(self.most_characters, int) and self.most_characters > 0):
            raise ValueError(f"most_characters must be a number of at least 1, not {self.most_characters!r}.")
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s must be more than 0, not {self.timeout_s!r}.")
        if isinstance(self.encryption_keys, str):
            raise ValueError("encryption_keys must be a list of keys, newest first, not one string.")


section = Section("privacy", PrivacySettings)


def settings() -> PrivacySettings:
    return section.get()
