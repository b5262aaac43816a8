"""One page that answers what is kept, of which feature, and who says so."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lockstep.core.features import FeatureSpec
from lockstep.core.features import declared as features
from lockstep.core.pills import Tone, pill
from lockstep.core.retention.evidence import days
from lockstep.privacy.conf import settings
from lockstep.privacy.declared import declared
from lockstep.privacy.detectors.registry import configured
from lockstep.privacy.exceptions import DetectorMisconfigured
from lockstep.privacy.payloads import lifetime
from lockstep.privacy.policies import METADATA, OFF, origin_of
from lockstep.privacy.redaction import failures

__all__ = ["FeaturePolicy", "every_policy", "kept", "may_see", "page"]

TONES: dict[str, Tone] = {"off": "bad", "redact": "good", "redact_encrypt": "good"}
TITLES = {
    "off": "redaction is off",
    "metadata": "metadata",
    "redact": "redact",
    "redact_encrypt": "redact + encrypt",
}


@dataclass(frozen=True, slots=True)
class FeaturePolicy:
    """What is kept of one feature."""

    name: str
    """Empty for work without a feature."""
    spec: FeatureSpec | None
    policy: str
    origin: str
    known: Mapping[str, tuple[str, ...]]
    """Role -> fields of the people in its requests that are looked for."""
    lifetime: timedelta
    failures: tuple[tuple[str, int], ...]
    """Why nothing was kept although the policy keeps something, and how often, in this process."""

    @property
    def pill(self) -> SafeString:
        return _pill(self.policy)

    @property
    def days(self) -> str:
        return days(self.lifetime)

    @property
    def keeps(self) -> bool:
        return self.policy != METADATA

    @property
    def is_off(self) -> bool:
        return self.policy == OFF


def every_policy() -> list[FeaturePolicy]:
    """Declared features, those that only a setting or a failure names, and work without a feature."""
    specs = {spec.name: spec for spec in features()}
    failed: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for (feature, reason), count in sorted(failures().items()):
        failed[feature].append((reason, count))
    names = sorted({*specs, *settings().policies, *failed} - {""})
    return [
        FeaturePolicy(
            name, specs.get(name), *origin_of(name), declared(name), lifetime(name), tuple(failed[name])
        )
        for name in [*names, ""]
    ]  # fmt: skip


def page() -> dict[str, Any]:
    """What the template shows."""
    try:
        looked_for = [(type(one).__name__, one.version) for one in configured()]
        broken = ""
    except DetectorMisconfigured as error:
        looked_for, broken = [], str(error)
    rows = every_policy()
    return {
        "rows": rows,
        "detectors": looked_for,
        "broken": broken,
        "off": [row.name for row in rows if row.is_off],
        "failed": sum(count for row in rows for _, count in row.failures),
        "process": os.getpid(),
    }


def may_see(request: HttpRequest) -> bool:
    """Policies hold no content: who may look at features or at payloads may look at them."""
    return request.user.has_perm("lockstep_privacy.view_payload") or request.user.has_perm(
        "lockstep_core.view_feature"
    )


def kept(request: HttpRequest) -> Mapping[str, Mapping[str, SafeString | str]]:
    """The policy of each feature, for the list of features."""
    url = reverse("admin:lockstep_privacy_payload_policies")
    return {
        "Content kept": {
            spec.name: format_html('<a href="{}#{}">{}</a>', url, spec.name, _pill(origin_of(spec.name)[0]))
            for spec in features()
        }
    }


def _pill(policy: str) -> SafeString:
    return pill(TITLES[policy], TONES.get(policy, ""))
