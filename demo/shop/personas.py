"""Alice and Bob: who looks at the shop. A demo asks for no password; a shop of yours will."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

PERSONAS = {"alice": "Alice", "bob": "Bob"}
SIGNED_IN = ("/admin/", "/lockstep/")
"""Where nobody is taken for Alice."""


class PersonaMiddleware:
    """A visitor who has not signed in is Alice."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(SIGNED_IN):
            signed_in = request.user
            request.user = SimpleLazyObject(lambda: _persona(signed_in))  # type: ignore[assignment]
        return self.get_response(request)


def _persona(signed_in: Any) -> Any:
    if signed_in.is_authenticated:
        return signed_in
    return get_user_model().objects.filter(username="alice").first() or AnonymousUser()


def personas(request: HttpRequest) -> dict[str, dict[str, str]]:
    """Context processor: who one may look at the shop as."""
    return {"personas": PERSONAS}
