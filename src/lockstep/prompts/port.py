"""What the door asks of prompts: the text of a version. Which version, its own first statement has read already."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lockstep.llm.hooks import Rendered
from lockstep.prompts.body import Body
from lockstep.prompts.conf import settings
from lockstep.prompts.exceptions import NoVersion, TemplateError
from lockstep.prompts.files import find
from lockstep.prompts.models import PromptVersion

__all__ = ["Bodies", "Versions", "bodies", "forget", "versions"]

MEMORY = 500
"""Bodies that a process remembers. They never change, so nothing has to be forgotten but for room."""


class Versions:
    """Serves ``lockstep.llm.hooks.prompting``."""

    def rendered(self, prompt: str, version: str, variables: Mapping[str, Any]) -> Rendered:
        return _body(settings().database, prompt, version).render(variables)

    def fallback(self, prompt: str) -> str | None:
        """The version of the file, where the settings allow it and the database has it."""
        if settings().unreleased != "file":
            return None
        name = prompt.partition("@")[0]
        file = find(name)
        known = PromptVersion.objects.using(settings().database)
        return file.body.key if file and known.filter(prompt_id=name, key=file.body.key).exists() else None


class Bodies:
    """Serves ``core.ports.prompts``."""

    def body(self, prompt: str, version: str) -> str | None:
        found = _row(settings().database, prompt, version)
        return None if found is None else found.canonical

    def add(self, prompt: str, version: str, body: str) -> None:
        name = prompt.partition("@")[0]
        try:
            read = Body.read(body)
        except (LookupError, TypeError, ValueError) as error:
            raise TemplateError(f"What came for {name} is no prompt.", prompt=name) from error
        if read.key != version:
            raise TemplateError(f"What came for {name} is not its version {version!r}.", prompt=name)
        PromptVersion.objects.using(settings().database).add(name, read, note="It came with a run.")


@lru_cache(maxsize=MEMORY)
def _body(using: str, prompt: str, version: str) -> Body:
    name = prompt.partition("@")[0]
    row = _row(using, prompt, version)
    if row is None:
        raise NoVersion(f"{name} has no version {version!r}.", prompt=name, version=version)
    return row.content


def _row(using: str, prompt: str, version: str) -> PromptVersion | None:
    return PromptVersion.objects.using(using).filter(prompt_id=prompt.partition("@")[0], key=version).first()


def forget() -> None:
    """Empty the memory: a test's database was rolled back."""
    _body.cache_clear()


versions = Versions()
bodies = Bodies()
