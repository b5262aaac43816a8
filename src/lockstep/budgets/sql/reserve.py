"""Before a call: its bound is held in every budget that it falls under, or in none, and it is refused."""

from __future__ import annotations

from lockstep.budgets.sql.scope import TOGETHER, matching, starts
from lockstep.core.pseudonyms import LOCK
from lockstep.llm.sql.hooks import RESERVE_SIGNATURE

__all__ = ["RESERVE"]

# Every call takes its budgets in the order of their ids, so no two wait for each other. The condition of the UPDATE
# is read from the row as it is once its lock is there: that is the whole of the race against other workers.
# What is held is what the ledger's row says; only an estimate needs a note of its own.
RESERVE = f"""
CREATE OR REPLACE FUNCTION {RESERVE_SIGNATURE} LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_variable
DECLARE
    {TOGETHER};
    forced constant boolean := coalesce((asked ->> 'forced')::boolean, false);
    feature constant text := coalesce(asked ->> 'feature', '');
    cohort constant text := coalesce(asked ->> 'cohort', '');
    tenant constant text := coalesce(asked ->> 'tenant', '');
    person constant text := coalesce(asked ->> 'user_key', '');
    paid_in constant text := asked ->> 'currency';
    widens constant boolean := asked ? 'had';
    budget record;
    wanted bigint;
    extra bigint;
    noted bigint;
    counter bigint;
    span record;
    refused jsonb;
    periods bigint[];
    extras bigint[];
    notes bigint[];
BEGIN
    IF person <> '' THEN  -- while that person is erased, wait
        PERFORM pg_advisory_xact_lock_shared({LOCK.format(key="person")});
    END IF;
    FOR budget IN
        SELECT b.id, b.cap, b.unit, b.period, b.time_zone, b.bound = 'estimated' AS estimated,
            lockstep_budgets_who_v1(b.per, cohort, tenant, person) AS who, {starts("began")} AS starts,
            lockstep_budgets_bound_v1(b.unit, b.currency, bound_tokens, bound_micros, paid_in) AS bound, b.currency
        FROM lockstep_budgets_budget AS b
        WHERE b.active AND {matching("feature", "lockstep_budgets_who_v1(b.per, cohort, tenant, person)")}
        ORDER BY b.id
    LOOP
        IF budget.bound IS NULL AND NOT budget.estimated AND NOT forced THEN
            refused := jsonb_build_object('refused', 'unpriced', 'budget', budget.id);
            EXIT;
        END IF;
        wanted := coalesce(budget.bound, 0);
        IF budget.estimated THEN
            wanted := ceil(wanted * lockstep_budgets_ratio_v1(feature, budget.unit));
        END IF;
        extra := wanted;
        IF widens THEN
            SELECT h.held INTO noted FROM lockstep_budgets_hold AS h
            JOIN lockstep_budgets_budgetperiod AS p ON p.id = h.period_id
            WHERE h.call = lockstep_llm_reserve_v1.call AND p.budget_id = budget.id;
            extra := wanted - coalesce(noted, lockstep_budgets_bound_v1(budget.unit, budget.currency,
                (asked #>> '{{had,tokens}}')::bigint, (asked #>> '{{had,micros}}')::bigint, paid_in), 0);
        END IF;

        UPDATE lockstep_budgets_budgetperiod AS p SET reserved = p.reserved + extra
        WHERE p.budget_id = budget.id AND p.who = budget.who AND p.starts_at = budget.starts
            AND (forced OR p.spent + p.reserved + extra <= budget.cap)
        RETURNING p.id INTO counter;
        IF NOT FOUND THEN
            span := lockstep_budgets_span_v1(budget.period, budget.time_zone, began);
            counter := lockstep_budgets_period_v1(budget.id, budget.who, span.starts, span.ends);
            PERFORM FROM lockstep_budgets_budgetperiod AS p WHERE p.id = counter FOR NO KEY UPDATE;
            PERFORM lockstep_budgets_fold_v1(counter);
            UPDATE lockstep_budgets_budgetperiod AS p SET reserved = p.reserved + extra
            WHERE p.id = counter AND (forced OR p.spent + p.reserved + extra <= budget.cap);
            IF NOT FOUND THEN
                refused := lockstep_budgets_refusal_v1(counter, extra);
                EXIT;
            END IF;
        END IF;
        periods := periods || counter;
        extras := extras || extra;
        notes := notes || CASE WHEN noted IS NOT NULL OR wanted <> coalesce(budget.bound, 0) THEN wanted END;
    END LOOP;

    IF refused IS NOT NULL THEN
        UPDATE lockstep_budgets_budgetperiod AS p SET reserved = p.reserved - taken.extra
        FROM unnest(periods, extras) AS taken (period_id, extra) WHERE p.id = taken.period_id;
    ELSIF array_remove(notes, NULL) <> '{{}}' THEN
        INSERT INTO lockstep_budgets_hold AS h (call, period_id, held, counted, final, due)
        SELECT lockstep_llm_reserve_v1.call, taken.period_id, taken.held, 0, false, false
        FROM unnest(periods, notes) AS taken (period_id, held) WHERE taken.held IS NOT NULL
        ON CONFLICT ON CONSTRAINT lockstep_budgets_hold_pkey DO UPDATE SET held = excluded.held;
    END IF;
    RETURN refused;
END
$function$
"""
