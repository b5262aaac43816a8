"""The statements of the budget benchmark: its arms, what each client runs, and the sum that no counter touches."""

from __future__ import annotations

from lockstep.budgets.sql.reserve import RESERVE
from lockstep.budgets.sql.settle import SETTLE
from lockstep.llm.sql.hooks import RESERVE_NULL, RESERVE_SIGNATURE, SETTLE_NULL, SETTLE_SIGNATURE

__all__ = ["ARMS", "OVER", "PAIRS", "PRICE", "RANDOM"]

_PERIOD = """
    SELECT p.id, b.cap, p.spent, p.reserved INTO hot
    FROM lockstep_budgets_budget AS b JOIN lockstep_budgets_budgetperiod AS p ON p.budget_id = b.id
    WHERE b.feature = {feature} AND p.starts_at <= {at} AND p.ends_at > {at}"""
_OPEN = """
    IF NOT FOUND THEN
        PERFORM lockstep_budgets_period_v1(b.id, '', span.starts, span.ends)
        FROM lockstep_budgets_budget AS b,
            LATERAL lockstep_budgets_span_v1(b.period, b.time_zone, began) AS span
        WHERE b.feature = asked ->> 'feature';
        {again};
    END IF;"""


def _peer(lock: str) -> tuple[str, str]:
    """Reserve and settle on the budget's row itself, looked at with or without a lock."""
    look = _PERIOD.format(feature="asked ->> 'feature'", at="began") + lock
    settled = _PERIOD.format(feature="c.feature", at="c.at") + lock
    return (
        f"""CREATE OR REPLACE FUNCTION {RESERVE_SIGNATURE} LANGUAGE plpgsql AS $f$
DECLARE hot record;
BEGIN
    {look};
    {_OPEN.format(again=look)}
    IF hot.spent + hot.reserved + bound_tokens > hot.cap THEN
        RETURN '{{"refused": "budget_exhausted"}}';
    END IF;
    UPDATE lockstep_budgets_budgetperiod SET reserved = reserved + bound_tokens WHERE id = hot.id;
    RETURN NULL;
END $f$""",
        f"""CREATE OR REPLACE FUNCTION {SETTLE_SIGNATURE} LANGUAGE plpgsql AS $f$
DECLARE
    hot record;
    c lockstep_llm_call%ROWTYPE;
BEGIN
    SELECT * INTO c FROM lockstep_llm_call AS known WHERE known.id = $1;
    {settled};
    UPDATE lockstep_budgets_budgetperiod SET reserved = reserved - c.bound_input - c.bound_output,
        spent = spent + lockstep_budgets_tokens_v1(c) WHERE id = hot.id;
END $f$""",
    )


ARMS = {
    "for_update": _peer(" FOR UPDATE OF p"),
    "lockstep": (RESERVE, SETTLE),
    "check_then_add": _peer(""),
    "no_budget": (RESERVE_NULL, SETTLE_NULL),
}

PRICE = """INSERT INTO lockstep_llm_price (provider, model, source, currency, input, output, per_request,
    min_input_tokens, valid_from, note, created_at)
VALUES ('bench', 'm', 'tariff', 'GBP', 1, 1, 0, 0, '2026-01-01', '', now())"""

OVER = """SELECT coalesce(sum(CASE c.state WHEN 'reserved' THEN c.bound_input + c.bound_output
    ELSE lockstep_budgets_tokens_v1(c) END), 0) FROM lockstep_llm_call AS c
WHERE c.feature = %s AND c.state IN ('reserved', 'settled', 'lapsed')"""

_ASKED = """jsonb_build_object('id', call, 'invocation', call, 'attempt', 1, 'operation', 'chat', 'provider', 'bench',
    'model', 'm', 'priced_as', 'm', 'endpoint', 'http://127.0.0.1/v1', 'bound_input', 900, 'bound_output', 100,
    'feature', 'bench.hot', 'currency', 'GBP', 'lapse_after_s', 900)"""
_TOLD = """jsonb_build_object('id', call, 'outcome', 'ok', 'charge', 'usage', 'input_tokens', spent - 10,
    'output_tokens', 10, 'provider', 'bench', 'model', 'm', 'priced_as', 'm', 'latency_ms', 100)"""

