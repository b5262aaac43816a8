"""Before a call: its bound is held in every budget that it falls under, or in none, and it is refused."""

from __future__ import annotations

from lockstep.core.pseudonyms import LOCK
from lockstep.llm.sql.hooks import RESERVE_SIGNATURE

__all__ = ["RESERVE"]

# Every call takes its budgets in the order of their ids, so no two wait for each other. The condition of the UPDATE
# is read from the row as it is once its lock is there: that is the whole of the race against other workers.
RESERVE = f"""
CREATE OR REPLACE FUNCTION {RESERVE_SIGNATURE} LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_variable
DECLARE
    forced constant boolean := coalesce((asked ->> 'forced')::boolean, false);
    again boolean;
    budget record;
    span record;
    wanted bigint;
    had bigint;
    counter bigint;
    refused jsonb;
    periods bigint[] := '{{}}';
    holds bigint[] := '{{}}';
    extras bigint[] := '{{}}';
BEGIN
    LOCK TABLE lockstep_budgets_budget IN ACCESS SHARE MODE;  -- while a budget is counted from the ledger, wait
    IF coalesce(asked ->> 'user_key', '') <> '' THEN  -- while that person is erased, wait
        PERFORM pg_advisory_xact_lock_shared({LOCK.format(key="(asked ->> 'user_key')")});
    END IF;
    again := EXISTS (SELECT FROM lockstep_budgets_hold AS h WHERE h.call = lockstep_llm_reserve_v1.call);
    FOR budget IN
        SELECT b.*, coalesce(named.who, '') AS person FROM lockstep_budgets_budget AS b
        CROSS JOIN LATERAL (SELECT asked ->> CASE b.per WHEN 'user' THEN 'user_key' ELSE b.per END AS who) AS named
        WHERE b.active AND b.feature IN ('', coalesce(asked ->> 'feature', ''))
            AND (b.per = 'all' OR (named.who <> '' AND b.who IN ('', named.who)))
        ORDER BY b.id
    LOOP
        wanted := CASE WHEN budget.unit = 'tokens' THEN bound_tokens
            WHEN budget.currency = asked ->> 'currency' THEN bound_micros END;
        IF wanted IS NULL AND budget.bound = 'strict' AND NOT forced THEN
            refused := jsonb_build_object('refused', 'unpriced', 'budget', budget.id);
            EXIT;
        END IF;
        wanted := least(coalesce(wanted, 0), 1000000000000000);
        IF budget.bound = 'estimated' THEN
            wanted := ceil(wanted * lockstep_budgets_ratio_v1(asked ->> 'feature', budget.unit));
        END IF;

        span := lockstep_budgets_span_v1(budget.period, budget.time_zone, began);
        had := 0;
        IF again THEN
            SELECT h.held INTO had FROM lockstep_budgets_hold AS h
            JOIN lockstep_budgets_budgetperiod AS p ON p.id = h.period_id
            WHERE h.call = lockstep_llm_reserve_v1.call AND p.budget_id = budget.id;
            had := coalesce(had, 0);
        END IF;
        UPDATE lockstep_budgets_budgetperiod AS p SET reserved = p.reserved + wanted - had
        WHERE p.budget_id = budget.id AND p.who = budget.person AND p.starts_at = span.starts
            AND (forced OR p.spent + p.reserved + wanted - had <= budget.cap)
        RETURNING p.id INTO counter;
        IF NOT FOUND THEN
            counter := lockstep_budgets_period_v1(budget.id, budget.person, span.starts, span.ends);
            PERFORM FROM lockstep_budgets_budgetperiod AS p WHERE p.id = counter FOR NO KEY UPDATE;
            PERFORM lockstep_budgets_fold_v1(counter);
            UPDATE lockstep_budgets_budgetperiod AS p SET reserved = p.reserved + wanted - had
            WHERE p.id = counter AND (forced OR p.spent + p.reserved + wanted - had <= budget.cap);
            IF NOT FOUND THEN
                refused := lockstep_budgets_refusal_v1(counter, wanted - had);
                EXIT;
            END IF;
        END IF;
        periods := periods || counter;
        holds := holds || wanted;
        extras := extras || (wanted - had);
    END LOOP;

    IF refused IS NOT NULL THEN
        UPDATE lockstep_budgets_budgetperiod AS p SET reserved = p.reserved - taken.extra
        FROM unnest(periods, extras) AS taken (period_id, extra) WHERE p.id = taken.period_id;
        RETURN refused;
    END IF;
    INSERT INTO lockstep_budgets_hold AS h (call, period_id, held, counted, final, due)
    SELECT lockstep_llm_reserve_v1.call, taken.period_id, taken.held, 0, false, false
    FROM unnest(periods, holds) AS taken (period_id, held)
    ON CONFLICT ON CONSTRAINT lockstep_budgets_hold_pkey DO UPDATE SET held = excluded.held;
    RETURN NULL;
END
$function$
"""
