"""Events: built anew from what may stay of them, so that what nobody thought of is left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lockstep.contrib.sentry import spans
from lockstep.contrib.sentry.texts import WITHHELD, Texts, is_word, without_literals, without_query

__all__ = ["breadcrumb", "event", "log"]

KEPT = (
    "event_id", "type", "timestamp", "start_timestamp", "level", "platform", "logger", "server_name", "release",
    "environment", "dist", "transaction_info", "sdk", "modules", "measurements", "debug_meta", "check_in_id",
    "monitor_slug", "monitor_config", "status", "duration",
)  # fmt: skip
"""Of an event as it is."""
USER = ("id", "username", "email", "ip_address")
"""Of whoever was signed in, where the SDK was told to send it (``send_default_pii``)."""
CONTEXTS = ("app", "browser", "cloud_resource", "culture", "device", "gpu", "os", "profile", "runtime")
FRAME = (
    "abs_path", "colno", "context_line", "filename", "function", "in_app", "lineno", "module", "package", "platform",
    "post_context", "pre_context",
)  # fmt: skip
"""Of a frame: where it is, and the lines of code there. Not its variables."""
MECHANISM = ("type", "handled", "exception_id", "parent_id", "source", "is_exception_group", "synthetic")
HEADERS = ("content-length", "content-type", "host", "user-agent")
QUIET = (
    "anthropic", "cohere", "google_genai", "httpcore", "httpx", "huggingface_hub", "langchain", "langgraph",
    "langsmith", "litellm", "openai", "urllib3.connectionpool",
)  # fmt: skip
"""Loggers that write requests and answers."""
QUOTING = (*(name.partition(".")[0] for name in QUIET), "pydantic")
"""Packages whose exceptions quote what they were given: whatever the policy, their text stays here."""


def event(given: Mapping[str, Any], texts: Texts) -> dict[str, Any]:
    """An error, a message, a transaction or a check-in."""
    kept: dict[str, Any] = {key: given[key] for key in KEPT if key in given}
    if given.get("transaction"):
        kept["transaction"] = without_query(str(given["transaction"]))
    for key in ("message", "culprit"):
        if given.get(key):
            kept[key] = texts(given[key])
    if isinstance(said := given.get("logentry"), Mapping):
        kept["logentry"] = {key: texts(said[key]) for key in ("message", "formatted") if said.get(key)}
    for key, scrub in (("exception", _exception), ("threads", _thread)):
        if key in given:
            kept[key] = {"values": [scrub(one, texts) for one in _values(given[key])]}
    if "stacktrace" in given:
        kept["stacktrace"] = _stacktrace(given["stacktrace"])
    if "breadcrumbs" in given:
        crumbs = (breadcrumb(one, texts) for one in _values(given["breadcrumbs"]))
        kept["breadcrumbs"] = {"values": [one for one in crumbs if one]}
    if "spans" in given:
        kept["spans"] = [spans.span(one, texts) for one in _values(given["spans"])]
    if isinstance(who := given.get("user"), Mapping):
        kept["user"] = {key: who[key] for key in USER if key in who}
    if isinstance(asked := given.get("request"), Mapping):
        kept["request"] = _request(asked)
    if isinstance(prints := given.get("fingerprint"), list):
        kept["fingerprint"] = [one if _is_print(one) else texts(one) for one in prints]
    kept["contexts"] = _contexts(given.get("contexts"))
    kept["tags"] = spans.tags(given.get("tags"))
    return kept


def breadcrumb(given: Mapping[str, Any], texts: Texts) -> dict[str, Any] | None:
    """What happened before; None where it is a logger that writes what was said."""
    category = given.get("category")
    if is_quiet(category):
        return None
    kept = {key: given[key] for key in ("timestamp", "type", "level", "event_id") if key in given}
    if is_word(category):
        kept["category"] = category
    message = given.get("message")
    if message:
        of_database = category == "query" and isinstance(message, str)
        kept["message"] = (without_literals(message) or WITHHELD) if of_database else texts(message)
    if data := spans.attributes(given.get("data")):
        kept["data"] = data
    return kept


def log(given: Mapping[str, Any], texts: Texts) -> dict[str, Any] | None:
    """A line of a log; None where its logger writes what was said."""
    facts = given.get("attributes") or {}
    if is_quiet(facts.get("logger.name")):
        return None
    return {**given, "body": texts(given.get("body")), "attributes": spans.attributes(facts)}


def is_quiet(logger: Any) -> bool:
    return isinstance(logger, str) and any(
        logger == name or logger.startswith((f"{name}.", f"{name}_")) for name in QUIET
    )


def _exception(given: Mapping[str, Any], texts: Texts) -> dict[str, Any]:
    kept = {key: given[key] for key in ("type", "module", "thread_id") if key in given}
    if given.get("value"):
        quotes = str(given.get("module") or "").partition(".")[0].startswith(QUOTING)
        kept["value"] = WITHHELD if quotes else texts(given["value"])
    if isinstance(how := given.get("mechanism"), Mapping):
        kept["mechanism"] = {key: how[key] for key in MECHANISM if key in how}
    return kept | _with_stack(given)


def _thread(given: Mapping[str, Any], texts: Texts) -> dict[str, Any]:
    kept = {key: given[key] for key in ("id", "name", "crashed", "current", "main") if key in given}
    return kept | _with_stack(given)


def _with_stack(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"stacktrace": _stacktrace(given["stacktrace"])} if given.get("stacktrace") else {}


def _stacktrace(given: Any) -> dict[str, Any]:
    frames = given.get("frames") if isinstance(given, Mapping) else None
    return {"frames": [{key: frame[key] for key in FRAME if key in frame} for frame in _values(frames)]}


def _request(given: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: given[key] for key in ("method",) if key in given}
    if isinstance(given.get("url"), str):
        kept["url"] = without_query(given["url"])
    if isinstance(headers := given.get("headers"), Mapping):
        kept["headers"] = {key: value for key, value in headers.items() if str(key).lower() in HEADERS}
    return kept


def _contexts(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        return {}
    kept = {name: given[name] for name in CONTEXTS if name in given}
    if isinstance(trace := given.get("trace"), Mapping):
        kept["trace"] = {key: trace[key] for key in (*spans.KEPT, "dynamic_sampling_context") if key in trace}
        kept["trace"]["data"] = spans.attributes(trace.get("data"))
    return kept


def _is_print(value: Any) -> bool:
    return is_word(value) or value == "{{ default }}"


def _values(given: Any) -> Iterator[Mapping[str, Any]]:
    every = given.get("values") if isinstance(given, Mapping) else given
    for one in every if isinstance(every, list) else []:
        if isinstance(one, Mapping):
            yield one
