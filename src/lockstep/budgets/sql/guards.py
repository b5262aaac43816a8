"""What a budget counts cannot be changed under it, and a new one begins with what the ledger has seen already."""

from __future__ import annotations

from lockstep.budgets.sql.scope import ALONE, OPEN

__all__ = ["CREATE", "DROP"]

# The lock is taken before any row of a period is: those who begin a call have both in that order.
_GUARD = f"""
CREATE FUNCTION lockstep_budgets_guard_v1() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.feature, NEW.per, NEW.who, NEW.period, NEW.time_zone, NEW.unit, NEW.currency)
        IS DISTINCT FROM (OLD.feature, OLD.per, OLD.who, OLD.period, OLD.time_zone, OLD.unit, OLD.currency)
    THEN
        RAISE EXCEPTION 'What a budget counts is never changed.' USING ERRCODE = 'restrict_violation',
            HINT = 'Make another one and switch this one off: its history stays.';
    END IF;
    PERFORM now() AT TIME ZONE NEW.time_zone;
    IF NEW.active AND (TG_OP = 'INSERT' OR NOT OLD.active) THEN
        {ALONE};
    END IF;
    RETURN NEW;
END $body$
"""

_MOVED = """
CREATE FUNCTION lockstep_budgets_moved_v1() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    p record;
    a record;
BEGIN
    IF NEW.active AND (TG_OP = 'INSERT' OR NOT OLD.active) THEN
        PERFORM lockstep_budgets_recount_v1(NEW.id);
    END IF;
    IF TG_OP = 'INSERT' THEN
        RETURN NULL;
    END IF;
    FOR p IN SELECT known.id FROM lockstep_budgets_budgetperiod AS known
        WHERE known.budget_id = NEW.id AND known.ends_at > clock_timestamp() ORDER BY known.id FOR NO KEY UPDATE
    LOOP
        PERFORM lockstep_budgets_fold_v1(p.id);
        PERFORM lockstep_budgets_watch_v1(p.id);
        FOR a IN SELECT open.id FROM lockstep_budgets_alert AS open
            JOIN lockstep_budgets_budgetperiod AS known ON known.id = open.period_id
            WHERE open.period_id = p.id AND open.resolved_at IS NULL AND (NOT NEW.active
                OR known.spent::numeric * 100 < NEW.cap::numeric * CASE open.level WHEN 'soft' THEN NEW.soft_percent
                    ELSE 100 END)
        LOOP
            PERFORM lockstep_budgets_resolve_v1(a.id, 'The limit was changed.');
        END LOOP;
    END LOOP;
    RETURN NULL;
END $body$
"""

# Nobody begins or ends a call meanwhile. Days and months of before, which calls may still come back to, are counted
# too: while the budget was off nobody did.
_RECOUNT = f"""
CREATE FUNCTION lockstep_budgets_recount_v1(budget bigint) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    b lockstep_budgets_budget%ROWTYPE;
    moment constant timestamptz := clock_timestamp();
    span record;
    seen record;
    counter bigint;
BEGIN
    SELECT * INTO b FROM lockstep_budgets_budget AS known WHERE known.id = $1;
    DELETE FROM lockstep_budgets_hold AS h USING lockstep_budgets_budgetperiod AS p
    WHERE p.id = h.period_id AND p.budget_id = b.id;
    FOR span IN
        SELECT now.starts, now.ends FROM lockstep_budgets_span_v1(b.period, b.time_zone, moment) AS now
        UNION SELECT p.starts_at, p.ends_at FROM lockstep_budgets_budgetperiod AS p
        WHERE p.budget_id = b.id AND p.ends_at > moment - {OPEN} ORDER BY 1
    LOOP
        UPDATE lockstep_budgets_budgetperiod AS p SET spent = 0, reserved = 0
        WHERE p.budget_id = b.id AND p.starts_at = span.starts;
        FOR seen IN SELECT s.who, s.spent, s.reserved FROM lockstep_budgets_ledger_v1(b, span.starts) AS s LOOP
            counter := lockstep_budgets_period_v1(b.id, seen.who, span.starts, span.ends);
            UPDATE lockstep_budgets_budgetperiod AS p
            SET spent = seen.spent, reserved = seen.reserved, folded_at = moment WHERE p.id = counter;
            INSERT INTO lockstep_budgets_hold (call, period_id, held, actual, counted, final, due)
            SELECT c.id, counter, 0, c.actual, c.actual, false, false
            FROM lockstep_budgets_calls_v1(b, span.starts) AS c WHERE c.who = seen.who AND c.state = 'lapsed';
            IF span.ends > moment THEN
                PERFORM lockstep_budgets_watch_v1(counter);
            END IF;
        END LOOP;
    END LOOP;
END $body$
"""

CREATE = (
    _GUARD,
    _MOVED,
    _RECOUNT,
    """CREATE TRIGGER lockstep_budgets_guard BEFORE INSERT OR UPDATE ON lockstep_budgets_budget
    FOR EACH ROW EXECUTE FUNCTION lockstep_budgets_guard_v1()""",
    """CREATE TRIGGER lockstep_budgets_moved AFTER INSERT OR UPDATE ON lockstep_budgets_budget
    FOR EACH ROW EXECUTE FUNCTION lockstep_budgets_moved_v1()""",
)

DROP = (
    "DROP TRIGGER IF EXISTS lockstep_budgets_moved ON lockstep_budgets_budget",
    "DROP TRIGGER IF EXISTS lockstep_budgets_guard ON lockstep_budgets_budget",
    "DROP FUNCTION IF EXISTS lockstep_budgets_recount_v1(bigint)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_moved_v1()",
    "DROP FUNCTION IF EXISTS lockstep_budgets_guard_v1()",
)
