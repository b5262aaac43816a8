"""Calls of tools: nobody but the run's owner begins one, and what one of them came to is never forgotten."""

from __future__ import annotations

__all__ = ["CREATE", "DROP"]

# The share lock keeps a new owner waiting until the intent is committed: it finds each of them. What is asked again
# after a lost reply carries the same attempt and gets the same answer.
_BEGIN = """
CREATE FUNCTION lockstep_workflows_tool_begin_v1(told jsonb, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    t record;
    r record;
    c lockstep_workflows_toolcall%ROWTYPE;
    moment constant timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO t FROM jsonb_to_record(told) AS x (key text, external text, attempt uuid, run uuid, epoch bigint,
        thread text, ns text, places jsonb, checkpoint text, task text, node text, tool text, effect text, most int,
        replayed int, again text, allowed boolean, worker text);
    SELECT known.expires_at, known.user_key, known.cancel_requested INTO r FROM lockstep_workflows_run AS known
    WHERE known.id = t.run AND known.epoch = t.epoch AND known.status = 'running' FOR SHARE;
    IF NOT FOUND THEN
        RETURN '{"state": "fenced"}';
    END IF;
    SELECT * INTO c FROM lockstep_workflows_toolcall AS known
    WHERE known.id = lockstep_workflows_id_v1(t.key) AND known.expires_at = r.expires_at FOR UPDATE;
    IF c.status IN ('done', 'failed') THEN
        RETURN jsonb_build_object('state', c.status, 'stops', c.stops, 'result', c.result, 'error', c.error,
            'kind', c.kind, 'error_kind', c.error_kind, 'attempts', c.attempts);
    END IF;
    IF c.attempt = t.attempt THEN
        RETURN jsonb_build_object('state', 'go', 'stops', c.stops, 'attempts', c.attempts - c.spent);
    END IF;
    IF NOT t.allowed AND t.effect <> 'pure' THEN
        RETURN '{"state": "forbidden"}';
    END IF;
    IF jsonb_array_length(c.stops) > t.replayed THEN
        RETURN jsonb_build_object('state', 'again', 'stops', c.stops);
    END IF;
    IF r.cancel_requested THEN
        RETURN jsonb_build_object('state', 'cancel', 'stops', coalesce(c.stops, '[]'));
    END IF;
    IF c.id IS NULL THEN
        IF t.effect <> 'pure' AND NOT EXISTS (SELECT FROM lockstep_workflows_checkpoint AS k
            WHERE k.thread = t.thread AND k.checkpoint_id = t.checkpoint AND k.expires_at = r.expires_at
                AND k.ns IN (SELECT jsonb_array_elements_text(t.places))) THEN
            RETURN '{"state": "rootless"}';
        END IF;
        INSERT INTO lockstep_workflows_toolcall (id, run_id, key, external_key, tool, effect, status, epoch, attempt,
            attempts, spent, kind, error_kind, ns, node, task_id, args, stops, settled_by, subject, at, expires_at)
        VALUES (lockstep_workflows_id_v1(t.key), t.run, t.key, t.external, t.tool, t.effect, 'intent', t.epoch,
            t.attempt, 1, 0, '', '', t.ns, t.node, t.task, args, '[]', '', r.user_key, moment, r.expires_at)
        RETURNING * INTO c;
    ELSE
        IF c.status = 'intent' THEN  -- of an owner that died, or that could not write what came of it
            UPDATE lockstep_workflows_toolattempt SET outcome = 'lost' WHERE id = c.attempt AND outcome = 'begun';
            IF t.effect = 'at_most_once' THEN
                c.status := 'unknown';
                UPDATE lockstep_workflows_toolcall AS known SET status = 'unknown', kind = 'unknown'
                WHERE known.id = c.id AND known.expires_at = c.expires_at;
            ELSIF c.attempts - c.spent >= t.most THEN
                RETURN jsonb_build_object('state', 'exhausted', 'stops', c.stops, 'attempts', c.attempts);
            END IF;
        END IF;
        IF c.status = 'parked' AND c.next_at > moment THEN
            RETURN jsonb_build_object('state', 'wait', 'stops', c.stops,
                'wait_s', extract(epoch FROM c.next_at - moment));
        END IF;
        IF c.status IN ('unknown', 'asked') AND t.again = '' THEN
            RETURN jsonb_build_object('state', c.status, 'stops', c.stops, 'attempts', c.attempts, 'kind', c.kind,
                'error_kind', c.error_kind, 'error', c.error);
        END IF;
        IF c.attempts - c.spent >= t.most AND t.again <> 'person' THEN
            RETURN jsonb_build_object('state', 'exhausted', 'stops', c.stops, 'attempts', c.attempts);
        END IF;
        UPDATE lockstep_workflows_toolcall AS known SET status = 'intent', epoch = t.epoch, attempt = t.attempt,
            attempts = known.attempts + 1, next_at = NULL
        WHERE known.id = c.id AND known.expires_at = c.expires_at RETURNING * INTO c;
    END IF;
    INSERT INTO lockstep_workflows_toolattempt (id, run_id, call, tool, effect, node, number, epoch, outcome, kind,
        error_kind, worker, at)
    VALUES (t.attempt, t.run, c.id, t.tool, t.effect, t.node, c.attempts, t.epoch, 'begun', '', '', t.worker, moment);
    RETURN jsonb_build_object('state', 'go', 'stops', c.stops, 'attempts', c.attempts - c.spent);
END $body$
"""

