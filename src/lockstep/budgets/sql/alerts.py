"""Who is told, and once: an alert is inserted by the statement that sees its threshold crossed."""

from __future__ import annotations

__all__ = ["CREATE", "DROP"]

_TEXT = """
CREATE FUNCTION lockstep_budgets_text_v1(budget lockstep_budgets_budget, who text) RETURNS text
LANGUAGE sql STABLE
RETURN coalesce(nullif((budget).feature, ''), 'all features')
    || CASE (budget).per WHEN 'all' THEN '' ELSE ' for ' || (budget).per || ' ' || who END
    || ', ' || lockstep_budgets_amount_v1(budget, (budget).cap) || ' a ' || (budget).period
"""

_AMOUNT = """
CREATE FUNCTION lockstep_budgets_amount_v1(budget lockstep_budgets_budget, amount bigint) RETURNS text
LANGUAGE sql STABLE
RETURN CASE (budget).unit
    WHEN 'tokens' THEN to_char(amount, 'FM999,999,999,999,999,990') || ' tokens'
    ELSE to_char(amount / 1000000.0, 'FM999,999,999,990.00') || ' ' || (budget).currency END
"""

# Only whoever holds the period's row calls this, so two cannot see the same crossing; the unique index makes sure.
_ALERT = """
CREATE FUNCTION lockstep_budgets_alert_v1(period bigint, level text) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    p lockstep_budgets_budgetperiod%ROWTYPE;
    b lockstep_budgets_budget%ROWTYPE;
BEGIN
    SELECT * INTO p FROM lockstep_budgets_budgetperiod AS known WHERE known.id = $1;
    SELECT * INTO b FROM lockstep_budgets_budget AS known WHERE known.id = p.budget_id;
    INSERT INTO lockstep_budgets_alert (period_id, level, at, spent, cap)
    VALUES (p.id, $2, clock_timestamp(), p.spent, b.cap) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM lockstep_core_notify_v1(
            'budgets.' || $2,
            CASE $2 WHEN 'hard' THEN 'Spent: ' ELSE b.soft_percent || ' % spent: ' END
                || lockstep_budgets_text_v1(b, p.who),
            format('%s of %s are spent. %s The period ends at %s.', lockstep_budgets_amount_v1(b, p.spent),
                lockstep_budgets_amount_v1(b, b.cap),
                CASE $2 WHEN 'hard' THEN 'Calls are refused until then, or until the limit is raised.'
                    ELSE 'At 100 % calls are refused.' END,
                to_char(p.ends_at AT TIME ZONE b.time_zone, 'YYYY-MM-DD HH24:MI') || ' ' || b.time_zone),
            CASE $2 WHEN 'hard' THEN 'error' ELSE 'warning' END,
            format('lockstep.budgets.%s.%s', p.id, $2), false,
            jsonb_build_object('budget', b.id, 'feature', b.feature, 'spent', p.spent, 'limit', b.cap,
                'unit', b.unit, 'ends_at', p.ends_at));
    END IF;
END $body$
"""

_RESOLVE = """
CREATE FUNCTION lockstep_budgets_resolve_v1(alert bigint, why text) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    over lockstep_budgets_alert%ROWTYPE;
    b lockstep_budgets_budget%ROWTYPE;
    person text;
BEGIN
    UPDATE lockstep_budgets_alert AS a SET resolved_at = clock_timestamp()
    WHERE a.id = $1 AND a.resolved_at IS NULL RETURNING a.* INTO over;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT p.who INTO person FROM lockstep_budgets_budgetperiod AS p WHERE p.id = over.period_id;
    SELECT known.* INTO b FROM lockstep_budgets_budget AS known
    JOIN lockstep_budgets_budgetperiod AS p ON p.budget_id = known.id WHERE p.id = over.period_id;
    PERFORM lockstep_core_notify_v1('budgets.' || over.level,
        'Over: ' || lockstep_budgets_text_v1(b, person), $2, 'info',
        format('lockstep.budgets.%s.%s', over.period_id, over.level), true,
        jsonb_build_object('budget', b.id, 'feature', b.feature));
END $body$
"""

# Spend, or the limit, moved. A limit of 0 is a switch and tells nobody before a call is refused.
_WATCH = """
CREATE FUNCTION lockstep_budgets_watch_v1(period bigint) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    p record;
BEGIN
    SELECT known.spent, b.cap, b.soft_percent, b.active INTO p
    FROM lockstep_budgets_budgetperiod AS known JOIN lockstep_budgets_budget AS b ON b.id = known.budget_id
    WHERE known.id = $1;
    IF p.active AND p.cap > 0 AND p.spent::numeric * 100 >= p.cap::numeric * p.soft_percent THEN
        PERFORM lockstep_budgets_alert_v1($1, 'soft');
    END IF;
    IF p.active AND p.cap > 0 AND p.spent >= p.cap THEN
        PERFORM lockstep_budgets_alert_v1($1, 'hard');
    END IF;
END $body$
"""

# At midnight many come here at once, with counters locked that others want: nobody waits for what another closes.
_CLOSE = """
CREATE FUNCTION lockstep_budgets_close_v1() RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    old record;
BEGIN
    FOR old IN SELECT a.id FROM lockstep_budgets_alert AS a
        JOIN lockstep_budgets_budgetperiod AS p ON p.id = a.period_id
        WHERE a.resolved_at IS NULL AND p.ends_at <= clock_timestamp() ORDER BY a.id
        FOR NO KEY UPDATE OF a SKIP LOCKED
    LOOP
        PERFORM lockstep_budgets_resolve_v1(old.id, 'A new period has begun.');
    END LOOP;
END $body$
"""

# Whoever was told of an incident is told that it is over, also when it goes with its person: there is nothing left
# that could say so later, and no name in what is said.
_GONE = """
CREATE FUNCTION lockstep_budgets_gone_v1() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    b lockstep_budgets_budget%ROWTYPE;
BEGIN
    SELECT known.* INTO b FROM lockstep_budgets_budget AS known
    JOIN lockstep_budgets_budgetperiod AS p ON p.budget_id = known.id WHERE p.id = OLD.period_id;
    PERFORM lockstep_core_notify_v1('budgets.' || OLD.level,
        'Over: ' || coalesce(nullif(b.feature, ''), 'all features'), 'What was counted has been deleted.', 'info',
        format('lockstep.budgets.%s.%s', OLD.period_id, OLD.level), true,
        jsonb_build_object('budget', b.id, 'feature', b.feature));
    RETURN OLD;
END $body$
"""

_GONE_WITH = """
CREATE TRIGGER lockstep_budgets_gone BEFORE DELETE ON lockstep_budgets_alert
FOR EACH ROW WHEN (OLD.resolved_at IS NULL) EXECUTE FUNCTION lockstep_budgets_gone_v1()
"""

CREATE = (_AMOUNT, _TEXT, _ALERT, _RESOLVE, _WATCH, _CLOSE, _GONE, _GONE_WITH)

DROP = (
    "DROP TRIGGER IF EXISTS lockstep_budgets_gone ON lockstep_budgets_alert",
    "DROP FUNCTION IF EXISTS lockstep_budgets_gone_v1()",
    "DROP FUNCTION IF EXISTS lockstep_budgets_close_v1()",
    "DROP FUNCTION IF EXISTS lockstep_budgets_watch_v1(bigint)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_resolve_v1(bigint, text)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_alert_v1(bigint, text)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_text_v1(lockstep_budgets_budget, text)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_amount_v1(lockstep_budgets_budget, bigint)",
)
