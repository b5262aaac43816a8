"""SQL functions that turn text into the lexemes of the two word legs.

They live in the database so that triggers, COPY, raw SQL and a restored dump all index alike, and so that
a query is taken apart by the very code that took the document apart.

Every function is IMMUTABLE and PARALLEL SAFE, needs no search_path (SQL bodies are bound when they are
created, plpgsql bodies name nothing outside pg_catalog) and accepts any text: what is too long is cut,
never refused. Names carry a version: a new body that indexes differently takes a new name.
"""

from __future__ import annotations

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

__all__ = [
    "CREATE",
    "DROP",
    "MAX_DECLARED_CHARACTERS",
    "MAX_IDENTIFIER_LENGTH",
    "MAX_TEXT_CHARACTERS",
    "create_functions",
    "drop_functions",
]

MAX_TEXT_CHARACTERS = 200_000
"""Characters of a record that the lexical leg reads. Positions in a tsvector end at 16,383 words, about
100,000 characters of prose, so what lies behind would only add lexemes without positions."""

MAX_DECLARED_CHARACTERS = 20_000
"""Characters of one value, declared or not, that are searched for codes."""

MAX_IDENTIFIER_LENGTH = 64
"""Characters of the longest squashed identifier that is kept; part numbers rarely pass 30."""

# Everything that is neither a letter nor a digit, spelled out by code point: the class [[:alnum:]] would
# depend on the locale of the database, and in "C" no letter outside ASCII belongs to it. Marks that carry
# meaning (Indic vowels, kana voicing) are not in the list.
_PUNCTUATION = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7"
    r"\u0589\u058a\u05be\u05c0\u05c3\u060c\u061b\u061f\u0640\u066a-\u066d\u06d4\u0964\u0965"
    r"\u2000-\u206f\u20a0-\u20cf\u2190-\u2bff\u3000-\u3004\u3008-\u3020\u3030\u303d\u30fb"
    r"\ue000-\uf8ff\ufe00-\ufe6f\ufeff\ufff0-\uffff"
    r"\U0001f000-\U0001faff\U000e0000-\U000e01ef"
)
# Accents of Latin, Greek, Cyrillic, Hebrew and Arabic.
_MARKS = r"\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
# Scripts written without spaces: Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\U00020000-\U0003ffff"
)
# What separates words in the search for codes; the rest (- _ . / : & + # * ' @ \) may be inside one.
_SEPARATORS = "E' \\t\\n\\r\\f\\u000b\\u00a0\\u2003\\u2009\\u202f\\u3000,;()[]{}<>\"|!?=\\u201c\\u201d\\u201e\\u00ab\\u00bb\\u2122\\u00ae\\u00a9'"

FOLD = rf"""
CREATE OR REPLACE FUNCTION lockstep_fold_v1(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
    WHEN octet_length(value) = length(value) THEN lower(value)
    ELSE lower(normalize(regexp_replace(normalize(normalize(value, NFKC), NFD), '[{_MARKS}]+', '', 'g'), NFC))
END
"""

SQUASH = rf"""
CREATE OR REPLACE FUNCTION lockstep_squash_v1(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_replace(lockstep_fold_v1(translate(value, U&'\2122\00ae\00a9', '   ')), '[{_PUNCTUATION}]+', '', 'g')
"""

