"""One round trip before the ranking statement: what the query's words are, how rare, how many records are permitted."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import connections

from lockstep.core.exceptions import LockstepError
from lockstep.search.conf import settings
from lockstep.search.ddl import name
from lockstep.search.embedders import get_embedder
from lockstep.search.models import LexemeStat
from lockstep.search.query.corpus import Corpus
from lockstep.search.query.parsing import HAS_DIGIT, QUANTITY, Candidate, ParsedQuery, candidates
from lockstep.search.query.pruning import Fetch, Term, rare_first
from lockstep.search.query.spec import SearchSpec
from lockstep.search.query.sql import Sql, quoted

__all__ = ["Plan", "Token", "make_plan"]

logger = logging.getLogger("lockstep.search")

CEILING = 20_000
"""Records scored at most, where even the rarest word stands in more."""
MAX_TERMS = 32
"""Lexemes of a query that are scored; of a longer query the rarest."""
DF_FLOOR = 3
"""Frequencies below count as this: scores then do not tell whether a rare word stands in a record that one
may not see, or in none. It costs no quality (nDCG@10 on five sets moves by less than .001)."""
EXACT_BELOW = 10_000
"""Permitted records up to which the dense leg compares every vector: full recall, and nothing to learn from the
timing about records that one may not see."""
SMALL = 2_000
"""Records of an index up to which the same costs no more than walking its HNSW graph."""
FREQUENT = 200
"""An identifier that more records share is a brand or a category: it ranks what else was found, and fetches
nothing itself."""


@dataclass(frozen=True, slots=True)
class Token:
    """A part of the query that may be an identifier, squashed."""

    lexeme: str
    whole: bool
    """Whether it is all that was typed."""
    coded: bool
    """Whether it looks like a code."""
    joined: bool
    """Whether it is made of several words."""
    piece: bool
    """Whether it is only a part of a word."""
    df: int
    """Records that have it, counted to ``FREQUENT`` + 1."""

    mixed: bool
    """Whether it has letters and digits, and is no quantity such as 250GB."""
    telling: bool
    """Whether nothing but a code looks like that: letters and digits, or a long number."""

    @classmethod
    def of(cls, candidate: Candidate, lexeme: str, df: int) -> Token:
        numeric = lexeme.isdigit()
        mixed = (
            candidate.coded and not numeric and HAS_DIGIT.search(lexeme) and not QUANTITY.fullmatch(lexeme)
        )
        telling = len(lexeme) >= (5 if numeric else 3) and bool(mixed or numeric)
        return cls(
            lexeme,
            candidate.whole,
            candidate.coded,
            candidate.joined,
            candidate.piece,
            df,
            bool(mixed),
            telling,
        )

    @property
    def frequent(self) -> bool:
        return self.df > FREQUENT


@dataclass(frozen=True, slots=True)
class Plan:
    """What the ranking statement is built from."""

    terms: tuple[Term, ...] = ()
    """By rising frequency."""
    fetch: Fetch | None = None
    """The records that the terms score; None: those with any of them."""
    demanded: tuple[tuple[str, str], ...] = ()
    """Per phrase: tsquery over words, lexeme among identifiers or ''. Each must match one of the two."""
    forbidden: tuple[tuple[str, str], ...] = ()
    """Per exclusion the same: neither may match."""
    tokens: tuple[Token, ...] = ()
    strange: bool = True
    """Whether a word of the query stands in no record, as far as anybody counted: then it may be the beginning of
    an identifier, or one mistyped."""
    vector: str | None = None
    """Literal of the query's embedding."""
    permitted: int | None = None
    """Permitted records, counted to ``EXACT_BELOW`` + 1; None when nothing is filtered."""
    total: int | None = None
    """All records, as the statistics counted them."""
    chunks: float = 2.0
    """Chunks of a record on average, as far as the planner knows."""
    degraded: tuple[tuple[str, str], ...] = field(default=())
    """(leg that could not run, class of the reason)"""

    @property
    def few(self) -> bool:
        """Whether so few records are permitted that every leg reads all of them."""
        return self.permitted is not None and self.permitted <= EXACT_BELOW

    @property
    def pruned(self) -> bool:
        return not self.few and self.fetch is not None

    @property
    def exact_vectors(self) -> bool:
        return self.few or (self.total is not None and self.total <= SMALL)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The row of the round trip."""

    lexemes: list[tuple[str, int, int | None]]
    """(lexeme, times, df)"""
    total: int | None
    phrases: list[list[tuple[str, int]]]
    """Per phrase (lexeme, position)."""
    excluded: list[list[tuple[str, int]]]
    squashed: list[str]
    """Phrases, then exclusions, as identifiers."""
    tokens: list[tuple[str, int]]
    """Per candidate: squashed, records that have it."""
    chunks: float | None
    permitted: int | None


def make_plan(
    corpus: Corpus,
    spec: SearchSpec,
    parsed: ParsedQuery,
    permitted: Sql | None,
    using: str,
    known: Plan | None = None,
) -> Plan:
    """Ask the database about the query, and the embedder for its vector.

    Args:
        permitted: selects the permitted primary keys; None when all are.
        known: a plan of the same search, whose vector serves again.
    """
    vector, degraded = (known.vector, known.degraded) if known else _embed(corpus, spec, parsed)
    looked_up = candidates(parsed.text) if "identifier" in spec.legs and corpus.identified else ()
    answer = _ask(corpus, spec, parsed, looked_up, permitted, using)
    if answer.total is None and answer.lexemes and "lexical" in spec.legs:
        answer = _from_catalogue(corpus, answer, using)
    terms = _terms(answer.lexemes, answer.total)
    identifiers = answer.squashed if corpus.identified else [""] * len(answer.squashed)
    demanded = _conditions(answer.phrases, identifiers)
    return Plan(
        terms=terms,
        fetch=None if demanded else rare_first(terms, answer.total),
        demanded=demanded,
        forbidden=_conditions(answer.excluded, identifiers[len(answer.phrases) :]),
        tokens=_tokens(looked_up, answer.tokens),
        strange=answer.total is None or not answer.lexemes or any(not df for _, _, df in answer.lexemes),
        vector=vector,
        permitted=answer.permitted,
        total=answer.total,
        chunks=answer.chunks or 2.0,
        degraded=degraded,
    )


def _embed(
    corpus: Corpus, spec: SearchSpec, parsed: ParsedQuery
) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """The vector of the query; without one the other legs answer alone, if there are others."""
    if "dense" not in spec.legs:
        return None, ()
    if corpus.vectors is None:
        return None, (("dense", "SpaceError"),)
    try:
        embedder = get_embedder(corpus.embedder)
        vector = embedder.embed_query(parsed.text, timeout_s=settings().query_timeout_s)
    except (LockstepError, OSError) as error:
        if spec.legs == ("dense",):
            raise
        logger.warning(
            "The embedder %r did not answer (%s): the other legs do.", corpus.embedder, type(error).__name__
        )
        return None, (("dense", type(error).__name__),)
    return f"[{','.join(['%.6g'] * len(vector)) % tuple(vector)}]", ()


def _ask(
    corpus: Corpus,
    spec: SearchSpec,
    parsed: ParsedQuery,
    looked_up: Sequence[Candidate],
    permitted: Sql | None,
    using: str,
) -> _Answer:
    stats = name(LexemeStat._meta.db_table)
    words = "unnest(lockstep_tsv_v1(%s::regconfig, ARRAY[{}], ARRAY['D']))"
    texts = [*parsed.phrases, *parsed.excluded]
    parts = [
        Sql(
            "(SELECT jsonb_agg(jsonb_build_array(word.lexeme, cardinality(word.positions), s.df))"
            f" FROM {words.format('%s')} word LEFT JOIN {stats} s ON s.index = %s AND s.lexeme = word.lexeme)",
            [corpus.config, parsed.text, corpus.label],
        ),
        Sql(f"(SELECT df FROM {stats} WHERE index = %s AND lexeme = '')", [corpus.label]),
    ]
    if texts:
        parts.append(
            Sql(
                "(SELECT jsonb_agg(jsonb_build_array(lockstep_squash_v1(text),"
                " (SELECT jsonb_agg(jsonb_build_array(lexeme, position) ORDER BY position)"
                f" FROM {words.format('text')}, unnest(positions) position)) ORDER BY no)"
                " FROM unnest(%s::text[]) WITH ORDINALITY AS asked (text, no))",
                [corpus.config, texts],
            )
        )
    if looked_up:
        parts.append(_looked_up(corpus, looked_up))
    vector_table = corpus.vectors if "dense" in spec.legs and corpus.chunked else None
    if vector_table:
        parts.append(
            Sql(
                "(SELECT v.reltuples / d.reltuples FROM pg_class v, pg_class d"
                " WHERE v.oid = to_regclass(%s) AND d.oid = to_regclass(%s) AND v.reltuples > 0 AND d.reltuples > 0)",
                [name(vector_table), name(corpus.document)],
            )
        )
    if permitted:
        few = f"(SELECT count(*) FROM ({permitted.text} LIMIT {EXACT_BELOW + 1}) few)"
        parts.append(Sql(few, permitted.params))
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT " + ", ".join(part.text for part in parts),
            [param for part in parts for param in part.params],
        )
        row = list(cursor.fetchone())
    lexemes, total = _json(row.pop(0)), row.pop(0)
    demands = _json(row.pop(0)) if texts else []
    tokens = _json(row.pop(0)) if looked_up else []
    split = len(parsed.phrases)
    found = [[(lexeme, at) for lexeme, at in words or []] for _, words in demands]
    return _Answer(
        [(lexeme, times, df) for lexeme, times, df in lexemes],
        total,
        found[:split],
        found[split:],
        [squashed for squashed, _ in demands],
        [(squashed, df) for squashed, df in tokens],
        row.pop(0) if vector_table else None,
        row.pop(0) if permitted else None,
    )


def _looked_up(corpus: Corpus, looked_up: Sequence[Candidate]) -> Sql:
    """Each candidate squashed, and how many records have it: a word in no record is not asked for again."""
    counted = (
        f"(SELECT count(*) FROM (SELECT FROM {name(corpus.document)} d"
        f" WHERE d.ids @@ ('''' || lexeme || ''':' || weights)::tsquery LIMIT {FREQUENT + 1}) had)"
    )
    return Sql(
        f"(SELECT jsonb_agg(jsonb_build_array(lexeme, CASE WHEN length(lexeme) > 1 THEN {counted} ELSE 0 END)"
        " ORDER BY no) FROM (SELECT no, weights,"
        " CASE WHEN text ~ '^[A-Za-z]{1,12}[+#]{1,2}$|^[.][A-Za-z][A-Za-z0-9]+$'"
        " THEN lower(text) ELSE lockstep_squash_v1(text) END AS lexeme"
        " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS asked (text, weights, no) OFFSET 0) squashed)",
        [[one.text for one in looked_up], ["ABC" if one.coded else "A" for one in looked_up]],
    )


def _json(value: Any) -> list[Any]:
    """Rows of a jsonb aggregate; a raw cursor of Django hands them out as text."""
    return json.loads(value) if isinstance(value, str) else value or []


def _from_catalogue(corpus: Corpus, answer: _Answer, using: str) -> _Answer:
    """Frequencies from the planner's own statistics, where nobody has counted the words yet."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT c.reltuples::bigint, s.most_common_elems::text::text[], s.most_common_elem_freqs"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stats s"
            " ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = %s"
            " WHERE c.oid = to_regclass(%s)",
            [corpus.tsv, name(corpus.document)],
        )
        row = cursor.fetchone()
    if not row or row[0] <= 0 or not row[1]:
        return answer
    total, common, shares = row
    known = {lexeme: max(1, round(share * total)) for lexeme, share in zip(common, shares, strict=False)}
    lexemes = [(lexeme, times, known.get(lexeme)) for lexeme, times, _ in answer.lexemes]
    return replace(answer, lexemes=lexemes, total=total)


