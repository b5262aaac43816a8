"""Runs a search over both shelves and lays out what the page shows: results, legs side by side, the usual way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from django.utils.safestring import SafeString

from demo.shop import usual_way
from demo.shop.excerpts import excerpt, heading
from demo.shop.forms import LEGS, SearchForm
from demo.shop.models import Question
from demo.shop.questions import visible_questions
from demo.shop.shelves import HELP, PRODUCTS, SHELVES, Shelf
from lockstep.search.exceptions import EmbedderError
from lockstep.search.query.explain import Explanation, Share

T = TypeVar("T")

SIDE_BY_SIDE = 5
"""Records in each column of the legs."""

COMPARED = 10
"""How far down the place of a committed answer is looked for."""

TITLES = {"lexical": "Words", "identifier": "Part numbers", "dense": "Meaning"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A hit with its reasons, ready for the page."""

    record: Any
    why: Explanation
    heading: SafeString
    excerpt: SafeString
    parts: Sequence[Part]

    @classmethod
    def of(cls, hit: Any, shelf: Shelf) -> Shown:
        why = hit.explain()
        return cls(
            record=hit,
            why=why,
            heading=heading(why.highlights[shelf.heading], getattr(hit, shelf.heading)),
            excerpt=excerpt(why.highlights[shelf.text], getattr(hit, shelf.text)),
            parts=_parts(why),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """What one leg gave to a hit, and where its stretch of the bar lies, in per cent of the possible."""

    name: str
    title: str
    share: Share
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Column:
    """What one leg alone would have shown."""

    name: str
    title: str
    weight: float
    """0 when the leg is off."""
    hits: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Results:
    """One shelf's part of the page."""

    shelf: Shelf
    hits: Sequence[Shown]
    took_ms: float
    visible: int
    """Records among which it searched: those that this person may see and that pass the filters."""
    columns: Sequence[Column]
    usual: Sequence[Any]
    usual_ms: float
    degraded: bool
    """Whether the embedder did not answer, and the other legs answered alone."""
    question: Question | None
    """The committed question that this is, if its answer lies on this shelf."""

    @property
    def place(self) -> int | None:
        return self._place([shown.record for shown in self.hits])

    @property
    def usual_place(self) -> int | None:
        return self._place(self.usual)

    @property
    def promise(self) -> tuple[float, float]:
        """The best part number among the hits that have the one typed, then the best similarity of meaning.

        Both are scores of single legs and mean the same on each shelf; fused scores do not.
        """
        pinned = [shown.record for shown in self.hits if shown.why.pinned]
        return _best(pinned, "identifier"), _best([shown.record for shown in self.hits], "dense")

    def _place(self, records: Sequence[Any]) -> int | None:
        return self.shelf.place_of(self.question.expects, records) if self.question else None


def search(form: SearchForm, user: Any) -> list[Results]:
    """Search each chosen shelf with the settings of a valid form; the more promising shelf comes first."""
    text = form.cleaned_data["q"]
    question = visible_questions(user).filter(text=text).first()
    chosen = [SHELVES[name] for name in [form.cleaned_data["shelf"]] if name] or [PRODUCTS, HELP]
    parts = [_results(shelf, form, user, question) for shelf in chosen]
    return sorted(parts, key=lambda part: part.promise, reverse=True)


def _results(shelf: Shelf, form: SearchForm, user: Any, question: Question | None) -> Results:
    records, text, weights = _filtered(shelf, form, user), form.cleaned_data["q"], form.weights()
    settings = {
        "k": form.cleaned_data["k"],
        "fusion": form.cleaned_data["fusion"],
        "weights": weights,
        "legs": tuple(weights),
        "top_n": form.cleaned_data["n"],
    }
    (hits, is_away), took_ms = _timed(lambda: _found(lambda: records.find(text, **settings)))
    (usual, _), usual_ms = _timed(lambda: _found(lambda: usual_way.search(records, text, top_n=COMPARED)))
    return Results(
        shelf=shelf,
        hits=[Shown.of(hit, shelf) for hit in hits],
        took_ms=took_ms,
        visible=records.count(),
        columns=[_column(name, leg, records, text, weights) for name, leg in LEGS.items()],
        usual=usual,
        usual_ms=usual_ms,
        degraded=is_away or any("dense" in hit.search_detail["degraded"] for hit in hits),
        question=question if question and question.shelf == shelf.name else None,
    )


def _found(run: Callable[[], Iterable[Any]]) -> tuple[list[Any], bool]:
    """What a search finds, and whether its embedder is away, without which it has no answer at all."""
    try:
        return list(run()), False
    except EmbedderError:
        return [], True


def _filtered(shelf: Shelf, form: SearchForm, user: Any) -> Any:
    """What this person may see and has not filtered away: the queryset that all legs search."""
    given = form.cleaned_data
    visible = shelf.model.objects.visible_to(user)
    if shelf is HELP:
        return visible.filter(topic=given["topic"]) if given["topic"] else visible
    wanted = {
        "brand__name": given["brand"],
        "category": given["category"],
        "price_pence__gte": _pence(given["price_from"]),
        "price_pence__lte": _pence(given["price_to"]),
    }
    return visible.select_related("brand").filter(
        **{name: value for name, value in wanted.items() if value not in (None, "")}
    )


def _pence(pounds: Decimal | None) -> int | None:
    return None if pounds is None else int(pounds * 100)


def _column(name: str, leg: str, records: Any, text: str, weights: dict[str, float]) -> Column:
    hits, _ = _found(lambda: records.find(text, legs=(leg,), top_n=SIDE_BY_SIDE))
    return Column(name, TITLES[leg], weights.get(leg, 0.0), hits)


def _best(records: Sequence[Any], leg: str) -> float:
    """The best score that a leg gave to any of these hits; 0 when it found none of them."""
    return max(
        (record.search_detail["legs"].get(leg, {}).get("score", 0.0) for record in records), default=0.0
    )


def _parts(why: Explanation) -> list[Part]:
    """The contributions of the legs, laid end to end."""
    parts, start = [], 0.0
    names = {leg: name for name, leg in LEGS.items()}
    for share in why.shares:
        width = 100 * why.score_norm * share.contribution / why.score if why.score else 0.0
        parts.append(Part(names[share.leg], TITLES[share.leg], share, start, width))
        start += width
    return parts


def _timed(run: Callable[[], T]) -> tuple[T, float]:
    """What ``run`` gives, and the milliseconds it took."""
    started = time.perf_counter()
    found = run()
    return found, (time.perf_counter() - started) * 1000
