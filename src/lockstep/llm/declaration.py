"""What product code holds in its hands: a feature that asks models, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lockstep.core import context
from lockstep.core.features import FeatureSpec, declare
from lockstep.llm.reply import AsyncStream, Reply, Stream

if TYPE_CHECKING:
    from lockstep.llm.metering import Metered

__all__ = ["Feature", "feature"]


def feature(name: str, **fields: Any) -> Feature:
    """Declare a capability of the product that asks models.

    Args:
        name: dotted, lower case: ``support.answer``.
        fields: owner, model (``provider:name``), fallback_model, prompt, endpoints, data_class; see
            ``core.features.FeatureSpec``.

    Raises:
        FeatureError: a field is wrong, or the name was declared otherwise before.
    """
    return Feature(declare(name, **fields))


@dataclass(frozen=True, slots=True)
class Feature:
    """An AI capability of the product, through the one door."""

    spec: FeatureSpec

    @property
    def name(self) -> str:
        return self.spec.name

    def invoke(self, asked: Any, /, *, schema: Any = None, model: str | None = None, **how: Any) -> Reply:
        """Ask, and wait for the answer.

        Args:
            asked: variables of the feature's prompt as a dict; or a text; or messages, as LangChain takes them.
            schema: a pydantic class, TypedDict or JSON schema that the answer shall have: ``reply.parsed``.
            model: ``provider:name`` instead of the feature's own (a release of the prompt has the last word).
            how: user, cohort, tenant for the ledger; known, role -> object, for redaction; anything else is a parameter
                of the model (temperature, tools …).

        Raises:
            CallRefused: the feature is switched off or confined, its prompt has no release, or a budget is spent.
            PromptError: a variable is missing or extra.
            ProviderError: the provider gave no usable answer, after all attempts.
            LedgerError: the ledger cannot be written; nothing was sent.
        """
        with self._working(how) as (begin, parameters):
            call = begin(asked, model, parameters)
            reply: Reply = call.reply(call.run(schema), schema)
            return reply

    async def ainvoke(
        self, asked: Any, /, *, schema: Any = None, model: str | None = None, **how: Any
    ) -> Reply:
        """``invoke`` without blocking the event loop."""
        from lockstep.llm.metering import apart

        with self._working(how) as (begin, parameters):
            call = await apart(begin, asked, model, parameters, undo=lambda call: call.attempts.abandon())
            reply: Reply = call.reply(await call.arun(schema), schema)
            return reply

    def stream(self, asked: Any, /, *, model: str | None = None, **how: Any) -> Stream:
        """Ask, and hand on the answer as it comes. Arguments and errors are those of ``invoke``."""
        with self._working(how) as (begin, parameters):
            call = begin(asked, model, parameters)
            return Stream(call.pieces(context.current()), call.attempts)

    async def astream(self, asked: Any, /, *, model: str | None = None, **how: Any) -> AsyncStream:
        """``stream`` for ``async for``."""
        from lockstep.llm.metering import apart

        with self._working(how) as (begin, parameters):
            call = await apart(begin, asked, model, parameters, undo=lambda call: call.attempts.abandon())
            return AsyncStream(await call.apieces(context.current()), call.attempts)

    def batch(self, many: Sequence[Any], /, *, workers: int = 8, **how: Any) -> list[Reply | Exception]:
        """Ask several at once, in threads. An answer that failed is its exception, in its place.

        Args:
            workers: requests under way at most.
        """

        def one(asked: Any) -> Reply | Exception:
            try:
                return self.invoke(asked, **how)
            except Exception as error:
                return error

        with ThreadPoolExecutor(max_workers=max(1, min(workers, len(many) or 1))) as pool:
            return list(pool.map(context.carry(one), many))

    async def abatch(
        self, many: Sequence[Any], /, *, workers: int = 8, **how: Any
    ) -> list[Reply | Exception]:
        """``batch`` as tasks of the event loop."""
        import asyncio

        turns = asyncio.Semaphore(max(1, workers))

        async def one(asked: Any) -> Reply | Exception:
            async with turns:
                try:
                    return await self.ainvoke(asked, **how)
                except Exception as error:
                    return error

        return list(await asyncio.gather(*map(one, many)))

    def chat_model(self, model: str | None = None, **parameters: Any) -> Metered:
        """A LangChain chat model for LangGraph nodes and chains: the same door, the same rows.

        Args:
            model: ``provider:name`` instead of the feature's own.
            parameters: temperature, max_tokens …
        """
        from lockstep.llm.providers import chat_model, route

        return chat_model(route(model or self.spec.model, self.spec), **parameters)

    def _working(
        self, how: dict[str, Any]
    ) -> AbstractContextManager[tuple[Callable[..., Any], dict[str, Any]]]:
        from lockstep.llm.calling import working

        return working(self.spec, how)
