"""What the database knows about money: rows that cannot be rewritten, and four functions that charge a call.

A figure of the ledger is ``lockstep_llm_cost_v1`` of the row's own columns, today as in ten years, and anyone may call
the functions. ``lockstep_llm_begin_v1`` and ``lockstep_llm_end_v2`` say the same words, ``chosen``, ``cost`` and
``most``, in one statement where price and ledger have one currency. The functions are plpgsql because that keeps its
plans; a body that computes otherwise takes a new name.
"""

from __future__ import annotations

__all__ = ["CREATE", "DROP", "TRUNCATE_GUARDS", "chosen", "cost", "most", "whole"]


def chosen(provider: str, model: str, at: str, tokens: str) -> str:
    """FROM and what follows: the row ``price`` that holds for an input of so many tokens.

    The newest list of prices decides; inside it the hours of the day, then the tier. Rows that say the same thing
    twice are corrections: the later one counts.
    """
    return f"""
    FROM lockstep_llm_price AS price
    WHERE price.provider = {provider} AND price.model = {model}
        AND price.valid_from <= {at} AND (price.valid_to IS NULL OR price.valid_to > {at})
        AND price.min_input_tokens <= coalesce({tokens}, 0)
        AND (price.daily_from IS NULL OR lockstep_llm_within_v1(price.daily_from, price.daily_to, {at}))
    ORDER BY
        CASE price.source WHEN 'contract' THEN 0 WHEN 'tariff' THEN 1 ELSE 2 END,
        price.valid_from DESC, (price.daily_from IS NULL), price.min_input_tokens DESC, price.id DESC
    LIMIT 1"""


def cost(tokens_in: str, tokens_out: str, read: str, written: str) -> str:
    """What so many tokens cost at ``price``, in its own currency; cached tokens are part of the input.

    A price per million tokens times tokens is a number of micro-units already, so nothing is divided.
    """
    read, written = f"coalesce({read}, 0)", f"coalesce({written}, 0)"
    return f"""greatest(coalesce({tokens_in}, 0)::bigint - {read} - {written}, 0) * price.input
        + {read} * coalesce(price.cache_read, price.input) + {written} * coalesce(price.cache_write, price.input)
        + coalesce({tokens_out}, 0) * price.output + 1000000 * price.per_request"""


def most(row: str, at: str, tokens_in: str, tokens_out: str) -> str:
    """What a call at the price ``row`` may cost at most.

    Its input may turn out smaller than its bound and fall into a tier that is dearer a token; all of it may be read
    from a cache or written to one; the hour may change. So every row of the same source that the call could end in is
    tried, with all input at its dearest.
    """
    return f"""SELECT max(coalesce({tokens_in}, 0) * greatest(price.input, price.cache_read, price.cache_write)
        + coalesce({tokens_out}, 0) * price.output + 1000000 * price.per_request)
    FROM lockstep_llm_price AS price
    WHERE price.provider = {row}.provider AND price.model = {row}.model AND price.source = {row}.source
        AND price.currency = {row}.currency AND price.min_input_tokens <= coalesce({tokens_in}, 0)
        AND (price.id = {row}.id
            OR (price.valid_from <= {at} AND (price.valid_to IS NULL OR price.valid_to > {at})))"""


def whole(amount: str) -> str:
    """In whole millionths: the one place where a digit can be lost.

    The largest bigint is far beyond any bill; a row must be written even with absurd figures.
    """
    return f"least(9223372036854775807, round({amount}))::bigint"


# Closing a price is the one change that history needs: from then on another row holds.
_PRICE_GUARD = """
CREATE FUNCTION lockstep_llm_price_guard_v1() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.valid_to IS NULL AND NEW.valid_to IS NOT NULL
        AND to_jsonb(NEW) - 'valid_to' = to_jsonb(OLD) - 'valid_to'
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'A price is never changed or deleted: % on % refused.', TG_OP, TG_TABLE_NAME USING
        ERRCODE = 'restrict_violation',
        HINT = 'Insert a newer row (manage.py lockstep_prices set). valid_to may be set once.';
END $body$
"""

_RATE_GUARD = """
CREATE FUNCTION lockstep_llm_rate_guard_v1() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'An exchange rate is never changed or deleted: % on % refused.', TG_OP, TG_TABLE_NAME USING
        ERRCODE = 'restrict_violation',
        HINT = 'Insert a newer row (manage.py lockstep_prices rate); of one day the last row counts.';
END $body$
"""

_GUARDS = (
    """CREATE TRIGGER lockstep_llm_price_kept BEFORE UPDATE OR DELETE ON lockstep_llm_price
    FOR EACH ROW EXECUTE FUNCTION lockstep_llm_price_guard_v1()""",
    """CREATE TRIGGER lockstep_llm_rate_kept BEFORE UPDATE OR DELETE ON lockstep_llm_rate
    FOR EACH ROW EXECUTE FUNCTION lockstep_llm_rate_guard_v1()""",
)

