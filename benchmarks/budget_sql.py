"""The statements of the budget benchmark: its arms, what each client runs, and the sum that no counter touches."""

from __future__ import annotations

from lockstep.budgets.sql.reserve import RESERVE
from lockstep.budgets.sql.settle import SETTLE
from lockstep.llm.sql.hooks import RESERVE_NULL, RESERVE_SIGNATURE, SETTLE_NULL, SETTLE_SIGNATURE

__all__ = ["ARMS", "BOUND", "OVER", "PAIRS", "PRICE", "RANDOM", "SCRIPTS"]

BOUND = 1_000
"""Tokens that each call of the benchmark holds; it spends 20 to 320."""

_HOT = """
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


def _counting(look: str, reserve: str, settle: str) -> tuple[str, str]:
    """Both hooks on the counter's row itself, read with ``look`` at its end."""
    begun = _HOT.format(feature="asked ->> 'feature'", at="began") + look
    return (
        f"""CREATE OR REPLACE FUNCTION {RESERVE_SIGNATURE} LANGUAGE plpgsql AS $f$
DECLARE hot record;
BEGIN
    {begun};
    {_OPEN.format(again=begun)}
    IF hot.spent + hot.reserved + bound_tokens > hot.cap THEN
        RETURN '{{"refused": "budget_exhausted"}}';
    END IF;
    {reserve}
    RETURN NULL;
END $f$""",
        f"""CREATE OR REPLACE FUNCTION {SETTLE_SIGNATURE} LANGUAGE plpgsql AS $f$
DECLARE
    hot record;
    c record;
BEGIN
    SELECT known.feature, known.at, known.bound_input::bigint + known.bound_output AS bound,
        lockstep_budgets_tokens_v1(known) AS spent INTO c FROM lockstep_llm_call AS known WHERE known.id = $1;
    {_HOT.format(feature="c.feature", at="c.at")}{look};
    UPDATE lockstep_budgets_budgetperiod SET {settle} WHERE id = hot.id;
END $f$""",
    )


ARMS = {
    "for_update": _counting(
        " FOR UPDATE OF p",
        "UPDATE lockstep_budgets_budgetperiod SET reserved = reserved + bound_tokens WHERE id = hot.id;",
        "reserved = reserved - c.bound, spent = spent + c.spent",
    ),
    "lockstep": (RESERVE, SETTLE),
    "check_then_add": _counting("", "", "spent = spent + c.spent"),
    "no_budget": (RESERVE_NULL, SETTLE_NULL),
}

PRICE = """INSERT INTO lockstep_llm_price (provider, model, source, currency, input, output, per_request,
    min_input_tokens, valid_from, note, created_at)
VALUES ('bench', 'm', 'tariff', 'GBP', 1, 1, 0, 0, '2026-01-01', '', now())"""

OVER = """SELECT coalesce(sum(CASE c.state WHEN 'reserved' THEN c.bound_input + c.bound_output
    ELSE lockstep_budgets_tokens_v1(c) END), 0) FROM lockstep_llm_call AS c
WHERE c.feature = %s AND c.state IN ('reserved', 'settled', 'lapsed')"""

# Text, as the door sends it: a function that puts values together takes longer than to read them again.
_ASKED = """('{"operation": "chat", "provider": "bench", "model": "m", "priced_as": "m", "endpoint": "http://127.0.0.1/v1",
    "bound_input": 900, "bound_output": 100, "feature": "bench.hot", "currency": "GBP", "lapse_after_s": 900,
    "attempt": 1, "invocation": "' || call || '", "id": "' || call || '"}')::jsonb"""
_TOLD = """('{"outcome": "ok", "charge": "usage", "output_tokens": 10, "provider": "bench", "model": "m",
    "priced_as": "m", "latency_ms": 100, "input_tokens": ' || (spent - 10) || ', "id": "' || call || '"}')::jsonb"""
_ROW = """
        INSERT INTO lockstep_llm_call (id, at, operation, feature, cohort, tenant, user_key, prompt, prompt_version,
            arm, provider, endpoint, request_model, response_model, invocation, attempt, run, node, trace_id, state,
            outcome, error_type, finish_reason, usage_source, bound_input, bound_output, price_id, rate_id, currency,
            bound_micros, tools, expires_at, result)
        VALUES (call, began, 'chat', asked ->> 'feature', coalesce(asked ->> 'cohort', ''),
            coalesce(asked ->> 'tenant', ''), coalesce(asked ->> 'user_key', ''), '', '', '', 'bench', '', 'm', '',
            call, 1, '', '', '', 'reserved', '', '', '', '', 900, 100, 1, 0, 'GBP', 1000, '[]',
            clock_timestamp() + make_interval(secs => (asked ->> 'lapse_after_s')::float8), '')"""

# Ids sort by time, as the door's do. Some builds of the server open a file for gen_random_uuid.
_ID = """
CREATE FUNCTION bench_id() RETURNS uuid LANGUAGE sql VOLATILE
RETURN (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
    || substr(md5(random()::text), 14))::uuid
"""

