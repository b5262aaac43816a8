"""What the door raises. No text holds a word of a prompt or an answer: providers echo them in their errors."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from lockstep.core.exceptions import LockstepError

__all__ = [
    "BudgetContended",
    "BudgetExceeded",
    "CallRefused",
    "DataClassRefused",
    "EndpointRefused",
    "FeatureOff",
    "LedgerError",
    "LlmError",
    "NoRelease",
    "ProviderAuthError",
    "ProviderBadAnswer",
    "ProviderError",
    "ProviderMisconfigured",
    "ProviderRateLimited",
    "ProviderRefused",
    "ProviderTimeout",
    "ProviderUnavailable",
    "Unpriced",
]


class LlmError(LockstepError):
    """The call cannot go on."""


class LedgerError(LlmError, RuntimeError):
    """The ledger cannot be written, and nothing is sent without it. See the error that caused this."""


class ProviderMisconfigured(LlmError, ImproperlyConfigured):
    """The provider cannot be built from its settings."""


class CallRefused(LlmError, PermissionError):
    """The door did not let the call out. ``reason`` says why; the refusal is a row of the ledger.

    Attributes: ``reason``, ``call`` (id of the row).
    """

    reason = "refused"


class FeatureOff(CallRefused):
    """The feature is switched off in the admin."""

    reason = "feature_off"


class EndpointRefused(CallRefused):
    """The feature is confined to other endpoints than the model's."""

    reason = "endpoint"


class DataClassRefused(CallRefused):
    """The provider may not see data as sensitive as the feature's."""

    reason = "data_class"


class NoRelease(CallRefused):
    """The prompt has no release and no file that could stand in for one."""

    reason = "no_release"


class Unpriced(CallRefused):
    """A budget of money holds the feature, and nobody knows what the model costs."""

    reason = "unpriced"


class BudgetExceeded(CallRefused):
    """A budget is spent: what is left of it does not cover what the call may cost.

    Attributes: ``budget`` (id), ``about`` (in words), ``unit`` (money or tokens), ``limit``, ``spent``, ``reserved``
    and ``wanted`` (tokens, or millionths of the ledger's currency), ``retry_after_s``, ``resets_at``.
    """

    reason = "budget_exhausted"


class BudgetContended(BudgetExceeded):
    """Calls under way hold what is left of a budget and will give back what they do not use. Try again soon."""

    reason = "budget_contended"


class ProviderError(LlmError):
    """The provider gave no usable answer.

    Attributes: ``status`` (HTTP, or None), ``retryable`` (whether the same call may succeed later), ``retry_after_s``,
    ``call`` (id of the ledger's row).
    """

    retryable = False
    status: int | None = None
    retry_after_s: float | None = None
    call: str = ""


class ProviderTimeout(ProviderError, TimeoutError):
    """The provider did not answer in time. The call counts as spent at its bound: it may have been answered."""

    retryable = True


class ProviderUnavailable(ProviderError, ConnectionError):
    """The provider cannot be reached, is overloaded or failed. Try again later."""

    retryable = True


class ProviderRateLimited(ProviderUnavailable):
    """The provider wants fewer requests. Wait ``retry_after_s``, or ask for a higher limit."""


class ProviderAuthError(ProviderError, PermissionError):
    """The provider does not accept the key. Check the variable that the settings name."""


class ProviderRefused(ProviderError, ValueError):
    """The provider refuses the request as it is: wrong model, too long, or against its rules."""


class ProviderBadAnswer(ProviderError, ValueError):
    """What the provider sent is no answer of the kind that was asked for."""
