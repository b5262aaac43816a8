"""Anthropic's Messages API."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import anthropic
from langchain_anthropic import ChatAnthropic

from lockstep.llm.conf import settings
from lockstep.llm.exceptions import ProviderMisconfigured
from lockstep.llm.metering import Metered, metered
from lockstep.llm.providers.service import checked_endpoint, quiet

__all__ = ["Anthropic"]

OFFICIAL = "https://api.anthropic.com"


class _PerLoop(ChatAnthropic):
    """LangChain shares one asynchronous client among all loops of the process; the second loop finds it closed."""

    def _for_loop(self) -> Any:
        sibling = self.model_copy()
        parameters = {name: value for name, value in self._client_params.items() if name != "http_client"}
        sibling.__dict__["_async_client"] = anthropic.AsyncClient(
            **parameters
        )  # where its cached_property looks
        return sibling

    async def _close_loop(self) -> None:
        await self._async_client.close()


class Anthropic:
    """Anthropic's models.

    Args:
        base_url: of a gateway; None for Anthropic.
        api_key_env: environment variable with the key, read at each call.
        parameters: for every model, as ``langchain_anthropic.ChatAnthropic`` takes them.
    """

    needs_key: ClassVar[bool] = True

    def __init__(
        self, *, base_url: str | None = None, api_key_env: str = "ANTHROPIC_API_KEY", **parameters: Any
    ) -> None:
        self.endpoint = checked_endpoint(base_url or OFFICIAL)
        self.api_key_env = api_key_env
        self.parameters = parameters
        quiet("anthropic")

    def chat(self, name: str, **parameters: Any) -> Metered:
        chosen = settings()
        model: Metered = metered(_PerLoop)(
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
        """The key.

        Raises:
            ProviderMisconfigured: there is none.
        """
        found = os.environ.get(self.api_key_env, "").strip()
        if not found and self.endpoint == OFFICIAL:
            raise ProviderMisconfigured(
                f"{self.api_key_env} is not set: Anthropic wants a key. Set it in the environment of this process."
            )
        return found or "none"
