"""Answers as a node gets them: what LangChain adds to a message on its way there is in the note too, so that a replayed
node has the same in its hands, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.utils import LC_ID_PREFIX

from lockstep.core.ports import Said

__all__ = ["added", "answers", "streamed_again", "told_again"]


def answers(result: ChatResult, run_manager: Any) -> Iterator[BaseMessage]:
    """The messages of a result that is about to be handed to LangChain."""
    alone = len(result.generations) == 1
    for at, generation in enumerate(result.generations):
        found = _named(generation, run_manager, f"-{at}")
        if alone and result.llm_output:
            found.response_metadata = {**result.llm_output, **found.response_metadata}
        yield found


def added(whole: Sequence[BaseMessage], piece: ChatGenerationChunk, run_manager: Any) -> BaseMessage:
    """The message so far, with one more piece of a stream."""
    found = _named(piece, run_manager, "")
    first = whole[0] if whole else None
    return first + found if isinstance(first, AIMessageChunk) else found


def told_again(said: Said) -> ChatResult:
    """A noted answer, as a model gives it."""
    messages = [
        message_chunk_to_message(message) if isinstance(message, AIMessageChunk) else message
        for message in said.messages
    ]
    return ChatResult(generations=[ChatGeneration(message=message) for message in messages])


def streamed_again(said: Said) -> ChatGenerationChunk:
    """The same in one piece."""
    message = said.messages[0]
    if not isinstance(message, AIMessageChunk):
        assert isinstance(message, AIMessage)
        message = AIMessageChunk(**message.model_dump(exclude={"type"}))
    return ChatGenerationChunk(message=message)


def _named(generation: ChatGeneration, run_manager: Any, suffix: str) -> BaseMessage:
    """A copy with the id and the facts that LangChain gives it."""
    found = generation.message.model_copy()
    if found.id is None and run_manager is not None:
        found.id = f"{LC_ID_PREFIX}-{run_manager.run_id}{suffix}"
    found.response_metadata = {**(generation.generation_info or {}), **found.response_metadata}
    return found
