"""The two functions that surround every request, each in one round trip and one transaction of its own.

``begin`` resolves the release, reserves the bound and writes the row; ``end`` settles it. Both may be repeated with
the same id: a connection that breaks leaves nobody in doubt. A body that does otherwise takes a new name.
"""

from __future__ import annotations

from lockstep.core.pseudonyms import LOCK
from lockstep.llm.sql.money import chosen, cost, most, whole

__all__ = ["CREATE", "DROP"]

_FIRST = (
    "SELECT c.expires_at FROM lockstep_llm_call AS c WHERE c.state = 'reserved' ORDER BY c.expires_at LIMIT 1"
)
"""The next to lapse. Asked whether one has, the planner hopes to meet it soon and reads the whole table."""

# Whoever died with a call under way is charged its bound; each beginning clears a few away.
_LAPSE = f"""
CREATE FUNCTION lockstep_llm_lapse_v1(most int) RETURNS int LANGUAGE plpgsql AS $body$
DECLARE
    lapsed record;
    count int := 0;
    moment timestamptz := clock_timestamp();  -- in a condition a volatile function keeps the index out
BEGIN
    IF NOT coalesce(({_FIRST}) < moment, false) THEN
        RETURN 0;
    END IF;
    FOR lapsed IN
        UPDATE lockstep_llm_call SET state = 'lapsed', outcome = 'error', error_type = 'NeverCameBack',
            usage_source = 'bound', cost_micros = bound_micros, settled_at = clock_timestamp()
        WHERE id IN (
            SELECT id FROM lockstep_llm_call WHERE state = 'reserved' AND expires_at < moment
            ORDER BY expires_at LIMIT most FOR UPDATE SKIP LOCKED)
        RETURNING id
    LOOP
        PERFORM lockstep_llm_settle_v1(lapsed.id);
        count := count + 1;
    END LOOP;
    RETURN count;
END $body$
"""

_TARIFF = f"""SELECT found.id, found.currency,
        {whole(f"({most('found', 'moment', 'a.bound_input', 'a.bound_output')})")} AS most
    INTO tariff FROM (SELECT price.* {chosen("a.provider", "priced_as", "moment", "a.bound_input")}) AS found"""

