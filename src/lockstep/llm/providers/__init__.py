"""Providers of chat models: each a class that ``LOCKSTEP["llm"]["providers"]`` names by alias."""

from lockstep.llm.providers.registry import Provider, chat_model, get_provider, route

__all__ = ["Provider", "chat_model", "get_provider", "route"]
