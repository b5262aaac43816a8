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

__all__ = ["METADATA", "OFF", "REDACT", "REDACT_ENCRYPT", "lifetime_of", "policy_of"]

OFF, METADATA, REDACT, REDACT_ENCRYPT = "off", "metadata", "redact", "redact_encrypt"


def policy_of(feature: str | None) -> str:
    """The policy in force. A feature that nobody declared, and work without a feature, is treated as personal data."""
    try:
        data_class = spec(feature or "").data_class
    except FeatureError:
        return METADATA
    chosen = settings().policies.get(feature or "") or (BY_CLASS | dict(settings().defaults))[data_class]
    return METADATA if chosen == OFF and data_class != "public" else chosen


def lifetime_of(feature: str | None) -> timedelta | None:
    """How long content of the feature is kept; None: as long as the table's rows usually are."""
    return settings().keep.get(feature or "")
