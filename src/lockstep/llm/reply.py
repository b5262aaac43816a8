"""What comes back through the door: a reply, or one in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk

    from lockstep.llm.door import Attempts

__all__ = ["AsyncStream", "Reply", "Stream", "report_outcome"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    message: AIMessage
    call: str
    """Id of the row of the ledger."""
    cost_micros: int | None
    """In millionths of the ledger's currency; None when nobody knows the price."""
    parsed: Any = None
    """The answer as the asked-for schema, where one was asked for."""

    @property
    def text(self) -> str:
        return str(self.message.text)

    def report_outcome(self, result: str, value: Decimal | int | None = None) -> None:
        """What became of it for the business: ``resolved``, ``escalated``."""
        report_outcome(self.call, result, value)

    def __str__(self) -> str:
        return self.text


def report_outcome(call: str, result: str, value: Decimal | int | None = None) -> None:
    """Note what became of a call, however much later, in the caller's transaction. The last report counts.

    Args:
        call: id of the row.
        result: at most 50 characters.
        value: an amount, a rating: what it was worth.

    Raises:
        ValueError: there is no such call, or the result is too long.
    """
    from django.core.exceptions import ValidationError
    from django.utils import timezone

    from lockstep.llm.conf import settings
    from lockstep.llm.models import Call

    if len(result) > 50:
        raise ValueError("The result of a call is at most 50 characters long.")
    rows = Call.objects.using(settings().database)
    try:
        found = rows.filter(pk=call).update(result=result, result_value=value, result_at=timezone.now())
    except ValidationError:
        found = 0
    if not found:
        raise ValueError(f"There is no call {call!r}.")


@dataclass(slots=True)
class Stream:
    """Pieces of an answer as they come; when it has been read, the reply.

    Closing it, or leaving a ``for`` loop early and dropping it, ends the request; what came until then is charged.
    """

    pieces: Iterator[AIMessageChunk]
    attempts: Attempts
    _whole: AIMessageChunk | None = field(default=None, init=False)
    _done: bool = field(default=False, init=False)

    def __iter__(self) -> Iterator[AIMessageChunk]:
        for piece in self.pieces:
            self._whole = piece if self._whole is None else self._whole + piece
            yield piece
        self._done = True

    def text(self) -> Iterator[str]:
        """Only the words."""
        return (piece.text for piece in self if piece.text)

    def close(self) -> None:
        close = getattr(self.pieces, "close", None)
        if close:
            close()

    @property
    def reply(self) -> Reply:
        """The whole answer.

        Raises:
            RuntimeError: it has not been read to its end.
        """
        if not self._done or self._whole is None:
            raise RuntimeError("The stream has not been read to its end: there is no whole reply yet.")
        return Reply(self._whole, self.attempts.id, self.attempts.cost_micros)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(slots=True)
class AsyncStream:
    """The same, for ``async for``."""

    pieces: AsyncIterator[AIMessageChunk]
    attempts: Attempts
    _whole: AIMessageChunk | None = field(default=None, init=False)
    _done: bool = field(default=False, init=False)

    async def __aiter__(self) -> AsyncIterator[AIMessageChunk]:
        async for piece in self.pieces:
            self._whole = piece if self._whole is None else self._whole + piece
            yield piece
        self._done = True

    async def aclose(self) -> None:
        close = getattr(self.pieces, "aclose", None)
        if close:
            await close()

    @property
    def reply(self) -> Reply:
        """The whole answer, once it has been read."""
        if not self._done or self._whole is None:
            raise RuntimeError("The stream has not been read to its end: there is no whole reply yet.")
        return Reply(self._whole, self.attempts.id, self.attempts.cost_micros)
