"""Periods, and folding what came back into their counters."""

from __future__ import annotations

from lockstep.budgets.sql.scope import OPEN, TOGETHER

__all__ = ["CREATE", "DROP"]

# Days and months of a wall clock: 23 and 25 hours long where the clock is changed.
_SPAN = """
CREATE FUNCTION lockstep_budgets_span_v1(period text, zone text, moment timestamptz,
    OUT starts timestamptz, OUT ends timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $body$
DECLARE
    first timestamp := date_trunc(period, moment AT TIME ZONE zone);
BEGIN
    starts := first AT TIME ZONE zone;
    ends := (first + CASE period WHEN 'day' THEN interval '1 day' ELSE interval '1 month' END) AT TIME ZONE zone;
END $body$
"""

_PERIOD = """
CREATE FUNCTION lockstep_budgets_period_v1(budget_id bigint, who text, starts timestamptz, ends timestamptz)
RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    known bigint;
BEGIN
    SELECT p.id INTO known FROM lockstep_budgets_budgetperiod AS p
    WHERE p.budget_id = $1 AND p.who = $2 AND p.starts_at = $3;
    IF FOUND THEN
        RETURN known;
    END IF;
    INSERT INTO lockstep_budgets_budgetperiod (budget_id, who, starts_at, ends_at, spent, reserved, folded_at)
    VALUES ($1, $2, $3, $4, 0, 0, clock_timestamp())
    ON CONFLICT DO NOTHING RETURNING id INTO known;
    IF FOUND THEN
        PERFORM lockstep_budgets_close_v1();
        RETURN known;
    END IF;
    SELECT p.id INTO known FROM lockstep_budgets_budgetperiod AS p
    WHERE p.budget_id = $1 AND p.who = $2 AND p.starts_at = $3;
    RETURN known;
END $body$
"""

# The caller holds the period's row, so nobody else folds it. The note of a call that is settled for good goes; that of
# a lapsed one stays, for the call may still come back: where it does so just now, the next fold counts it.
_FOLD = """
CREATE FUNCTION lockstep_budgets_fold_v1(period bigint) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    more bigint;
BEGIN
    WITH gone AS (
        DELETE FROM lockstep_budgets_hold AS h WHERE h.period_id = $1 AND h.due AND h.final
        RETURNING h.held, h.actual - h.counted AS more
    ), lapsed AS (
        SELECT h.call, h.held, h.actual - h.counted AS more FROM lockstep_budgets_hold AS h
        WHERE h.period_id = $1 AND h.due AND NOT h.final FOR UPDATE SKIP LOCKED
    ), kept AS (
        UPDATE lockstep_budgets_hold AS h SET held = 0, counted = h.actual, due = false FROM lapsed
        WHERE h.call = lapsed.call AND h.period_id = $1 RETURNING lapsed.held, lapsed.more
    ), folded AS (
        SELECT sum(each.held) AS held, sum(each.more) AS more
        FROM (SELECT * FROM gone UNION ALL SELECT * FROM kept) AS each
    )
    UPDATE lockstep_budgets_budgetperiod AS p
    SET spent = p.spent + folded.more, reserved = p.reserved - folded.held, folded_at = clock_timestamp()
    FROM folded WHERE p.id = $1 AND folded.held IS NOT NULL RETURNING folded.more INTO more;
    IF more <> 0 THEN
        PERFORM lockstep_budgets_watch_v1($1);
    END IF;
END $body$
"""

# What a sweeper does for budgets that nobody uses just now. A budget that is counted anew meanwhile would take the
# notes of its calls first and its periods then.
_SWEEP = f"""
CREATE FUNCTION lockstep_budgets_sweep_v1() RETURNS int LANGUAGE plpgsql AS $body$
DECLARE
    {TOGETHER};
    late record;
    folded int := 0;
BEGIN
    PERFORM lockstep_llm_lapse_v1(1000);
    FOR late IN SELECT DISTINCT h.period_id FROM lockstep_budgets_hold AS h WHERE h.due ORDER BY 1 LOOP
        PERFORM FROM lockstep_budgets_budgetperiod AS p WHERE p.id = late.period_id FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        PERFORM lockstep_budgets_fold_v1(late.period_id);
        folded := folded + 1;
    END LOOP;
    PERFORM lockstep_budgets_close_v1();
    DELETE FROM lockstep_budgets_hold AS h USING lockstep_budgets_budgetperiod AS p
    WHERE p.id = h.period_id AND p.ends_at < clock_timestamp() - {OPEN} - interval '1 day' AND NOT h.due;
    RETURN folded;
END $body$
"""

CREATE = (
    """ALTER TABLE lockstep_budgets_budgetperiod SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_threshold = 5000)""",
    """ALTER TABLE lockstep_budgets_hold SET (autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_threshold = 5000)""",
    _SPAN,
    _PERIOD,
    _FOLD,
    _SWEEP,
)

DROP = (
    "DROP FUNCTION IF EXISTS lockstep_budgets_sweep_v1()",
    "DROP FUNCTION IF EXISTS lockstep_budgets_fold_v1(bigint)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_period_v1(bigint, text, timestamptz, timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_span_v1(text, text, timestamptz)",
)
