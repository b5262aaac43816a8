"""The SQL of each leg: ``(id, score, rank)`` over the permitted records, best first, at most ``depth``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lockstep.search.ddl import literal, name
from lockstep.search.query.corpus import Corpus
from lockstep.search.query.parsing import ParsedQuery
from lockstep.search.query.plan import Plan, Term, Token

__all__ = ["Scope", "Sql", "dense", "identifier", "lexical"]

WEIGHTS = "'{0.5,0.5,0.5,1}'::float4[]"
"""D, C, B, A for ts_rank: a word in the title counts twice one in the body."""

PINNED_UP_TO = 20
"""An identifier that this many records share still pins them; a frequent one is a brand or a category."""


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement and its parameters."""

    text: str
    params: list[Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """What every leg is held to."""

    corpus: Corpus
    permitted: Sql | None
    parsed: ParsedQuery
    depth: int

    def documents(self, alias: str) -> Sql:
        """``FROM`` clause over permitted documents, with the conditions that phrases and exclusions make."""
        corpus = self.corpus
        text = f"{name(corpus.document)} {alias}"
        params: list[Any] = []
        if self.permitted:
            text += f" JOIN ({self.permitted.text}) p(id) ON p.id = {alias}.{name(corpus.document_key)}"
            params += self.permitted.params
        return Sql(text, params)

    def conditions(self, alias: str) -> Sql:
        """What quoted phrases and excluded words demand of the document."""
        column = f"{alias}.{name(self.corpus.tsv)}"
        config = f"{literal(self.corpus.config)}::regconfig"
        parts = [f" AND {column} @@ phraseto_tsquery({config}, %s)" for _ in self.parsed.phrases]
        parts += [f" AND NOT {column} @@ plainto_tsquery({config}, %s)" for _ in self.parsed.excluded]
        return Sql("".join(parts), [*self.parsed.phrases, *self.parsed.excluded])


def lexical(scope: Scope, plan: Plan) -> Sql:
    """Σ idf · ts_rank over all lexemes, for the records that hold one of the rarest."""
    corpus = scope.corpus
    source, conditions = scope.documents("d"), scope.conditions("d")
    score, score_params = _score(f"d.{name(corpus.tsv)}", plan.terms)
    match = " | ".join(_quoted(term.lexeme) for term in plan.candidates)
    inner = (
        f"SELECT d.{name(corpus.document_key)} AS id, {score} AS score FROM {source.text}"
        f" WHERE d.{name(corpus.tsv)} @@ %s::tsquery{conditions.text}"
        f" ORDER BY score DESC, id LIMIT {scope.depth}"
    )
    return _ranked(inner, [*score_params, *source.params, match, *conditions.params])


def _score(column: str, terms: tuple[Term, ...]) -> tuple[str, list[Any]]:
    parts = [f"{term.idf:.6f} * ts_rank({WEIGHTS}, {column}, %s::tsquery, 1)" for term in terms]
    return "(" + " + ".join(parts) + ")", [_quoted(term.lexeme) for term in terms]


def identifier(scope: Scope, plan: Plan) -> Sql:
    """Equality before prefix before part before typo; among equals the better words."""
    corpus = scope.corpus
    source, conditions = scope.documents("d"), scope.conditions("d")
    tiers = [_tier(token) for token in plan.tokens]
    score = " + ".join(tier.text for tier in tiers)
    match = " | ".join(_match(token) for token in plan.tokens)
    pins = [token for token in plan.tokens if token.weight in "AB"]
    pinned = " OR ".join("d.ids @@ %s::tsquery" for _ in pins) or "false"
    words, words_params = _score(f"d.{name(corpus.tsv)}", plan.terms) if plan.terms else ("0", [])
    equal = (
        f"SELECT d.record_id AS id, {score} AS score, ({pinned}) AS pinned, {words} AS words FROM {source.text}"
        f" WHERE d.ids @@ %s::tsquery{conditions.text}"
    )
    params = [
        *[param for tier in tiers for param in tier.params],
        *[f"{_quoted(token.lexeme)}:{'ABC' if _has_digit(token) else 'A'}" for token in pins],
        *words_params,
        *source.params,
        match,
        *conditions.params,
    ]
    typo = _typo(scope, plan)
    text = f"""SELECT id, score, pinned AND count(*) FILTER (WHERE pinned) OVER () <= {PINNED_UP_TO} AS pinned,
    row_number() OVER (ORDER BY score DESC, words DESC, id) AS rank
  FROM (
    WITH equal AS MATERIALIZED (
      SELECT * FROM ({equal}) e WHERE score > 0 ORDER BY score DESC, words DESC, id LIMIT {scope.depth}
    )
    SELECT * FROM equal
    UNION ALL
    SELECT * FROM ({typo.text}) t WHERE NOT EXISTS (SELECT FROM equal WHERE score >= 1)
  ) found"""
    return Sql(text, [*params, *typo.params])


#: Tiers of equality and likeness, by the weight of the record's lexeme: A the whole of a declared value, B a code
#: inside one, C a code in running text, D a part of a code.
WHOLE, CODE, MENTIONED, BRAND, PREFIX, PART = 4.0, 3.0, 2.5, 2.0, 1.5, 1.0


def _cases(token: Token) -> list[tuple[float, str]]:
    """(tier, tsquery) by falling tier. A word without a digit counts only as the whole of a value: a brand."""
    quoted = _quoted(token.lexeme)
    if token.weight == "D":
        return [(BRAND, f"{quoted}:AB")] if _has_digit(token) else [(BRAND, f"{quoted}:A")]
    cases = [(WHOLE, f"{quoted}:A"), (CODE, f"{quoted}:B")]
    long_enough = len(token.lexeme) >= 3
    if _has_digit(token):
        cases.append((MENTIONED, f"{quoted}:C"))
        cases += [(PREFIX, f"{quoted}:*AB"), (PART, f"{quoted}:D")] if long_enough else []
    elif token.weight == "A" and long_enough:
        cases.append((PREFIX, f"{quoted}:*A"))
    return cases


def _has_digit(token: Token) -> bool:
    return any(character.isdigit() for character in token.lexeme)


def _match(token: Token) -> str:
    return " | ".join(query for _, query in _cases(token))


def _tier(token: Token) -> Sql:
    cases = _cases(token)
    whens = " ".join(f"WHEN d.ids @@ %s::tsquery THEN {tier}" for tier, _ in cases)
    return Sql(f"CASE {whens} ELSE 0 END", [query for _, query in cases])


def _typo(scope: Scope, plan: Plan) -> Sql:
    """Records whose identifiers share most trigrams with a code of the query."""
    codes = [
        token.lexeme
        for token in plan.tokens
        if token.weight in "AB" and _has_digit(token) and 5 <= len(token.lexeme) <= 32
    ]
    if not codes:
        table = name(scope.corpus.document)
        return Sql(f"SELECT record_id AS id, 0.0, false, 0.0 FROM {table} WHERE false", [])
    source, conditions = scope.documents("d"), scope.conditions("d")
    best = max(codes, key=len)
    grams = sorted({f"^{best}$"[at : at + 3] for at in range(len(best))})
    shared = "cardinality(ARRAY(SELECT unnest(d.grams) INTERSECT SELECT unnest(%s::text[])))"
    text = (
        f"SELECT id, score, false, words FROM (SELECT d.record_id AS id, {shared} / {len(grams)}.0 AS score,"
        f" -cardinality(d.grams)::float8 AS words FROM {source.text}"
        f" WHERE d.grams && %s::text[]{conditions.text}) g WHERE score >= 0.4"
        f" ORDER BY score DESC, words DESC, id LIMIT {scope.depth}"
    )
    return Sql(text, [grams, *source.params, grams, *conditions.params])


def dense(scope: Scope, plan: Plan) -> Sql:
    """Nearest vectors, grouped to their record. Short results are searched again exactly, in the same statement."""
    corpus = scope.corpus
    assert plan.vector is not None
    reach = min(1000, scope.depth * (2 if corpus.chunked else 1))
    near = _nearest(scope, plan, reach, exact=False)
    exact = _nearest(scope, plan, reach, exact=True)
    if plan.exact_vectors:
        rows, params = f"SELECT * FROM ({exact.text}) x", exact.params
    else:
        rows = (
            f"WITH ann AS MATERIALIZED ({near.text}) SELECT * FROM ann WHERE (SELECT count(*) FROM ann) >= {reach}"
            f" UNION ALL SELECT * FROM ({exact.text}) x WHERE (SELECT count(*) FROM ann) < {reach}"
        )
        params = near.params + exact.params
    inner = (
        "SELECT DISTINCT ON (id) id, 1 - distance AS score, distance, no, start, stop"
        f" FROM ({rows}) n ORDER BY id, distance, no"
    )
    text = (
        "SELECT id, score, distance, no, start, stop, row_number() OVER (ORDER BY distance, id) AS rank"
        f" FROM (SELECT * FROM ({inner}) o ORDER BY distance, id LIMIT {scope.depth}) b"
    )
    return Sql(text, params)


def _nearest(scope: Scope, plan: Plan, reach: int, *, exact: bool) -> Sql:
    corpus = scope.corpus
    key, vector = f"c.{name(corpus.vectors_key)}", f"c.{name(corpus.embedding)}"
    place = 'c.no, c.start, c."end" AS stop' if corpus.chunked else "0 AS no, 0 AS start, 0 AS stop"
    text = f"{name(corpus.vectors or '')} c"
    params: list[Any] = [plan.vector]
    if scope.permitted:
        text += f" JOIN ({scope.permitted.text}) p(id) ON p.id = {key}"
        params += scope.permitted.params
    where = "c.digest IS NOT NULL" if corpus.chunked else f"{vector} IS NOT NULL"
    conditions = scope.conditions("d")
    if conditions.text:
        where += (
            f" AND EXISTS (SELECT FROM {name(corpus.document)} d"
            f" WHERE d.{name(corpus.document_key)} = {key}{conditions.text})"
        )
        params += conditions.params
    # "+ 0" keeps the planner from the index: this branch is for few records, or for what the index missed
    order = "distance + 0" if exact else "distance"
    kind = f"{corpus.kind}({corpus.dimensions})"
    inner = f"SELECT {key} AS id, {vector} <=> %s::{kind} AS distance, {place} FROM {text} WHERE {where}"
    if exact:
        return Sql(
            f"SELECT * FROM (SELECT * FROM ({inner} OFFSET 0) e ORDER BY {order} LIMIT {reach}) f", params
        )
    return Sql(f"{inner} ORDER BY {order} LIMIT {reach}", params)


def _ranked(inner: str, params: list[Any]) -> Sql:
    return Sql(
        f"SELECT id, score, row_number() OVER (ORDER BY score DESC, id) AS rank FROM ({inner}) s", params
    )


def _quoted(lexeme: str) -> str:
    """A lexeme as tsquery text, whatever it holds."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"
