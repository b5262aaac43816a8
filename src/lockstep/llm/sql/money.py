"""What the database knows about money: rows that cannot be rewritten, and four functions that charge a call.

The functions are called from ``lockstep_llm_begin_v1`` and ``lockstep_llm_end_v2`` and may be called by anyone:
a figure of the ledger is ``lockstep_llm_cost_v1`` of the row's own columns, today as in ten years. They are plpgsql
because that keeps its plans; a body that computes otherwise takes a new name.
"""

from __future__ import annotations

__all__ = ["CREATE", "DROP", "TRUNCATE_GUARDS"]

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

# The newest list of prices decides; inside it the hours of the day, then the tier. Rows that say the same thing
# twice are corrections: the later one counts. Hours are UTC and may run over midnight.
_PRICE = """
CREATE FUNCTION lockstep_llm_price_v1(provider text, model text, at timestamptz, input_tokens int)
RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $body$
DECLARE
    found_id bigint;
    utc_time time := ($3 AT TIME ZONE 'UTC')::time;
BEGIN
    SELECT price.id INTO found_id
    FROM lockstep_llm_price AS price
    WHERE price.provider = $1 AND price.model = $2
        AND price.valid_from <= $3 AND (price.valid_to IS NULL OR price.valid_to > $3)
        AND price.min_input_tokens <= coalesce($4, 0)
        AND (price.daily_from IS NULL
            OR (price.daily_from <= price.daily_to AND utc_time >= price.daily_from AND utc_time < price.daily_to)
            OR (price.daily_from > price.daily_to AND (utc_time >= price.daily_from OR utc_time < price.daily_to)))
    ORDER BY
        CASE price.source WHEN 'contract' THEN 0 WHEN 'tariff' THEN 1 ELSE 2 END,
        price.valid_from DESC, (price.daily_from IS NULL), price.min_input_tokens DESC, price.id DESC
    LIMIT 1;
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

# A price per million tokens times tokens is a number of micro-units already, so nothing is divided and the one
# round() at the end is the only place where a digit can be lost. Cached tokens are part of the input: they leave
# it before it is charged. A rate from another currency than the price's is no rate. The bound of bigint is far
# beyond any bill; a row must be written even with absurd figures.
_COST = """
CREATE FUNCTION lockstep_llm_cost_v1(
    price_id bigint, rate_id bigint, input int, output int, cache_read int, cache_write int)
RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $body$
DECLARE
    price lockstep_llm_price%ROWTYPE;
    factor numeric := 1;
    tokens_in numeric := coalesce($3, 0);
    tokens_out numeric := coalesce($4, 0);
    tokens_read numeric := coalesce($5, 0);
    tokens_written numeric := coalesce($6, 0);
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
    RETURN least(9223372036854775807, round(factor * (
        greatest(tokens_in - tokens_read - tokens_written, 0) * price.input
        + tokens_read * coalesce(price.cache_read, price.input)
        + tokens_written * coalesce(price.cache_write, price.input)
        + tokens_out * price.output
        + 1000000 * price.per_request
    )))::bigint;
END $body$
"""

# What a call may cost at most. Its input may turn out smaller than its bound and fall into a tier that is dearer a
# token; all of it may be read from a cache or written to one; the hour may change. So every row of the same source
# that the call could end in is tried, with all input at its dearest.
_BOUND = """
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
    SELECT max(coalesce($4, 0) * greatest(price.input, price.cache_read, price.cache_write)
        + coalesce($5, 0) * price.output + 1000000 * price.per_request) INTO most
    FROM lockstep_llm_price AS price
    WHERE price.provider = chosen.provider AND price.model = chosen.model AND price.source = chosen.source
        AND price.currency = chosen.currency AND price.min_input_tokens <= coalesce($4, 0)
        AND (price.id = chosen.id
            OR (price.valid_from <= $3 AND (price.valid_to IS NULL OR price.valid_to > $3)));
    RETURN least(9223372036854775807, round(factor * most))::bigint;
END $body$
"""

CREATE = (_PRICE_GUARD, _RATE_GUARD, *_GUARDS, _PRICE, _RATE, _COST, _BOUND)

DROP = (
    "DROP TRIGGER IF EXISTS lockstep_llm_price_kept ON lockstep_llm_price",
    "DROP TRIGGER IF EXISTS lockstep_llm_price_whole ON lockstep_llm_price",
    "DROP TRIGGER IF EXISTS lockstep_llm_rate_kept ON lockstep_llm_rate",
    "DROP TRIGGER IF EXISTS lockstep_llm_rate_whole ON lockstep_llm_rate",
    "DROP FUNCTION IF EXISTS lockstep_llm_bound_v1(bigint, bigint, timestamptz, int, int)",
    "DROP FUNCTION IF EXISTS lockstep_llm_cost_v1(bigint, bigint, int, int, int, int)",
    "DROP FUNCTION IF EXISTS lockstep_llm_rate_v1(text, text, timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_llm_price_v1(text, text, timestamptz, int)",
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
