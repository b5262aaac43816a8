"""Providers by alias, and the metered models that they make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from lockstep.core.backends import Backends
from lockstep.core.conf import nearest
from lockstep.core.features import FeatureSpec
from lockstep.llm.conf import settings
from lockstep.llm.exceptions import ProviderMisconfigured
from lockstep.llm.metering import Metered
from lockstep.llm.money.prices import priced_as
from lockstep.llm.refusals import Route

__all__ = ["Provider", "chat_model", "get_provider", "route"]


class Provider(Protocol):
    """Makes the chat models of one service. Built with OPTIONS as keyword arguments, once for the process."""

    @property
    def endpoint(self) -> str:
        """Base URL that requests go to; empty for a model in this process."""

    def chat(self, name: str, **parameters: Any) -> Metered:
        """A metered chat model, without retries of its own, whose streams report their usage.

        Args:
            name: the provider's name of the model.
            parameters: temperature, max_tokens … as the provider's LangChain class takes them.
        """


_providers: Backends[Provider] = Backends(
    'LOCKSTEP["llm"]["providers"]',
    lambda: settings().providers,
    ProviderMisconfigured,
    extras={
        "langchain_anthropic": "anthropic", "anthropic": "anthropic", "langchain_openai": "llm",
        "openai": "llm", "langchain_core": "llm",
    },
    keys=frozenset({"DATA_CLASS"}),
)  # fmt: skip
_models: dict[Route, tuple[Provider, str, Metered]] = {}
"""By route: who made it, with which key."""


def get_provider(alias: str) -> Provider:
    """The provider of an alias.

    Raises:
        ProviderMisconfigured: the alias is unknown, or its entry cannot be used; the text says why.
    """
    return _providers.get(alias)


def route(model: str, feature: FeatureSpec | None = None) -> Route:
    """Where ``alias:name`` leads.

    Raises:
        ProviderMisconfigured: it is not written so, or names no provider of the settings.
    """
    if not model and feature:
        raise ProviderMisconfigured(
            f"The feature {feature.name!r} names no model: feature({feature.name!r}, model='openai:gpt-5-mini')."
        )
    there = _route(model, feature)
    if feature and feature.fallback_model and feature.fallback_model != model:
        return replace(there, instead=_route(feature.fallback_model, feature))
    return there


def _route(model: str, feature: FeatureSpec | None) -> Route:
    alias, colon, name = model.partition(":")
    if not colon or not alias or not name:
        raise ProviderMisconfigured(
            f"{model!r} is no model: write provider:name, for instance openai:gpt-5-mini."
            f" Providers: {', '.join(sorted(settings().providers))}."
        )
    provider = get_provider(alias)
    data_class = settings().providers[alias].get("DATA_CLASS")
    if data_class is not None:
        _check(alias, data_class)
    return Route(alias, name, provider.endpoint, priced_as(alias, name), feature, data_class)


def chat_model(there: Route, **parameters: Any) -> Metered:
    """The metered model at the end of a route. Without parameters it is the same one each time, until its key changes:
    building one costs about as much as a request does."""
    provider = get_provider(there.provider)
    if parameters:
        return _routed(provider.chat(there.model, **parameters), there, **parameters)
    key = getattr(provider, "key", str)()
    known = _models.get(there)
    if known is None or known[0] is not provider or known[1] != key:
        known = _models[there] = provider, key, _routed(provider.chat(there.model), there)
    return known[2]


def _routed(model: Metered, there: Route, **parameters: Any) -> Metered:
    model._route = there
    model._made_for = lambda other: chat_model(other, **parameters)
    return model


def _check(alias: str, data_class: str) -> None:
    from lockstep.core.features import DATA_CLASSES

    if data_class not in DATA_CLASSES:
        raise ProviderMisconfigured(
            f'LOCKSTEP["llm"]["providers"][{alias!r}]["DATA_CLASS"] is {data_class!r}.'
            f" {nearest(str(data_class), set(DATA_CLASSES))}"
        )
