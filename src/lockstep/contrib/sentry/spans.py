"""Spans: what was done, how long it took and what it cost, and nothing of what was said.

By name of what may stay: an integration that Sentry adds tomorrow brings nothing with it that nobody looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lockstep.contrib.sentry.texts import Texts, is_word, without_literals, without_query

__all__ = ["attributes", "description", "span", "streamed", "tags"]

STAYS = {
    "cache.hit", "cache.item_size", "db.driver.name", "db.name", "db.namespace", "db.operation", "db.operation.name",
    "db.system", "db.system.name", "error.type", "gen_ai.agent.name", "gen_ai.operation.name", "gen_ai.pipeline.name",
    "gen_ai.provider.name", "gen_ai.request.frequency_penalty", "gen_ai.request.max_tokens", "gen_ai.request.model",
    "gen_ai.request.presence_penalty", "gen_ai.request.seed", "gen_ai.request.temperature", "gen_ai.request.top_k",
    "gen_ai.request.top_p", "gen_ai.response.finish_reasons", "gen_ai.response.id", "gen_ai.response.model",
    "gen_ai.response.streaming", "gen_ai.response.time_to_first_chunk", "gen_ai.response.time_to_first_token",
    "gen_ai.system", "gen_ai.tool.name", "http.method", "http.request.method", "http.response.status_code",
    "http.response_content_length", "http.route", "http.status_code", "logger.name", "messaging.destination.name",
    "messaging.message.receive.latency", "messaging.message.retry.count", "messaging.system", "method",
    "middleware.name", "process.executable.name", "process.pid", "profiler_id", "status_code",
}  # fmt: skip
FAMILIES = (
    "code.", "gen_ai.cost.", "gen_ai.usage.", "lockstep.", "network.", "os.", "rpc.", "sentry.", "server.", "thread.",
)  # fmt: skip
NOT_EVEN_SO = ("sentry.message.", "sentry.segment.name")
URLS = ("url", "url.full", "http.url")
NAMED_BY_CODE = (
    "event.",
    "function",
    "http.",
    "middleware.",
    "queue.",
    "socket",
    "template.",
    "view.",
    "websocket",
)
"""Operations whose description is a route, a function or an address."""
ASKED = ("gen_ai.tool.name", "gen_ai.agent.name", "gen_ai.request.model")
KEPT = (
    "span_id", "parent_span_id", "trace_id", "same_process_as_parent", "op", "origin", "status", "start_timestamp",
    "timestamp", "exclusive_time", "hash", "is_segment", "end_timestamp",
)  # fmt: skip


def attributes(given: Any) -> dict[str, Any]:
    """Those that are known to hold no content, as far as their values look like it."""
    if not isinstance(given, Mapping):
        return {}
    kept = {}
    for key, value in given.items():
        if key in URLS and isinstance(value, str):
            kept[key] = without_query(value)
        elif _stays(str(key)) and _is_plain(value):
            kept[key] = value
    return kept


def tags(given: Any) -> dict[str, Any]:
    """Tags are set by code: names and numbers stay, sentences do not."""
    pairs = given.items() if isinstance(given, Mapping) else (given if isinstance(given, list) else [])
    return {str(key): value for key, value in pairs if is_word(key) and is_word(value)}


def description(op: Any, text: Any, data: Mapping[str, Any], texts: Texts) -> str:
    """What a span is called. That of a model's call is put together anew from what may stay of it."""
    kind = op if isinstance(op, str) else ""
    if not isinstance(text, str) or not text:
        return kind
    if kind.startswith(("gen_ai.", "ai.")):
        whom = next((data[key] for key in ASKED if key in data), "")
        return f"{data.get('gen_ai.operation.name') or kind} {whom}".strip()
    if kind == "db" or kind.startswith("db."):
        return without_literals(text) or kind
    if kind.startswith(NAMED_BY_CODE):
        return without_query(text)
    return texts(text)


def span(given: Mapping[str, Any], texts: Texts) -> dict[str, Any]:
    """A span of a transaction."""
    kept = {key: given[key] for key in KEPT if key in given and _says_nothing(given[key])}
    kept["data"] = attributes(given.get("data"))
    kept["tags"] = tags(given.get("tags"))
    kept["description"] = description(kept.get("op"), given.get("description"), kept["data"], texts)
    return kept


def streamed(given: Mapping[str, Any], texts: Texts) -> dict[str, Any]:
    """A span that travels alone; the SDK takes back its name and its attributes."""
    data = attributes(given.get("attributes"))
    return {
        **given,
        "attributes": data,
        "name": description(data.get("sentry.op"), given.get("name"), data, texts),
    }


def _stays(key: str) -> bool:
    return (key in STAYS or key.startswith(FAMILIES)) and not key.startswith(NOT_EVEN_SO)


def _says_nothing(value: Any) -> bool:
    return is_word(value) or not isinstance(value, str)


def _is_plain(value: Any) -> bool:
    return all(is_word(one) for one in value) if isinstance(value, list | tuple) else is_word(value)
