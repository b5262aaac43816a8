"""The only kind of content that a log, a trace, a ledger or an exporter may keep.

A sink says so in its signature and asks at its door::

    def keep(self, request: Redacted | None) -> None:
        if request is not None:
            self.write(demand(request).text)

Neither a plain string nor anything made of one is a ``Redacted``; ``f"{copy}"`` is a string again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn, final

from lockstep.core.exceptions import NotRedacted

__all__ = ["Redacted", "Seal", "demand"]


@final
class Seal:
    """What a redactor shows when it makes a ``Redacted``. There is one: ``SEAL``."""

    __slots__ = ()


SEAL = Seal()


@final
class Redacted:
    """Content without what the feature's policy takes out. Immutable; only a redactor makes one.

    Args:
        text: what may be kept; the JSON of it when it is a structure.
        seal: shows that a redactor is at work.

    Raises:
        NotRedacted: without the seal: a plain value cannot be declared harmless.
    """

    __slots__ = ("counts", "encrypted", "is_json", "policy", "text", "version")

    text: str
    """The redacted text, the redacted structure as JSON, or the encrypted form of either."""
    is_json: bool
    """Whether the content was a structure."""
    encrypted: bool
    """Whether ``text`` is a token that ``lockstep.privacy.encryption`` opens."""
    counts: Mapping[str, int]
    """Type -> how many findings were replaced: ``{"NHS": 2}``."""
    policy: str
    """Policy that it was made under: off, redact or redact_encrypt."""
    version: str
    """What looked for findings: detectors with their versions."""

    def __init__(
        self,
        text: str,
        *,
        seal: Seal | None = None,
        is_json: bool = False,
        encrypted: bool = False,
        counts: Mapping[str, int] | None = None,
        policy: str = "redact",
        version: str = "",
    ) -> None:
        if seal is not SEAL or type(text) is not str:
            raise NotRedacted
        given = {
            "text": text,
            "is_json": is_json,
            "encrypted": encrypted,
            "policy": policy,
            "version": version,
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "counts", MappingProxyType(dict(sorted((counts or {}).items()))))

    @property
    def data(self) -> Any:
        """The redacted structure, a fresh copy each time; the text itself when it was one.

        Raises:
            ValueError: it is encrypted.
        """
        if self.encrypted:
            raise ValueError(
                "The content is encrypted: lockstep.privacy.encryption.reveal(copy.text) opens it."
            )
        return json.loads(self.text) if self.is_json else self.text

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("A Redacted has no kinds: a sink asks for this very type.")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        found = ", ".join(f"{kind} {count}" for kind, count in self.counts.items())
        return f"<Redacted {len(self.text)} characters, {self.policy}: {found or 'nothing found'}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Redacted) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash((self.text, self.policy, self.version))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("A Redacted cannot be changed.")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("A Redacted cannot be changed.")

    def __copy__(self) -> Redacted:
        return self

    def __deepcopy__(self, memo: object) -> Redacted:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Redacted is not pickled: whoever unpickles could claim anything. Send its text.")

    def _facts(self) -> tuple[object, ...]:
        return self.text, self.is_json, self.encrypted, dict(self.counts), self.policy, self.version


def demand(value: object) -> Redacted:
    """The value, if a redactor made it. The first line of every sink.

    Raises:
        NotRedacted: it is anything else.
    """
    if type(value) is not Redacted:
        raise NotRedacted(kind=type(value).__name__)
    return value
