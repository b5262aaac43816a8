"""Connections of our own, beside Django's: what is written there stays, whatever becomes of the caller's transaction.

A few a process, in autocommit, each used for one statement at a time. Under a test runner the caller's connection
serves instead, in a savepoint, so that a ``TestCase`` rolls everything back together.

Needs psycopg-pool; only apps that depend on it import this module.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import psycopg
from django.db import DataError, Error, connections
from psycopg_pool import ConnectionPool, PoolTimeout

from lockstep.core import borrowed
from lockstep.core.conf import Section
from lockstep.core.exceptions import LockstepError
from lockstep.core.testruns import under_test_runner

__all__ = ["Apart"]

Params = Sequence[Any] | Mapping[str, Any]

WAIT_S = 10.0
"""Longest wait for one of them."""

LOST = (psycopg.errors.DuplicatePreparedStatement, psycopg.errors.InvalidSqlStatementName)
"""What PostgreSQL says of a prepared statement that another client's connection has, or ours had."""

_lock = threading.Lock()


class _Database(Protocol):
    """What the section of an app says of its database."""

    @property
    def database(self) -> str: ...
    @property
    def pooler(self) -> str: ...


class Apart:
    """The connections of one app.

    Args:
        what: what is written there, as messages name it: ``the ledger``.
        section: settings with ``database`` and ``pooler``.
        error: what is raised when it cannot be written.
        refused: what is raised when the database takes no such value; ``error`` where it is the same to callers.
        advice: end of that message.
        most: connections of one process.
    """

    def __init__(
        self,
        what: str,
        section: Section[Any],
        error: type[LockstepError],
        *,
        refused: type[LockstepError] | None = None,
        advice: str = "",
        most: int = 2,
    ) -> None:
        self.what = what
        self.section = section
        self.error = error
        self.refused = refused or error
        self.advice = advice
        self.most = most
        self._pools: dict[tuple[int, str], ConnectionPool] = {}
        atexit.register(self.close)

    def query(self, statement: str, params: Params) -> tuple[Any, ...]:
        """Run one statement and commit it; the first row.

        A broken connection is replaced and the statement run again: what runs here may be repeated.

        Raises:
            LockstepError: the app's own: the database cannot be reached or refuses.
        """
        alias = self._settings().database
        try:
            if under_test_runner():
                return self._in_test(alias, statement, params)
            for _ in range(self.most):  # after a restart of the server all of them are broken
                try:
                    return self._once(alias, statement, params)
                except LOST:
                    raise
                except (psycopg.OperationalError, psycopg.InterfaceError):
                    continue
            return self._once(alias, statement, params)
        except (
            LOST
        ) as error:  # waiting for the same again would not help, and running it unprepared only hide it
            raise self.error(
                f"A pooler before the database {alias!r} hands connections round, and prepared statements are lost"
                f' there: set LOCKSTEP["{self.section.name}"]["pooler"] = "transaction".'
            ) from error
        except (
            psycopg.DataError,
            DataError,
            UnicodeEncodeError,
        ) as error:  # without its text, which quotes what was refused
            raise self.refused(
                f"{self.what[0].upper()}{self.what[1:]} takes no such value ({type(error).__name__})."
            ) from None
        except (psycopg.Error, PoolTimeout, Error) as error:  # Django's own where a test's connection serves
            raise self.error(
                f"{self.what[0].upper()}{self.what[1:]} on the database {alias!r} cannot be written"
                f" ({type(error).__name__}){self.advice}."
            ) from error

    def connect(self, **given: Any) -> psycopg.Connection[Any]:
        """A connection that nobody else uses, for the caller to close."""
        parameters: dict[str, Any] = {**self._parameters(self._settings().database), **given}
        return psycopg.connect(**parameters)

    def close(self) -> None:
        """Close the connections of this process. The next statement opens others."""
        with _lock:
            pools = [self._pools.pop(key) for key in list(self._pools) if key[0] == os.getpid()]
        for pool in pools:
            pool.close()

    def _settings(self) -> _Database:
        found: _Database = self.section.get()
        return found

    def _once(self, alias: str, statement: str, params: Params) -> tuple[Any, ...]:
        pool = self._pool(alias)
        connection = pool.getconn()
        try:
            row: Any = connection.execute(statement, params).fetchone()
            return row  # type: ignore[no-any-return]
        finally:
            pool.putconn(connection)

    def _in_test(self, alias: str, statement: str, params: Params) -> tuple[Any, ...]:
        try:
            return borrowed.query(alias, statement, params)
        except (
            RuntimeError,
            AssertionError,
        ) as error:  # so pytest-django and SimpleTestCase keep tests off it
            raise self.error(
                f"This test may not use the database, and {self.what} is in it: {error}"
            ) from error

    def _pool(self, alias: str) -> ConnectionPool:
        """The pool of this process; one that was opened before a fork belongs to the parent."""
        key = os.getpid(), alias
        pool = self._pools.get(key)
        if pool is None:
            with _lock:
                pool = self._pools.get(key)
                if pool is None:
                    pool = self._pools[key] = self._opened(alias)
        return pool

    def _opened(self, alias: str) -> ConnectionPool:
        return ConnectionPool(
            kwargs=self._parameters(alias),
            min_size=1,
            max_size=self.most,
            timeout=WAIT_S,
            reconnect_timeout=WAIT_S,  # its pauses double: after an hour's outage nobody waits half an hour more
            name=f"lockstep-{self.section.name}",
            open=True,
        )

    def _parameters(self, alias: str) -> dict[str, Any]:
        given = connections[alias].get_connection_params()
        for name in ("cursor_factory", "context"):
            given.pop(name, None)
        role = (
            connections[alias].settings_dict["OPTIONS"].get("assume_role")
        )  # Django sets it after connecting
        if role:
            given["options"] = f"{given.get('options', '')} -c role={role}".strip()
        return {
            **given,
            "autocommit": True,
            "prepare_threshold": None if self._settings().pooler == "transaction" else 1,
        }


def _forked() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_forked)
