"""Ways from a page of one app to a page of another: by URL name, where there is one and the person may see it."""

from __future__ import annotations

from django.apps import apps
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.urls import NoReverseMatch, reverse

__all__ = ["soft"]


def soft(
    app: str,
    model: str,
    page: str,
    user: AbstractBaseUser | AnonymousUser,
    *arguments: str,
    verbs: str = "view change",
) -> str:
    """URL of an admin page; empty where the app is not installed, the page is missing, or the person may not see it.

    Args:
        page: last part of its name: ``change``.
        verbs: permissions on the model of which one must be held.
    """
    if not any(config.label == app for config in apps.get_app_configs()):
        return ""
    if not any(user.has_perm(f"{app}.{verb}_{model}") for verb in verbs.split()):  # type: ignore[union-attr]
        return ""
    try:
        return reverse(f"admin:{app}_{model}_{page}", args=arguments)
    except NoReverseMatch:
        return ""