# What an attempt came to is a fact, whoever owns the run by now: it is written as long as no later attempt was begun.
# What is decided about a call without one is its owner's business alone.
_SETTLE = """
CREATE FUNCTION lockstep_workflows_tool_settle_v1(told jsonb, result jsonb, error jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $body$
DECLARE
    t record;
    r record;
    moment constant timestamptz := clock_timestamp();
    due timestamptz;
BEGIN
    SELECT * INTO t FROM jsonb_to_record(told) AS x (key text, attempt uuid, run uuid, epoch bigint, status text,
        outcome text, kind text, error_kind text, http int, delay_s float8, stop jsonb, replayed int, said_by text);
    SELECT known.expires_at, known.epoch = t.epoch AND known.status = 'running' AS owned, known.cancel_requested
    INTO r FROM lockstep_workflows_run AS known WHERE known.id = t.run FOR SHARE;
    IF t.attempt IS NULL AND r.owned IS NOT TRUE THEN
        RETURN '{"fenced": true}';
    END IF;
    UPDATE lockstep_workflows_toolattempt AS a SET outcome = t.outcome, kind = coalesce(t.kind, ''),
        error_kind = coalesce(t.error_kind, ''), http_status = t.http,
        elapsed_ms = coalesce(a.elapsed_ms, extract(epoch FROM moment - a.at) * 1000)
    WHERE a.id = t.attempt AND (a.outcome IN ('begun', 'lost') OR t.status = 'done');
    due := moment + make_interval(secs => t.delay_s);
    UPDATE lockstep_workflows_toolcall AS c SET status = t.status, result = $2, error = coalesce($3, c.error),
        kind = coalesce(t.kind, c.kind), error_kind = coalesce(t.error_kind, c.error_kind),
        next_at = coalesce(due, c.next_at), settled_by = coalesce(t.said_by, ''),
        stops = c.stops || CASE WHEN t.stop IS NULL THEN '[]'
            ELSE jsonb_build_array(t.stop || jsonb_build_object('due', coalesce(due, c.next_at))) END,
        ended_at = CASE WHEN t.status IN ('done', 'failed') THEN moment END
    WHERE c.id = lockstep_workflows_id_v1(t.key) AND c.expires_at = r.expires_at AND c.status NOT IN ('done', 'failed')
        AND CASE WHEN t.attempt IS NULL THEN jsonb_array_length(c.stops) = t.replayed
            ELSE c.attempt = t.attempt AND (c.status = 'intent' OR t.status = 'done') END;
    RETURN CASE WHEN r.owned IS NOT TRUE THEN '{"fenced": true}'::jsonb
        ELSE jsonb_build_object('cancel', r.cancel_requested) END;
END $body$
"""

# The call by which the run failed: it has all its attempts once more. What may have been done is asked about first.
_RETRY = """
CREATE FUNCTION lockstep_workflows_tool_retry_v1(run uuid, expires timestamptz) RETURNS void LANGUAGE sql AS $body$
    UPDATE lockstep_workflows_toolcall AS c SET spent = c.attempts, next_at = NULL, ended_at = NULL,
        status = CASE c.effect WHEN 'at_most_once' THEN 'unknown' ELSE 'parked' END
    WHERE c.expires_at = $2 AND c.id = (SELECT last.id FROM lockstep_workflows_toolcall AS last
        WHERE last.run_id = $1 AND last.expires_at = $2 AND last.status = 'failed'
        ORDER BY last.ended_at DESC LIMIT 1)
$body$
"""

CREATE = (_BEGIN, _SETTLE, _RETRY)

DROP = (
    "DROP FUNCTION IF EXISTS lockstep_workflows_tool_retry_v1(uuid, timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_tool_settle_v1(jsonb, jsonb, jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_tool_begin_v1(jsonb, jsonb)",
)
