"""Ways to a review from outside the admin. A link says which review is meant; who may decide is another matter."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.core import signing
from django.urls import NoReverseMatch, reverse

from lockstep.workflows.conf import settings

if TYPE_CHECKING:
    from lockstep.workflows.models import Wait

__all__ = ["queue", "review_url", "site", "wait_of"]

SALT = "lockstep.workflows.review"


def review_url(wait: Wait) -> str:
    """Address of the page of a review, for a mail or a message; whoever opens it must log in.

    It begins with ``LOCKSTEP["workflows"]["site_url"]``; without that setting it is a path, for
    ``request.build_absolute_uri()``.

    Raises:
        NoReverseMatch: ``lockstep.workflows.urls`` is not in the project's URLs.
    """
    token = signing.dumps(str(wait.pk), salt=SALT)
    return site(reverse("lockstep_workflows:review", args=[token]))


def wait_of(token: str) -> UUID:
    """Key of the wait that a link leads to.

    Raises:
        SignatureExpired: it was made more than ``link_days`` ago.
        BadSignature: we have not made it.
    """
    return UUID(signing.loads(token, salt=SALT, max_age=timedelta(days=settings().link_days)))


def queue() -> str:
    """Address of the review queue; empty where nobody says where the project is, or it has no admin."""
    try:
        return site(reverse("admin:lockstep_workflows_wait_changelist")) if settings().site_url else ""
    except NoReverseMatch:
        return ""


def site(path: str) -> str:
    """The address of a path, where the settings say what stands before it."""
    return f"{settings().site_url.rstrip('/')}{path}"
