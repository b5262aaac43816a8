"""Notices by mail, with whatever Django's ``EMAIL_BACKEND`` is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from email.utils import parseaddr
from hashlib import sha256

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.utils import DNS_NAME

from lockstep.core.exceptions import SinkMisconfigured, SinkUnavailable
from lockstep.core.notify.messages import Message

__all__ = ["Mail"]


class Mail:
    """One mail a message, to all recipients. Mails of one incident hang together as a thread.

    Args:
        to: addresses; those of ``ADMINS`` when left out.
        sender: ``SERVER_EMAIL`` when left out.
        prefix: before every subject; ``EMAIL_SUBJECT_PREFIX`` when left out.
    """

    def __init__(
        self, to: Sequence[str] | None = None, sender: str | None = None, prefix: str | None = None
    ) -> None:
        if isinstance(to, str):
            raise ValueError("to must be a list of addresses.")
        self.to = None if to is None else list(to)
        self.sender = sender
        self.prefix = prefix
        wrong = [one for one in self.to or () if "@" not in parseaddr(one)[1]]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no address.")

    def problems(self) -> Iterator[str]:
        if not self._recipients():
            yield "Nobody gets these mails: name them in OPTIONS['to'], or in ADMINS."

    def send(self, message: Message, *, timeout_s: float) -> None:
        to = self._recipients()
        if not to:
            raise SinkMisconfigured("neither OPTIONS['to'] nor ADMINS names a recipient")
        prefix = settings.EMAIL_SUBJECT_PREFIX if self.prefix is None else self.prefix
        over = "Over: " if message.resolves and not message.subject.startswith("Over") else ""
        mail = EmailMessage(
            subject=f"{prefix}{over}{message.subject}",
            body=_body(message),
            from_email=self.sender or settings.SERVER_EMAIL,
            to=to,
            headers=_headers(message),
            connection=get_connection(fail_silently=False, timeout=timeout_s),
        )
        if not mail.send():
            raise SinkUnavailable("the mail backend took no mail")

    def _recipients(self) -> list[str]:
        if self.to is not None:
            return self.to
        # (name, address) until Django 6
        return [one if isinstance(one, str) else one[1] for one in settings.ADMINS]


def _headers(message: Message) -> dict[str, str]:
    """The same id when it is sent again, so that mail programs show it once."""
    found = {
        "Message-ID": f"<lockstep.{message.id}@{DNS_NAME}>",
        "Auto-Submitted": "auto-generated",
        "Lockstep-Notice": message.id,
    }
    if message.severity == "critical":
        found["Importance"] = "high"
    if message.dedup_key:
        incident = sha256(message.dedup_key.encode()).hexdigest()[:32]
        found["References"] = found["In-Reply-To"] = f"<lockstep.incident.{incident}@{DNS_NAME}>"
    return found


def _body(message: Message) -> str:
    parts = [message.told()]
    if message.facts:
        parts.append("\n".join(f"{name}: {_shown(value)}" for name, value in message.facts.items()))
    parts.append(
        f"-- \n{message.topic}, {message.severity}, {message.at:%Y-%m-%d %H:%M} UTC, notice {message.id}"
    )
    return "\n\n".join(part for part in parts if part)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
