"""Why a hit is where it is: contributions that add up, matched words, the passage, and how it was searched."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connections, models
from django.utils.safestring import SafeString, mark_safe

from lockstep.search.ddl import name
from lockstep.search.declaration import Declaration, all_indexes
from lockstep.search.exceptions import QueryError
from lockstep.search.settle import prepared_pks

__all__ = ["Explanation", "Share", "explain"]

# Control characters cannot stand for themselves in a text that people read, and escaping leaves them alone.
START, STOP = "\x02", "\x03"
HEADLINE = (
    f'StartSel={START}, StopSel={STOP}, MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter=" … "'
)
#: Characters of a field that are read for a highlight.
HIGHLIGHTED = 20_000


@dataclass(frozen=True, slots=True)
class Share:
    """What one leg gave to a hit."""

    leg: str
    rank: int
    """Place in that leg, from 1."""
    score: float
    """The leg's own score: idf-weighted ts_rank, identifier tier, or cosine similarity."""
    contribution: float
    """Part of the fused score."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One hit, explained."""

    record: str
    rank: int
    score: float
    """Sum of the contributions."""
    score_norm: float
    """0 to 1; 1 is first in every leg that ran."""
    shares: tuple[Share, ...]
    pinned: bool
    """Whether an identifier equals what was typed, so that the record stands first whatever its score."""
    lexemes: tuple[str, ...]
    """Lexemes of the query that stand in the record."""
    highlights: Mapping[str, SafeString]
    """Field -> excerpt, HTML-escaped, with matches in <mark>."""
    distance: float | None
    """Cosine distance of the nearest passage, 0 to 2; None when the dense leg did not find the record."""
    passage: str
    """The nearest passage."""
    span: tuple[int, int] | None
    """Its place in the record's rendered text, in characters."""
    space: str
    freshness: str
    """``current``, ``embedded under an older declaration``, ``waits for its embedding``, ``not promised``."""
    strategy: Mapping[str, str]
    """Leg -> ``exact``, ``pruned`` or ``hnsw``."""
    degraded: tuple[str, ...]
    """Legs that could not run."""
    fusion: str

    def __str__(self) -> str:
        lines = [
            f"{self.record}: rank {self.rank}, score {self.score:.4f} ({self.score_norm:.0%} of the possible)"
        ]
        lines += [
            f"  {share.leg:<10} rank {share.rank:<4} score {share.score:<8.4f} gives {share.contribution:.4f}"
            for share in self.shares
        ]
        if self.pinned:
            lines.append("  pinned: an identifier equals what was typed")
        if self.lexemes:
            lines.append(f"  words: {', '.join(self.lexemes)}")
        if self.span:
            lines.append(
                f"  passage {self.span[0]}-{self.span[1]} at distance {self.distance:.3f}: {self.passage[:120]!r}"
            )
        lines.append(
            f"  {self.fusion}; {', '.join(f'{leg} {how}' for leg, how in self.strategy.items())}; {self.freshness}"
        )
        if self.degraded:
            lines.append(f"  degraded: {', '.join(self.degraded)} did not answer")
        return "\n".join(lines)


def explain(hit: models.Model) -> Explanation:
    """Explain a hit of ``hybrid_search()``; one more query.

    Raises:
        QueryError: the instance does not come from a search.
    """
    detail = getattr(hit, "search_detail", None)
    if detail is None:
        raise QueryError("explain() tells about a hit: take the instance from hybrid_search().")
    index = next((index for index in all_indexes() if index.label == detail["index"]), None)
    facts = _facts(index, hit, detail["query"]) if index else _Facts((), {}, "not promised", "")
    shares = tuple(
        Share(leg, share["rank"], share["score"], share["contribution"])
        for leg, share in sorted(detail["legs"].items(), key=lambda item: -item[1]["contribution"])
    )
    dense = detail["legs"].get("dense")
    span = (dense["start"], dense["end"]) if dense and index else None
    return Explanation(
        record=str(hit),
        rank=hit.search_rank,  # type: ignore[attr-defined]
        score=hit.search_score,  # type: ignore[attr-defined]
        score_norm=hit.search_score_norm,  # type: ignore[attr-defined]
        shares=shares,
        pinned=detail["pinned"],
        lexemes=facts.lexemes,
        highlights=facts.highlights,
        distance=dense["distance"] if dense else None,
        passage=facts.text[slice(*span)] if span else "",
        span=span,
        space=detail["space"],
        freshness=facts.freshness,
        strategy=detail["strategy"],
        degraded=tuple(detail["degraded"]),
        fusion=detail["fusion"],
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    lexemes: tuple[str, ...]
    highlights: Mapping[str, SafeString]
    freshness: str
    text: str


def _facts(index: Declaration, hit: models.Model, query: str) -> _Facts:
    """What the database knows of the record, read in one statement."""
    columns = index.columns(index.text_names)
    texts = ", ".join(f"r.{name(column)}::text" for column in columns)
    headlines = ", ".join(
        f"ts_headline(%s::regconfig, left(r.{name(column)}::text, {HIGHLIGHTED}), q.words, %s)"
        for column in columns
    )
    pk = name(index.pk_column)
    sql = f"""
WITH q AS (
  SELECT array_agg(lexeme) AS lexemes,
    string_agg(quote_literal(lexeme), ' | ')::tsquery AS words
  FROM unnest(lockstep_tsv_v1(%s::regconfig, ARRAY[%s], ARRAY['D']))
)
SELECT (SELECT array_agg(lexeme) FROM unnest(tsvector_to_array(d.tsv)) AS lexeme WHERE lexeme = ANY(q.lexemes)),
  d.recipe = %s, m.record_id IS NOT NULL, ARRAY[{texts}], ARRAY[{headlines}]
FROM q, {name(index.table)} r
LEFT JOIN {name(index.document_table)} d ON d.record_id = r.{pk}
LEFT JOIN {name(index.manifest_table)} m ON m.record_id = r.{pk} AND m.digest = r.{name(index.digest_name)}
WHERE r.{pk} = %s"""
    using = hit._state.db or "default"
    params = [index.config, query, index.recipe, *[index.config, HEADLINE] * len(columns)]
    with connections[using].cursor() as cursor:
        cursor.execute(
            sql, [*params, *prepared_pks(index, [getattr(hit, index.model._meta.pk.attname)], using)]
        )
        row = cursor.fetchone()
    if row is None:
        return _Facts((), {}, "deleted meanwhile", "")
    lexemes, current, embedded, values, marked = row
    highlights = dict(zip(index.text_names, [_safe(text) for text in marked], strict=True))
    return _Facts(
        tuple(sorted(lexemes or ())), highlights, _freshness(current, embedded), index.render(values).text
    )


def _freshness(current: bool, embedded: bool) -> str:
    if not embedded:
        return "waits for its embedding"
    return "current" if current else "embedded under an older declaration"


def _safe(marked: str | None) -> SafeString:
    """An excerpt for HTML. The text itself may hold markup, or our own marks: both become text."""
    escaped = html.escape(marked or "")
    safe, inside = [], False
    for character in escaped:
        if character == START and not inside:
            safe.append("<mark>")
            inside = True
        elif character == STOP and inside:
            safe.append("</mark>")
            inside = False
        elif character not in (START, STOP):
            safe.append(character)
    if inside:
        safe.append("</mark>")
    return mark_safe("".join(safe))  # noqa: S308 -- escaped above, only <mark> added
