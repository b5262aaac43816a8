"""After a call: what it cost is noted beside its hold; the counter that all calls share is mostly left alone."""

from __future__ import annotations

from lockstep.budgets.sql.scope import OPEN, TOGETHER, matching, starts
from lockstep.llm.sql.hooks import SETTLE_SIGNATURE

__all__ = ["CREATE", "DROP", "SETTLE"]

# Exhausted is for good until the period ends; contended passes when calls under way give back what they do not use.
_REFUSAL = """
CREATE FUNCTION lockstep_budgets_refusal_v1(period bigint, wanted bigint) RETURNS jsonb
LANGUAGE plpgsql AS $body$
DECLARE
    p lockstep_budgets_budgetperiod%ROWTYPE;
    b lockstep_budgets_budget%ROWTYPE;
    contended boolean;
BEGIN
    SELECT * INTO p FROM lockstep_budgets_budgetperiod AS known WHERE known.id = $1;
    SELECT * INTO b FROM lockstep_budgets_budget AS known WHERE known.id = p.budget_id;
    contended := p.spent + wanted <= b.cap;
    IF NOT contended THEN
        PERFORM lockstep_budgets_alert_v1($1, 'hard');
    END IF;
    RETURN jsonb_build_object(
        'refused', CASE WHEN contended THEN 'budget_contended' ELSE 'budget_exhausted' END,
        'budget', b.id, 'about', lockstep_budgets_text_v1(b, p.who), 'unit', b.unit, 'limit', b.cap,
        'spent', p.spent, 'reserved', p.reserved, 'wanted', wanted, 'resets_at', p.ends_at,
        'retry_after_s', CASE WHEN contended THEN 1
            ELSE ceil(extract(epoch FROM p.ends_at - clock_timestamp())) END);
END $body$
"""

_RATIO = """
CREATE FUNCTION lockstep_budgets_ratio_v1(feature text, unit text) RETURNS float8
LANGUAGE plpgsql STABLE AS $body$
DECLARE
    known float8;
BEGIN
    SELECT e.ratio INTO known FROM lockstep_budgets_estimate AS e WHERE e.feature = $1 AND e.unit = $2;
    RETURN coalesce(known, 1);
END $body$
"""

# Of fewer than a hundred calls nobody knows what the ninety-ninth costs.
_ESTIMATE = """
CREATE FUNCTION lockstep_budgets_estimate_v1() RETURNS int LANGUAGE plpgsql AS $body$
DECLARE
    measured int;
BEGIN
    WITH wanted AS (
        SELECT DISTINCT f.feature FROM lockstep_budgets_budget AS b
        JOIN LATERAL (SELECT b.feature WHERE b.feature <> '' UNION ALL
            SELECT known.name FROM lockstep_core_feature AS known WHERE b.feature = '') AS f ON true
        WHERE b.active AND b.bound = 'estimated'
    ), shares AS (
        SELECT w.feature, 1.0 * c.cost_micros / nullif(c.bound_micros, 0) AS money,
            1.0 * (c.input_tokens + c.output_tokens) / nullif(c.bound_input + c.bound_output, 0) AS tokens
        FROM wanted AS w CROSS JOIN LATERAL (
            SELECT * FROM lockstep_llm_call AS known
            WHERE known.feature = w.feature AND known.state = 'settled' AND known.usage_source = 'provider'
            ORDER BY known.at DESC LIMIT 1000) AS c
    ), measures AS (
        SELECT feature, 'money' AS unit, percentile_disc(0.99) WITHIN GROUP (ORDER BY money) AS ratio,
            count(money) AS calls FROM shares GROUP BY feature
        UNION ALL
        SELECT feature, 'tokens', percentile_disc(0.99) WITHIN GROUP (ORDER BY tokens), count(tokens)
        FROM shares GROUP BY feature
    )
    INSERT INTO lockstep_budgets_estimate AS e (feature, unit, ratio, calls, measured_at)
    SELECT feature, unit, least(ratio, 1), calls, clock_timestamp() FROM measures WHERE calls >= 100
    ON CONFLICT (feature, unit) DO UPDATE
        SET ratio = excluded.ratio, calls = excluded.calls, measured_at = excluded.measured_at;
    GET DIAGNOSTICS measured = ROW_COUNT;
    RETURN measured;
END $body$
"""

