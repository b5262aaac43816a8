"""What the rest of the house calls: the copy of a content that may be kept, or None.

    copy = redact("support.answer", messages, known={"patient": patient})

Where several contents belong to one call, one ``CallRedactor`` gives them the same placeholders::

    call = CallRedactor("support.answer", known={"patient": patient})
    request, response = call.redact(messages), call.redact(answer)
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lockstep.core import context
from lockstep.core.redacted import SEAL, Redacted
from lockstep.privacy.conf import settings
from lockstep.privacy.declared import identities
from lockstep.privacy.detectors.registry import configured
from lockstep.privacy.encryption import encrypt
from lockstep.privacy.exceptions import DetectorFailed, PrivacyError, TooLong
from lockstep.privacy.policies import METADATA, OFF, REDACT_ENCRYPT, policy_of
from lockstep.privacy.scanning import Scanner
from lockstep.privacy.structures import redact_structure

if TYPE_CHECKING:
    from lockstep.privacy.streams import StreamRedactor

__all__ = ["CallRedactor", "Redactor", "failures", "redact"]

logger = logging.getLogger("lockstep.privacy")
_failures: Counter[tuple[str, str]] = Counter()


def redact(feature: str | None, content: Any, *, known: Mapping[str, Any] | None = None) -> Redacted | None:
    """The copy of a content that may be kept, by the feature's policy; None when nothing may be. Never raises.

    Args:
        feature: name of a declared feature; None takes the context's.
        content: a text, or a structure as JSON has them; messages, pydantic models and dataclasses count as mappings.
        known: role -> object, as ``lockstep.privacy.declared.known`` declares them for the feature; None takes the
            context's.
    """
    return CallRedactor(feature, known=known).redact(content)


class CallRedactor:
    """Redacts what belongs to one call: the same value has the same placeholder in all of it.

    Making one never raises: when something is wrong, everything that it is given comes back as None.
    """

    def __init__(self, feature: str | None, *, known: Mapping[str, Any] | None = None) -> None:
        self.feature = feature or context.current().feature
        self.policy = METADATA
        self._scanner: Scanner | None = None
        self.guarded(lambda: self._begin(known))

    def redact(self, content: Any) -> Redacted | None:
        """The copy that may be kept; None when nothing may be. Never raises."""
        if self.policy == METADATA:
            return None
        return self.guarded(lambda: self._copy(content))

    def stream(self) -> StreamRedactor:
        """For a text that comes in pieces."""
        from lockstep.privacy.streams import StreamRedactor

        return StreamRedactor(self)

    def _begin(self, known: Mapping[str, Any] | None) -> None:
        policy = policy_of(self.feature)
        if policy not in (METADATA, OFF):
            people = identities(self.feature, context.current().known if known is None else known)
            detectors = [*configured(), people] if people else configured()
            self._scanner = Scanner(detectors, timeout_s=settings().timeout_s)
        self.policy = policy

    def _copy(self, content: Any) -> Redacted:
        counts: Counter[str] = Counter()
        is_json = not isinstance(content, str)
        kept = redact_structure(content, lambda texts: self.scanned(texts, counts))
        text = json.dumps(kept, ensure_ascii=False) if is_json else kept
        return self.sealed(text, counts, is_json=is_json)

    def scanned(self, texts: list[tuple[str, str]], counts: Counter[str]) -> list[str]:
        most = settings().most_characters
        if sum(len(text) for _, text in texts) > most:
            raise TooLong(f"The content has more than {most:,} characters. Nothing of it is kept.")
        if self._scanner is None:
            return [text for _, text in texts]
        return self._scanner.redact(texts, counts)

    @property
    def reach(self) -> int | None:
        """How far findings go in a stream; None: nobody can say before its end."""
        return self._scanner.reach if self._scanner else 0

    def forms(self, before: str, text: str) -> list[tuple[int, int]]:
        """Pieces of ``text`` that have the form of a finding."""
        return self._scanner.forms(before, text) if self._scanner else []

    def redacted_part(self, before: str, text: str, cut: int, counts: Counter[str], *, whole: bool) -> str:
        """``text[:cut]`` redacted, seen between what stands before and behind it."""
        if whole and cut == len(text):
            return str(redact_structure(text, lambda texts: self.scanned(texts, counts)))
        return self._scanner.part(before, text, cut, counts) if self._scanner else text[:cut]

    def sealed(self, text: str, counts: Counter[str], *, is_json: bool = False) -> Redacted:
        encrypted = self.policy == REDACT_ENCRYPT
        return Redacted(
            encrypt(text) if encrypted else text,
            seal=SEAL,
            is_json=is_json,
            encrypted=encrypted,
            counts=counts,
            policy=self.policy,
            version=self._scanner.version if self._scanner else "",
        )

    def guarded(self, work: Callable[[], Redacted | None]) -> Redacted | None:
        """Run it. Whatever goes wrong, nothing is kept, the caller goes on, and the log says so without content."""
        try:
            return work()
        except DetectorFailed as error:
            self._refuse(f"{error.detector} {error.why}")
        except PrivacyError as error:
            self._refuse(type(error).__name__)
        except Exception as error:
            self._refuse(type(error).__name__)
        return None

    def _refuse(self, reason: str) -> None:
        self.policy = METADATA  # the rest of the call would be only a part of the story
        key = self.feature or "", reason
        _failures[key] += 1
        logger.error(
            "Nothing of a content of %s is kept, because it could not be redacted: %s (%d so far).",
            self.feature or "no feature", reason, _failures[key],
        )  # fmt: skip


class Redactor:
    """Serves ``core.ports.redaction``."""

    def redact(
        self, content: Any, *, feature: str | None = None, known: Mapping[str, Any] | None = None
    ) -> Redacted | None:
        return redact(feature, content, known=known)


def failures() -> dict[tuple[str, str], int]:
    """(feature, reason) -> how often nothing was kept because of it, in this process."""
    return dict(_failures)


redactor = Redactor()
