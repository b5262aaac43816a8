"""Ways from page to page. What lies in other apps is linked by URL, where there is one and the person may see it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.urls import reverse

from lockstep.core.links import soft

__all__ = ["call", "calls", "feature", "payload", "prompt_version", "spend", "with_query"]


def calls(**query: str) -> str:
    return with_query(reverse("admin:lockstep_llm_call_changelist"), query)


def call(pk: Any) -> str:
    return reverse("admin:lockstep_llm_call_change", args=[pk])


def spend(**query: str) -> str:
    return with_query(reverse("admin:lockstep_llm_call_spend"), query)


def feature(name: str, user: AbstractBaseUser | AnonymousUser) -> str:
    return soft("lockstep_core", "feature", "change", user, quote(name)) if name else ""


def prompt_version(prompt: str, key: str, user: AbstractBaseUser | AnonymousUser) -> str:
    return soft("lockstep_prompts", "prompt", "version", user, quote(prompt), key) if prompt and key else ""


def payload(call: Any, user: AbstractBaseUser | AnonymousUser) -> str:
    """What was said in a call, as far as it is kept."""
    return soft("lockstep_privacy", "payload", "change", user, str(call), verbs="view")


def with_query(url: str, query: dict[str, str]) -> str:
    """The page, narrowed: for who makes many links to one page, as finding its URL takes the longest."""
    return f"{url}?{urlencode(query)}" if query else url
