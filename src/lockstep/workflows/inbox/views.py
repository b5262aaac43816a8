"""Where events come in over HTTP."""

from __future__ import annotations

import json
import logging
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from lockstep.core.exceptions import SignatureError
from lockstep.workflows.conf import settings
from lockstep.workflows.inbox import webhooks
from lockstep.workflows.inbox.receiving import receive

__all__ = ["event"]

logger = logging.getLogger("lockstep.workflows")


@csrf_exempt
@require_POST
def event(request: HttpRequest, token: str) -> HttpResponse:
    """An event from a sender that has an address here: 202 once it is kept, 200 where it was, 401 for everybody who is
    not that sender, without a reason: a log has it. 413 when it is too large, 400 when it is no event."""
    body = _body(request)
    if body is None:
        return JsonResponse({"error": f"{settings().max_event_bytes} bytes at most."}, status=413)
    try:
        webhook, id = webhooks.authentic(token, body, request.headers)  # noqa: A001
    except SignatureError as error:
        logger.warning("An event was refused: %s", error)
        return HttpResponse(status=401)
    try:
        said = json.loads(body, parse_constant=_refuse)
        name, key = webhooks.named(webhook, said)
        found, new = receive(name, key=key, body=said, dedupe=id, source=webhook.source)
    except (ValueError, RecursionError) as error:
        return JsonResponse({"error": str(error)[:500]}, status=400)
    return JsonResponse({"event": str(found.pk), "new": new}, status=202 if new else 200)


def _body(request: HttpRequest) -> bytes | None:
    """None where it is too large: whoever sends it is not known yet, so no more is read than need be."""
    most = settings().max_event_bytes
    try:
        if int(request.headers.get("Content-Length") or 0) > most:
            return None
        body = request.body
    except (ValueError, RequestDataTooBig):
        return None
    return body if len(body) <= most else None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON.")
