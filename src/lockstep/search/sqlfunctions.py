"""SQL functions that turn text into the lexemes of the two word legs.

They live in the database so that triggers, COPY, raw SQL and a restored dump all index alike, and so that
a query is taken apart by the very code that took the document apart.

Every function is IMMUTABLE and PARALLEL SAFE, names nothing outside pg_catalog (a restore runs with an empty
search_path) and accepts any text: what is too long is cut, never refused. Names carry a version: a body that
indexes differently takes a new name, so that two recipes can stand side by side while records are rewritten.
"""

from __future__ import annotations

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

__all__ = [
    "CREATE",
    "DROP",
    "MAX_DECLARED_CHARACTERS",
    "MAX_IDENTIFIERS",
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

MAX_IDENTIFIERS = 2_000
"""Words of one record that are taken apart as codes: a price list pasted into a text stays affordable."""

# Everything that is neither a letter nor a digit, spelled out by code point: the class [[:alnum:]] would
# depend on the locale of the database, and in "C" no letter outside ASCII belongs to it. Marks that carry
# meaning (Indic vowels, kana voicing) are not in the list.
_SYMBOLS = (
    r"\u0080-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7"
    r"\u2000-\u206f\u20a0-\u20cf\u2190-\u2bff\u3000-\u3004\u3008-\u3020\u3030\u303d\u30fb"
    r"\ue000-\uf8ff\ufe00-\ufe6f\ufeff\ufff0-\uffff\U0001f000-\U0001faff\U000e0000-\U000e01ef"
)
_PUNCTUATION = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007f"
    r"\u0589\u058a\u05be\u05c0\u05c3\u060c\u061b\u061f\u0640\u066a-\u066d\u06d4\u0964\u0965" + _SYMBOLS
)
# Accents of Latin, Greek, Cyrillic, Hebrew and Arabic.
_MARKS = (
    r"\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    r"\u064b-\u065f\u0670\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
)
# Scripts written without spaces: Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\U00020000-\U0003ffff"
)
# What ends a word in the search for codes; the rest (- _ . / : & + # * ' @ \) may stand inside one.
_BREAKS = (
    r"""E' \t\n\r\f\u000b\u00a0\u2002\u2003\u2009\u202f\u3000,;()[]{}<>"|!?="""
    r"""\u201c\u201d\u201e\u00ab\u00bb\u2122\u00ae\u00a9'"""
)


def _fold(value: str) -> str:
    """SQL for `value` in lower case, compatible forms unified (wide digits), accents dropped."""
    return (
        f"CASE WHEN octet_length({value}) = length({value}) THEN lower({value}) "
        f"ELSE lower(normalize(regexp_replace(normalize(normalize({value}, NFKC), NFD), "
        f"'[{_MARKS}]+', '', 'g'), NFC)) END"
    )


def _squash(folded: str) -> str:
    """SQL for folded text without anything but letters and digits: XR-2000/A becomes xr2000a."""
    return f"regexp_replace({folded}, '[{_PUNCTUATION}]+', '', 'g')"


_WITHOUT_TRADEMARKS = r"translate({}, E'\u2122\u00ae\u00a9', '   ')"

SQUASH = rf"""
CREATE OR REPLACE FUNCTION lockstep_squash_v1(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $function$
DECLARE
    plain text := {_WITHOUT_TRADEMARKS.format("value")};
BEGIN
    plain := {_fold("plain")};
    RETURN {_squash("plain")};
END
$function$
"""