# A reservation may be lost with the server's last second unless it is asked to be durable; its settlement never is,
# and writes the row anew. Each statement costs more than what it does: what can be asked at once is. In the ledger's
# own currency the price says all; else three functions say the same step by step.
_BEGIN = f"""
CREATE FUNCTION lockstep_llm_begin_v1(asked jsonb) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    a lockstep_llm_call%ROWTYPE := jsonb_populate_record(NULL::lockstep_llm_call, asked);
    priced_as text := asked ->> 'priced_as';
    looked record;
    live record;
    tariff record;
    rate bigint := 0;
    held jsonb;
    refusal text := asked ->> 'refused';
    done jsonb;
    moment timestamptz := clock_timestamp();
    patience text := set_config('lock_timeout', '5s', true);
BEGIN
    IF NOT coalesce((asked ->> 'durable')::boolean, false) THEN
        patience := set_config('synchronous_commit', 'off', true);
    END IF;
    SELECT EXISTS (SELECT FROM lockstep_llm_call AS c WHERE c.id = a.id) AS known, ({_FIRST}) AS first,
        EXISTS (SELECT FROM lockstep_core_feature AS f WHERE f.name = a.feature AND NOT f.enabled) AS off
    INTO looked;
    IF looked.known THEN
        SELECT * INTO a FROM lockstep_llm_call WHERE id = a.id;
        RETURN jsonb_build_object('refused', CASE WHEN a.state = 'refused' THEN a.error_type END,
            'prompt_version', a.prompt_version, 'arm', a.arm, 'release_id', a.release_id,
            'model', a.provider || ':' || a.request_model, 'bound_input', a.bound_input);
    END IF;
    IF looked.first < moment THEN
        PERFORM lockstep_llm_lapse_v1(5);
    END IF;

    a.request_model := asked ->> 'model';
    IF looked.off THEN
        refusal := coalesce(refusal, 'feature_off');
    END IF;
    IF a.prompt <> '' AND a.prompt_version IS NULL THEN
        SELECT * INTO live FROM lockstep_llm_resolve_v1(a.feature, a.prompt, coalesce(asked ->> 'unit', ''));
        IF FOUND AND live.prompt_version IS NOT NULL THEN
            a.prompt_version := live.prompt_version;
            a.arm := live.arm;
            a.release_id := live.release_id;
            a.bound_input := a.bound_input + coalesce(live.template_bytes, 0);
            IF coalesce(live.model, '') <> '' AND NOT coalesce((asked ->> 'pinned')::boolean, false) THEN
                a.provider := split_part(live.model, ':', 1);
                a.request_model := substr(live.model, length(a.provider) + 2);
                priced_as := a.request_model;
                a.endpoint := '';
            END IF;
        ELSIF asked ->> 'fallback_version' IS NOT NULL THEN
            a.prompt_version := asked ->> 'fallback_version';
        ELSE
            refusal := coalesce(refusal, 'no_release');
        END IF;
    END IF;

    {_TARIFF};
    a.bound_micros := tariff.most;
    IF tariff.currency IS DISTINCT FROM a.currency THEN
        rate := lockstep_llm_rate_v1(tariff.currency, a.currency, moment);
        a.bound_micros := lockstep_llm_bound_v1(tariff.id, rate, moment, a.bound_input, a.bound_output);
    END IF;
    IF coalesce((asked ->> 'forced')::boolean, false) THEN
        refusal := NULL;  -- the row was lost in a crash of the server; the request was made all the same
    END IF;
    INSERT INTO lockstep_llm_call (id, at, operation, feature, cohort, tenant, user_key, prompt, prompt_version, arm,
        release_id, provider, endpoint, request_model, response_model, invocation, attempt, run, node, node_attempt,
        trace_id, state, outcome, error_type, finish_reason, usage_source, bound_input, bound_output, price_id, rate_id,
        currency, bound_micros, tools, expires_at, result)
    VALUES (a.id, moment, a.operation, coalesce(a.feature, ''), coalesce(a.cohort, ''),
        coalesce(a.tenant, ''), coalesce(a.user_key, ''), coalesce(a.prompt, ''), coalesce(a.prompt_version, ''),
        coalesce(a.arm, ''), a.release_id, a.provider, coalesce(a.endpoint, ''), a.request_model, '', a.invocation,
        a.attempt, coalesce(a.run, ''), coalesce(a.node, ''), coalesce(a.node_attempt, ''),
        coalesce(a.trace_id, ''), 'reserved', '', '', '', '',
        a.bound_input, a.bound_output, tariff.id, rate, a.currency, a.bound_micros, '[]',
        moment + make_interval(secs => (asked ->> 'lapse_after_s')::float8), '');

    -- what became of the tools that an earlier answer wanted called
    IF jsonb_typeof(asked -> 'tools_done') = 'array' THEN
        FOR done IN SELECT * FROM jsonb_array_elements(asked -> 'tools_done') LOOP
            UPDATE lockstep_llm_call c SET tools = (
                SELECT jsonb_agg(CASE WHEN tool ->> 'id' = done ->> 'id'
                    THEN tool || jsonb_build_object('ok', done -> 'ok') ELSE tool END ORDER BY no)
                FROM jsonb_array_elements(c.tools) WITH ORDINALITY AS t (tool, no))
            WHERE c.id = (done ->> 'call')::uuid
                AND c.tools @> jsonb_build_array(jsonb_build_object('id', done -> 'id', 'ok', NULL));
        END LOOP;
    END IF;

    -- last, for what is locked here all calls share
    IF refusal IS NULL THEN
        held := lockstep_llm_reserve_v1(a.id, asked, moment, a.bound_input::bigint + a.bound_output, a.bound_micros);
        refusal := held ->> 'refused';
    END IF;
    IF refusal IS NOT NULL THEN
        UPDATE lockstep_llm_call SET state = 'refused', outcome = 'refused', error_type = refusal,
            usage_source = 'none', cost_micros = 0, expires_at = NULL, settled_at = moment WHERE id = a.id;
    END IF;
    RETURN jsonb_build_object('refused', refusal, 'held', held, 'prompt_version', a.prompt_version, 'arm', a.arm,
        'release_id', a.release_id, 'model', a.provider || ':' || a.request_model, 'bound_input', a.bound_input);
END $body$
"""

