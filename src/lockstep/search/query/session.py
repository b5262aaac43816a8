"""Settings of one statement, and of no other."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.db import transaction

__all__ = ["marker", "watch"]

Execute = Callable[[str, Any, bool, dict[str, Any]], Any]

MARK = re.compile(r"/\*lockstep:(\d+)\*/")
# Compiling a statement of a few milliseconds to machine code costs more than it saves.
SETTINGS = {"hnsw.ef_search": "{reach}", "hnsw.iterative_scan": "relaxed_order", "jit": "off"}
DEFAULTS = ("40", "off", "on")
KEPT = "lockstep.kept"


def marker(reach: int) -> str:
    """A comment by which the statement is recognised wherever Django puts it: counts, sub-queries, EXPLAIN."""
    return f"/*lockstep:{max(40, reach)}*/"


def watch(connection: Any) -> None:
    """Have the connection look out for marked statements."""
    if _with_settings not in connection.execute_wrappers:
        # First, because ``connection.execute_wrapper()`` of a user takes away the last one when its block ends.
        connection.execute_wrappers.insert(0, _with_settings)


def _with_settings(execute: Execute, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Set, run and restore in one message: nothing leaks, not even inside an outer transaction.

    The settings are local to the transaction, so an error undoes them with the savepoint.
    """
    found = MARK.search(sql) if isinstance(sql, str) and not many else None
    if found is None:
        return execute(sql, params, many, context)
    change = _change(found[1])
    cursor, connection = context["cursor"], context["connection"]
    if _takes_one_statement(cursor, connection):
        return _apart(execute, sql, params, context, change)
    result = execute(f"{_KEEP}; {change}; {sql}; {_RESTORE}", params, many, context)
    cursor.nextset()
    cursor.nextset()
    return result


def _change(reach: str) -> str:
    parts = (f"set_config('{name}', '{value.format(reach=reach)}', true)" for name, value in SETTINGS.items())
    return f"SELECT {', '.join(parts)}"


#: The caller's values are parked in a setting of ours, local to the transaction like the others.
_KEEP = "SELECT set_config('{}', concat_ws('|', {}), true)".format(
    KEPT, ", ".join(f"coalesce(current_setting('{name}', true), '')" for name in SETTINGS)
)
_RESTORE = "SELECT " + ", ".join(
    f"set_config('{name}', coalesce(nullif(split_part(current_setting('{KEPT}'), '|', {place}), ''),"
    f" '{default}'), true)"
    for place, (name, default) in enumerate(zip(SETTINGS, DEFAULTS, strict=True), 1)
)


def _takes_one_statement(cursor: Any, connection: Any) -> bool:
    """Server-side cursors and server-side binding do not take several statements in one message."""
    return _is_named(cursor) or bool(connection.settings_dict["OPTIONS"].get("server_side_binding"))


def _is_named(cursor: Any) -> bool:
    return isinstance(
        getattr(cursor, "name", None) or getattr(getattr(cursor, "cursor", None), "name", None), str
    )


def _apart(execute: Execute, sql: str, params: Any, context: dict[str, Any], change: str) -> Any:
    """In messages of their own, inside one transaction.

    A cursor that is declared in the caller's transaction reads its first row only when asked for it, after this
    has returned: it keeps the caller's settings. The dense leg then finds itself short and searches exactly.
    """
    connection = context["connection"]
    if _is_named(context["cursor"]) and connection.in_atomic_block:
        return execute(sql, params, False, context)
    with transaction.atomic(using=connection.alias, savepoint=False), connection.cursor() as other:
        other.execute(_KEEP)
        other.execute(change)
        result = execute(sql, params, False, context)
        other.execute(_RESTORE)
    return result
