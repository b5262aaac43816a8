"""The SQL of each leg: ``(id, score, rank, …)`` over the permitted records, best first, at most ``depth``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lockstep.search.ddl import name
from lockstep.search.query.corpus import Corpus
from lockstep.search.query.plan import CEILING, Plan, Token
from lockstep.search.query.pruning import Fetch, Term
from lockstep.search.query.sql import Sql, any_of, quoted

__all__ = ["Scope", "dense", "identifier", "lexical"]

WEIGHTS = "'{0.57,0.57,0.57,1}'::float4[]"
"""D, C, B, A for ts_rank: a word in the title counts 1.75 times one in the body. Measured: of 1.5 to 2.15 it is the
best compromise between titles that say it all (FAQs like 2) and titles that do not (abstracts like 1.5)."""
SHORTEST, STEEPNESS = 5, 0.2
"""A score is divided by (words + 5) ^ 0.2. ts_rank's own logarithm punishes texts of 20 words and spares those of
400; this is within .01 of BM25 or better on abstracts, FAQs, products and titles alike."""

COMPRESSED_FROM = 120
"""Words from which a tsvector is so long that Postgres may store it compressed."""

MANY_IDENTIFIED = 2_000
"""Records that identifiers may fetch: a beginning that more records share says nothing."""
FEW_MENTIONS = 3
"""A code in running text pins the records that mention it if they are so few."""
FEW_NAMESAKES = 20
"""Likewise a code inside a longer declared value, or a rare brand that is only part of a short query."""
NAMED, BRIEF = 4, 6
"""Lexemes up to which a query may be meant as a name, and up to which a code in it is what it is about. In a
sentence of SciFact's a code that several abstracts mention costs .007 nDCG@10, one that a single abstract has gains."""

EQUAL, MENTIONED, PREFIX, PART, TYPO = 0.9, 0.7, 0.5, 0.3, 0.25
"""Tiers of an identifier match. What decides inside a tier adds up to 0.1; a typo counts by its likeness."""
LIKE = 0.4
"""Share of trigrams that makes a typo likely; one slip in a code of eight characters leaves half of them."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What every leg is held to."""

    corpus: Corpus
    permitted: Sql | None
    plan: Plan
    depth: int
    top_n: int

    @property
    def reach(self) -> int:
        """Chunks that the dense leg reads, for ``depth`` records."""
        chunks = min(2.0, max(1.0, self.plan.chunks)) if self.corpus.chunked else 1
        return min(1000, math.ceil(self.depth * chunks))

    def documents(self, alias: str) -> Sql:
        """``FROM`` clause over permitted documents."""
        text = f"{name(self.corpus.document)} {alias}"
        if not self.permitted:
            return Sql(text)
        key = f"{alias}.{name(self.corpus.document_key)}"
        return Sql(f"{text} JOIN ({self.permitted.text}) p(id) ON p.id = {key}", self.permitted.params)

    def conditions(self, alias: str) -> Sql:
        """What quoted phrases and excluded words demand of the document."""
        params: list[str] = []
        text = ""
        for pairs, operator in ((self.plan.demanded, " AND "), (self.plan.forbidden, " AND NOT ")):
            for words, lexeme in pairs:
                found = []
                if words:
                    found.append(f"{alias}.{name(self.corpus.tsv)} @@ %s::tsquery")
                    params.append(words)
                if lexeme:
                    found.append(f"{alias}.ids @@ %s::tsquery")
                    params.append(quoted(lexeme, "" if operator == " AND NOT " else "ABC"))
                text += f"{operator}({' OR '.join(found)})"
        return Sql(text, params)


