"""The ``prompts`` section of the ``LOCKSTEP`` setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lockstep.core.conf import Section

__all__ = ["PromptsSettings", "settings"]


@dataclass(frozen=True)
class PromptsSettings:
    folders: Sequence[str] = ()
    """Folders with prompt files, absolute; beside them the ``prompts`` folder of each installed app is read."""
    database: str = "default"
    """Alias of the database that holds the prompts: the one that the ledger is in."""
    environment: str = "production"
    """Environment that releases are made for when none is named."""
    unreleased: str = "refuse"
    """A prompt without a release: ``refuse`` the call, or use the version that its ``file`` has (development)."""

    def __post_init__(self) -> None:
        if isinstance(self.folders, str):
            raise ValueError("folders must be a list of paths, not one string.")
        if self.unreleased not in ("refuse", "file"):
            raise ValueError(f"unreleased must be 'refuse' or 'file', not {self.unreleased!r}.")
        if not self.environment or not self.environment.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"{self.environment!r} is no name of an environment: take letters and digits.")


section = Section("prompts", PromptsSettings)


def settings() -> PromptsSettings:
    return section.get()