PAIRS = (
    f"""CREATE PROCEDURE bench_whole(seconds float8, INOUT done int, INOUT refused int) LANGUAGE plpgsql AS $f$
DECLARE
    ends timestamptz := clock_timestamp() + make_interval(secs => seconds);
    call uuid;
    asked jsonb;
    spent int;
BEGIN
    WHILE clock_timestamp() < ends LOOP
        call := gen_random_uuid();
        asked := {_ASKED};
        IF lockstep_llm_begin_v1(asked) ->> 'refused' IS NOT NULL THEN
            refused := refused + 1;
            COMMIT;
            CONTINUE;
        END IF;
        COMMIT;
        spent := 20 + floor(random() * 300);
        PERFORM lockstep_llm_end_v1({_TOLD}, asked);
        COMMIT;
        done := done + 1;
    END LOOP;
END $f$""",
    f"""CREATE PROCEDURE bench_alone(seconds float8, INOUT done int, INOUT refused int) LANGUAGE plpgsql AS $f$
DECLARE
    ends timestamptz := clock_timestamp() + make_interval(secs => seconds);
    call uuid;
    began timestamptz;
    spent int;
BEGIN
    WHILE clock_timestamp() < ends LOOP
        call := gen_random_uuid();
        began := clock_timestamp();
        PERFORM set_config('synchronous_commit', 'off', true);
        IF lockstep_llm_reserve_v1(call, {_ASKED}, began, 1000, 1000) IS NOT NULL THEN
            refused := refused + 1;
            COMMIT;
            CONTINUE;
        END IF;
        INSERT INTO lockstep_llm_call (id, at, operation, feature, cohort, tenant, user_key, prompt, prompt_version,
            arm, provider, endpoint, request_model, response_model, invocation, attempt, run, node, trace_id, state,
            outcome, error_type, finish_reason, usage_source, bound_input, bound_output, currency, bound_micros, tools,
            result)
        VALUES (call, began, 'chat', 'bench.hot', '', '', '', '', '', '', 'bench', '', 'm', '', call, 1, '', '', '',
            'reserved', '', '', '', '', 900, 100, 'GBP', 1000, '[]', '');
        COMMIT;
        spent := 20 + floor(random() * 300);
        UPDATE lockstep_llm_call SET state = 'settled', outcome = 'ok', usage_source = 'provider', input_tokens = spent,
            output_tokens = 0, cost_micros = spent WHERE id = call;
        PERFORM lockstep_llm_settle_v1(call);
        COMMIT;
        done := done + 1;
    END LOOP;
END $f$""",
)

RANDOM = (
    """CREATE FUNCTION bench_budgets() RETURNS void LANGUAGE sql AS $f$
    INSERT INTO lockstep_budgets_budget (feature, per, who, period, time_zone, unit, currency, cap, soft_percent, bound,
        active)
    SELECT feature, per, '', period, 'Europe/London', unit, CASE unit WHEN 'money' THEN 'GBP' ELSE '' END, 1000000000,
        70, 'strict', true
    FROM (VALUES ('', 'all', 'day', 'tokens'), ('', 'cohort', 'month', 'money'),
        ('bench.other', 'user', 'day', 'tokens'), ('bench.hot', 'tenant', 'day', 'money'))
        AS given (feature, per, period, unit)
$f$""",
    f"""CREATE PROCEDURE bench_random(wanted float8, INOUT done int, INOUT refused int) LANGUAGE plpgsql AS $f$
DECLARE
    call uuid;
    asked jsonb;
    known jsonb[] := '{{}}';
    spent int;
    dice float8;
BEGIN
    WHILE done < wanted LOOP
        dice := random();
        done := done + 1;
        IF dice < 0.45 OR cardinality(known) = 0 THEN
            call := gen_random_uuid();
            asked := {_ASKED} || jsonb_build_object(
                'feature', (ARRAY['bench.hot', 'bench.other'])[1 + floor(random() * 2)::int],
                'cohort', (ARRAY['', 'a', 'b'])[1 + floor(random() * 3)::int],
                'tenant', (ARRAY['', 'x', 'y'])[1 + floor(random() * 3)::int],
                'user_key', (ARRAY['', 'u', 'v', 'w'])[1 + floor(random() * 4)::int],
                'lapse_after_s', (ARRAY[0.001, 900, 900, 900])[1 + floor(random() * 4)::int]);
            IF lockstep_llm_begin_v1(asked) ->> 'refused' IS NULL THEN
                known := known || asked;
            ELSE
                refused := refused + 1;
            END IF;
        ELSIF dice < 0.9 THEN
            asked := known[1 + floor(random() * cardinality(known))::int];
            call := (asked ->> 'id')::uuid;
            spent := 10 + floor(random() * 990);
            PERFORM lockstep_llm_end_v1({_TOLD} || jsonb_build_object('charge',
                (ARRAY['usage', 'usage', 'bound', 'none'])[1 + floor(random() * 4)::int]), asked);
            IF random() < 0.7 THEN  -- the rest are settled again, some day
                known := array_remove(known, asked);
            END IF;
        ELSIF dice < 0.95 THEN
            asked := known[1 + floor(random() * cardinality(known))::int];
            PERFORM lockstep_llm_widen_v2((asked ->> 'id')::uuid, asked, 900 + floor(random() * 500)::int);
        ELSIF dice < 0.97 THEN
            PERFORM lockstep_llm_lapse_v1(10);
        ELSIF dice < 0.98 THEN
            PERFORM lockstep_budgets_sweep_v1();
        ELSIF dice < 0.985 THEN
            UPDATE lockstep_budgets_budget SET cap = 300000 + floor(random() * 1000000000)
            WHERE id = (SELECT id FROM lockstep_budgets_budget ORDER BY random() LIMIT 1);
        ELSIF dice < 0.9855 THEN
            UPDATE lockstep_budgets_budget SET active = NOT active WHERE per = 'cohort';
        END IF;
        IF cardinality(known) > 200 THEN
            known := known[2:];
        END IF;
        COMMIT;
    END LOOP;
    PERFORM lockstep_budgets_sweep_v1();
    COMMIT;
END $f$""",
)
