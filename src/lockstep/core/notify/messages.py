"""What a sink is given: a notice as it may leave the house."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from lockstep.core import ports
from lockstep.core.notify import texts

if TYPE_CHECKING:
    from lockstep.core.models import Notice

__all__ = ["Message", "trial"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to people. It may come twice after a crash: receivers drop an ``id`` that they know."""

    id: str
    """Of the notice, or of a trial. The idempotency key."""
    topic: str
    subject: str
    body: str = ""
    severity: str = "info"
    dedup_key: str = ""
    """Messages with one key are one incident."""
    resolves: bool = False
    """Closes the incident of ``dedup_key``."""
    facts: dict[str, Any] = field(default_factory=dict)
    at: datetime = field(default_factory=timezone.now)
    also: tuple[str, ...] = ()
    """Ids of earlier notices of the same incident that this message tells too: they waited while the sink was down."""

    @classmethod
    def of(cls, notice: Notice, also: Sequence[int] = ()) -> Message:
        """A notice as it may leave: what the project's policy redacts is redacted."""
        feature = notice.facts.get("feature") if isinstance(notice.facts, dict) else None
        feature = feature if isinstance(feature, str) and feature else None
        at = notice.at if timezone.is_aware(notice.at) else timezone.make_aware(notice.at)
        return cls(
            id=str(notice.pk),
            topic=notice.topic,
            subject=texts.line(_leaving(notice.subject, feature), 300),
            body=texts.text(_leaving(notice.body, feature)),
            severity=notice.severity,
            dedup_key=notice.dedup_key,
            resolves=notice.resolves,
            facts=_leaving(texts.plain(notice.facts), feature) if isinstance(notice.facts, dict) else {},
            at=at.astimezone(UTC),
            also=tuple(map(str, also)),
        )

    def told(self) -> str:
        """The body, with what else it stands for."""
        count = len(self.also)
        if not count:
            return self.body
        more = f"{count} earlier notice{'s' if count > 1 else ''} of this incident waited and are told with this one."
        return f"{self.body}\n\n{more}".strip()

    def json(self) -> dict[str, Any]:
        """For receivers that are programs."""
        return {
            "id": self.id,
            "topic": self.topic,
            "subject": self.subject,
            "body": self.body,
            "severity": self.severity,
            "dedup_key": self.dedup_key,
            "resolves": self.resolves,
            "facts": self.facts,
            "at": self.at.isoformat(timespec="milliseconds"),
            "also": list(self.also),
        }

    def as_resolved(self) -> Message:
        """The message that closes what this one opened."""
        return replace(self, id=f"{self.id}-resolved", subject=f"Over: {self.subject}", resolves=True)


def trial(sink: str, name: str) -> Message:
    """A test notice, by hand."""
    return Message(
        id=f"test-{name}",
        topic="lockstep.test",
        subject=f"A test notice for {sink}",
        body="Somebody pressed the button in the admin. Nothing is wrong.",
        dedup_key=f"lockstep.test.{name}",
    )


def _leaving(value: Any, feature: str | None) -> Any:
    """The copy that may leave: every text in it as the project's policy has it. Names of facts are the code's own."""
    if isinstance(value, dict):
        return {name: _leaving(one, feature) for name, one in value.items()}
    if isinstance(value, list):
        return [_leaving(one, feature) for one in value]
    return ports.redaction.get().redact(value, feature=feature) if isinstance(value, str) and value else value
