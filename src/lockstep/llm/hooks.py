"""The socket that lockstep.prompts fills: prompts by address. Without it the door sends the caller's own messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lockstep.core.exceptions import LockstepError
from lockstep.core.ports import Port

__all__ = ["NoPrompting", "PromptError", "Prompting", "Rendered", "prompting"]


class PromptError(LockstepError, ValueError):
    """A prompt cannot be found or rendered."""


@dataclass(frozen=True)
class Rendered:
    """One version of a prompt with its variables filled in: what is sent."""

    messages: list[tuple[str, str]]
    """``(role, text)``, roles ``system``, ``user`` and ``assistant``."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """For the model: temperature and the like. Never the model's name: the release says that."""
    tools: list[dict[str, Any]] = field(default_factory=list)
    output_schema: dict[str, Any] | None = None


class Prompting(Protocol):
    """Knows the bodies of versions. They are immutable, so a process may remember them for ever."""

    def rendered(self, prompt: str, version: str, variables: Mapping[str, Any]) -> Rendered:
        """The messages of ``version`` with ``variables``.

        Raises:
            PromptError: the version is unknown, or a variable is missing, extra or cannot be rendered.
        """

    def fallback(self, prompt: str) -> str | None:
        """The version to use while no release exists; None lets the door refuse the call."""


class NoPrompting:
    def rendered(self, prompt: str, version: str, variables: Mapping[str, Any]) -> Rendered:
        raise PromptError(
            f"Nothing here knows the prompt {prompt!r}: add 'lockstep.prompts' to INSTALLED_APPS.",
            prompt=prompt,
            version=version,
        )

    def fallback(self, prompt: str) -> str | None:
        return None


prompting: Port[Prompting] = Port("prompting", NoPrompting())
