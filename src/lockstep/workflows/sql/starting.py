"""A run begins to exist: in the caller's transaction, once for an idempotency key, in turn with its thread's others."""

from __future__ import annotations

__all__ = ["CREATE", "DROP", "EXPIRY", "LIVE", "RETRY"]

LIVE = "('queued', 'running', 'waiting', 'blocked')"

# The tables that hold content of runs, each with a partition for what expires then.
EXPIRY = r"""
CREATE OR REPLACE FUNCTION lockstep_workflows_expiry_v1(moment timestamptz) RETURNS timestamptz
LANGUAGE plpgsql AS $body$
DECLARE
    expires timestamptz;
BEGIN
    SELECT moment + t.keep INTO expires FROM lockstep_core_expiringtable AS t
    WHERE t.table_name = 'lockstep_workflows_checkpoint';
    PERFORM lockstep_core_partition_v1(t.table_name, expires) FROM lockstep_core_expiringtable AS t
    WHERE t.table_name LIKE 'lockstep\_workflows\_%';
    RETURN expires;
END $body$
"""

# Starts of one thread wait for each other. A run that is to make way is told so; one that is at work stops at its next
# transition, and the new one begins after it.
_START = """
CREATE FUNCTION lockstep_workflows_start_v1(asked jsonb, input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    a record;
    known lockstep_workflows_run%ROWTYPE;
    moment constant timestamptz := statement_timestamp();
    expires timestamptz;
    others uuid[];
BEGIN
    SELECT * INTO a FROM jsonb_to_record(asked) AS x (id uuid, workflow text, version text, thread text, user_id text,
        user_key text, feature text, cohort text, tenant text, idempotency_key text, input_digest text, if_busy text);
    PERFORM pg_advisory_xact_lock(hashtextextended('lockstep.thread ' || a.thread, 0));
    IF a.idempotency_key IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('lockstep.once ' || a.workflow || ' ' || a.idempotency_key, 0));
        SELECT * INTO known FROM lockstep_workflows_run AS r
        WHERE r.workflow = a.workflow AND r.idempotency_key = a.idempotency_key;
        IF FOUND THEN
            RETURN jsonb_build_object('run', known.id, 'known', true, 'same', known.input_digest = a.input_digest,
                'row', to_jsonb(known));
        END IF;
    END IF;
    others := ARRAY(SELECT r.id FROM lockstep_workflows_run AS r WHERE r.thread = a.thread AND r.status IN {live}
        ORDER BY r.at, r.id);
    IF others <> '{{}}' AND a.if_busy = 'reject' THEN
        RETURN jsonb_build_object('run', others[1], 'busy', true);
    END IF;
    IF a.if_busy IN ('interrupt', 'rollback') THEN
        PERFORM lockstep_workflows_cancel_v1(other.id, 'superseded') FROM unnest(others) AS other (id);
    END IF;
    expires := lockstep_workflows_expiry_v1(moment);
    INSERT INTO lockstep_workflows_run (id, workflow, version, thread, status, reason, node, user_id, user_key, feature,
        cohort, tenant, idempotency_key, input_digest, epoch, owner, cancel_requested, crash_count, transitions, head,
        rolls_back, at, expires_at)
    VALUES (a.id, a.workflow, a.version, a.thread, 'queued', '', '', coalesce(a.user_id, ''), coalesce(a.user_key, ''),
        coalesce(a.feature, ''), coalesce(a.cohort, ''), coalesce(a.tenant, ''), a.idempotency_key,
        coalesce(a.input_digest, ''), 0, '', false, 0, 0, '',
        CASE WHEN a.if_busy = 'rollback' THEN to_jsonb(others) ELSE '[]' END, moment, expires)
    RETURNING * INTO known;
    INSERT INTO lockstep_workflows_runcontent (id, run_id, kind, data, subject, at, expires_at)
    VALUES (gen_random_uuid(), a.id, 'input', input, coalesce(a.user_key, ''), moment, expires);
    RETURN jsonb_build_object('run', a.id, 'row', to_jsonb(known));
END $body$
""".replace("{live}", LIVE).replace("{{}}", "{}")