# Weights: A the whole of a declared value, B a code inside one, C a code in running text, D parts of codes
# and joins of neighbouring parts. In running text a code is a word that holds a digit beside something
# else, or letters joined by punctuation; bare short numbers and decimals mean quantities there.
TOKENS = rf"""
CREATE OR REPLACE FUNCTION lockstep_identifier_tokens_v1(value text, declared boolean)
RETURNS TABLE (lexeme text, weight text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
    WITH word AS MATERIALIZED (
        SELECT no, core, lockstep_squash_v1(core) AS squashed, lockstep_fold_v1(raw) AS folded
        FROM (
            SELECT no, raw, btrim(raw, '.:''`-_/\*&@~^%$+#') AS core
            FROM string_to_table(
                translate(left(value, {MAX_DECLARED_CHARACTERS}), {_SEPARATORS}, repeat(' ', 40)), ' '
            ) WITH ORDINALITY AS split (raw, no)
            WHERE raw <> '' AND length(raw) <= 200
              AND (declared OR raw ~ '[0-9_]|[^-.:''`/*&@~%$+#][-./:&+*#\\][^-.:''`/*&@~%$+#]|[+#]$|^\.[[:alpha:]]')
        ) AS cut
        LIMIT 2000
    ),
    code AS MATERIALIZED (
        SELECT no, core, squashed
        FROM word
        WHERE length(squashed) BETWEEN 2 AND {MAX_IDENTIFIER_LENGTH}
          AND (core ~ '[0-9]' OR core ~ '[-._/:&+*#\\@]')
          AND (declared OR NOT core ~ '^[-+]?[0-9]+([.:/-][0-9]+)*$' OR length(squashed) >= 5 AND core !~ '[.]')
    ),
    part AS MATERIALIZED (
        SELECT no, (array_remove(regexp_split_to_array(lockstep_fold_v1(core), '[{_PUNCTUATION}]+'), ''))[1:6] AS parts
        FROM code
        WHERE core ~ '[^[:alnum:]]' AND (declared OR core ~ '[0-9_]')
    )
    SELECT token.lexeme, min(token.weight)
    FROM (
        SELECT lockstep_squash_v1(left(value, 400)) AS lexeme, 'A' AS weight WHERE declared AND length(value) <= 400
        UNION ALL
        SELECT squashed, CASE WHEN declared THEN 'B' ELSE 'C' END FROM code
        UNION ALL
        -- C++, F#, .NET: what makes the name is what squashing removes
        SELECT folded, CASE WHEN declared THEN 'B' ELSE 'C' END
        FROM word WHERE folded ~ '^[a-z]{{1,12}}[+#]{{1,2}}$' OR folded ~ '^\.[a-z][a-z0-9]{{1,12}}$'
        UNION ALL
        SELECT array_to_string(parts[low:high], ''), 'D'
        FROM part, generate_subscripts(parts, 1) AS low, generate_subscripts(parts, 1) AS high
        WHERE high >= low AND NOT (low = 1 AND high = cardinality(parts))
        UNION ALL
        -- "KST 1.7-BL" declared in a longer value: two neighbouring words, one of them with a digit
        SELECT first.squashed || second.squashed, 'D'
        FROM word AS first JOIN word AS second ON second.no = first.no + 1
        WHERE declared AND (first.core ~ '[0-9]' OR second.core ~ '[0-9]')
        UNION ALL
        -- words of a short declared value, so that half of a brand's name still counts
        SELECT squashed, 'D' FROM word WHERE declared AND length(value) <= 60
    ) AS token
    WHERE length(token.lexeme) BETWEEN 2 AND {MAX_IDENTIFIER_LENGTH}
    GROUP BY token.lexeme;
END
"""

# Every lexeme gets position 1: without one ts_rank counts it 0 and weights cannot be kept.
IDS = """
CREATE OR REPLACE FUNCTION lockstep_ids_v1(declared text[], texts text[]) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(string_agg(
        '''' || lexeme || ''':1' || weight, ' '), '')::tsvector
    FROM (
        SELECT token.lexeme, min(token.weight) AS weight
        FROM (
            SELECT value, true AS is_declared FROM unnest(declared[1:64]) AS value
            UNION ALL
            SELECT value, false FROM unnest(texts[1:64]) AS value
        ) AS source,
        LATERAL lockstep_identifier_tokens_v1(source.value, source.is_declared) AS token
        WHERE source.value IS NOT NULL
        GROUP BY token.lexeme
        ORDER BY 2, 1
        LIMIT 3000
    ) AS kept;
END
"""

# Trigrams with a mark at both ends, so that a slip in a code of six characters leaves some untouched.
GRAMS = """
CREATE OR REPLACE FUNCTION lockstep_grams_v1(declared text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(array_agg(DISTINCT gram), '{}')
    FROM (
        SELECT substr('^' || token.lexeme || '$', place, 3) AS gram
        FROM unnest(declared[1:64]) AS value,
             LATERAL lockstep_identifier_tokens_v1(value, true) AS token,
             LATERAL generate_series(1, length(token.lexeme)) AS place
        WHERE value IS NOT NULL AND token.weight IN ('A', 'B') AND length(token.lexeme) BETWEEN 4 AND 32
        LIMIT 1000
    ) AS grams;
END
"""

