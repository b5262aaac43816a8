"""Where a call goes, whether it may, and the error that says why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lockstep.core.features import DATA_CLASSES, FeatureSpec
from lockstep.llm.conf import settings
from lockstep.llm.exceptions import (
    BudgetContended,
    BudgetExceeded,
    CallRefused,
    DataClassRefused,
    EndpointRefused,
    FeatureOff,
    NoRelease,
    Unpriced,
)
from lockstep.llm.ledger import Asked

__all__ = ["Route", "refusal", "refused"]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes, and for what."""

    provider: str
    """Alias."""
    model: str
    endpoint: str
    priced_as: str
    feature: FeatureSpec | None = None
    data_class: str | None = None
    """The most sensitive data that the provider may see; None: all."""
    instead: Route | None = None
    """Where it goes while a budget is spent; None refuses it then."""


def refusal(route: Route) -> str | None:
    """Why the feature may not go there; None: it may."""
    spec = route.feature
    if spec is None:
        return None
    if spec.endpoints and not any(_within(route.endpoint, allowed) for allowed in spec.endpoints):
        return EndpointRefused.reason
    if route.data_class is not None and DATA_CLASSES.index(spec.data_class) > DATA_CLASSES.index(
        route.data_class
    ):
        return DataClassRefused.reason
    return None


def _within(endpoint: str, allowed: str) -> bool:
    """Whole path segments: ``https://a/v1`` allows ``https://a/v1/x`` and not ``https://a/v10`` or ``https://a.evil``."""
    allowed = allowed.rstrip("/")
    return endpoint.rstrip("/") == allowed or endpoint.startswith(f"{allowed}/")


KINDS: dict[str, type[CallRefused]] = {
    kind.reason: kind
    for kind in (
        BudgetContended, BudgetExceeded, DataClassRefused, EndpointRefused, FeatureOff, NoRelease, Unpriced,
    )
}  # fmt: skip


def refused(reason: str, held: Mapping[str, Any], asked: Asked) -> CallRefused:
    """The error for the caller.

    Args:
        held: what a budget said, empty when none did.
    """
    kind = KINDS.get(reason, CallRefused)
    about = {
        FeatureOff: f"The feature {asked.feature!r} is switched off in the admin.",
        EndpointRefused: f"The feature {asked.feature!r} may not call {asked.endpoint or asked.provider!r}: its"
        " declaration names other endpoints.",
        DataClassRefused: f"The feature {asked.feature!r} holds more sensitive data than the provider"
        f" {asked.provider!r} may see.",
        NoRelease: f"The prompt {asked.prompt!r} has no release: run manage.py lockstep_prompts sync, or release one.",
        Unpriced: f"Nobody knows what {asked.provider}:{asked.priced_as} costs, and a budget of money holds"
        f" {asked.feature!r}: run manage.py lockstep_prices sync, or lockstep_prices set {asked.provider}"
        f" {asked.priced_as} --input … --output ….",
    }.get(kind, f"The call was refused: {reason}.")
    facts = {key: value for key, value in held.items() if key != "refused"}
    if issubclass(kind, BudgetExceeded):
        about = _of_budget(held)
        facts["resets_at"] = datetime.fromisoformat(held["resets_at"])
    return kind(about, reason=reason, call=asked.id, **facts)


def _of_budget(held: Mapping[str, Any]) -> str:
    spent, wanted = (_amount(held[key], held["unit"]) for key in ("spent", "wanted"))
    if held["refused"] == BudgetContended.reason:
        under_way = _amount(held["reserved"], held["unit"])
        return (
            f"{held['about']}: {spent} are spent and {under_way} held by calls under way; this one may take {wanted}."
            f" Try again in {held['retry_after_s']} s."
        )
    ends = held["resets_at"]
    return f"{held['about']}: {spent} are spent and this call may take {wanted}. The period ends at {ends}."


def _amount(amount: int, unit: str) -> str:
    return f"{amount:,} tokens" if unit == "tokens" else f"{amount / 1_000_000:,.2f} {settings().currency}"
