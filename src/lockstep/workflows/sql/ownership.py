"""Who owns a run: a lease says whether its owner lives, an epoch that nobody else writes."""

from __future__ import annotations

from lockstep.workflows.sql.starting import LIVE

__all__ = ["CREATE", "DROP"]

# After a restart of the server every session is gone, and their owners are about to come back.
_GONE = """
CREATE FUNCTION lockstep_workflows_gone_v1(pid int, since timestamptz) RETURNS boolean LANGUAGE sql VOLATILE AS $body$
    SELECT pid IS NOT NULL AND clock_timestamp() > pg_postmaster_start_time() + interval '10 seconds'
        AND NOT EXISTS (SELECT FROM pg_stat_get_activity($1) AS a
            WHERE coalesce(a.backend_start, $2) = $2)
$body$
"""

# A run that was asked for by two at once goes to one of them: the loser finds no row as it must be.
_ACQUIRE = """
CREATE FUNCTION lockstep_workflows_acquire_v1(run uuid, asked jsonb) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    a record;
    r lockstep_workflows_run%ROWTYPE;
    died boolean;
    previous text;
BEGIN
    SELECT * INTO a FROM jsonb_to_record(asked) AS x (owner text, pid int, since timestamptz, lease_s float8,
        most_crashes int);
    SELECT * INTO r FROM lockstep_workflows_run AS known WHERE known.id = $1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND OR r.expires_at <= clock_timestamp() THEN
        RETURN NULL;
    END IF;
    previous := r.owner;
    died := r.status = 'running'
        AND (r.lease_until < clock_timestamp() OR lockstep_workflows_gone_v1(r.owner_pid, r.owner_since));
    IF NOT died AND r.status <> 'queued' THEN
        RETURN NULL;
    END IF;
    IF r.status = 'queued' THEN
        -- starts of the thread take these locks in the other order, and hold them as long as their callers like
        IF NOT pg_try_advisory_xact_lock(hashtextextended('lockstep.thread ' || r.thread, 0)) THEN
            UPDATE lockstep_workflows_run AS known SET rung_at = clock_timestamp() - interval '9 seconds'
            WHERE known.id = r.id;
            RETURN NULL;
        END IF;
        IF EXISTS (SELECT FROM lockstep_workflows_run AS other WHERE other.thread = r.thread AND other.id <> r.id
            AND (other.status IN ('running', 'waiting', 'blocked')
                OR other.status = 'queued' AND (other.at, other.id) < (r.at, r.id))) THEN
            RETURN NULL;
        END IF;
    END IF;
    IF died AND r.cancel_requested THEN
        PERFORM lockstep_workflows_end_v1(r, 'cancelled', 'cancelled', r.node);
        RETURN NULL;
    END IF;
    IF died AND r.crash_count > a.most_crashes THEN  -- not even its node could be named
        PERFORM lockstep_workflows_end_v1(r, 'dead', 'crashed', r.node);
        RETURN NULL;
    END IF;
    UPDATE lockstep_workflows_run AS known SET status = 'running', epoch = known.epoch + 1, owner = a.owner,
        owner_pid = a.pid, owner_since = a.since, reason = '', node = '',
        lease_until = clock_timestamp() + make_interval(secs => a.lease_s),
        started_at = coalesce(known.started_at, clock_timestamp()), wake_at = NULL, rung_at = NULL,
        crash_count = known.crash_count + died::int
    WHERE known.id = $1 RETURNING * INTO r;
    IF r.epoch = 1 AND r.rolls_back <> '[]' THEN
        PERFORM lockstep_workflows_forget_v1(r.thread, r.rolls_back);
    END IF;
    RETURN to_jsonb(r) || jsonb_build_object('died', died, 'previous', previous,
        'alone', NOT EXISTS (SELECT FROM lockstep_workflows_run AS other
            WHERE other.thread = r.thread AND other.id <> r.id),
        'input', (SELECT c.data FROM lockstep_workflows_runcontent AS c
            WHERE c.run_id = r.id AND c.kind = 'input' AND c.expires_at = r.expires_at),
        'answers', (SELECT coalesce(jsonb_agg(jsonb_build_object('interrupt', w.interrupt_id, 'answer', w.answer,
                'status', w.status, 'kind', w.kind, 'ns', w.ns)), '[]')
            FROM lockstep_workflows_wait AS w WHERE w.run_id = r.id AND w.expires_at = r.expires_at
                AND w.status IN ('answered', 'expired') AND w.taken_at IS NULL));
END $body$
"""

_FORGET = """
CREATE FUNCTION lockstep_workflows_forget_v1(thread text, runs jsonb) RETURNS void LANGUAGE sql AS $body$
    DELETE FROM lockstep_workflows_checkpoint AS c
    WHERE c.thread = $1 AND c.run_id IN (SELECT value::uuid FROM jsonb_array_elements_text($2));
    DELETE FROM lockstep_workflows_checkpointwrite AS w
    WHERE w.thread = $1 AND w.run_id IN (SELECT value::uuid FROM jsonb_array_elements_text($2))
$body$
"""

