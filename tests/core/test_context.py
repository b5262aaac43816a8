"""Who a piece of work is for, across threads and tasks."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from lockstep.core import context
from lockstep.core.context import Context, carry, current, use


def test_nobody_said_anything() -> None:
    assert current() == Context()


def test_use_changes_some_fields_for_a_block() -> None:
    with use(feature="support.answer", tenant="acme"):
        with use(feature="support.refund") as inner:
            assert inner == current() == Context(feature="support.refund", tenant="acme")
        assert current().feature == "support.answer"
    assert current() == Context()


def test_an_error_puts_it_back() -> None:
    with pytest.raises(ZeroDivisionError), use(tenant="acme"):
        raise ZeroDivisionError
    assert current() == Context()


def test_a_name_that_is_no_field_is_refused() -> None:
    with pytest.raises(TypeError), use(tenent="acme"):
        pass


def test_threads_do_not_inherit_it_unless_it_is_carried() -> None:
    def seen() -> str | None:
        with use(node="inside"):
            return current().tenant

    with ThreadPoolExecutor(4) as pool:
        with use(tenant="acme"):
            carried = carry(seen)
            assert pool.submit(seen).result() is None
            assert {future.result() for future in [pool.submit(carried) for _ in range(20)]} == {"acme"}
        with use(tenant="other"):
            assert pool.submit(carried).result() == "acme"
    assert current() == Context()


def test_carried_work_keeps_arguments_and_errors() -> None:
    assert carry(divmod)(7, 3) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        carry(divmod)(1, 0)


def test_tasks_and_async_twins_see_it_and_do_not_leak_it() -> None:
    async def work(tenant: str) -> str | None:
        with use(tenant=tenant):
            await asyncio.sleep(0)
            return await sync_to_async(lambda: context.current().tenant)()

    async def both() -> list[str | None]:
        return await asyncio.gather(work("a"), work("b"))

    assert async_to_sync(both)() == ["a", "b"]
    assert current() == Context()
