"""What prompts raises. Every text says what to do next."""

from __future__ import annotations

from lockstep.llm.hooks import PromptError

__all__ = [
    "FileError",
    "NoPrompt",
    "NoVersion",
    "PromptError",
    "ReleaseRefused",
    "TemplateError",
    "VariableError",
]


class TemplateError(PromptError):
    """The text of a prompt cannot become a version."""


class FileError(TemplateError):
    """A prompt file cannot be read."""


class VariableError(PromptError):
    """The variables given are not those that the version declares."""

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


class NoPrompt(PromptError, LookupError):
    """There is no such prompt."""


class NoVersion(PromptError, LookupError):
    """The prompt has no such version."""


class ReleaseRefused(PromptError):
    """The release is not allowed. Nothing was changed."""