# A tsvector may hold 1 MB of lexemes, positions included. 200 kB of text cannot reach that, so only longer
# ones pay for the subtransaction of an exception block; each try reads half as much.
TSV = rf"""
CREATE OR REPLACE FUNCTION lockstep_tsv_v1(config regconfig, texts text[], weights text[]) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $function$
DECLARE
    room integer := {MAX_TEXT_CHARACTERS};
    portion text;
    folded text;
    vector tsvector;
    result tsvector := '';
BEGIN
    FOR i IN 1 .. coalesce(cardinality(texts), 0) LOOP
        EXIT WHEN room <= 0;
        portion := left(texts[i], room);
        CONTINUE WHEN portion IS NULL OR portion = '';
        room := room - length(portion);
        IF octet_length(portion) = length(portion) AND length(portion) <= {MAX_TEXT_CHARACTERS} / 2 THEN
            vector := to_tsvector(config, portion);
        ELSE
            IF octet_length(portion) <> length(portion) THEN
                portion := regexp_replace(normalize(portion, NFKC), '[\u0080-\u009f\u00a0-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u2000-\u200a\u200e-\u206f\u20a0-\u20cf\u2190-\u2bff\u3000-\u3004\u3008-\u3020\u30fb\ue000-\uf8ff\ufe00-\ufe6f\ufeff\ufff0-\uffff\U0001f000-\U0001faff]+', ' ', 'g');
                IF portion ~ '[{_UNSPACED}]' THEN
                    -- runs without spaces become overlapping pairs: first from the even, then from the odd places
                    portion := regexp_replace(portion, '([{_UNSPACED}])([{_UNSPACED}])', '\1\2 ', 'g') || ' ' ||
                        regexp_replace(
                            regexp_replace(
                                regexp_replace(portion, '[^{_UNSPACED}]+', ' ', 'g'),
                                '(^| )([{_UNSPACED}])', '\1\2 ', 'g'),
                            '([{_UNSPACED}])([{_UNSPACED}])', '\1\2 ', 'g');
                END IF;
            END IF;
            LOOP
                BEGIN
                    vector := to_tsvector(config, portion);
                    IF octet_length(portion) <> length(portion) THEN
                        -- stemmers expect accents, so they go afterwards, from the lexemes; one that was nothing
                        -- but accents goes altogether
                        folded := lower(normalize(regexp_replace(
                            normalize(vector::text, NFD), '[{_MARKS}]+', '', 'g'), NFC));
                        vector := regexp_replace(folded, '(^| )'''':[0-9,a-d]+', '', 'g')::tsvector;
                    END IF;
                    EXIT;
                EXCEPTION WHEN program_limit_exceeded OR syntax_error THEN
                    portion := left(portion, length(portion) / 2);
                END;
            END LOOP;
        END IF;
        BEGIN
            result := result || setweight(vector, coalesce(weights[i], 'D')::"char");
        EXCEPTION WHEN program_limit_exceeded THEN
            EXIT;
        END;
    END LOOP;
    RETURN result;
END
$function$
"""

CREATE: tuple[str, ...] = (FOLD, SQUASH, TOKENS, IDS, GRAMS, TSV)
"""Statements in order of dependency; running them again changes nothing."""

DROP: tuple[str, ...] = (
    "DROP FUNCTION IF EXISTS lockstep_tsv_v1(regconfig, text[], text[])",
    "DROP FUNCTION IF EXISTS lockstep_grams_v1(text[])",
    "DROP FUNCTION IF EXISTS lockstep_ids_v1(text[], text[])",
    "DROP FUNCTION IF EXISTS lockstep_identifier_tokens_v1(text, boolean)",
    "DROP FUNCTION IF EXISTS lockstep_squash_v1(text)",
    "DROP FUNCTION IF EXISTS lockstep_fold_v1(text)",
)


def create_functions(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create or replace all functions of this module on the schema editor's connection."""
    for statement in CREATE:
        schema_editor.execute(statement, params=None)


def drop_functions(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Drop them again, dependants first."""
    for statement in DROP:
        schema_editor.execute(statement, params=None)
