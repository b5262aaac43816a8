"""pgvector's settings for one statement, and for no other."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lockstep.search.query.spec import SearchSpec

__all__ = ["marker", "watch"]

MARK = re.compile(r"/\*lockstep:(\d+)\*/")
# Compiling a statement of a few milliseconds to machine code costs more than it saves.
NAMES = ("hnsw.ef_search", "hnsw.iterative_scan", "jit")
DEFAULTS = ("40", "off", "on")


def marker(spec: SearchSpec) -> str:
    """A comment by which the statement is recognised wherever Django puts it: counts, sub-queries, EXPLAIN."""
    return f"/*lockstep:{min(1000, max(40, 2 * spec.depth))}*/"


def watch(connection: Any) -> None:
    """Have the connection look out for marked statements."""
    if _with_settings not in connection.execute_wrappers:
        connection.execute_wrappers.append(_with_settings)


def _with_settings(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Set, run and restore in one message, so that nothing leaks, not even inside an outer transaction."""
    found = MARK.search(sql) if isinstance(sql, str) else None
    if found is None or many:
        return execute(sql, params, many, context)
    reach = found.group(1)
    cursor = context["cursor"]
    if _is_named(cursor) or context["connection"].settings_dict["OPTIONS"].get("server_side_binding"):
        return _around(execute, sql, params, context, reach)
    result = execute(f"{_KEEP}; {_set(reach)}; {sql}; {_BACK}", params, many, context)
    cursor.nextset()
    cursor.nextset()
    return result


#: The caller's values are parked in a setting of ours, local to the transaction like the others.
_KEEP = "SELECT set_config('lockstep.before', concat_ws('|', {}), true)".format(
    ", ".join(f"coalesce(current_setting('{name}', true), '')" for name in NAMES)
)
_BACK = "SELECT " + ", ".join(
    f"set_config('{name}', coalesce(nullif(split_part(current_setting('lockstep.before'), '|', {place}), ''),"
    f" '{default}'), true)"
    for place, (name, default) in enumerate(zip(NAMES, DEFAULTS, strict=True), 1)
)


def _set(reach: str) -> str:
    return (
        f"SELECT set_config('{NAMES[0]}', '{reach}', true), set_config('{NAMES[1]}', 'relaxed_order', true)"
    )


def _is_named(cursor: Any) -> bool:
    return bool(getattr(cursor, "name", None) or getattr(getattr(cursor, "cursor", None), "name", None))


def _around(execute: Callable[..., Any], sql: str, params: Any, context: dict[str, Any], reach: str) -> Any:
    """For cursors that take one statement at a time: settings before, settings back, in messages of their own."""
    connection = context["connection"]
    change = "SELECT " + ", ".join("set_config(%s, %s, false)" for _ in NAMES)
    with connection.cursor() as other:
        other.execute("SELECT " + ", ".join(f"current_setting('{name}', true)" for name in NAMES))
        before = [value or default for value, default in zip(other.fetchone(), DEFAULTS, strict=True)]
        other.execute(change, _pairs([reach, "relaxed_order", "off"]))
        try:
            return execute(sql, params, False, context)
        finally:
            if not connection.needs_rollback:
                other.execute(change, _pairs(before))


def _pairs(values: list[str]) -> list[str]:
    return [part for pair in zip(NAMES, values, strict=True) for part in pair]
