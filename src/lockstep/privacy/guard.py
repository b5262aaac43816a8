"""Asking detectors so that none of them can harm: what they return is checked, and foreign ones have a time limit."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

from lockstep.privacy.detectors.base import Detector
from lockstep.privacy.detectors.identities import Identities
from lockstep.privacy.detectors.pack import Pack
from lockstep.privacy.exceptions import DetectorFailed
from lockstep.privacy.spans import Span, united

__all__ = ["ask"]

OURS = (Pack, Identities)
"""Linear by their tests, so they run where they are called; a thread of their own costs more than they do."""
TYPE = re.compile(r"[A-Z][A-Z_]{0,48}")
STUCK = 4
"""Threads of one detector that may hang; then it is not asked any more until one comes back."""

_stuck: dict[int, list[threading.Thread]] = {}


def ask(detectors: Sequence[Detector], texts: Sequence[str], timeout_s: float) -> list[list[Span]]:
    """The findings of all detectors in each text, overlaps united.

    Raises:
        DetectorFailed: one raised, took longer than ``timeout_s`` for all texts, or returned spans that cannot be.
    """
    found: list[list[Span]] = [[] for _ in texts]
    for detector in detectors:
        if isinstance(detector, OURS):
            for spans, text in zip(found, texts, strict=True):
                spans += detector.find(text)
            continue
        for spans, text, more in zip(found, texts, _answers(detector, texts, timeout_s), strict=True):
            spans += _checked(detector, text, more)
    return [united(spans) for spans in found]


def _answers(detector: Detector, texts: Sequence[str], timeout_s: float) -> list[Sequence[Span]]:
    answers: list[Sequence[Span]] = []
    errors: list[str] = []

    def work() -> None:
        try:
            answers.extend([list(detector.find(text)) for text in texts])
        except BaseException as error:  # whatever it is, its text may repeat the content
            errors.append(type(error).__name__)

    threads = [thread for thread in _stuck.get(id(detector), []) if thread.is_alive()]
    if len(threads) >= STUCK:
        raise _failed(detector, "hangs")
    worker = threading.Thread(target=work, name="lockstep-detector", daemon=True)
    worker.start()
    worker.join(timeout_s)
    if worker.is_alive():
        _stuck[id(detector)] = [*threads, worker]
        raise _failed(detector, "took too long")
    if errors:
        raise _failed(detector, f"raised {errors[0]}")
    return answers


def _checked(detector: Detector, text: str, spans: Sequence[Span]) -> list[Span]:
    end = 0
    ordered = []
    for span in spans:
        if not isinstance(span, Span) or type(span.start) is not int or type(span.end) is not int:
            raise _failed(detector, "returned what is no span")
        ordered.append(span)
    for span in sorted(ordered, key=lambda one: one.start):
        if not end <= span.start < span.end <= len(text):
            raise _failed(detector, "returned spans that overlap or lie outside")
        if not TYPE.fullmatch(span.type):
            raise _failed(detector, "returned a type that is no name in capitals")
        end = span.end
    return ordered


def _failed(detector: Detector, why: str) -> DetectorFailed:
    name = type(detector).__name__
    return DetectorFailed(f"The detector {name} {why}.", detector=name, why=why)