def lexical(scope: Scope) -> Sql:
    """Σ weight · ts_rank over all terms, for the records that hold one of the rarest."""
    terms, plan = scope.plan.terms, scope.plan
    if plan.fetch is None or plan.few:
        return _ranked(_scored(scope, terms, _any(terms)))
    rare = _scored(scope, terms, plan.fetch)
    rest = _scored(scope, terms, _any(terms))
    # Too few hold a rare word, or too few of those are permitted: then any word will do, so no page is short.
    both = Sql(
        f"WITH rare AS MATERIALIZED ({rare.text}) SELECT * FROM rare WHERE (SELECT count(*) FROM rare) >= {scope.top_n}"
        f" UNION ALL SELECT * FROM ({rest.text}) rest WHERE (SELECT count(*) FROM rare) < {scope.top_n}",
        rare.params + rest.params,
    )
    return _ranked(both)


def _any(terms: Sequence[Term]) -> Fetch:
    return Fetch(any_of(*(quoted(term.lexeme) for term in terms)), sum(term.df for term in terms))


def _scored(scope: Scope, terms: Sequence[Term], fetch: Fetch) -> Sql:
    corpus, plan = scope.corpus, scope.plan
    source, conditions, score = scope.documents("d"), scope.conditions("d"), _score(scope, terms)
    tsv, key = f"d.{name(corpus.tsv)}", f"d.{name(corpus.document_key)}"
    columns = f"{key}, {tsv}"
    if corpus.length:
        # Postgres stores a long tsvector compressed, and every ts_rank would unpack it anew
        length = f"d.{name(corpus.length)}"
        flat = f"CASE WHEN {length} > {COMPRESSED_FROM} THEN ts_filter({tsv}, '{{a,b,c,d}}') ELSE {tsv} END"
        columns = f"{key}, {flat} AS {name(corpus.tsv)}, {length}"
    most = f"LIMIT {CEILING}" if fetch.expected > CEILING and not plan.few else "OFFSET 0"
    inner = f"SELECT {columns} FROM {source.text} WHERE {tsv} @@ %s::tsquery{conditions.text} {most}"
    return Sql(
        f"SELECT {key} AS id, {score.text} AS score FROM ({inner}) d ORDER BY score DESC, id LIMIT {scope.depth}",
        [*score.params, *source.params, fetch.match, *conditions.params],
    )


def _score(scope: Scope, terms: Sequence[Term]) -> Sql:
    """How well the words of document ``d`` answer; 0 where there are no terms."""
    if not terms:
        return Sql("0::float8")
    corpus = scope.corpus
    flag = 0 if corpus.length else 1  # without a length of our own, Postgres' logarithm
    ranks = (
        f"{term.weight:.4f}*ts_rank({WEIGHTS},d.{name(corpus.tsv)},%s::tsquery,{flag})" for term in terms
    )
    total = f"({' + '.join(ranks)})"
    if corpus.length:
        total += f"*power(d.{name(corpus.length)}+{SHORTEST}, float8 '-{STEEPNESS}')"
    return Sql(f"({total})", [quoted(term.lexeme) for term in terms])


def _ranked(inner: Sql) -> Sql:
    return Sql(
        f"SELECT id, score, row_number() OVER (ORDER BY score DESC, id) AS rank FROM ({inner.text}) s",
        inner.params,
    )


