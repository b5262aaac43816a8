"""In a test, threads write through the connection of the test's own transaction."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from lockstep.core.exceptions import LockstepError
from lockstep.workflows.connection import apart

pytestmark = pytest.mark.django_db


def test_statements_that_fail_in_a_thread_are_not_felt_in_another() -> None:
    over = threading.Event()

    def fail() -> int:
        failed = 0
        while not over.is_set():
            with pytest.raises(LockstepError):
                apart.query("SELECT 1 / %s", (0,))
            failed += 1
        return failed

    with connection.cursor() as cursor, ThreadPoolExecutor(2) as pool:
        cursor.execute("CREATE TEMP TABLE noted (n int) ON COMMIT DROP")
        failing = [pool.submit(fail) for _ in range(2)]
        try:
            for n in range(300):
                apart.query("INSERT INTO noted VALUES (%s) RETURNING n", (n,))
        finally:
            over.set()
        assert all(future.result() for future in failing)
        cursor.execute("SELECT count(DISTINCT n), count(*) FROM noted")
        assert cursor.fetchone() == (300, 300)
