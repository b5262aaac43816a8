"""How much of a feature's content may be kept.

=================  ==============================================================================================
``metadata``       nothing of the content. The default of personal and special data, and where nobody knows better
``redact``         the content without findings. The default of public and internal data
``redact_encrypt``  the same, encrypted before any sink sees it
``off``            the content as it is. Only for a feature of data class public, by its name; a check says so
=================  ==============================================================================================
"""

from __future__ import annotations

from datetime import timedelta

from lockstep.core.exceptions import FeatureError
from lockstep.core.features import spec
from lockstep.privacy.conf import BY_CLASS, settings

__all__ = ["METADATA", "OFF", "REDACT", "REDACT_ENCRYPT", "lifetime_of", "origin_of", "policy_of"]

OFF, METADATA, REDACT, REDACT_ENCRYPT = "off", "metadata", "redact", "redact_encrypt"


def policy_of(feature: str | None) -> str:
    """The policy in force. A feature that nobody declared, and work without a feature, is treated as personal data."""
    return origin_of(feature)[0]


def origin_of(feature: str | None) -> tuple[str, str]:
    """The policy in force, and why it is: the setting by its name, or in words."""
    try:
        data_class = spec(feature or "").data_class
    except FeatureError:
        return METADATA, "nobody declares it" if feature else "no feature is named"
    chosen = settings().policies.get(feature or "")
    if chosen == OFF and data_class != "public":
        return METADATA, f"'off' does not hold for {data_class} data"
    if chosen:
        return chosen, f"LOCKSTEP['privacy']['policies'][{feature!r}]"
    usual = settings().defaults.get(data_class, BY_CLASS[data_class])
    if usual != BY_CLASS[data_class]:
        return usual, f"LOCKSTEP['privacy']['defaults'][{data_class!r}]"
    return usual, f"default of {data_class} data"


def lifetime_of(feature: str | None) -> timedelta | None:
    """How long content of the feature is kept; None: as long as the table's rows usually are."""
    return settings().keep.get(feature or "")
