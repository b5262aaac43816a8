"""Statements on the connection that a test has: what ``apart`` would commit is rolled back with the test."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import WeakSet

import psycopg
from django.db import connections, transaction
from django.db.backends.signals import connection_created

from lockstep.core.testruns import under_test_runner

__all__ = ["query"]

_main_threads: WeakSet[Any] = WeakSet()


def query(alias: str, statement: str, params: Any) -> tuple[Any, ...]:
    """Run a statement in a savepoint of the caller's connection; its first row.

    A thread in no transaction borrows the main thread's connection while a test holds it in one, and else leaves none
    behind: it would be in the way of the test database's end.
    """
    connection = connections[alias]
    if threading.current_thread() is not threading.main_thread() and not connection.in_atomic_block:
        main = next((one for one in _main_threads if one.alias == alias and one.in_atomic_block), None)
        if main is not None:
            with _alone(main.connection):
                if main.in_atomic_block:  # still: its COMMIT waits for this lock
                    return _borrowed(main.connection, statement, params)
        known = connection.connection is not None
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, params)
                return _row(cursor.fetchone())
        finally:
            if not known:
                connection.close()
    connection.ensure_connection()
    with _alone(connection.connection), transaction.atomic(using=alias), connection.cursor() as cursor:
        cursor.execute(statement, params)
        return _row(cursor.fetchone())


def _alone(connection: psycopg.Connection[Any]) -> AbstractContextManager[Any]:
    """No statement of another thread between those of the caller; of a connection that only tests share."""
    lock: Any = connection.lock
    return lock if isinstance(lock, type(threading.RLock())) else nullcontext()


def _borrowed(connection: psycopg.Connection[Any], statement: str, params: Any) -> tuple[Any, ...]:
    """psycopg's own ``transaction()`` would commit the test's, where that has not said anything yet."""
    connection.execute("SAVEPOINT lockstep_apart")
    try:
        row = _row(connection.execute(statement, params).fetchone())
    except BaseException:
        connection.execute("ROLLBACK TO SAVEPOINT lockstep_apart")
        raise
    connection.execute("RELEASE SAVEPOINT lockstep_apart")
    return row


def _remember(*, connection: Any, **_: Any) -> None:
    """A connection of the main thread, and none of its copies. It has another one while an event loop runs in it."""
    if threading.current_thread() is threading.main_thread() and any(
        connection is own for own in connections.all(initialized_only=True)
    ):
        _main_threads.add(connection)
        if under_test_runner() and connection.vendor == "postgresql":
            connection.connection.lock = threading.RLock()  # psycopg's own is not for several statements


def _row(found: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] = found
    return row


connection_created.connect(_remember, dispatch_uid="lockstep_core.borrowed")
