"""Files become versions; drift is what the files and the database do not agree on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lockstep.prompts.conf import settings
from lockstep.prompts.files import PromptFile, find_all
from lockstep.prompts.models import PromptVersion, Release

__all__ = ["Drift", "drift", "sync"]


@dataclass(frozen=True)
class Drift:
    """One disagreement."""

    prompt: str
    version: str
    text: str
    hint: str


def sync(author: str = "") -> list[tuple[PromptVersion, bool]]:
    """Make a version of each file whose content the database does not have. Returns: each, and whether it is new."""
    return [_sync(file, author) for file in find_all()]


def _sync(file: PromptFile, author: str) -> tuple[PromptVersion, bool]:
    versions = PromptVersion.objects.using(settings().database)
    from_files = versions.filter(prompt_id=file.name, source=PromptVersion.Source.FILE)
    parent = from_files.order_by("-id").first()
    return versions.add(file.name, file.body, source=PromptVersion.Source.FILE, author=author, parent=parent)


def drift() -> Iterator[Drift]:
    """Files whose version is not in the database, and live versions that no file has.

    What was written in the admin for a prompt without files is no drift. Three queries however many prompts.
    """
    files = find_all()
    versions = PromptVersion.objects.using(settings().database)
    releases = list(Release.objects.using(settings().database).live(settings().environment))
    wanted = {file.body.key for file in files} | {arm.version for row in releases for arm in row.split}
    known = {
        (prompt, key): source
        for prompt, key, source in versions.filter(key__in=wanted).values_list("prompt_id", "key", "source")
    }
    held = {(file.name, file.body.key) for file in files}
    names = {file.name for file in files}
    for file in files:
        if (file.name, file.body.key) not in known:
            yield Drift(
                file.name,
                file.body.key,
                f"{file.path.name} holds a version of {file.name} that the database does not have.",
                "Run: manage.py lockstep_prompts sync",
            )
    for row in releases:
        for version in sorted({arm.version for arm in row.split}):
            address = (row.prompt_id, version)
            written_here = row.prompt_id not in names and known.get(address) != PromptVersion.Source.FILE
            if address not in held and not written_here:
                yield Drift(
                    *address,
                    f"{row.environment} runs {row.prompt_id} {version[:12]} (release {row.number}), which no file has.",
                    f"Release what the file holds, or write one: manage.py lockstep_prompts show {row.prompt_id}"
                    f" {version[:12]} > prompts/{row.prompt_id}.md",
                )
