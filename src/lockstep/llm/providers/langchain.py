"""Any other chat model of LangChain, by the dotted path of its class."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string
from langchain_core.language_models import BaseChatModel

from lockstep.llm.conf import settings
from lockstep.llm.metering import Metered, metered
from lockstep.llm.providers.service import checked_endpoint

__all__ = ["LangChain"]


class LangChain:
    """Chat models of one LangChain class.

    Args:
        model_class: dotted path, ``langchain_mistralai.ChatMistralAI``.
        endpoint: base URL that it calls; the ledger records it and features are confined by it.
        model_field: field of the class that takes the model's name.
        parameters: for every model, as the class takes them.
    """

    def __init__(
        self, *, model_class: str, endpoint: str = "", model_field: str = "model", **parameters: Any
    ) -> None:
        found = import_string(model_class)
        if not (isinstance(found, type) and issubclass(found, BaseChatModel)):
            raise ValueError(f"{model_class} is no chat model of LangChain.")
        self.model_class = found
        self.endpoint = checked_endpoint(endpoint) if endpoint else ""
        self.model_field = model_field
        self.parameters = parameters

    def chat(self, name: str, **parameters: Any) -> Metered:
        known = {
            spelled
            for own, field in self.model_class.model_fields.items()
            for spelled in (own, field.alias)
            if spelled
        }
        chosen = settings()
        ours: dict[str, Any] = {"timeout": chosen.timeout_s, "max_tokens": chosen.max_output_tokens}
        ours |= {"max_retries": 0, "stream_usage": True}
        given = {key: value for key, value in ours.items() if key in known}
        given |= self.parameters | parameters | ({"max_retries": 0} if "max_retries" in known else {})
        if self.model_field in known:
            given[self.model_field] = name
        model: Metered = metered(self.model_class)(**given)
        return model
