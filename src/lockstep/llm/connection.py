"""The ledger's own connections."""

from __future__ import annotations

from typing import Any

import psycopg

from lockstep.core.apart import Apart
from lockstep.core.testruns import under_test_runner
from lockstep.llm.conf import section
from lockstep.llm.exceptions import LedgerError

__all__ = ["apart", "close", "once", "query"]

apart = Apart("the ledger", section, LedgerError, advice="; nothing is sent without it")
query = apart.query
close = apart.close


def once(statement: str, params: tuple[Any, ...]) -> None:
    """Run one statement on a connection of its own that waits for nobody: for what is not worth waiting for.

    Raises:
        LedgerError: the database cannot be reached or refuses.
    """
    if under_test_runner():
        query(statement, params)
        return
    try:
        with apart.connect(connect_timeout=2) as own:
            own.execute(statement, params)
    except psycopg.Error as error:
        raise LedgerError(f"The ledger cannot be written now ({type(error).__name__}).") from error