# Weights: A the whole of a declared value, B a code inside one, C a code in running text, D parts of codes
# and joins of neighbouring parts. In running text a code is a word with a digit beside something else, or
# letters joined by punctuation; bare short numbers and decimals are quantities there.
# The result is built as text, because reading a tsvector merges what comes twice and keeps the better weight.
# Every lexeme gets position 1: without one ts_rank counts it 0 and a weight cannot be kept.
IDS = rf"""
CREATE OR REPLACE FUNCTION lockstep_ids_v1(declared text[], texts text[]) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $function$
DECLARE
    room integer := {MAX_IDENTIFIERS};
    found text := '';
    value text;
    folded text;
    whole text;
    word text;
    core text;
    squashed text;
    previous text;
    parts text[];
    is_declared boolean;
    edges constant text := '.:''`-_/\*&@~^%$+#';
    inner_mark constant text := '[^-.:''`_/*&@~%$+#\\][-_./:&+*#@\\][^-.:''`_/*&@~%$+#\\]';
BEGIN
    FOR number IN 1 .. coalesce(cardinality(declared), 0) + coalesce(cardinality(texts), 0) LOOP
        is_declared := number <= coalesce(cardinality(declared), 0);
        value := CASE WHEN is_declared THEN declared[number]
                      ELSE texts[number - coalesce(cardinality(declared), 0)] END;
        CONTINUE WHEN value IS NULL OR value = '';
        folded := {_WITHOUT_TRADEMARKS.format(f"left(value, {MAX_DECLARED_CHARACTERS})")};
        folded := {_fold("folded")};
        IF is_declared AND length(folded) <= 4 * {MAX_IDENTIFIER_LENGTH} THEN
            whole := {_squash("folded")};
            IF length(whole) BETWEEN 1 AND {MAX_IDENTIFIER_LENGTH} THEN
                found := found || ' ''' || whole || ''':1A';
            END IF;
        END IF;
        previous := NULL;
        FOR word IN
            SELECT split.word
            FROM string_to_table(translate(folded, {_BREAKS}, repeat(' ', 40)), ' ') AS split (word)
            WHERE split.word <> '' AND length(split.word) <= 2 * {MAX_IDENTIFIER_LENGTH}
              AND (is_declared OR btrim(split.word, '.:') ~ '[^a-z]'
                   AND (split.word ~ '[0-9]' OR split.word ~ inner_mark OR split.word ~ '[+#]$')
                   OR split.word ~ '^\.[a-z]')
        LOOP
            room := room - 1;
            EXIT WHEN room < 0;
            core := btrim(word, edges);
            IF core <> word AND word ~ '^[a-z]{{1,12}}[+#]{{1,2}}$|^\.[a-z][a-z0-9]{{1,12}}$' THEN
                -- C++, F#, .NET: what squashing would remove is what makes the name
                found := found || ' ''' || word || CASE WHEN is_declared THEN ''':1B' ELSE ''':1C' END;
            END IF;
            squashed := {_squash("core")};
            IF length(squashed) NOT BETWEEN 2 AND {MAX_IDENTIFIER_LENGTH} THEN
                previous := squashed;
                CONTINUE;
            END IF;
            IF is_declared THEN
                IF previous <> '' AND (previous ~ '[0-9]' OR squashed ~ '[0-9]')
                        AND length(previous) + length(squashed) <= {MAX_IDENTIFIER_LENGTH} THEN
                    found := found || ' ''' || previous || squashed || ''':1';
                END IF;
                previous := squashed;
                IF core ~ '[0-9]' OR core <> squashed THEN
                    found := found || ' ''' || squashed || ''':1B';
                ELSIF length(folded) <= {MAX_IDENTIFIER_LENGTH} THEN
                    -- a word of a short value, so that half of a brand's name still counts
                    found := found || ' ''' || squashed || ''':1';
                END IF;
            ELSE
                CONTINUE WHEN core ~ '^[0-9]' AND core ~ '^[0-9]+([.:/-][0-9]+)*$'
                    AND (length(squashed) < 5 OR strpos(core, '.') > 0);
                found := found || ' ''' || squashed || ''':1C';
            END IF;
            IF core <> squashed AND (is_declared OR core ~ '[0-9_]') THEN
                parts := (array_remove(regexp_split_to_array(core, '[{_PUNCTUATION}]+'), ''))[1:6];
                FOR low IN 1 .. cardinality(parts) LOOP
                    FOR high IN low .. cardinality(parts) - CASE WHEN low = 1 THEN 1 ELSE 0 END LOOP
                        word := array_to_string(parts[low:high], '');
                        IF length(word) BETWEEN 2 AND {MAX_IDENTIFIER_LENGTH} THEN
                            found := found || ' ''' || word || ''':1';
                        END IF;
                    END LOOP;
                END LOOP;
            END IF;
        END LOOP;
        EXIT WHEN room < 0;
    END LOOP;
    RETURN found::tsvector;
END
$function$
"""

# Trigrams of what weighs A or B above, with a mark at both ends, so that one slip in a code of six
# characters leaves some of them untouched.
GRAMS = rf"""
CREATE OR REPLACE FUNCTION lockstep_grams_v1(declared text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $function$
DECLARE
    value text;
    folded text;
    tokens text[] := '{{}}';
    result text[];
BEGIN
    FOREACH value IN ARRAY coalesce(declared, '{{}}') LOOP
        CONTINUE WHEN value IS NULL OR value = '';
        folded := {_WITHOUT_TRADEMARKS.format(f"left(value, {MAX_DECLARED_CHARACTERS})")};
        folded := {_fold("folded")};
        IF length(folded) <= {MAX_IDENTIFIER_LENGTH} THEN
            tokens := tokens || {_squash("folded")};
        END IF;
        IF folded ~ '[0-9]' THEN
            tokens := tokens || (
                SELECT array_agg({_squash("split.word")})
                FROM (
                    SELECT word
                    FROM string_to_table(translate(folded, {_BREAKS}, repeat(' ', 40)), ' ') AS word
                    WHERE word ~ '[0-9]' AND length(word) <= {MAX_IDENTIFIER_LENGTH}
                    LIMIT 50
                ) AS split
            );
        END IF;
    END LOOP;
    SELECT array_agg(DISTINCT substr('^' || token || '$', place, 3)) INTO result
    FROM (
        SELECT DISTINCT token FROM unnest(tokens) AS token WHERE length(token) BETWEEN 4 AND 32 LIMIT 100
    ) AS one, LATERAL generate_series(1, length(token)) AS place;
    RETURN coalesce(result, '{{}}');
END
$function$
"""

