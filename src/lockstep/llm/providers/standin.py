"""A model that is none: it answers by quoting what it was given, and says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from lockstep.llm.metering import Metered, metered

__all__ = ["LABEL", "Standin"]

LABEL = "[stand-in, no model]"
"""Stands before every answer."""
SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
WORD = re.compile(r"\w{3,}")
NUMBERED = re.compile(r"^\s*\[(\d+)\]\s*", re.M)


class StandinModel(BaseChatModel):
    """Quotes the two sentences of the conversation that share most words with its last message."""

    model: str = "quoting"

    @property
    def _llm_type(self) -> str:
        return "lockstep-standin"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = quoted([message.text for message in messages])
        message = AIMessage(text, usage_metadata=_usage(messages, text), response_metadata=_said(self.model))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        text = quoted([message.text for message in messages])
        for piece in re.findall(r"\S+\s*", text):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece))
            if run_manager:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk
        last = AIMessageChunk(
            content="", usage_metadata=_usage(messages, text), response_metadata=_said(self.model)
        )
        yield ChatGenerationChunk(message=last)


class Standin:
    """For demos and tests without a model: no key, no network, no cost, and an answer that is plainly labelled."""

    endpoint = ""

    def chat(self, name: str, **parameters: Any) -> Metered:
        model: Metered = metered(StandinModel)(model=name)  # type: ignore[call-arg]
        return model


def quoted(texts: list[str]) -> str:
    """The answer: two sentences of the texts that share most words with the question, an earlier numbered passage
    before a later one, and that say more than it does."""
    *given, question = texts or [""]
    if not given:
        given, question = [question], question.strip().rpartition("\n")[2]
    wanted = _words(question)
    best = sorted(
        ((len(wanted & _words(text)) - int(number or 0), -at, text, number)
         for at, (text, number) in enumerate(_sentences("\n".join(given), question))
         if not _words(text) <= wanted),
        reverse=True,
    )[:2]  # fmt: skip
    lines = [
        f"“{text}”{f' [{number}]' if number else ''}" for _, _, text, number in best if wanted & _words(text)
    ]
    return f"{LABEL} " + (" ".join(lines) or "Nothing that I was given answers this.")


def _words(text: str) -> set[str]:
    return {word.lower() for word in WORD.findall(text)}


def _sentences(text: str, question: str) -> Iterator[tuple[str, str]]:
    parts = NUMBERED.split(text)
    passages = [(parts[0], ""), *zip(parts[2::2], parts[1::2], strict=True)]
    for passage, number in passages:
        for found in SENTENCE.findall(passage):
            sentence = found.strip()
            if sentence and sentence not in question:
                yield sentence, number


def _usage(messages: list[BaseMessage], text: str) -> UsageMetadata:
    read, wrote = sum(len(message.text.split()) for message in messages), len(text.split())
    return UsageMetadata(input_tokens=read, output_tokens=wrote, total_tokens=read + wrote)


def _said(model: str) -> dict[str, Any]:
    return {"finish_reason": "stop", "model_name": model}
