"""A review behind a link of its own, for people who do not work in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from lockstep.workflows import links
from lockstep.workflows.answers import why_not
from lockstep.workflows.exceptions import NotAnswerable
from lockstep.workflows.models import Wait
from lockstep.workflows.reviews.deciding import decided
from lockstep.workflows.reviews.page import context, find

__all__ = ["review"]

STATUS = {"answered": 409, "stale": 409, "expired": 410, "withdrawn": 410, "missing": 410}


@never_cache
@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def review(request: HttpRequest, token: str) -> HttpResponse:
    """Show a review; a POST decides it, and nothing else does: scanners of mail follow links. 403 for whoever may not
    answer, 409 once it was answered, 410 when it is too late."""
    try:
        wait = find(links.wait_of(token))
    except signing.SignatureExpired:
        return _page(request, None, trouble="This link is too old. Ask for another.", status=410)
    except (signing.BadSignature, ValueError) as error:
        raise Http404("This is no link to a review.") from error
    if wait is None:
        return _page(request, None, trouble="Nothing is kept of this any more.", status=410)
    if reason := why_not(wait, request.user):
        raise PermissionDenied(reason)
    if request.method != "POST":
        return _page(request, wait, status=_status(wait))
    try:
        found = decided(wait, request.POST, request.user)
    except NotAnswerable as error:
        return _page(request, find(wait.pk), trouble=str(error), status=STATUS[error.reason])
    if isinstance(found, Wait):
        return _page(request, found, done=True)
    return _page(request, wait, form=found, status=400)


def _status(wait: Wait) -> int:
    if wait.status == Wait.Status.OPEN:
        return 410 if wait.due_at and wait.due_at <= timezone.now() else 200
    return STATUS[wait.status]


def _page(
    request: HttpRequest, wait: Wait | None, *, form: Any = None, status: int = 200, **more: Any
) -> HttpResponse:
    shown: dict[str, Any] = context(wait, request.user, form) if wait is not None else {"title": "Review"}
    if status == 410:
        shown["form"] = None
    return TemplateResponse(
        request,
        "lockstep/workflows/review.html",
        {"trouble": "", "done": False, **shown, **more},
        status=status,
    )