def _terms(lexemes: Iterable[tuple[str, int, int | None]], total: int | None) -> tuple[Term, ...]:
    """Terms by rising frequency. A word that statistics do not know counts as rare; with none all weigh alike."""
    terms = [
        Term(lexeme, df or 1, times * (1.0 if total is None else _idf(df or 1, total)))
        for lexeme, times, df in lexemes
    ]
    return tuple(sorted(terms, key=lambda term: (term.df, term.lexeme))[:MAX_TERMS])


def _idf(df: int, total: int) -> float:
    """Lucene's: positive for every frequency."""
    df = max(df, DF_FLOOR)
    return math.log(1 + (max(total, df) - df + 0.5) / (df + 0.5))


def _conditions(
    demands: Sequence[Sequence[tuple[str, int]]], squashed: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """(tsquery over words, lexeme over identifiers); what holds neither demands nothing."""
    pairs = [
        (_phrase(words), lexeme if 2 <= len(lexeme) <= 64 else "")
        for words, lexeme in zip(demands, squashed, strict=False)
    ]
    return tuple(pair for pair in pairs if any(pair))


def _phrase(words: Sequence[tuple[str, int]]) -> str:
    """tsquery text for lexemes at these positions; gaps are stop words."""
    if any(_unspaced(lexeme) for lexeme, _ in words):
        # overlapping pairs of characters do not stand in the order of the text: all of them must be there
        return " & ".join(sorted({quoted(lexeme) for lexeme, _ in words if len(lexeme) > 1})) or quoted(
            words[0][0]
        )
    parts: list[str] = []
    for number, (lexeme, position) in enumerate(words):
        if number:
            parts.append(f"<{max(0, position - words[number - 1][1])}>")
        parts.append(quoted(lexeme))
    return " ".join(parts)


def _unspaced(lexeme: str) -> bool:
    """Whether a lexeme is of a script that is written without spaces (Thai to Khmer, kana, Han)."""
    first = ord(lexeme[0])
    return (
        0x0E00 <= first <= 0x109F
        or 0x1780 <= first <= 0x17FF
        or 0x3005 <= first <= 0x9FFF
        or first >= 0x20000
    )


def _tokens(looked_up: Sequence[Candidate], answered: Sequence[tuple[str, int]]) -> tuple[Token, ...]:
    found: dict[str, Token] = {}
    for candidate, (lexeme, df) in zip(looked_up, answered, strict=False):
        if 2 <= len(lexeme) <= 64:
            found.setdefault(lexeme, Token.of(candidate, lexeme, df))
    return tuple(found.values())
