"""The detectors of the settings."""

from __future__ import annotations

from lockstep.core.backends import Backends
from lockstep.privacy.conf import settings
from lockstep.privacy.detectors.base import Detector
from lockstep.privacy.exceptions import DetectorMisconfigured

__all__ = ["configured"]

_detectors: Backends[Detector] = Backends(
    'LOCKSTEP["privacy"]["detectors"]',
    lambda: settings().detectors,
    DetectorMisconfigured,
    extras={"presidio_analyzer": "presidio"},
)


def configured() -> list[Detector]:
    """All of them, in the order of the settings.

    Raises:
        DetectorMisconfigured: an entry cannot be used; the text says why.
    """
    return [_detectors.get(alias) for alias in settings().detectors]
