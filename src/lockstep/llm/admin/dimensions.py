"""What calls are told apart by. One name serves as parameter of the list of calls and as group of the spend page."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DIMENSIONS", "Dimension"]


@dataclass(frozen=True)
class Dimension:
    name: str
    title: str
    columns: tuple[str, ...]
    """Of the ledger; a key is their values with ``separator`` between."""
    separator: str = ""

    def key(self, *values: str) -> str:
        return self.separator.join(values)

    def lookup(self, key: str) -> dict[str, str]:
        """The filter of a key."""
        return {self.columns[0]: key}

    def label(self, key: str) -> str:
        return key or f"no {self.title}"


class _Version(Dimension):
    def lookup(self, key: str) -> dict[str, str]:
        """``support-answer@9f31…``; a hash alone may be short, and belong to any prompt."""
        name, at, version = key.rpartition("@")
        return {"prompt": name, "prompt_version": version} if at else {"prompt_version__startswith": version}

    def label(self, key: str) -> str:
        name, _, version = key.rpartition("@")
        return f"{name or 'unnamed'} · {version[:12]}" if version else name or "no prompt"


class _Model(Dimension):
    def lookup(self, key: str) -> dict[str, str]:
        provider, colon, model = key.partition(":")
        return {"provider": provider, "request_model": model} if colon else {"request_model": key}


DIMENSIONS = {
    dimension.name: dimension
    for dimension in (
        Dimension("feature", "feature", ("feature",)),
        Dimension("cohort", "cohort", ("cohort",)),
        _Version("version", "prompt version", ("prompt", "prompt_version"), "@"),
        _Model("model", "model", ("provider", "request_model"), ":"),
        Dimension("provider", "provider", ("provider",)),
    )
}
