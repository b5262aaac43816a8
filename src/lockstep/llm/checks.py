"""System checks of llm. Each id has a heading in docs/reference/checks.md; that of prices is in ``money.checks``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  Django's name
from django.core.exceptions import ImproperlyConfigured

from lockstep.core import features
from lockstep.core.conf import nearest
from lockstep.core.placement import misplaced
from lockstep.llm.bypass import ALLOWED, bypasses
from lockstep.llm.conf import settings

__all__ = ["check_bypass", "check_database", "check_providers", "check_sentry", "check_tracing"]

TRACING = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2", "LANGCHAIN_TRACING")
"""What langsmith, which comes with langchain-core, and langchain-core itself look for."""
OFF = {"", "0", "false"}
SENTRY_HOOKS = (
    "before_send",
    "before_send_transaction",
    "before_breadcrumb",
    "before_send_log",
    "before_send_metric",
)
"""Options of Sentry's SDK that ``lockstep.contrib.sentry`` fills. Known by name: contrib stands above this app."""


def check_tracing(**_: Any) -> list[CheckMessage]:
    """E001: LangSmith's tracing is switched on, and nobody allowed it."""
    on = [name for name in TRACING if os.environ.get(name, "").strip().lower() not in OFF]
    if not on or _allowed():
        return []
    return [
        Error(
            f"{' and '.join(on)} switched on: LangChain would send every prompt and answer to LangSmith.",
            hint=f"unset {' '.join(on)} for every process, workers too. If that is what you want, say so:"
            ' LOCKSTEP["llm"]["allow_langsmith"] = True.',
            id="lockstep_llm.E001",
        )
    ]


def check_database(**_: Any) -> list[CheckMessage]:
    """E003: the ledger's database cannot hold it. E004: the admin would switch features off in another one."""
    from lockstep.core.models import Feature
    from lockstep.llm.models import Call

    effects = {
        Feature: "what the admin switches off would go on",
        Call: "the admin would not show what the door writes",
    }
    try:
        alias = settings().database
    except ImproperlyConfigured:  # lockstep_core.E001 says it
        return []
    return list(misplaced("llm", alias, effects, unusable="lockstep_llm.E003", elsewhere="lockstep_llm.E004"))


def check_providers(**_: Any) -> list[CheckMessage]:
    """E002: a feature's model names no provider that can be used. W002: the provider's key is not set."""
    try:
        known = settings().providers
    except ImproperlyConfigured:  # lockstep_core.E001 says it
        return []
    users: dict[str, dict[str, None]] = {}
    found: list[CheckMessage] = []
    models = [
        (spec, model) for spec in features.declared() for model in (spec.model, spec.fallback_model) if model
    ]
    for spec, model in models:
        alias, colon, name = model.partition(":")
        if colon and name and alias in known:
            users.setdefault(alias, {})[spec.name] = None
            continue
        hint = nearest(alias, set(known)) if colon and name else "Write provider:name, openai:gpt-5-mini."
        found.append(
            Error(
                f"The model {model!r} of the feature {spec.name!r} names no provider of"
                ' LOCKSTEP["llm"]["providers"].',
                hint=hint,
                id="lockstep_llm.E002",
            )
        )
    return found + [message for alias, names in users.items() for message in _usable(alias, list(names))]


def check_bypass(**_: Any) -> list[CheckMessage]:
    """W003: an installed app imports a provider's SDK. Reads its source, so it runs with ``check --deploy``."""
    return [
        Warning(
            f"{path}:{line} imports {name}: what it asks is on no ledger, under no budget and behind no switch.",
            hint="Ask through lockstep.llm.feature(...), whose chat_model() is a LangChain model. If it must be direct,"
            f" say so behind the import: # {ALLOWED}",
            id="lockstep_llm.W003",
        )
        for path, line, name in bypasses()
    ]


def check_sentry(**_: Any) -> list[CheckMessage]:
    """E005: Sentry gets what is said to models. W004: it collects that, so that the hooks have to take it out again."""
    sdk: Any = sys.modules.get("sentry_sdk")
    client = sdk.get_client() if sdk else None
    if client is None or getattr(client, "transport", None) is None:
        return []
    found: list[CheckMessage] = []
    streamed = ("before_send_span",) if client.options.get("trace_lifecycle") == "stream" else ()
    hooks = [name for name in (*SENTRY_HOOKS, *streamed) if name in client.options]
    bare = [name for name in hooks if not getattr(client.options[name], "lockstep_scrubs", False)]
    if bare:
        found.append(
            Error(
                f"Sentry is set up without {', '.join(bare)} of lockstep.contrib.sentry: prompts and answers reach it"
                " in the variables of stack frames, in breadcrumbs and logs, whatever send_default_pii says.",
                hint="sentry_sdk.init(**lockstep.contrib.sentry.init_options(dsn=…)). See docs/howto/sentry.md.",
                id="lockstep_llm.E005",
            )
        )
    if collecting := _collecting(client):
        found.append(
            Warning(
                f"Sentry collects what is said to models ({', '.join(collecting)}).",
                hint="Leave send_default_pii off, give these integrations include_prompts=False, or set"
                ' data_collection={"gen_ai": {"inputs": False, "outputs": False}}.',
                id="lockstep_llm.W004",
            )
        )
    return found


def _collecting(client: Any) -> list[str]:
    """Integrations of Sentry that record prompts and answers."""
    asking = [name for name, one in client.integrations.items() if getattr(one, "include_prompts", False)]
    chosen = client.options.get("data_collection") or {}
    if chosen.get("provided_by_user"):
        return sorted(asking) if any(chosen.get("gen_ai", {}).values()) else []
    return sorted(asking) if client.should_send_default_pii() else []


def _usable(alias: str, names: list[str]) -> Iterator[CheckMessage]:
    from lockstep.llm.providers import get_provider

    used_by = f"used by {', '.join(names)}"
    try:
        provider: Any = get_provider(alias)
    except ImproperlyConfigured as error:
        yield Error(
            f"The provider {alias!r}, {used_by}, cannot be made.", hint=str(error), id="lockstep_llm.E002"
        )
        return
    variable = getattr(provider, "api_key_env", "")
    if getattr(provider, "needs_key", False) and not os.environ.get(variable, "").strip():
        named = "api_key_env" in (settings().providers[alias].get("OPTIONS") or {})
        if named or _refuses(provider):
            yield Warning(
                f"{variable} is not set: the provider {alias!r}, {used_by}, cannot be asked.",
                hint=f"Set {variable} in the environment of every process that asks, workers too.",
                id="lockstep_llm.W002",
            )


def _refuses(provider: Any) -> bool:
    """A server of one's own may want no key."""
    try:
        provider.key()
    except ImproperlyConfigured:
        return True
    return False


def _allowed() -> bool:
    try:
        return settings().allow_langsmith
    except ImproperlyConfigured:
        return False
