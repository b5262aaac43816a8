"""One round trip before the ranking statement: how rare the words are, how many records are permitted."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any

from django.db import connections

from lockstep.core.exceptions import LockstepError
from lockstep.search.conf import settings
from lockstep.search.ddl import name
from lockstep.search.embedders import get_embedder
from lockstep.search.models import LexemeStat
from lockstep.search.query.corpus import Corpus
from lockstep.search.query.parsing import ParsedQuery
from lockstep.search.query.spec import SearchSpec

__all__ = ["EXACT_BELOW", "Plan", "Term", "Token", "make_plan"]

logger = logging.getLogger("lockstep.search")

CANDIDATES = 5_000
"""Budget of the lexical leg. On 100,000 documents of 66 words it costs 6.6 ms and keeps 99 % of the top ten."""
MAX_TERMS = 48
"""Lexemes of a query that are scored; of a longer query the rarest."""
MAX_TOKENS = 24
"""Identifier-like parts of a query that are looked up."""
EXACT_BELOW = 10_000
"""Permitted records up to which the dense leg compares every vector."""
SMALL = 2_000
"""Records of an index up to which the same costs no more than its HNSW graph."""


@dataclass(frozen=True, slots=True)
class Term:
    """A lexeme of the query."""

    lexeme: str
    df: int | None
    """Records that contain it; None when nobody counted."""
    idf: float


@dataclass(frozen=True, slots=True)
class Token:
    """An identifier-like part of the query."""

    lexeme: str
    weight: str
    """A: the whole query, B: a code in it, D: parts, joins and plain words."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the ranking statement is built from."""

    terms: tuple[Term, ...] = ()
    candidates: tuple[Term, ...] = ()
    """The rarest terms, whose matches are scored."""
    tokens: tuple[Token, ...] = ()
    vector: str | None = None
    """Literal of the query's embedding."""
    permitted: int | None = None
    """Permitted records, counted to ``EXACT_BELOW``; None when nothing is filtered."""
    total: int | None = None
    """All records, as the statistics counted them."""
    degraded: tuple[str, ...] = field(default=())
    """Legs that could not run."""

    @property
    def exact_words(self) -> bool:
        return len(self.candidates) == len(self.terms)

    @property
    def exact_vectors(self) -> bool:
        if self.permitted is not None:
            return self.permitted <= EXACT_BELOW
        return self.total is not None and self.total <= SMALL


def make_plan(
    corpus: Corpus,
    spec: SearchSpec,
    parsed: ParsedQuery,
    permitted: tuple[str, list[Any]] | None,
    using: str,
    known: Plan | None = None,
) -> Plan:
    """Ask the database about the query, and the embedder for its vector.

    Args:
        permitted: SQL and parameters that select the permitted primary keys; None when all are.
        known: a plan of the same search, whose vector serves again.
    """
    vector, degraded = (known.vector, known.degraded) if known else _embed(corpus, spec, parsed)
    lexemes, total, tokens, count = _ask(corpus, parsed, permitted, using)
    terms = _terms(lexemes, total)
    return Plan(terms, _rare_first(terms), tokens, vector, count, total, degraded)


def _embed(corpus: Corpus, spec: SearchSpec, parsed: ParsedQuery) -> tuple[str | None, tuple[str, ...]]:
    if "dense" not in spec.legs:
        return None, ()
    if corpus.vectors is None:
        return None, ("dense",)
    try:
        embedder = get_embedder(corpus.embedder)
        vector = embedder.embed_query(parsed.text, timeout_s=settings().query_timeout_s)
    except (LockstepError, OSError) as error:
        logger.warning(
            "The embedder %r did not answer (%s): the other legs do.", corpus.embedder, type(error).__name__
        )
        return None, ("dense",)
    return "[" + ",".join(f"{part:.6g}" for part in vector) + "]", ()


def _ask(
    corpus: Corpus, parsed: ParsedQuery, permitted: tuple[str, list[Any]] | None, using: str
) -> tuple[list[tuple[str, int | None]], int | None, tuple[Token, ...], int | None]:
    stats = name(LexemeStat._meta.db_table)
    within, within_params = permitted or ("", [])
    counted = f"(SELECT count(*) FROM ({within} LIMIT {EXACT_BELOW + 1}) few)" if permitted else "NULL"
    sql = f"""
SELECT
  (SELECT jsonb_agg(jsonb_build_array(word.lexeme, s.df) ORDER BY s.df NULLS FIRST, word.lexeme)
   FROM unnest(tsvector_to_array(lockstep_tsv_v1(%s::regconfig, ARRAY[%s], ARRAY['D']))) AS word (lexeme)
   LEFT JOIN {stats} s ON s.index = %s AND s.lexeme = word.lexeme),
  (SELECT df FROM {stats} WHERE index = %s AND lexeme = ''),
  (SELECT jsonb_agg(jsonb_build_array(token.lexeme, token.weights[1]) ORDER BY token.weights[1], token.lexeme)
   FROM unnest(lockstep_ids_v1(ARRAY[%s], '{{}}')) AS token),
  {counted}"""
    params = [corpus.config, parsed.text, corpus.label, corpus.label, parsed.text, *within_params]
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        lexemes, total, tokens, count = cursor.fetchone()
    found = tuple(Token(lexeme, weight) for lexeme, weight in _json(tokens))
    return [(lexeme, df) for lexeme, df in _json(lexemes)], total, found[:MAX_TOKENS], count


def _json(value: Any) -> list[Any]:
    """Rows of a jsonb aggregate; a raw cursor of Django hands them out as text."""
    import json

    return json.loads(value) if isinstance(value, str) else value or []


def _terms(lexemes: list[tuple[str, int | None]], total: int | None) -> tuple[Term, ...]:
    """Terms by rising frequency, at most ``MAX_TERMS``. A word that statistics do not know counts as rare."""
    if total is None:
        return tuple(Term(lexeme, None, 1.0) for lexeme, _ in lexemes[:MAX_TERMS])
    return tuple(Term(lexeme, df or 1, _idf(df or 1, total)) for lexeme, df in lexemes[:MAX_TERMS])


def _idf(df: int, total: int) -> float:
    """Lucene's: positive for every frequency."""
    return math.log(1 + (max(total, df) - df + 0.5) / (df + 0.5))


def _rare_first(terms: tuple[Term, ...]) -> tuple[Term, ...]:
    """Terms by rising frequency until their records fill the budget; at least one."""
    chosen: list[Term] = []
    room = CANDIDATES
    for term in terms:
        if chosen and (term.df or 0) > room:
            break
        chosen.append(term)
        room -= term.df or 0
    return tuple(chosen)
