"""Tools for LangChain's agents, as they take them."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from langchain_core.tools import StructuredTool
from langchain_core.tools.base import create_schema_from_function

from lockstep.workflows.tools import places

if TYPE_CHECKING:
    from lockstep.workflows.tools.declaration import Tool

__all__ = ["adapted"]

KEY = "idempotency_key"


class LedgerTool(StructuredTool):
    """Remembers which call of the model it answers."""

    def run(self, *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        with places.within(tool_call_id or ""):
            return super().run(*args, tool_call_id=tool_call_id, **kwargs)

    async def arun(self, *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        with places.within(tool_call_id or ""):
            return await super().arun(*args, tool_call_id=tool_call_id, **kwargs)


def adapted(tool: Tool[Any], name: str, description: str | None) -> LedgerTool:
    """``tool`` with a schema of its arguments, without the key that the model has no business with."""
    schema = create_schema_from_function(
        name, tool.function, filter_args=[KEY], parse_docstring=False, error_on_invalid_docstring=False
    )
    text = description or inspect.getdoc(tool.function) or name

    def func(**kwargs: Any) -> Any:
        return asyncio.run(tool(**kwargs)) if tool.is_async else tool(**kwargs)

    async def coroutine(**kwargs: Any) -> Any:
        return await tool(**kwargs)

    return LedgerTool(
        name=name,
        description=text,
        args_schema=schema,
        func=func,
        coroutine=coroutine if tool.is_async else None,
    )
