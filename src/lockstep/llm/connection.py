"""The ledger's own connections: what is written there stays, whatever becomes of the caller's transaction.

At most two a process, in autocommit, each used for one statement at a time. Under a test runner the caller's
connection serves instead, in a savepoint, so that a ``TestCase`` rolls its calls back with the rest.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any
from weakref import WeakSet

import psycopg
from django.db import Error, connections, transaction
from django.db.backends.signals import connection_created
from psycopg_pool import ConnectionPool, PoolTimeout

from lockstep.core.testruns import under_test_runner
from lockstep.llm.conf import settings
from lockstep.llm.exceptions import LedgerError

__all__ = ["close", "once", "query"]

MOST = 2
"""Connections of one process."""
WAIT_S = 10.0
"""Longest wait for one of them."""

LOST = (psycopg.errors.DuplicatePreparedStatement, psycopg.errors.InvalidSqlStatementName)
"""What PostgreSQL says of a prepared statement that another client's connection has, or ours had."""

_main_threads: WeakSet[Any] = WeakSet()
_pools: dict[tuple[int, str], ConnectionPool] = {}
_lock = threading.Lock()


def query(statement: str, params: tuple[Any, ...]) -> tuple[Any, ...]:
    """Run one statement and commit it; the first row.

    A broken connection is replaced and the statement run again: what runs here may be repeated.

    Raises:
        LedgerError: the database cannot be reached or refuses.
    """
    alias = settings().database
    try:
        if under_test_runner():
            return _in_test(alias, statement, params)
        for _ in range(MOST):  # after a restart of the server all of them are broken
            try:
                return _apart(alias, statement, params)
            except LOST:
                raise
            except (psycopg.OperationalError, psycopg.InterfaceError):
                continue
        return _apart(alias, statement, params)
    except LOST as error:  # waiting for the same again would not help, and running it unprepared only hide it
        raise LedgerError(
            f"A pooler before the database {alias!r} hands connections round, and prepared statements are lost there:"
            ' set LOCKSTEP["llm"]["pooler"] = "transaction".'
        ) from error
    except (psycopg.Error, PoolTimeout, Error) as error:  # Django's own where a test's connection serves
        raise LedgerError(
            f"The ledger on the database {alias!r} cannot be written ({type(error).__name__});"
            " nothing is sent without it."
        ) from error


def once(statement: str, params: tuple[Any, ...]) -> None:
    """Run one statement on a connection of its own that waits for nobody: for what is not worth waiting for.

    Raises:
        LedgerError: the database cannot be reached or refuses.
    """
    if under_test_runner():
        query(statement, params)
        return
    try:
        with psycopg.connect(**{**_parameters(settings().database), "connect_timeout": 2}) as own:
            own.execute(statement, params)
    except psycopg.Error as error:
        raise LedgerError(f"The ledger cannot be written now ({type(error).__name__}).") from error


def close() -> None:
    """Close the connections of this process. The next call opens others."""
    with _lock:
        pools = [_pools.pop(key) for key in list(_pools) if key[0] == os.getpid()]
    for pool in pools:
        pool.close()


def _apart(alias: str, statement: str, params: tuple[Any, ...]) -> tuple[Any, ...]:
    pool = _pool(alias)
    connection = pool.getconn()
    try:
        return _fetched(connection.execute(statement, params).fetchone())
    finally:
        pool.putconn(connection)


def _in_test(alias: str, statement: str, params: tuple[Any, ...]) -> tuple[Any, ...]:
    try:
        return _in_savepoint(alias, statement, params)
    except (RuntimeError, AssertionError) as error:  # so pytest-django and SimpleTestCase keep tests off it
        raise LedgerError(f"This test may not use the database, and the ledger is in it: {error}") from error


def _in_savepoint(alias: str, statement: str, params: tuple[Any, ...]) -> tuple[Any, ...]:
    """On the caller's connection. A thread in no transaction borrows the main thread's while a test holds it in one,
    and else leaves no connection behind: it would be in the way of the test database's end."""
    connection = connections[alias]
    if threading.current_thread() is not threading.main_thread() and not connection.in_atomic_block:
        main = next((one for one in _main_threads if one.alias == alias and one.in_atomic_block), None)
        if main is not None:
            with _lock:
                return _fetched(main.connection.execute(statement, params).fetchone())
        known = connection.connection is not None
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, params)
                return _fetched(cursor.fetchone())
        finally:
            if not known:
                connection.close()
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        cursor.execute(statement, params)
        return _fetched(cursor.fetchone())


def _remember(*, connection: Any, **_: Any) -> None:
    """A connection of the main thread, and none of its copies. It has another one while an event loop runs in it."""
    if threading.current_thread() is threading.main_thread() and any(
        connection is own for own in connections.all(initialized_only=True)
    ):
        _main_threads.add(connection)


connection_created.connect(_remember, dispatch_uid="lockstep_llm.connection")


def _fetched(row: Any) -> tuple[Any, ...]:
    found: tuple[Any, ...] = row
    return found


def _pool(alias: str) -> ConnectionPool:
    """The pool of this process; one that was opened before a fork belongs to the parent."""
    key = os.getpid(), alias
    pool = _pools.get(key)
    if pool is None:
        with _lock:
            pool = _pools.get(key)
            if pool is None:
                pool = _pools[key] = _opened(alias)
    return pool


def _opened(alias: str) -> ConnectionPool:
    return ConnectionPool(
        kwargs=_parameters(alias),
        min_size=1,
        max_size=MOST,
        timeout=WAIT_S,
        name="lockstep-ledger",
        open=True,
    )


def _parameters(alias: str) -> dict[str, Any]:
    given = connections[alias].get_connection_params()
    for name in ("cursor_factory", "context"):
        given.pop(name, None)
    role = connections[alias].settings_dict["OPTIONS"].get("assume_role")  # Django sets it after connecting
    if role:
        given["options"] = f"{given.get('options', '')} -c role={role}".strip()
    return {
        **given,
        "autocommit": True,
        "prepare_threshold": None if settings().pooler == "transaction" else 1,
    }


atexit.register(close)