# What was held is what the row's bound says, unless a note of the hold is there: of an estimate, or of a call that has
# lapsed and was folded. One statement notes what the call cost in every budget; rows come of it only where there is
# more to do. The counter's row is touched four times a second at most, or while an alert may be due: holds are never
# smaller than what is spent, so folding late errs on the safe side. A call that lapses folds nothing: whoever lets it
# lapse is about to take budgets of his own, in their order.
SETTLE = f"""
CREATE OR REPLACE FUNCTION {SETTLE_SIGNATURE} LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    {TOGETHER};
    settled record;
BEGIN
    FOR settled IN
        WITH seen AS MATERIALIZED (
            SELECT b.id, p.id AS period_id, c.state = 'lapsed' AS lapsed,
                coalesce(lockstep_budgets_bound_v1(b.unit, b.currency, c.bound_input::bigint + c.bound_output,
                    c.bound_micros, c.currency), 0) AS bound,
                lockstep_budgets_actual_v1(b.unit, b.currency, c) AS actual,
                p.folded_at < clock_timestamp() - interval '250 milliseconds' AS stale,
                (p.spent + p.reserved) * 100::float8 >= b.cap * b.soft_percent::float8 AS near
            FROM lockstep_llm_call AS c
            JOIN lockstep_budgets_budget AS b
                ON {matching("c.feature", "lockstep_budgets_who_v1(b.per, c.cohort, c.tenant, c.user_key)")}
            JOIN lockstep_budgets_budgetperiod AS p ON p.budget_id = b.id AND p.starts_at = {starts("c.at")}
                AND p.who = lockstep_budgets_who_v1(b.per, c.cohort, c.tenant, c.user_key)
                AND p.ends_at > clock_timestamp() - {OPEN}
            WHERE c.id = $1 AND b.active
        ), noted AS (
            INSERT INTO lockstep_budgets_hold AS h (call, period_id, held, actual, counted, final, due)
            SELECT $1, seen.period_id, seen.bound, seen.actual, 0, NOT seen.lapsed, true FROM seen
            ON CONFLICT ON CONSTRAINT lockstep_budgets_hold_pkey
                DO UPDATE SET actual = excluded.actual, final = excluded.final, due = true
        )
        SELECT * FROM seen WHERE seen.near OR seen.stale OR seen.actual > nullif(seen.bound, 0) ORDER BY seen.id
    LOOP
        IF settled.actual > nullif(settled.bound, 0) THEN
            PERFORM lockstep_budgets_overrun_v1($1, settled.period_id, settled.bound, settled.actual);
        END IF;
        CONTINUE WHEN settled.lapsed;
        IF settled.near THEN  -- on its own: a condition with a query in it is one, even where the first half is false
            settled.near := NOT EXISTS (SELECT FROM lockstep_budgets_alert AS a
                WHERE a.period_id = settled.period_id AND a.level = 'soft' AND a.resolved_at IS NULL);
        END IF;
        IF settled.near THEN
            PERFORM FROM lockstep_budgets_budgetperiod AS p WHERE p.id = settled.period_id FOR NO KEY UPDATE;
        ELSIF settled.stale THEN
            PERFORM FROM lockstep_budgets_budgetperiod AS p
            WHERE p.id = settled.period_id FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
        ELSE
            CONTINUE;
        END IF;
        PERFORM lockstep_budgets_fold_v1(settled.period_id);
    END LOOP;
END
$function$
"""

_OVERRUN = """
CREATE FUNCTION lockstep_budgets_overrun_v1(call uuid, period bigint, bound bigint, actual bigint) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
    b lockstep_budgets_budget%ROWTYPE;
    person text;
BEGIN
    INSERT INTO lockstep_budgets_overrun (call, period_id, at, bound, actual)
    VALUES ($1, $2, clock_timestamp(), $3, $4) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT known.* INTO b FROM lockstep_budgets_budget AS known
    JOIN lockstep_budgets_budgetperiod AS p ON p.budget_id = known.id WHERE p.id = $2;
    SELECT p.who INTO person FROM lockstep_budgets_budgetperiod AS p WHERE p.id = $2;
    PERFORM lockstep_core_notify_v1('budgets.overrun',
        'More was billed than the bound: ' || lockstep_budgets_text_v1(b, person),
        format('Call %s cost %s; its bound was %s.', $1, lockstep_budgets_amount_v1(b, $4),
            lockstep_budgets_amount_v1(b, $3)),
        'warning', format('lockstep.budgets.%s.overrun', $2), false,
        jsonb_build_object('call', $1, 'budget', b.id, 'feature', b.feature, 'bound', $3, 'actual', $4));
END $body$
"""

CREATE = (_RATIO, _ESTIMATE, _REFUSAL, _OVERRUN)

DROP = (
    "DROP FUNCTION IF EXISTS lockstep_budgets_overrun_v1(uuid, bigint, bigint, bigint)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_refusal_v1(bigint, bigint)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_estimate_v1()",
    "DROP FUNCTION IF EXISTS lockstep_budgets_ratio_v1(text, text)",
)