# All runs of a process at once; those that are its own no longer are not among the answers.
_BEAT = """
CREATE FUNCTION lockstep_workflows_beat_v1(owned jsonb, pid int, since timestamptz, lease_s float8) RETURNS jsonb
LANGUAGE sql VOLATILE AS $body$
    WITH beaten AS (
        UPDATE lockstep_workflows_run AS r SET lease_until = clock_timestamp() + make_interval(secs => $4),
            owner_pid = $2, owner_since = $3
        FROM jsonb_to_recordset($1) AS x (run uuid, epoch bigint)
        WHERE r.id = x.run AND r.epoch = x.epoch AND r.status = 'running' RETURNING r.id, r.cancel_requested
    )
    SELECT coalesce(jsonb_object_agg(id, cancel_requested), '{}') FROM beaten
$body$
"""

_END = """
CREATE FUNCTION lockstep_workflows_end_v1(r lockstep_workflows_run, status text, reason text, node text) RETURNS void
LANGUAGE plpgsql AS $body$
BEGIN
    UPDATE lockstep_workflows_run AS known SET status = $2, reason = left($3, 100), node = left($4, 200), owner = '',
        owner_pid = NULL, owner_since = NULL, lease_until = NULL, wake_at = NULL, ended_at = clock_timestamp()
    WHERE known.id = (r).id;
    PERFORM lockstep_workflows_withdraw_v1((r).id, (r).expires_at);
    IF $2 = 'dead' THEN
        PERFORM lockstep_workflows_trouble_v1(r, $2, $3, $4);
    END IF;
END $body$
"""

# What an owner leaves behind when it lets go. Where an answer came while the run was about to stop, it goes on at once.
_RELEASE = """
CREATE FUNCTION lockstep_workflows_release_v1(run uuid, epoch bigint, told jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $body$
DECLARE
    t record;
    r lockstep_workflows_run%ROWTYPE;
    following uuid;
BEGIN
    SELECT * INTO t FROM jsonb_to_record(told) AS x (status text, reason text, node text, result jsonb, error jsonb,
        taken jsonb, wake_at timestamptz);
    SELECT * INTO r FROM lockstep_workflows_run AS known
    WHERE known.id = $1 AND known.epoch = $2 AND known.status = 'running' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN '{"fenced": true}';
    END IF;
    IF t.taken IS NOT NULL THEN
        UPDATE lockstep_workflows_wait AS w SET taken_at = clock_timestamp()
        WHERE w.run_id = r.id AND w.expires_at = r.expires_at AND w.taken_at IS NULL
            AND w.interrupt_id IN (SELECT jsonb_array_elements_text(t.taken));
    END IF;
    IF t.result IS NOT NULL OR t.error IS NOT NULL THEN
        INSERT INTO lockstep_workflows_runcontent (id, run_id, kind, data, subject, at, expires_at)
        SELECT lockstep_workflows_id_v1(r.id::text, x.kind), r.id, x.kind, x.data, r.user_key, clock_timestamp(),
            r.expires_at
        FROM (VALUES ('result', t.result), ('error', t.error)) AS x (kind, data) WHERE x.data IS NOT NULL
        ON CONFLICT (id, expires_at) DO UPDATE SET data = excluded.data;
    END IF;
    IF t.status IN ('waiting', 'queued', 'blocked') THEN
        IF t.status = 'waiting' AND EXISTS (SELECT FROM lockstep_workflows_wait AS w WHERE w.run_id = r.id
            AND w.expires_at = r.expires_at AND w.status IN ('answered', 'expired') AND w.taken_at IS NULL) THEN
            t.status := 'queued';
        END IF;
        IF t.status = 'waiting' AND NOT EXISTS (SELECT FROM lockstep_workflows_wait AS w WHERE w.run_id = r.id
            AND w.expires_at = r.expires_at AND w.status = 'open') THEN
            t.status := 'blocked';
            t.reason := 'nothing_asked';
        END IF;
        UPDATE lockstep_workflows_run AS known SET status = t.status, reason = left(coalesce(t.reason, ''), 100),
            node = left(coalesce(t.node, ''), 200), owner = '', owner_pid = NULL, owner_since = NULL,
            lease_until = NULL,
            rung_at = NULL,
            wake_at = CASE WHEN t.status = 'waiting' THEN (SELECT min(w.due_at) FROM lockstep_workflows_wait AS w
                WHERE w.run_id = r.id AND w.expires_at = r.expires_at AND w.status = 'open') END
        WHERE known.id = r.id;
        IF t.status = 'blocked' THEN
            PERFORM lockstep_workflows_trouble_v1(r, t.status, coalesce(t.reason, ''), coalesce(t.node, ''));
        END IF;
        RETURN jsonb_build_object('status', t.status, 'ring', CASE WHEN t.status = 'queued' THEN r.id END);
    END IF;
    PERFORM lockstep_workflows_end_v1(r, t.status, coalesce(t.reason, ''), coalesce(t.node, ''));
    SELECT known.id INTO following FROM lockstep_workflows_run AS known
    WHERE known.thread = r.thread AND known.status = 'queued' ORDER BY known.at, known.id LIMIT 1;
    RETURN jsonb_build_object('status', t.status, 'ring', following);
END $body$
"""

