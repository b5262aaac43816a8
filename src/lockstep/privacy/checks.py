"""System checks of privacy. Each id has a heading in docs/reference/checks.md."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured

from lockstep.core import ports
from lockstep.core.conf import nearest
from lockstep.core.features import declared
from lockstep.core.retention.conf import lifetimes
from lockstep.privacy.conf import PrivacySettings, settings
from lockstep.privacy.detectors.registry import configured
from lockstep.privacy.encryption import encrypt
from lockstep.privacy.exceptions import DetectorMisconfigured, EncryptionUnavailable
from lockstep.privacy.payloads import MODEL
from lockstep.privacy.policies import OFF, REDACT_ENCRYPT, policy_of

__all__ = ["check_detectors", "check_encryption", "check_lifetimes", "check_policies"]


def check_policies(**_: Any) -> list[CheckMessage]:
    """E001, W001, W002: a policy that does not hold, one that leaves content as it is, one for nobody."""
    found: list[CheckMessage] = []
    classes = {spec.name: spec.data_class for spec in declared()}
    for feature, policy in (_settings() or PrivacySettings()).policies.items():
        if feature not in classes:
            found.append(
                Caution(
                    f"A policy is set for {feature!r}, which nobody declares.",
                    hint=nearest(feature, set(classes))
                    if classes
                    else "Declare it in features.py of an app.",
                    id="lockstep_privacy.W002",
                )
            )
        elif policy == OFF and classes[feature] != "public":
            found.append(
                Error(
                    f"{feature!r} has the policy 'off', but sends {classes[feature]} data: nothing of it is kept.",
                    hint="Only a feature declared with data_class='public' may have it. Take 'redact' or 'metadata'.",
                    id="lockstep_privacy.E001",
                )
            )
        elif policy == OFF:
            found.append(
                Caution(
                    f"REDACTION IS OFF for {feature!r}: what people write there is kept as it is.",
                    hint="Silence it only for a feature in which nobody can write anything personal.",
                    id="lockstep_privacy.W001",
                )
            )
    return found


def check_detectors(**_: Any) -> list[CheckMessage]:
    """E002: a detector cannot be made, so nothing would be kept."""
    if _settings() is None:
        return []
    try:
        configured()
    except DetectorMisconfigured as error:
        return [Error(str(error), hint="See docs/howto/redaction.md.", id="lockstep_privacy.E002")]
    return []


def check_encryption(**_: Any) -> list[CheckMessage]:
    """E003: a policy encrypts, and cannot."""
    here = _settings()
    if here is None:
        return []
    used = REDACT_ENCRYPT in here.defaults.values()
    if not used and all(policy_of(spec.name) != REDACT_ENCRYPT for spec in declared()):
        return []
    try:
        encrypt("")
    except EncryptionUnavailable as error:
        hint = "Make a key: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
        return [Error(str(error), hint=hint, id="lockstep_privacy.E003")]
    return []


def check_lifetimes(**_: Any) -> list[CheckMessage]:
    """E004: a feature's content is to be kept for longer than the database accepts."""
    here = _settings()
    retained = ports.retention.get().get(MODEL)
    limits = lifetimes(retained) if retained else None
    if here is None or limits is None:
        return []
    return [
        Error(
            f"Content of {feature!r} is to be kept for {lifetime.days} days, and the table takes {limits[1].days} at"
            " most: nothing of it would be kept.",
            hint=f"Keep it for a shorter time, or raise most_days of {MODEL} in LOCKSTEP['retention']['limits'].",
            id="lockstep_privacy.E004",
        )
        for feature, lifetime in here.keep.items()
        if lifetime > limits[1]
    ]


def _settings() -> PrivacySettings | None:
    try:
        return settings()
    except ImproperlyConfigured:  # lockstep_core.E001 says so
        return None
