"""A text that comes in pieces: what cannot become part of a finding any more is handed on, the rest waits.

Wherever the text is split, the pieces together are what the whole would have become.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from lockstep.core.redacted import Redacted
from lockstep.privacy.policies import METADATA

if TYPE_CHECKING:
    from lockstep.privacy.redaction import CallRedactor

__all__ = ["StreamRedactor"]

MEMORY = 512
"""Characters of what was handed on that are remembered: they name what comes next."""
STEP = 64
"""New characters before it is worth looking again."""
BREAK = re.compile(r"[\s。、]")
"""Between these no e-mail address, URL or key goes on."""


class StreamRedactor:
    """Redacts one text of a call piece by piece. Not for several threads.

    A detector that may look at the whole text (``reach`` None), and a text that is JSON, are held back to the end.
    """

    def __init__(self, call: CallRedactor) -> None:
        self._call = call
        self._waiting = ""
        self._before = ""
        self._handed: list[str] = []
        self._counts: Counter[str] = Counter()
        self._look_at = 0
        self._closed = False

    def feed(self, piece: str) -> Redacted | None:
        """Take the next piece; what can be handed on now, if anything."""
        if self._closed:
            raise ValueError("The stream is closed.")
        self._waiting += piece
        if self._call.policy == METADATA or len(self._waiting) < self._look_at:
            return None
        return self._call.guarded(self._settled)

    def close(self) -> Redacted | None:
        """The end of the text; what was left of it."""
        self._closed = True
        if self._call.policy == METADATA:
            return None
        return self._call.guarded(lambda: self._hand_on(len(self._waiting)))

    @property
    def whole(self) -> Redacted | None:
        """Everything that was handed on, as one; None when nothing may be kept."""
        if self._call.policy == METADATA:
            return None
        return self._call.guarded(lambda: self._call.sealed("".join(self._handed), self._counts))

    def _settled(self) -> Redacted | None:
        hold = self._call.reach
        cut = 0
        if hold is not None and not self._is_json():
            cut = self._cut(len(self._waiting) - hold)
        self._look_at = len(self._waiting) - cut + max(STEP, 0 if cut else len(self._waiting) // 4)
        return self._hand_on(cut) if cut else None

    def _cut(self, last: int) -> int:
        """The last place up to ``last`` that nothing with the form of a finding goes across; 0 when there is none."""
        breaks = [found.start() for found in BREAK.finditer(self._waiting, 0, max(0, last))]
        if not breaks:
            return 0
        open_ = self._call.forms(self._before, self._waiting)
        for place in reversed(breaks):
            if place and not any(start < place < end for start, end in open_):
                return place
        return 0

    def _hand_on(self, cut: int) -> Redacted | None:
        counts: Counter[str] = Counter()
        text = self._call.redacted_part(self._before, self._waiting, cut, counts, whole=not self._handed)
        self._waiting = self._waiting[cut:]
        if not text:
            return None
        self._before = (self._before + text)[-MEMORY:]
        self._handed.append(text)
        self._counts += counts
        return self._call.sealed(text, counts)

    def _is_json(self) -> bool:
        return not self._handed and self._waiting.lstrip()[:1] in ("{", "[", "")
