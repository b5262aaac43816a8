"""Any server that speaks ``/v1/embeddings`` as OpenAI does: OpenAI itself, vLLM, TEI, Ollama and more."""

from __future__ import annotations

import base64
import binascii
import os
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from lockstep.core.ports import Usage
from lockstep.search.embedders.base import BaseEmbedder, Deadline
from lockstep.search.embedders.estimates import estimated_spans, estimated_tokens
from lockstep.search.embedders.http import Endpoint, Retries
from lockstep.search.exceptions import BadAnswer, EmbedderMisconfigured

__all__ = ["OpenAICompatible"]

OPENAI = "https://api.openai.com/v1"
#: Dimensions of models that everybody knows; others must say theirs.
KNOWN = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
#: Special tokens that a server may add around a text.
SPECIAL_TOKENS = 2
#: A float in JSON takes at most this many bytes.
FLOAT_BYTES = 32


class OpenAICompatible(BaseEmbedder):
    """Embeds over HTTP. Texts leave this machine, unless ``base_url`` is on it.

    Args:
        base_url: up to and including ``/v1``.
        model: as the server names it.
        revision: edition to record, when you know it; it changes no request.
        dimensions: numbers a vector; needed for models other than OpenAI's.
        send_dimensions: ask the server to shorten its vectors to ``dimensions``.
        api_key: the key itself; better ``api_key_env``, the name of the variable that holds it, read
            before each request. With neither, ``OPENAI_API_KEY`` for OpenAI and no key for others.
        max_tokens: of the model. Longer texts are sent as they are: the server refuses or cuts them.
        document_prefix, query_prefix: as the model card says ("passage: ", "query: ").
        batch_size: most texts a request.
        max_batch_tokens: most tokens a request, estimated from above.
        encoding_format: ``base64`` halves the answer where the server knows it.
        timeout_s: longest wait for one call, retries included, when the caller names none.
        attempt_timeout_s: longest wait for one request.
        max_retries: further attempts after 408, 409, 425, 429, 5xx, refused connections and timeouts.
        backoff_s: first wait before another attempt; doubles, with full jitter; ``Retry-After`` is obeyed.
        ca_file: certificates to trust, for a server of your own.
        headers: sent with each request, for gateways.
        extra_body: fields added to each request: ``{"truncate": True}`` (TEI), ``{"user": "shop"}``.

    Raises:
        EmbedderMisconfigured: at first use, when the key is missing; else when built.
    """

    remote = True

    def __init__(
        self,
        *,
        base_url: str = OPENAI,
        model: str = "text-embedding-3-small",
        revision: str = "",
        dimensions: int | None = None,
        send_dimensions: bool = False,
        api_key: str | None = None,
        api_key_env: str | None = None,
        max_tokens: int = 8191,
        document_prefix: str = "",
        query_prefix: str = "",
        batch_size: int = 128,
        max_batch_tokens: int = 100_000,
        encoding_format: Literal["float", "base64"] = "float",
        timeout_s: float = 60.0,
        attempt_timeout_s: float = 30.0,
        max_retries: int = 4,
        backoff_s: float = 0.5,
        ca_file: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(document_prefix=document_prefix, query_prefix=query_prefix, revision=revision)
        openai = base_url.rstrip("/") == OPENAI
        self.model = model
        self.dimensions = dimensions or _known_dimensions(model)
        self.max_tokens = max_tokens
        self.batch_size = batch_size
        self.max_batch_tokens = max_batch_tokens
        self.timeout_s = timeout_s
        self.provider = "openai" if openai else "openai-compatible"
        self._api_key = api_key
        self._api_key_env = api_key_env or ("OPENAI_API_KEY" if openai and api_key is None else None)
        self._extra_headers = dict(headers or {})
        self._fields = {"model": model, "encoding_format": encoding_format, **(extra_body or {})}
        if send_dimensions:
            self._fields["dimensions"] = self.dimensions
        self.endpoint = base_url.rstrip("/")
        self._endpoint = Endpoint(
            f"{base_url.rstrip('/')}/embeddings",
            headers=self._headers,
            retries=Retries(most=max_retries, backoff_s=backoff_s),
            attempt_s=attempt_timeout_s,
            ca_file=ca_file,
        )

    def count_tokens(self, text: str) -> int:
        return estimated_tokens(self.document_prefix + text) + SPECIAL_TOKENS

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return estimated_spans(text)

    def close(self) -> None:
        self._endpoint.close()

    def _embed(self, texts: Sequence[str], deadline: Deadline) -> list[Sequence[float]]:
        return [row for batch in self._batches(texts) for row in self._request(batch, deadline)]

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        tokens = 0
        for text in texts:
            more = estimated_tokens(text) + SPECIAL_TOKENS
            if batch and (len(batch) == self.batch_size or tokens + more > self.max_batch_tokens):
                yield batch
                batch, tokens = [], 0
            batch.append(text)
            tokens += more
        yield batch

    def _request(self, texts: Sequence[str], deadline: Deadline) -> list[Sequence[float]]:
        def read(answer: Any, usage: Usage) -> list[Sequence[float]]:
            note_usage(answer, usage)
            usage.items = len(texts)
            return rows_in_order(answer, len(texts))

        return self._endpoint.post(
            {**self._fields, "input": list(texts)},
            read,
            measure=partial(self.measure, texts),
            deadline=deadline,
            hidden=texts,
            most_bytes=1_000_000 + len(texts) * self.dimensions * FLOAT_BYTES,
        )

    def _headers(self) -> dict[str, str]:
        key = self._key()
        return {**({"Authorization": f"Bearer {key}"} if key else {}), **self._extra_headers}

    def _key(self) -> str | None:
        if not self._api_key_env:
            return self._api_key
        key = os.environ.get(self._api_key_env, "").strip()
        if not (key and key.isascii() and key.isprintable()):
            raise EmbedderMisconfigured(
                f"The environment variable {self._api_key_env} holds no key for {self._endpoint.host}: "
                "set it, or name another in OPTIONS['api_key_env'].",
                variable=self._api_key_env,
            )
        return key


def _known_dimensions(model: str) -> int:
    if model not in KNOWN:
        raise EmbedderMisconfigured(
            f"How many dimensions has {model!r}? Set OPTIONS['dimensions'].", model=model
        )
    return KNOWN[model]


def note_usage(answer: Any, usage: Usage) -> None:
    """Tokens and the model that answered, as far as the answer says."""
    if isinstance(answer, dict):
        counted = answer.get("usage")
        tokens = (
            counted.get("prompt_tokens", counted.get("total_tokens")) if isinstance(counted, dict) else None
        )
        usage.input_tokens = tokens if isinstance(tokens, int) else None
        usage.response_model = str(answer.get("model") or "")


def rows_in_order(answer: Any, count: int) -> list[Sequence[float]]:
    """The vectors of an answer by their ``index``; an answer without indexes is taken as it stands.

    Raises:
        BadAnswer: it has another shape, or not each index from 0 to ``count - 1`` once.
    """
    try:
        items = list(answer["data"])
        indexes = [item.get("index", at) for at, item in enumerate(items)]
        rows = [_row(item["embedding"]) for item in items]
    except (TypeError, KeyError, AttributeError):
        raise BadAnswer(
            'The answer has no {"data": [{"embedding": [...]}]}. Does base_url end in /v1?'
        ) from None
    if set(indexes) != set(range(count)) or len(indexes) != count:
        raise BadAnswer(f"{len(items)} vectors came back for {count} texts, or their indexes do not match.")
    return [row for _, row in sorted(zip(indexes, rows, strict=True), key=lambda pair: pair[0])]


def _row(embedding: Any) -> Sequence[float]:
    """Numbers, or base64 of little-endian float32."""
    if isinstance(embedding, str):
        try:
            row = array("f", base64.b64decode(embedding, validate=True))
        except (binascii.Error, ValueError):
            raise BadAnswer("A vector is no valid base64 of float32 numbers.") from None
        if sys.byteorder == "big":
            row.byteswap()
        return row
    if not isinstance(embedding, list):
        raise TypeError
    return embedding