# A tsvector may hold 1 MB, positions included. Plain text of half the limit cannot reach that, so only longer
# or accented ones pay for the subtransaction of an exception block; each new try reads half as much.
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
    FOR number IN 1 .. coalesce(cardinality(texts), 0) LOOP
        EXIT WHEN room <= 0;
        portion := left(texts[number], room);
        CONTINUE WHEN portion IS NULL OR portion = '';
        room := room - length(portion);
        IF octet_length(portion) = length(portion) AND length(portion) <= {MAX_TEXT_CHARACTERS // 2} THEN
            vector := to_tsvector(config, portion);
        ELSE
            IF octet_length(portion) <> length(portion) THEN
                -- in the locale "C" the parser takes every character outside ASCII for a letter
                portion := regexp_replace(normalize(portion, NFKC), '[{_SYMBOLS}]+', ' ', 'g');
            END IF;
            IF portion ~ '[{_UNSPACED}]' THEN
                -- a run without spaces becomes overlapping pairs: from the even places, then from the odd
                folded := regexp_replace(portion, '[^{_UNSPACED}]+', ' ', 'g');
                folded := regexp_replace(folded, '(^| )([{_UNSPACED}])', '\1\2 ', 'g');
                portion := regexp_replace(
                    portion || ' ' || folded, '([{_UNSPACED}])([{_UNSPACED}])', '\1\2 ', 'g');
            END IF;
            LOOP
                BEGIN
                    vector := to_tsvector(config, portion);
                    IF octet_length(portion) <> length(portion) THEN
                        -- stemmers expect accents, so these go afterwards, from the lexemes; a lexeme that
                        -- was nothing but accents goes altogether
                        folded := lower(normalize(
                            regexp_replace(normalize(vector::text, NFD), '[{_MARKS}]+', '', 'g'), NFC));
                        vector := regexp_replace(folded, '(^| )'''':[0-9,a-d]+', '', 'g')::tsvector;
                    END IF;
                    EXIT;
                EXCEPTION WHEN program_limit_exceeded OR syntax_error THEN
                    portion := left(portion, length(portion) / 2);
                END;
            END LOOP;
        END IF;
        IF number = 1 OR length(portion) <= {MAX_TEXT_CHARACTERS // 10} THEN
            result := result || setweight(vector, coalesce(weights[number], 'D')::"char");
        ELSE
            BEGIN
                result := result || setweight(vector, coalesce(weights[number], 'D')::"char");
            EXCEPTION WHEN program_limit_exceeded THEN
                RETURN result;
            END;
        END IF;
    END LOOP;
    RETURN result;
END
$function$
"""

# Words of a text, repetitions included: what ranking divides by. length(tsvector) counts distinct ones.
LENGTH = """
CREATE OR REPLACE FUNCTION lockstep_length_v1(vector tsvector) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $function$
BEGIN
    RETURN (SELECT coalesce(sum(cardinality(positions)), 0) FROM unnest(vector));
END
$function$
"""

CREATE: tuple[str, ...] = (SQUASH, IDS, GRAMS, TSV, LENGTH)
"""Statements that create the functions; running them again changes nothing."""

DROP: tuple[str, ...] = (
    "DROP FUNCTION IF EXISTS lockstep_length_v1(tsvector)",
    "DROP FUNCTION IF EXISTS lockstep_tsv_v1(regconfig, text[], text[])",
    "DROP FUNCTION IF EXISTS lockstep_grams_v1(text[])",
    "DROP FUNCTION IF EXISTS lockstep_ids_v1(text[], text[])",
    "DROP FUNCTION IF EXISTS lockstep_squash_v1(text)",
)


def create_functions(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create or replace all functions of this module on the schema editor's connection."""
    for statement in CREATE:
        schema_editor.execute(statement, params=None)


def drop_functions(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Drop them again."""
    for statement in DROP:
        schema_editor.execute(statement, params=None)