# The words of a prompt are filled in after the reservation, and it may set its own limit of the answer; where either
# came out larger than was reckoned, more is reserved before anything leaves. Bounds only grow. A person who was erased
# meanwhile is held by no budget of their own any more: the row says whom it is for.
_WIDEN = """
CREATE FUNCTION lockstep_llm_widen_v2(call uuid, asked jsonb, input int) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    c lockstep_llm_call%ROWTYPE;
    held jsonb;
    output int := coalesce((asked ->> 'bound_output')::int, 0);
    wider jsonb;
BEGIN
    PERFORM set_config('lock_timeout', '5s', true);
    SELECT * INTO c FROM lockstep_llm_call WHERE id = call AND state = 'reserved' FOR UPDATE;
    IF NOT FOUND OR (c.bound_input >= input AND c.bound_output >= output) THEN
        RETURN '{}';
    END IF;
    wider := asked || jsonb_build_object('user_key', c.user_key, 'had', jsonb_build_object(
        'tokens', c.bound_input::bigint + c.bound_output, 'micros', c.bound_micros));
    c.bound_input := greatest(c.bound_input, input);
    c.bound_output := greatest(c.bound_output, output);
    c.bound_micros := lockstep_llm_bound_v1(c.price_id, c.rate_id, c.at, c.bound_input, c.bound_output);
    held := lockstep_llm_reserve_v1(call, wider, c.at, c.bound_input::bigint + c.bound_output, c.bound_micros);
    IF held ->> 'refused' IS NOT NULL THEN
        RETURN held;
    END IF;
    UPDATE lockstep_llm_call SET bound_input = c.bound_input, bound_output = c.bound_output,
        bound_micros = c.bound_micros WHERE id = call;
    RETURN '{}';
END $body$
"""

_MINE = """SELECT known.id, known.state, known.at, known.user_key, known.provider, known.endpoint, known.currency,
        known.price_id, known.rate_id, known.bound_micros, known.cost_micros, known.usage_source
    INTO c FROM lockstep_llm_call AS known WHERE known.id = t.id FOR UPDATE"""

_BILL = f"""SELECT price.id, price.currency,
        {whole(cost("t.input_tokens", "t.output_tokens", "t.cache_read_tokens", "t.cache_write_tokens"))} AS cost
    INTO tariff {chosen("coalesce(t.provider, c.provider)", "told ->> 'priced_as'", "c.at", "t.input_tokens")}"""

