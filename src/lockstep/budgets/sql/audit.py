"""The same figures from the ledger alone: what a new budget starts from, and what a counter must agree with."""

from __future__ import annotations

from lockstep.budgets.sql.scope import matching

__all__ = ["CREATE", "DROP"]

# By the wall clock of the budget, as the reservation reads it; the range is for the index, and a clock may be set back
# by two hours.
_CALLS = f"""
CREATE FUNCTION lockstep_budgets_calls_v1(b lockstep_budgets_budget, starts timestamptz)
RETURNS TABLE (id uuid, who text, state text, bound bigint, actual bigint) LANGUAGE sql STABLE AS $body$
    SELECT c.id, named.who, c.state,
        coalesce(lockstep_budgets_bound_v1(b.unit, b.currency, c.bound_input::bigint + c.bound_output, c.bound_micros,
            c.currency), 0),
        lockstep_budgets_actual_v1(b.unit, b.currency, c)
    FROM lockstep_llm_call AS c
    CROSS JOIN LATERAL (SELECT lockstep_budgets_who_v1(b.per, c.cohort, c.tenant, c.user_key) AS who) AS named
    WHERE c.state IN ('reserved', 'settled', 'lapsed')
        AND c.at BETWEEN starts
            AND starts + CASE b.period WHEN 'day' THEN interval '27 hours' ELSE interval '747 hours' END
        AND date_trunc(b.period, c.at AT TIME ZONE b.time_zone) = date_trunc(b.period, starts AT TIME ZONE b.time_zone)
        AND {matching("c.feature", "named.who")}
$body$
"""

_LEDGER = """
CREATE FUNCTION lockstep_budgets_ledger_v1(b lockstep_budgets_budget, starts timestamptz)
RETURNS TABLE (who text, spent numeric, reserved numeric) LANGUAGE sql STABLE AS $body$
    SELECT c.who, coalesce(sum(c.actual) FILTER (WHERE c.state <> 'reserved'), 0),
        coalesce(sum(c.bound) FILTER (WHERE c.state = 'reserved'), 0)
    FROM lockstep_budgets_calls_v1(b, starts) AS c GROUP BY c.who
$body$
"""

# One statement, one snapshot: a call ends in the ledger and beside its hold in the same transaction, so what is not
# folded yet is added here and the difference is exact while everybody works.
_DRIFT = """
CREATE FUNCTION lockstep_budgets_drift_v1(earliest timestamptz)
RETURNS TABLE (period_id bigint, spent numeric, ledger_spent numeric, reserved numeric, held numeric)
LANGUAGE sql STABLE AS $body$
    SELECT p.id, p.spent + coalesce(h.more, 0), coalesce(l.spent, 0), p.reserved - coalesce(h.freed, 0),
        coalesce(l.open, 0)
    FROM lockstep_budgets_budgetperiod AS p
    JOIN lockstep_budgets_budget AS b ON b.id = p.budget_id
    LEFT JOIN LATERAL (
        SELECT sum(hold.actual - hold.counted) FILTER (WHERE hold.due) AS more,
            sum(hold.held) FILTER (WHERE hold.due) AS freed
        FROM lockstep_budgets_hold AS hold WHERE hold.period_id = p.id) AS h ON true
    LEFT JOIN LATERAL (
        SELECT sum(c.actual) FILTER (WHERE c.state <> 'reserved') AS spent,
            sum(coalesce(hold.held, c.bound)) FILTER (WHERE c.state = 'reserved') AS open
        FROM lockstep_budgets_calls_v1(b, p.starts_at) AS c
        LEFT JOIN lockstep_budgets_hold AS hold ON hold.call = c.id AND hold.period_id = p.id
        WHERE c.who = p.who) AS l ON true
    WHERE b.active AND p.ends_at > earliest
$body$
"""

CREATE = (_CALLS, _LEDGER, _DRIFT)

DROP = (
    "DROP FUNCTION IF EXISTS lockstep_budgets_drift_v1(timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_ledger_v1(lockstep_budgets_budget, timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_calls_v1(lockstep_budgets_budget, timestamptz)",
)