def identifier(scope: Scope, others: Sequence[str]) -> Sql | None:
    """Equality before prefix before part before typo; among equals the better words.

    Args:
        others: names of the CTEs of the legs that run before. A brand that many records share ranks what
            those found, and fetches nothing itself unless it is all that was typed.

    Returns: None when nothing in the query can be an identifier of any record.
    """
    tokens = _Tokens.of(scope.plan)
    found = _found(scope, tokens, others)
    typo = _typo(scope, after=found is not None)
    parts = [Sql("SELECT id, score, pinned, words FROM found")] if found else []
    parts += [typo] if typo else []
    if not parts:
        return None
    head = f"WITH found AS MATERIALIZED ({found.text}) " if found else ""
    return Sql(
        "SELECT id, score, pinned, row_number() OVER (ORDER BY score DESC, words DESC, id) AS rank"
        f" FROM ({head}{' UNION ALL '.join(part.text for part in parts)}) s",
        [*(found.params if found else []), *(param for part in parts for param in part.params)],
    )


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The tokens of a query by what they may do."""

    equal: tuple[Token, ...]
    """Some record has them whole: they fetch and score."""
    shared: tuple[Token, ...]
    """So many records have them that they only score."""
    begun: tuple[Token, ...]
    """Codes, or all that was typed, which may be the beginning of a longer identifier."""
    pieces: tuple[Token, ...]
    """Parts of codes, which may be a whole identifier, or part of one."""
    length: int
    """Lexemes of the query."""

    @classmethod
    def of(cls, plan: Plan) -> _Tokens:
        tokens = plan.tokens
        pieces = tuple(token for token in tokens if token.piece)
        present = [token for token in tokens if token.df and not token.piece]
        shared = tuple(token for token in present if token.frequent and not token.whole)
        return cls(
            tuple(token for token in present if token not in shared),
            shared,
            tuple(
                t
                for t in tokens
                if not t.piece
                and not t.frequent
                and (t.telling or (t.whole and len(t.lexeme) > 2 and (t.coded or plan.strange)))
            ),
            tuple(token for token in pieces if token.telling and not token.frequent),
            len(plan.terms),
        )

    def places(self, token: Token) -> str:
        """Where a token must stand to count. A word without digits: only as a whole declared value. A code: also in
        running text, if it is what the query is about or stands nowhere else."""
        if not token.coded:
            return "A"
        most = FEW_NAMESAKES if self.length <= BRIEF else 1
        return "ABC" if token.whole or (token.mixed and token.df <= most) else "AB"


def _found(scope: Scope, tokens: _Tokens, others: Sequence[str]) -> Sql | None:
    """Records with an identifier that equals, begins with, or is part of a part of the query."""
    match = any_of(
        *(quoted(token.lexeme, tokens.places(token)) for token in tokens.equal),
        *(_beginning(token) for token in tokens.begun),
        *(quoted(token.lexeme, "D") for token in (*tokens.begun, *tokens.pieces) if token.coded),
        *(quoted(token.lexeme, "AB") for token in tokens.pieces),
    )
    shared = any_of(*(quoted(token.lexeme, "A") for token in tokens.shared)) if others else ""
    if not match and not shared:
        return None
    fetched = [_fetched(scope, match)] if match else []
    fetched += [_among(scope, others, shared, match)] if shared else []
    tier, inside, pinned = _tier(tokens), _inside(tokens), _pinned(tokens)
    words = _score(scope, scope.plan.terms)
    code = [_beginning(token) for token in tokens.begun if token.telling]
    coded = f"tier >= {PREFIX} AND ids @@ %s::tsquery" if code else "false"
    text = (
        f"SELECT id, tier + inside AS score, {pinned.text} AS pinned, words,"
        f" {coded} AS coded"
        f" FROM (SELECT d.record_id AS id, {tier.text} AS tier, {inside.text} AS inside, {words.text} AS words, d.ids"
        f" FROM ({' UNION ALL '.join(part.text for part in fetched)}) d OFFSET 0) t WHERE tier > 0"
        f" ORDER BY score DESC, words DESC, id LIMIT {scope.depth}"
    )
    before = [*pinned.params, *([any_of(*code)] if code else []), *tier.params, *inside.params, *words.params]
    return Sql(text, [*before, *(param for part in fetched for param in part.params)])


def _fetched(scope: Scope, match: str) -> Sql:
    source, conditions = scope.documents("d"), scope.conditions("d")
    return Sql(
        f"(SELECT d.record_id, d.ids, d.tsv, d.length FROM {source.text}"
        f" WHERE d.ids @@ %s::tsquery{conditions.text} LIMIT {MANY_IDENTIFIED})",
        [*source.params, match, *conditions.params],
    )


def _among(scope: Scope, others: Sequence[str], shared: str, match: str) -> Sql:
    """What the other legs found, as far as it has a frequent identifier."""
    already = " UNION ".join(f"SELECT id FROM {leg}" for leg in others)
    unless = " AND NOT d.ids @@ %s::tsquery" if match else ""
    return Sql(
        f"(SELECT d.record_id, d.ids, d.tsv, d.length FROM {name(scope.corpus.document)} d"
        f" WHERE d.record_id IN ({already}) AND d.ids @@ %s::tsquery{unless})",
        [shared, *([match] if match else [])],
    )


def _beginning(token: Token) -> str:
    """The token as the first characters of an identifier."""
    return quoted(token.lexeme, "*ABC" if token.whole and token.mixed else "*AB")


def _tier(tokens: _Tokens) -> Sql:
    """The best way in which an identifier of document ``d`` answers to a part of the query."""
    equal = [quoted(token.lexeme, "AB" if token.coded else "A") for token in (*tokens.equal, *tokens.shared)]
    mentioned = [quoted(token.lexeme, "C") for token in tokens.equal if "C" in tokens.places(token)]
    begun = [_beginning(token) for token in tokens.begun] + [quoted(t.lexeme, "AB") for t in tokens.pieces]
    part = [quoted(token.lexeme, "D") for token in (*tokens.begun, *tokens.pieces) if token.coded]
    cases = ((EQUAL, equal), (MENTIONED, mentioned), (PREFIX, begun), (PART, part))
    whens = "".join(f" WHEN d.ids @@ %s::tsquery THEN {tier}" for tier, queries in cases if queries)
    return Sql(f"CASE{whens} ELSE 0 END", [any_of(*queries) for _, queries in cases if queries])


def _inside(tokens: _Tokens) -> Sql:
    """What decides between records of one tier, up to 0.1: more and rarer tokens, then the least left to type."""
    scoring = [*tokens.equal, *tokens.shared]
    total = sum(_rarity(token) for token in scoring)
    parts = [f"{0.09 * _rarity(token) / total:.6f}*(d.ids @@ %s::tsquery)::int" for token in scoring]
    params = [quoted(token.lexeme) for token in scoring]
    if tokens.begun:
        longest = max((token.lexeme for token in tokens.begun), key=len)
        parts.append(
            f"coalesce((SELECT 0.01 * {len(longest)} / min(length(own.lexeme)) FROM unnest(d.ids) own"
            " WHERE starts_with(own.lexeme, %s)), 0)"
        )
        params.append(longest)
    return Sql(f"({' + '.join(parts) or '0'})", params)


def _rarity(token: Token) -> float:
    return float((1 + token.df) ** -0.5)


def _pinned(tokens: _Tokens) -> Sql:
    """Whether a record stands first whatever the other legs say: it has what was typed for an identifier. Above
    one that has it inside a longer value (2), or mentions it (1), stands the one that it is the identifier of (3)."""
    named, brief = tokens.length <= NAMED, tokens.length <= BRIEF
    groups = (
        (3, [quoted(t.lexeme, "A") for t in tokens.equal if t.telling or t.whole], None),
        (3, [quoted(t.lexeme, "A") for t in tokens.equal if named and t.df <= FEW_NAMESAKES], FEW_NAMESAKES),
        (
            2,
            [quoted(t.lexeme, "B") for t in tokens.equal if t.telling or (t.whole and t.coded)],
            FEW_NAMESAKES,
        ),
        (1, [quoted(t.lexeme, "C") for t in tokens.equal if brief and "C" in tokens.places(t)], FEW_MENTIONS),
    )
    parts: list[str] = []
    params: list[str] = []
    for level, queries, most in groups:
        if queries:
            few = "" if most is None else f" AND count(*) FILTER (WHERE ids @@ %s::tsquery) OVER () <= {most}"
            parts.append(f" WHEN ids @@ %s::tsquery{few} THEN {level}")
            params += [any_of(*queries)] * (1 if most is None else 2)
    return Sql(f"CASE{''.join(parts)} ELSE 0 END" if parts else "0", params)


def _typo(scope: Scope, *, after: bool) -> Sql | None:
    """Records whose identifiers share most trigrams with a code of the query.

    Args:
        after: whether there is a CTE ``found`` with better matches; where it has the code, nothing is guessed.
    """
    likely = [
        t
        for t in scope.plan.tokens
        if 5 <= len(t.lexeme) <= 32
        and not t.piece
        and ((t.whole and (t.coded or scope.plan.strange)) or (t.telling and not t.joined))
    ]
    if not likely:
        return None
    best = max(likely, key=lambda token: (token.telling, not token.joined, len(token.lexeme)))
    marked = f"^{best.lexeme}$"
    grams = list(dict.fromkeys(marked[at : at + 3] for at in range(len(best.lexeme))))
    # One slip spoils at most four neighbouring trigrams: either the first half of the others or the last half stands.
    sure = min(4, max(1, (len(grams) - 4) // 2))
    source, conditions = scope.documents("d"), scope.conditions("d")
    shared = "cardinality(ARRAY(SELECT unnest(d.grams) INTERSECT SELECT unnest(%s::text[])))"
    known = "coded" if best.telling else f"score >= {PREFIX}"
    unless = f" AND NOT EXISTS (SELECT FROM found WHERE {known})" if after else ""
    return Sql(
        f"SELECT * FROM (SELECT id, {TYPO} * likeness AS score, 0 AS pinned, words FROM (SELECT d.record_id AS id,"
        f" {shared} / {len(grams)}.0::float8 AS likeness, -cardinality(d.grams)::float8 AS words FROM {source.text}"
        f" WHERE (d.grams @> %s::text[] OR d.grams @> %s::text[]){conditions.text}{unless}"
        f" LIMIT {MANY_IDENTIFIED}) g WHERE likeness >= {LIKE}"
        f" ORDER BY likeness DESC, words DESC, id LIMIT {scope.depth}) typo",
        [grams, *source.params, grams[:sure], grams[-sure:], *conditions.params],
    )


def dense(scope: Scope) -> Sql:
    """Nearest vectors, grouped to their record. What comes short is searched again exactly, in the same statement."""
    plan, reach = scope.plan, scope.reach
    exact = _nearest(scope, reach, exact=True)
    if plan.exact_vectors:
        rows, params = f"SELECT *, true AS exact FROM ({exact.text}) x", exact.params
    else:
        near = _nearest(scope, reach, exact=False)
        short = f"(SELECT count(*) < {reach} OR count(DISTINCT id) < {scope.top_n} FROM ann)"
        rows = (
            f"WITH ann AS MATERIALIZED ({near.text}) SELECT *, false AS exact FROM ann WHERE NOT {short}"
            f" UNION ALL SELECT *, true FROM ({exact.text}) x WHERE {short}"
        )
        params = near.params + exact.params
    nearest = f"SELECT DISTINCT ON (id) * FROM ({rows}) n ORDER BY id, distance, no"
    return Sql(
        "SELECT id, 1 - distance AS score, distance, no, start, stop, exact,"
        " row_number() OVER (ORDER BY distance, id) AS rank"
        f" FROM (SELECT * FROM ({nearest}) o ORDER BY distance, id LIMIT {scope.depth}) b",
        params,
    )


def _nearest(scope: Scope, reach: int, *, exact: bool) -> Sql:
    corpus = scope.corpus
    assert corpus.vectors is not None
    key, vector = f"c.{name(corpus.vectors_key)}", f"c.{name(corpus.embedding)}"
    place = 'c.no, c.start, c."end" AS stop' if corpus.chunked else "0 AS no, 0 AS start, 0 AS stop"
    text, params = f"{name(corpus.vectors)} c", []
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
    inner = (
        f"SELECT {key} AS id, {vector} <=> (SELECT v FROM q) AS distance, {place} FROM {text} WHERE {where}"
    )
    if not exact:
        return Sql(f"{inner} ORDER BY distance LIMIT {reach}", params)
    # OFFSET 0 and "+ 0" keep the planner from the index: this is for few records, or for what the index missed
    return Sql(f"SELECT * FROM ({inner} OFFSET 0) e ORDER BY distance + 0 LIMIT {reach}", params)
