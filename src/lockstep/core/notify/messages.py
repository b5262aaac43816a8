"""What a sink is given: a notice as it may leave the house."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
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
        leaving = partial(_leaving, feature=feature, own=notice.topic in ports.topics.get())
        return cls(
            id=str(notice.pk),
            topic=notice.topic,
            subject=texts.line(leaving(notice.subject) or notice.topic, 300),
            body=texts.text(leaving(notice.body) or ""),
            severity=notice.severity,
            dedup_key=notice.dedup_key,
            resolves=notice.resolves,
            facts=(leaving(texts.plain(notice.facts)) or {}) if isinstance(notice.facts, dict) else {},
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


def _leaving(value: Any, *, feature: str | None, own: bool) -> Any:
    """The copy that may leave; None where policy lets nothing of it out.

    Args:
        own: the topic is registered, so the words are the code's own: they leave where no content may, and redacted
            where content may.
    """
    redactor = ports.redaction.get()
    if not value or isinstance(redactor, ports.NoRedaction):
        return value
    copy = redactor.redact(value, feature=feature)
    if copy is None or copy.encrypted:
        return value if own else None
    return copy.data