# The empty string is the id of a call that was refused.
PAIRS = (
    _ID,
    f"""CREATE FUNCTION bench_begin_whole() RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
    call uuid := bench_id();
BEGIN
    RETURN CASE WHEN lockstep_llm_begin_v1({_ASKED}) ->> 'refused' IS NULL THEN call::text ELSE '' END;
END $f$""",
    f"""CREATE FUNCTION bench_end_whole(id text) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    call uuid := nullif(id, '');
    spent int := 20 + floor(random() * 300);
BEGIN
    IF call IS NOT NULL THEN
        PERFORM lockstep_llm_end_v2({_TOLD}, '{{}}');
    END IF;
END $f$""",
    f"""CREATE FUNCTION bench_begin_hooks() RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
    call uuid := bench_id();
    began timestamptz := clock_timestamp();
    asked jsonb := {_ASKED};
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    {_ROW};
    IF lockstep_llm_reserve_v1(call, asked, began, 1000, 1000) IS NULL THEN
        RETURN call::text;
    END IF;
    DELETE FROM lockstep_llm_call WHERE lockstep_llm_call.id = call;
    RETURN '';
END $f$""",
    """CREATE FUNCTION bench_end_hooks(id text) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    call uuid := nullif(id, '');
    spent int := 20 + floor(random() * 300);
BEGIN
    UPDATE lockstep_llm_call AS c SET state = 'settled', outcome = 'ok', usage_source = 'provider',
        input_tokens = spent, output_tokens = 0, cost_micros = spent WHERE c.id = call;
    PERFORM lockstep_llm_settle_v1(call);
END $f$""",
)

SCRIPTS = {
    scope: f"SELECT bench_begin_{scope}() AS call \\gset\nSELECT bench_end_{scope}(:call);\n"
    for scope in ("whole", "hooks")
}

# A call may have begun within seconds of a midnight of the last thirty days: in the month before, or in the hour that
# there was twice. The door begins calls now, so these come by the hook that the door calls.
RANDOM = (
    """CREATE FUNCTION bench_budgets() RETURNS void LANGUAGE sql AS $f$
    INSERT INTO lockstep_budgets_budget (feature, per, who, period, time_zone, unit, currency, cap, soft_percent, bound,
        active)
    SELECT feature, per, '', period, zone, unit, CASE unit WHEN 'money' THEN 'GBP' ELSE '' END, 1000000000,
        70, bound, true
    FROM (VALUES ('', 'all', 'day', 'tokens', 'Europe/London', 'strict'),
        ('', 'cohort', 'month', 'money', 'America/New_York', 'strict'),
        ('bench.other', 'user', 'day', 'tokens', 'Pacific/Kiritimati', 'strict'),
        ('bench.hot', 'tenant', 'day', 'money', 'Europe/London', 'strict'),
        ('bench.other', 'all', 'month', 'money', 'Europe/London', 'estimated'))
        AS given (feature, per, period, unit, zone, bound);
    INSERT INTO lockstep_budgets_estimate (feature, unit, ratio, calls, measured_at)
    VALUES ('bench.other', 'money', 0.8, 100, now())
$f$""",
    f"""CREATE FUNCTION bench_begin_near_midnight(call uuid, asked jsonb) RETURNS boolean LANGUAGE plpgsql AS $f$
DECLARE
    began timestamptz := (date_trunc('day', now() AT TIME ZONE 'Europe/London')
        - floor(random() * 30) * interval '1 day') AT TIME ZONE 'Europe/London'
        + (floor(random() * 5) - 2) * interval '1 second' + floor(random() * 4) * interval '1 hour';
BEGIN
    {_ROW};
    IF lockstep_llm_reserve_v1(call, asked, began, 1000, 1000) IS NULL THEN
        RETURN true;
    END IF;
    DELETE FROM lockstep_llm_call WHERE id = call;
    RETURN false;
END $f$""",
    f"""CREATE PROCEDURE bench_random(wanted float8, seed float8, INOUT done int, INOUT refused int)
LANGUAGE plpgsql AS $f$
DECLARE
    call uuid;
    asked jsonb;
    known jsonb[] := '{{}}';
    spent int;
    dice float8;
    let_in boolean;
BEGIN
    PERFORM setseed(seed);
    WHILE done < wanted LOOP
        dice := random();
        done := done + 1;
        IF dice < 0.45 OR cardinality(known) = 0 THEN
            call := bench_id();
            asked := {_ASKED} || jsonb_build_object(
                'feature', (ARRAY['bench.hot', 'bench.other'])[1 + floor(random() * 2)::int],
                'cohort', (ARRAY['', 'a', 'b'])[1 + floor(random() * 3)::int],
                'tenant', (ARRAY['', 'x', 'y'])[1 + floor(random() * 3)::int],
                'user_key', (ARRAY['', 'u', 'v', 'w'])[1 + floor(random() * 4)::int],
                'lapse_after_s', (ARRAY[0.001, 900, 900, 900])[1 + floor(random() * 4)::int]);
            IF random() < 0.3 THEN
                let_in := bench_begin_near_midnight(call, asked);
            ELSE
                let_in := lockstep_llm_begin_v1(asked) ->> 'refused' IS NULL;
            END IF;
            IF let_in THEN
                known := known || asked;
            ELSE
                refused := refused + 1;
            END IF;
        ELSIF dice < 0.9 THEN
            asked := known[1 + floor(random() * cardinality(known))::int];
            call := (asked ->> 'id')::uuid;
            spent := 10 + floor(random() * 1100);
            PERFORM lockstep_llm_end_v2({_TOLD} || jsonb_build_object('charge',
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
        ELSIF dice < 0.9851 THEN
            UPDATE lockstep_budgets_budget SET active = NOT active WHERE per = 'cohort';
        ELSIF dice < 0.9856 THEN
            UPDATE lockstep_budgets_budget SET bound = CASE bound WHEN 'strict' THEN 'estimated' ELSE 'strict' END
            WHERE feature = 'bench.other' AND per = 'all';
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
