"""Which prompts are, or were, in production: the answer to procurement, and whether the ledger agrees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.utils import timezone

from lockstep.prompts.conf import settings
from lockstep.prompts.models import PromptVersion, Release

__all__ = ["LiveArm", "LivePrompt", "Stranger", "in_production", "strangers"]


@dataclass(frozen=True)
class LiveArm:
    arm: str
    version: str
    weight: int
    share: float
    """Part of the traffic, 0 to 1."""
    model: str
    source: str
    """Where the version was written: file, admin or code."""


@dataclass(frozen=True)
class LivePrompt:
    prompt: str
    environment: str
    release: int
    release_id: int
    since: datetime
    actor: str
    reason: str
    ticket: str
    override_by: str
    arms: tuple[LiveArm, ...]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "since": self.since.isoformat(), "arms": [asdict(arm) for arm in self.arms]}


@dataclass(frozen=True)
class Stranger:
    """Calls with a version that no release of the window explains."""

    prompt: str
    version: str
    calls: int
    first_at: datetime
    last_at: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "first_at": self.first_at.isoformat(),
            "last_at": self.last_at.isoformat(),
        }


def in_production(at: datetime | None = None, environment: str | None = None) -> list[LivePrompt]:
    """The versions of every prompt that were live at ``at``; None is now. Two queries however many prompts."""
    using, where = settings().database, environment or settings().environment
    releases = list(Release.objects.using(using).live(where, at))
    versions = _versions(releases, using)
    return [_live(row, versions) for row in releases]


def strangers(
    until: datetime | None = None,
    window: timedelta = timedelta(days=1),
    environment: str | None = None,
) -> list[Stranger]:
    """Versions that the ledger saw in ``(until - window, until]`` and that no release explains.

    A call is explained by the release that its row names, when that was in force at some moment of the window and has
    the call's version as an arm. A call without a release is never explained.
    """
    using, where = settings().database, environment or settings().environment
    until = until or timezone.now()
    with connections[using].cursor() as cursor:
        cursor.execute(_STRANGERS, {"since": until - window, "until": until, "environment": where})
        return [Stranger(*row) for row in cursor.fetchall()]


# A call that began before a switch committed may carry a time a little after it: the release in its own row counts,
# and a release is in force from its time, less GRACE for the clock, until its successor's time plus GRACE.
_STRANGERS = """
WITH reigns AS (
    SELECT id, prompt_id, arms, environment, at AS since,
           lead(at) OVER (PARTITION BY prompt_id, environment ORDER BY number) AS upto
    FROM lockstep_prompts_release
), explained AS (
    SELECT r.id, r.prompt_id, arm ->> 'version' AS version, r.environment
    FROM reigns AS r, jsonb_array_elements(r.arms) AS arm
    WHERE r.since - interval '1 minute' <= %(until)s
      AND coalesce(r.upto + interval '1 minute' > %(since)s, true)
)
SELECT c.prompt, c.prompt_version, count(*), min(c.at), max(c.at)
FROM lockstep_llm_call AS c
WHERE c.at > %(since)s AND c.at <= %(until)s AND c.prompt <> '' AND c.state <> 'refused'
  AND NOT EXISTS (SELECT FROM explained AS e WHERE e.id = c.release_id AND e.version = c.prompt_version
                  AND e.prompt_id = split_part(c.prompt, '@', 1))
  AND coalesce((SELECT r.environment FROM lockstep_prompts_release AS r WHERE r.id = c.release_id), %(environment)s)
      = %(environment)s
GROUP BY 1, 2 ORDER BY 1, 2
"""


def _versions(releases: Iterable[Release], using: str) -> dict[tuple[str, str], tuple[str, str]]:
    keys = {arm.version for row in releases for arm in row.split}
    rows = PromptVersion.objects.using(using).filter(key__in=keys)
    found = rows.values_list("prompt_id", "key", "source", "body__parameters__model")
    return {(prompt, key): (source, model or "") for prompt, key, source, model in found}


def _live(row: Release, versions: dict[tuple[str, str], tuple[str, str]]) -> LivePrompt:
    arms = []
    for arm, share in row.shares:
        source, model = versions[row.prompt_id, arm.version]
        arms.append(LiveArm(arm.name, arm.version, arm.weight, share / 100, arm.model or model, source))
    return LivePrompt(
        prompt=row.prompt_id,
        environment=row.environment,
        release=row.number,
        release_id=row.pk,
        since=row.at,
        actor=row.actor,
        reason=row.reason,
        ticket=row.ticket,
        override_by=row.override_by,
        arms=tuple(arms),
    )