# A doorbell may die with the worker that was about to take the run. Where nobody has time the pauses grow, so that the
# broker is not filled with doorbells of the same run.
_AGAIN = "least(interval '1 minute', greatest(interval '0.5 seconds', (moment - r.lease_until) / 4))"

# Whatever a lost doorbell, a dead worker or the time has left to do. Nobody waits: what another sweeper has, it has.
_SWEEP = """
CREATE FUNCTION lockstep_workflows_sweep_v1(most int, patience_s float8) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    moment constant timestamptz := clock_timestamp();
    late lockstep_workflows_run%ROWTYPE;
    found jsonb;
BEGIN
    -- a session may have been ended while its process lives, which opens another one at once
    IF EXISTS (SELECT FROM lockstep_workflows_run AS r WHERE r.status = 'running' AND r.lease_until >= moment
        AND lockstep_workflows_gone_v1(r.owner_pid, r.owner_since)
        AND (r.rung_at IS NULL OR r.rung_at < moment - {again})) THEN
        PERFORM pg_sleep(0.2), pg_stat_clear_snapshot();
    END IF;

    WITH due AS (
        SELECT r.id FROM lockstep_workflows_run AS r
        WHERE r.status = 'waiting' AND r.wake_at <= moment ORDER BY r.wake_at LIMIT most FOR UPDATE SKIP LOCKED
    ), woken AS (
        UPDATE lockstep_workflows_run AS r SET status = 'queued', wake_at = NULL, rung_at = NULL
        FROM due WHERE r.id = due.id RETURNING r.id, r.expires_at
    )
    UPDATE lockstep_workflows_wait AS w SET status = CASE w.kind WHEN 'timer' THEN 'answered' ELSE 'expired' END,
        answered_at = moment
    FROM woken WHERE w.run_id = woken.id AND w.expires_at = woken.expires_at AND w.status = 'open'
        AND w.due_at <= moment;

    FOR late IN SELECT r.* FROM lockstep_workflows_run AS r
        WHERE r.status IN {live} AND r.expires_at <= moment + interval '1 minute'
        ORDER BY r.expires_at LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM lockstep_workflows_end_v1(late, 'failed', 'expired', late.node);
    END LOOP;

    WITH orphaned AS (
        SELECT r.id FROM lockstep_workflows_run AS r
        WHERE r.status = 'running' AND (r.lease_until < moment
            OR lockstep_workflows_gone_v1(r.owner_pid, r.owner_since))
            AND (r.rung_at IS NULL OR r.rung_at < moment - {again})
        ORDER BY r.lease_until LIMIT most FOR UPDATE SKIP LOCKED
    ), overheard AS (
        SELECT r.id FROM lockstep_workflows_run AS r
        WHERE r.status = 'queued' AND (r.rung_at IS NULL AND r.at <= moment - make_interval(secs => patience_s)
            OR r.rung_at < moment - least(interval '1 minute', greatest(interval '10 seconds', (moment - r.at) / 4)))
            AND NOT EXISTS (SELECT FROM lockstep_workflows_run AS other WHERE other.thread = r.thread
                AND other.id <> r.id AND other.status IN ('running', 'waiting', 'blocked'))
        ORDER BY r.at LIMIT most FOR UPDATE SKIP LOCKED
    ), rung AS (
        UPDATE lockstep_workflows_run AS r SET rung_at = moment
        FROM (SELECT id FROM orphaned UNION ALL SELECT id FROM overheard) AS idle WHERE r.id = idle.id
        RETURNING r.id, r.workflow
    )
    SELECT coalesce(jsonb_agg(jsonb_build_array(id, workflow)), '[]') INTO found FROM rung;
    RETURN found;
END $body$
""".replace("{live}", LIVE).replace("{again}", _AGAIN)

CREATE = (_GONE, _END, _FORGET, _ACQUIRE, _BEAT, _RELEASE, _SWEEP)

DROP = (
    "DROP FUNCTION IF EXISTS lockstep_workflows_sweep_v1(int, float8)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_release_v1(uuid, bigint, jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_beat_v1(jsonb, int, timestamptz, float8)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_acquire_v1(uuid, jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_forget_v1(text, jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_end_v1(lockstep_workflows_run, text, text, text)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_gone_v1(int, timestamptz)",
)