# One that nobody is at ends here and now; an owner hears of it with its next write.
_CANCEL = """
CREATE FUNCTION lockstep_workflows_cancel_v1(run uuid, why text) RETURNS text LANGUAGE plpgsql AS $body$
DECLARE
    r lockstep_workflows_run%ROWTYPE;
BEGIN
    SELECT * INTO r FROM lockstep_workflows_run AS known WHERE known.id = $1 FOR UPDATE;
    IF NOT FOUND OR r.status NOT IN {live} THEN
        RETURN r.status;
    END IF;
    IF r.status = 'running' THEN
        UPDATE lockstep_workflows_run AS known SET cancel_requested = true WHERE known.id = $1;
        RETURN 'running';
    END IF;
    UPDATE lockstep_workflows_run AS known
    SET status = 'cancelled', reason = why, ended_at = clock_timestamp(), wake_at = NULL WHERE known.id = $1;
    PERFORM lockstep_workflows_withdraw_v1($1, r.expires_at);
    RETURN 'cancelled';
END $body$
""".replace("{live}", LIVE)

# From where it stood: what its nodes did stays done, and the one that failed is run again.
RETRY = """
CREATE OR REPLACE FUNCTION lockstep_workflows_retry_v1(run uuid) RETURNS text LANGUAGE plpgsql AS $body$
DECLARE
    r lockstep_workflows_run%ROWTYPE;
BEGIN
    SELECT * INTO r FROM lockstep_workflows_run AS known WHERE known.id = $1 FOR UPDATE;
    IF NOT FOUND OR r.status NOT IN ('failed', 'dead', 'blocked', 'cancelled') OR r.expires_at <= clock_timestamp() THEN
        RETURN CASE WHEN r.expires_at <= clock_timestamp() THEN 'expired' ELSE r.status END;
    END IF;
    IF r.head <> '' AND EXISTS (SELECT FROM lockstep_workflows_checkpoint AS c WHERE c.thread = r.thread AND c.ns = ''
        AND c.checkpoint_id > r.head AND c.run_id <> r.id) THEN
        RETURN 'overtaken by another run of its thread';
    END IF;
    UPDATE lockstep_workflows_run AS known SET status = 'queued', reason = '', node = '', ended_at = NULL,
        crash_count = 0, cancel_requested = false, rung_at = clock_timestamp() WHERE known.id = $1;
    DELETE FROM lockstep_workflows_runcontent AS c
    WHERE c.run_id = $1 AND c.kind = 'error' AND c.expires_at = r.expires_at;
    IF r.reason = 'ToolFailed' THEN
        PERFORM lockstep_workflows_tool_retry_v1(r.id, r.expires_at);
    END IF;
    PERFORM lockstep_workflows_settled_v1(r);
    RETURN 'queued';
END $body$
"""

# People hear of a run that stands still where nobody expects it to, and of its going on. What it is about they are not
# told: notices leave the house.
_TROUBLE = """
CREATE FUNCTION lockstep_workflows_trouble_v1(r lockstep_workflows_run, status text, reason text, node text)
RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM lockstep_core_notify_v1('workflows.' || $2,
        format('A run of %s %s', (r).workflow, CASE $2 WHEN 'dead' THEN 'was given up' ELSE 'is blocked' END),
        format('Run %s, version %s, at %s: %s.', (r).id, (r).version, coalesce(nullif($4, ''), 'its beginning'), $3),
        'error', 'lockstep.workflows.' || (r).id, false,
        jsonb_build_object('run', (r).id, 'workflow', (r).workflow, 'node', $4, 'reason', $3));
END $body$
"""

_SETTLED = """
CREATE FUNCTION lockstep_workflows_settled_v1(r lockstep_workflows_run) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    IF (r).status IN ('dead', 'blocked') THEN
        PERFORM lockstep_core_notify_v1('workflows.' || (r).status, format('A run of %s goes on', (r).workflow),
            'Somebody has started it again.', 'info', 'lockstep.workflows.' || (r).id, true,
            jsonb_build_object('run', (r).id, 'workflow', (r).workflow));
    END IF;
END $body$
"""

_WITHDRAW = """
CREATE FUNCTION lockstep_workflows_withdraw_v1(run uuid, expires timestamptz) RETURNS void
LANGUAGE sql AS $body$
    UPDATE lockstep_workflows_wait AS w SET status = 'withdrawn'
    WHERE w.run_id = $1 AND w.expires_at = $2 AND w.status = 'open'
$body$
"""

# A transition updates its run and no index.
_HOT = "ALTER TABLE lockstep_workflows_run SET (fillfactor = 60)"

CREATE = (_HOT, EXPIRY, _WITHDRAW, _TROUBLE, _SETTLED, _CANCEL, RETRY, _START)

DROP = (
    "DROP FUNCTION IF EXISTS lockstep_workflows_start_v1(jsonb, jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_retry_v1(uuid)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_settled_v1(lockstep_workflows_run)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_trouble_v1(lockstep_workflows_run, text, text, text)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_cancel_v1(uuid, text)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_withdraw_v1(uuid, timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_expiry_v1(timestamptz)",
)
