"""From texts to texts without findings: normalise, ask the detectors, put placeholders."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from lockstep.privacy.detectors.base import Detector
from lockstep.privacy.detectors.pack import Pack
from lockstep.privacy.guard import ask
from lockstep.privacy.normalise import Normalised, normalise
from lockstep.privacy.placeholders import MASK, PLACEHOLDER, Placeholders
from lockstep.privacy.spans import Span, united

__all__ = ["Scanner"]

BEHIND, AHEAD = re.compile(r"[\w+(]|[.,]\d"), re.compile(r"(?:[\w+]|\d[.,])\Z")
"""What touches a finding so that it may change what it is without it."""
ROUNDS = 6
"""So often a text is looked at again at most; then what still touches a finding goes with it."""
RUN = re.compile(r"\S*")


@dataclass
class Scanner:
    """Redacts the texts of one call, all with the same placeholders."""

    detectors: Sequence[Detector]
    timeout_s: float
    placeholders: Placeholders = field(default_factory=Placeholders)

    @property
    def version(self) -> str:
        return "+".join(detector.version for detector in self.detectors)

    def redact(self, texts: Sequence[tuple[str, str]], counts: Counter[str]) -> list[str]:
        """The texts with placeholders.

        Args:
            texts: what stands before a text (its key, for instance) and helps to understand it, and the text.
            counts: gets the number of replaced findings of each type.

        Raises:
            DetectorFailed: a detector did not do its work; nothing may be kept.
        """
        whole = [normalise(f"{before}{text}") for before, text in texts]
        found = self.spans([one.text for one in whole])
        return [
            self.replaced(text, originals(one, spans, len(before)), counts)
            for (before, text), one, spans in zip(texts, whole, found, strict=True)
        ]

    def spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """All findings. What touches one is looked at again as if there were its placeholder: once that stands there, a
        neighbour may have become recognisable."""
        found = ask(self.detectors, texts, self.timeout_s)
        again = [n for n, (text, spans) in enumerate(zip(texts, found, strict=True)) if _touched(text, spans)]
        for left in reversed(range(ROUNDS)):
            more = ask(self.detectors, [masked(texts[n], found[n]) for n in again], self.timeout_s)
            grown = [(n, spans) for n, spans in zip(again, more, strict=True) if spans]
            for n, spans in grown:
                found[n] = united([*found[n], *(spans if left else _stretched(texts[n], spans))])
            again = [n for n, _ in grown]
            if not again:
                break
        return found

    @property
    def reach(self) -> int | None:
        """The farthest that any detector looks; None when one may look at everything."""
        reaches = [detector.reach for detector in self.detectors]
        return None if None in reaches else max((reach for reach in reaches if reach is not None), default=0)

    def forms(self, before: str, text: str) -> list[tuple[int, int]]:
        """Pieces of ``text`` with the form of a finding, whether or not they are one."""
        whole = normalise(before + text)
        (spans,) = self.spans([whole.text])
        forms = [(span.start, span.end) for span in spans]
        for detector in self.detectors:
            forms += detector.forms(whole.text) if isinstance(detector, Pack) else []
        back = (whole.original(start, end) for start, end in forms)
        return [(max(0, start - len(before)), end - len(before)) for start, end in back if end > len(before)]

    def part(self, before: str, text: str, cut: int, counts: Counter[str]) -> str:
        """``text[:cut]`` with placeholders; what stands around it helps to understand it."""
        whole = normalise(before + text)
        (spans,) = self.spans([whole.text])
        inside = [span for span in originals(whole, spans, len(before)) if span.start < cut]
        return self.replaced(text[:cut], inside, counts)

    def replaced(self, text: str, spans: Sequence[Span], counts: Counter[str]) -> str:
        """The text with a placeholder for each span, from left to right."""
        if not spans and "[" not in text:
            return text
        pieces: list[str] = []
        end = 0
        for start, stop, kind in _events(text, spans):
            pieces.append(text[end:start])
            if kind:
                pieces.append(self.placeholders.of(kind, normalise(text[start:stop]).text))
                counts[kind] += 1
            else:
                pieces.append(self.placeholders.foreign(PLACEHOLDER.match(text, start)))  # type: ignore[arg-type]
            end = stop
        return "".join([*pieces, text[end:]])


def masked(text: str, spans: Sequence[Span]) -> str:
    pieces, end = [], 0
    for span in spans:
        pieces += [text[end : span.start], MASK * (span.end - span.start)]
        end = span.end
    return "".join([*pieces, text[end:]])


def _stretched(text: str, spans: Sequence[Span]) -> list[Span]:
    """Each span as far as the text goes on without a blank."""
    found, end = [], 0
    for span in spans:
        if span.end > end:  # otherwise the one before took it along
            end = RUN.match(text, span.end).end()  # type: ignore[union-attr]
            found.append(replace(span, end=end))
    return found


def _touched(text: str, spans: Sequence[Span]) -> bool:
    return any(
        BEHIND.match(text, span.end) or AHEAD.search(text[max(0, span.start - 2) : span.start])
        for span in spans
    )


def originals(whole: Normalised, spans: Sequence[Span], skipped: int) -> list[Span]:
    """Spans of the normalised text as spans of the original without its first ``skipped`` characters."""
    if not skipped and whole.origins is None:
        return list(spans)
    found = []
    for span in spans:
        start, end = whole.original(span.start, span.end)
        if end > skipped:
            found.append(Span(max(0, start - skipped), end - skipped, span.type))
    return found


def _events(text: str, spans: Sequence[Span]) -> list[tuple[int, int, str]]:
    """What is to be replaced, in order: findings, less the placeholders inside them; and these, with no type."""
    events = [(found.start(), found.end(), "") for found in PLACEHOLDER.finditer(text)]
    if not events:
        return [(span.start, span.end, span.type) for span in spans]
    brought = deque(events)
    for span in spans:
        start = span.start
        while brought and brought[0][1] <= start:
            brought.popleft()
        for first, last, _ in takewhile(lambda one: one[0] < span.end, brought):  # noqa: B023
            if start < first:
                events.append((start, first, span.type))
            start = last
        if start < span.end:
            events.append((start, span.end, span.type))
    return sorted(events)