# Hours are UTC and may run over midnight.
_WITHIN = """
CREATE FUNCTION lockstep_llm_within_v1(daily_from time, daily_to time, at timestamptz)
RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE AS $body$
DECLARE
    utc_time time := ($3 AT TIME ZONE 'UTC')::time;
BEGIN
    RETURN CASE WHEN $1 <= $2 THEN utc_time >= $1 AND utc_time < $2 ELSE utc_time >= $1 OR utc_time < $2 END;
END $body$
"""

_PRICE = f"""
CREATE FUNCTION lockstep_llm_price_v1(provider text, model text, at timestamptz, input_tokens int)
RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $body$
DECLARE
    found_id bigint;
BEGIN
    SELECT price.id INTO found_id {chosen("$1", "$2", "$3", "$4")};
    RETURN found_id;
END $body$
"""

_RATE = """
CREATE FUNCTION lockstep_llm_rate_v1(base text, quote text, at timestamptz)
RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $body$
DECLARE
    found_id bigint;
BEGIN
    IF $1 = $2 THEN
        RETURN 0;
    END IF;
    SELECT rate.id INTO found_id
    FROM lockstep_llm_rate AS rate
    WHERE rate.base = $1 AND rate.quote = $2 AND rate.on_date <= ($3 AT TIME ZONE 'UTC')::date
    ORDER BY rate.on_date DESC, rate.id DESC
    LIMIT 1;
    RETURN found_id;
END $body$
"""

# A rate from another currency than the price's is no rate.
_COST = f"""
CREATE FUNCTION lockstep_llm_cost_v1(
    price_id bigint, rate_id bigint, input int, output int, cache_read int, cache_write int)
RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $body$
DECLARE
    price lockstep_llm_price%ROWTYPE;
    factor numeric := 1;
BEGIN
    SELECT * INTO price FROM lockstep_llm_price AS known WHERE known.id = $1;
    IF price.id IS NULL OR $2 IS NULL THEN
        RETURN NULL;
    END IF;
    IF $2 <> 0 THEN
        SELECT rate.rate INTO factor
        FROM lockstep_llm_rate AS rate WHERE rate.id = $2 AND rate.base = price.currency;
        IF factor IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN {whole(f"factor * ({cost('$3', '$4', '$5', '$6')})")};
END $body$
"""

_BOUND = f"""
CREATE FUNCTION lockstep_llm_bound_v1(price_id bigint, rate_id bigint, at timestamptz, input int, output int)
RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $body$
DECLARE
    chosen lockstep_llm_price%ROWTYPE;
    factor numeric := 1;
    most numeric;
BEGIN
    SELECT * INTO chosen FROM lockstep_llm_price AS known WHERE known.id = $1;
    IF chosen.id IS NULL OR $2 IS NULL THEN
        RETURN NULL;
    END IF;
    IF $2 <> 0 THEN
        SELECT rate.rate INTO factor
        FROM lockstep_llm_rate AS rate WHERE rate.id = $2 AND rate.base = chosen.currency;
        IF factor IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    {most("chosen", "$3", "$4", "$5")} INTO most;
    RETURN {whole("factor * most")};
END $body$
"""

CREATE = (_PRICE_GUARD, _RATE_GUARD, *_GUARDS, _WITHIN, _PRICE, _RATE, _COST, _BOUND)

DROP = (
    "DROP TRIGGER IF EXISTS lockstep_llm_price_kept ON lockstep_llm_price",
    "DROP TRIGGER IF EXISTS lockstep_llm_price_whole ON lockstep_llm_price",
    "DROP TRIGGER IF EXISTS lockstep_llm_rate_kept ON lockstep_llm_rate",
    "DROP TRIGGER IF EXISTS lockstep_llm_rate_whole ON lockstep_llm_rate",
    "DROP FUNCTION IF EXISTS lockstep_llm_bound_v1(bigint, bigint, timestamptz, int, int)",
    "DROP FUNCTION IF EXISTS lockstep_llm_cost_v1(bigint, bigint, int, int, int, int)",
    "DROP FUNCTION IF EXISTS lockstep_llm_rate_v1(text, text, timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_llm_price_v1(text, text, timestamptz, int)",
    "DROP FUNCTION IF EXISTS lockstep_llm_within_v1(time, time, timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_llm_rate_guard_v1()",
    "DROP FUNCTION IF EXISTS lockstep_llm_price_guard_v1()",
)

#: Put on after migrate, and not on a database that a test runner made: a flush truncates everything.
TRUNCATE_GUARDS = (
    """CREATE OR REPLACE TRIGGER lockstep_llm_price_whole BEFORE TRUNCATE ON lockstep_llm_price
    FOR EACH STATEMENT EXECUTE FUNCTION lockstep_llm_price_guard_v1()""",
    """CREATE OR REPLACE TRIGGER lockstep_llm_rate_whole BEFORE TRUNCATE ON lockstep_llm_rate
    FOR EACH STATEMENT EXECUTE FUNCTION lockstep_llm_rate_guard_v1()""",
)
