"""The ledger's own connections: what is written there stays, whatever becomes of the caller's transaction.

At most two a process, in autocommit, each used for one statement at a time. Under a test runner the caller's
connection serves instead, in a savepoint, so that a ``TestCase`` rolls its calls back with the rest.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import Any

import psycopg
from django.db import connections, transaction
from psycopg_pool import ConnectionPool, PoolTimeout

from lockstep.llm.conf import settings
from lockstep.llm.exceptions import LedgerError

__all__ = ["close", "query"]

MOST = 2
"""Connections of one process."""
WAIT_S = 10.0
"""Longest wait for one of them."""

_pools: dict[tuple[int, str], ConnectionPool] = {}
_lock = threading.Lock()


def query(statement: str, params: tuple[Any, ...]) -> tuple[Any, ...]:
    """Run one statement and commit it; the first row.

    A broken connection is tried once more: what runs here may be repeated.

    Raises:
        LedgerError: the database cannot be reached or refuses.
    """
    alias = settings().database
    try:
        if under_test():
            return _in_savepoint(alias, statement, params)
        try:
            return _apart(alias, statement, params)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            return _apart(alias, statement, params)
    except (psycopg.Error, PoolTimeout) as error:
        raise LedgerError(
            f"The ledger on the database {alias!r} cannot be written ({type(error).__name__}), so nothing was sent."
        ) from error


def under_test() -> bool:
    """Whether a test runner of Django's has set this process up."""
    utils = sys.modules.get("django.test.utils")
    return utils is not None and hasattr(utils._TestState, "saved_data")


def close() -> None:
    """Close the connections of this process. The next call opens others."""
    with _lock:
        pools = [_pools.pop(key) for key in list(_pools) if key[0] == os.getpid()]
    for pool in pools:
        pool.close()


def _apart(alias: str, statement: str, params: tuple[Any, ...]) -> tuple[Any, ...]:
    with _pool(alias).connection() as connection:
        row = connection.execute(statement, params).fetchone()
    assert row is not None
    return row


def _in_savepoint(alias: str, statement: str, params: tuple[Any, ...]) -> tuple[Any, ...]:
    connection = connections[alias]
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        cursor.execute(statement, params)
        row: tuple[Any, ...] = cursor.fetchone()
    return row


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
    wrapper = connections[alias]
    given = wrapper.get_connection_params()
    for name in ("cursor_factory", "context"):
        given.pop(name, None)
    prepare = None if settings().pooler == "transaction" else 1
    return ConnectionPool(
        kwargs={**given, "autocommit": True, "prepare_threshold": prepare},
        min_size=1,
        max_size=MOST,
        timeout=WAIT_S,
        name="lockstep-ledger",
        open=True,
    )


atexit.register(close)
