"""Addresses that others send events to: who may send, and what of theirs is which event.

The last part of an address is random and only its digest is kept. The secret that requests are signed with is issued by
the sender and stands in ``LOCKSTEP["workflows"]["webhook_secrets"]``, or is derived from ``SECRET_KEY``: whoever gets
hold of the database or a dump of it can neither find an address nor sign for it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings as django_settings
from django.urls import NoReverseMatch, reverse
from django.utils.crypto import salted_hmac

from lockstep.core.exceptions import SignatureError
from lockstep.core.notify import signatures
from lockstep.workflows import links
from lockstep.workflows.conf import settings
from lockstep.workflows.inbox.models import Webhook

__all__ = ["Made", "authentic", "make", "named", "secret_of"]

SALT = "lockstep.workflows.webhook"


@dataclass(frozen=True, slots=True)
class Made:
    webhook: Webhook
    url: str
    """Shown once: it is not kept. Only the last part where ``lockstep.workflows.urls`` is not in the project."""
    secret: str


def make(source: str, *, event: str = "", key_path: str = "") -> Made:
    """An address for ``source``. When it has one, that one is no longer good, nor is its derived secret.

    Args:
        event: name of its events; when left out, ``type`` in the body says it.
        key_path: where their key stands in the body, ``data.order.id``; when left out they have none.

    Raises:
        ValueError: a name is empty or too long.
    """
    for what, given, most in (("source", source, 100), ("event", event, 200), ("key_path", key_path, 200)):
        if (
            not isinstance(given, str)
            or len(given) > most
            or "\0" in given
            or (what == "source" and not given)
        ):
            raise ValueError(f"{what} is a text of {most} characters at most, not {given!r:.80}.")
    token = secrets.token_urlsafe(32)
    facts = {
        "token_digest": _digest(token), "nonce": secrets.token_hex(16), "event": event, "key_path": key_path,
        "active": True,
    }  # fmt: skip
    webhook, _ = Webhook.objects.using(settings().database).update_or_create(source=source, defaults=facts)
    try:
        url = links.site(reverse("lockstep_workflows:event", args=[token]))
    except NoReverseMatch:
        url = token
    return Made(webhook, url, secret_of(webhook).split()[0])


def secret_of(webhook: Webhook) -> str:
    """What its requests are signed with; several with a space between while one is being changed."""
    issued = settings().webhook_secrets.get(webhook.source)
    if issued:
        return issued
    keys = (django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS)
    return " ".join(_derived(webhook, key) for key in keys)


def authentic(token: str, body: bytes, headers: Mapping[str, str]) -> tuple[Webhook, str]:
    """The address and the sender's id of a request, once it is known to be the sender's.

    Raises:
        SignatureError: it is not to be believed; for whatever reason, an address that is none costs as much time.
    """
    webhook = Webhook.objects.using(settings().database).filter(token_digest=_digest(token)).first()
    known = webhook or Webhook(source="", nonce="")
    id = signatures.verify(body, headers, secret_of(known))  # noqa: A001
    if webhook is None or not webhook.active:
        raise SignatureError("No such address.")
    return webhook, id


def named(webhook: Webhook, body: Any) -> tuple[str, str]:
    """Name and key of the event that a body is.

    Raises:
        ValueError: the body does not say.
    """
    name = webhook.event or _at(body, "type", "the name of the event")
    return name, _at(body, webhook.key_path, "its key") if webhook.key_path else ""


def _at(body: Any, path: str, what: str) -> str:
    found = body
    for part in path.split("."):
        if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            raise ValueError(f"The body does not say {what}: there is nothing at {path!r}.")
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise ValueError(f"The body does not say {what}: at {path!r} is neither a text nor a whole number.")
    return str(found)


def _derived(webhook: Webhook, key: str | bytes) -> str:
    made = salted_hmac(SALT, f"{webhook.source} {webhook.nonce}", secret=key, algorithm="sha256").digest()
    return f"whsec_{base64.b64encode(made).decode()}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
