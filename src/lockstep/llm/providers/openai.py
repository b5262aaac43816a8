"""OpenAI, and every server with its API: vLLM, Ollama, llama.cpp, TGI, gateways."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import openai
from langchain_openai import ChatOpenAI

from lockstep.llm.conf import settings
from lockstep.llm.exceptions import ProviderMisconfigured
from lockstep.llm.metering import Metered, metered
from lockstep.llm.providers.service import checked_endpoint, quiet

__all__ = ["OpenAI"]

OFFICIAL = "https://api.openai.com/v1"


class _Chat(ChatOpenAI):
    """ChatOpenAI for more than one event loop, and without a second walk through what it sends."""

    def _get_request_payload(self, input_: Any, *, stop: list[str] | None = None, **kwargs: Any) -> Any:
        """LangChain has made the messages ready for the wire. The SDK would go through them again, type by type, and
        take a seventh of the call for it; what stands in its ``extra_body`` it sends as it is."""
        payload = super()._get_request_payload(input_, stop=stop, **kwargs)
        if "messages" in payload:  # and no ``input`` for /v1/responses
            more = payload.get("extra_body") or {}
            payload |= {"messages": [], "extra_body": {**more, "messages": payload["messages"]}}
        return payload

    def _for_loop(self) -> Any:
        """LangChain shares one asynchronous client among all loops of the process; the second finds it closed."""
        client = self.root_async_client.copy(
            http_client=openai.DefaultAsyncHttpxClient(base_url=self.root_async_client.base_url)
        )
        update = {"root_async_client": client, "async_client": client.chat.completions}
        return self.model_copy(update=update)

    async def _close_loop(self) -> None:
        await self.root_async_client.close()


class OpenAI:
    """Chat models over ``/v1/chat/completions``, or ``/v1/responses`` where OpenAI's own models need it.

    Args:
        base_url: of another server, ``http://127.0.0.1:8000/v1``; None for OpenAI.
        api_key_env: environment variable with the key, read at each call. A server of one's own may need none.
        parameters: for every model, as ``langchain_openai.ChatOpenAI`` takes them.
    """

    needs_key: ClassVar[bool] = True

    def __init__(
        self, *, base_url: str | None = None, api_key_env: str = "OPENAI_API_KEY", **parameters: Any
    ) -> None:
        self.endpoint = checked_endpoint(base_url or OFFICIAL)
        self.api_key_env = api_key_env
        self.parameters = parameters
        quiet("openai")

    def chat(self, name: str, **parameters: Any) -> Metered:
        chosen = settings()
        model: Metered = metered(_Chat)(
            **{
                "timeout": chosen.timeout_s,
                "max_tokens": chosen.max_output_tokens,
                **self.parameters,
                **parameters,
                "model": name,
                "base_url": self.endpoint,
                "api_key": self.key(),
                "max_retries": 0,
                "stream_usage": True,
            }
        )
        return model

    def key(self) -> str:
        """The key; a server of one's own is asked without one where none is set.

        Raises:
            ProviderMisconfigured: OpenAI is asked without a key.
        """
        found = os.environ.get(self.api_key_env, "").strip()
        if not found and self.endpoint == OFFICIAL:
            raise ProviderMisconfigured(
                f"{self.api_key_env} is not set: OpenAI wants a key. Set it in the environment of this process."
            )
        return found or "none"