# What was said is kept before the budgets' counters are touched, which others wait for; and where it cannot be kept the
# call is settled all the same.
_END = f"""
CREATE FUNCTION lockstep_llm_end_v2(told jsonb, asked jsonb, content jsonb DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql AS $body$
DECLARE
    lost text;
    t lockstep_llm_call%ROWTYPE := jsonb_populate_record(NULL::lockstep_llm_call, told);
    c record;
    tariff record;
    charge text := told ->> 'charge';
    patience constant text := set_config('lock_timeout', '5s', true);
    about constant text := coalesce(content ->> 'subject', '');
    keeps boolean := content IS NOT NULL;
BEGIN
    IF about <> '' THEN  -- nothing is written about a person who is being erased
        keeps := pg_try_advisory_xact_lock_shared({LOCK.format(key="about")});
    END IF;
    {_MINE};
    IF NOT FOUND THEN
        PERFORM lockstep_llm_begin_v1(asked || '{{"durable": true, "forced": true}}');
        {_MINE};
    END IF;
    IF c.state NOT IN ('reserved', 'lapsed') THEN
        RETURN jsonb_build_object('state', c.state, 'cost_micros', c.cost_micros);
    END IF;

    IF charge = 'usage' THEN
        {_BILL};
        c.price_id := tariff.id;
        c.rate_id := 0;
        c.cost_micros := tariff.cost;
        IF tariff.currency IS DISTINCT FROM c.currency THEN
            c.rate_id := lockstep_llm_rate_v1(tariff.currency, c.currency, c.at);
            c.cost_micros := lockstep_llm_cost_v1(c.price_id, c.rate_id, t.input_tokens, t.output_tokens,
                t.cache_read_tokens, t.cache_write_tokens);
        END IF;
        c.usage_source := 'provider';
    ELSIF charge = 'bound' THEN
        c.cost_micros := c.bound_micros;
        c.usage_source := 'bound';
    ELSIF charge = 'none' THEN
        c.cost_micros := 0;
        c.usage_source := 'none';
    ELSE
        c.cost_micros := NULL;
    END IF;

    UPDATE lockstep_llm_call SET state = 'settled', outcome = t.outcome, error_type = coalesce(t.error_type, ''),
        finish_reason = coalesce(t.finish_reason, ''), response_model = coalesce(t.response_model, ''),
        request_model = coalesce(told ->> 'model', request_model), provider = coalesce(t.provider, c.provider),
        endpoint = coalesce(t.endpoint, c.endpoint), input_tokens = t.input_tokens, output_tokens = t.output_tokens,
        cache_read_tokens = t.cache_read_tokens, cache_write_tokens = t.cache_write_tokens,
        reasoning_tokens = t.reasoning_tokens, usage_source = c.usage_source, price_id = c.price_id,
        rate_id = c.rate_id, cost_micros = c.cost_micros, latency_ms = t.latency_ms,
        first_token_ms = t.first_token_ms, tools = coalesce(t.tools, '[]'), settled_at = clock_timestamp()
    WHERE id = c.id;
    IF keeps AND c.user_key = about THEN  -- or has been meanwhile
        BEGIN
            IF lockstep_core_keep_v1(c.id, content) IS NULL THEN
                lost := 'nobody keeps it on this database';
            END IF;
        EXCEPTION WHEN OTHERS THEN
            lost := SQLSTATE;  -- the message may quote what was not to be seen
        END;
    END IF;
    PERFORM lockstep_llm_settle_v1(c.id);
    RETURN jsonb_build_object('state', 'settled', 'cost_micros', c.cost_micros, 'lost', lost);
END $body$
"""

_TALLY = """
CREATE FUNCTION lockstep_llm_tally_v1(counted jsonb) RETURNS int LANGUAGE plpgsql AS $body$
DECLARE
    written int;
BEGIN
    INSERT INTO lockstep_llm_tally AS t (hour, operation, provider, model, feature, calls, errors, items, input_tokens,
        latency_ms)
    SELECT to_timestamp(c.hour), c.operation, c.provider, c.model, c.feature, c.calls, c.errors, c.items,
        c.input_tokens, c.latency_ms
    FROM jsonb_to_recordset(counted) AS c (hour bigint, operation text, provider text, model text, feature text,
        calls bigint, errors bigint, items bigint, input_tokens bigint, latency_ms bigint)
    ORDER BY 1, 2, 3, 4, 5  -- everybody in the same order: no deadlock
    ON CONFLICT (hour, operation, provider, model, feature) DO UPDATE SET calls = t.calls + excluded.calls,
        errors = t.errors + excluded.errors, items = t.items + excluded.items,
        input_tokens = t.input_tokens + excluded.input_tokens, latency_ms = t.latency_ms + excluded.latency_ms;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END $body$
"""

CREATE = (_LAPSE, _BEGIN, _WIDEN, _END, _TALLY)

DROP = (
    "DROP FUNCTION IF EXISTS lockstep_llm_tally_v1(jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_llm_end_v1(jsonb, jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_llm_end_v2(jsonb, jsonb, jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_llm_widen_v1(uuid, jsonb, int)",
    "DROP FUNCTION IF EXISTS lockstep_llm_widen_v2(uuid, jsonb, int)",
    "DROP FUNCTION IF EXISTS lockstep_llm_begin_v1(jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_llm_lapse_v1(int)",
)
