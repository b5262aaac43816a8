"""One statement and one commit for everything that a transition leaves behind."""

from __future__ import annotations

__all__ = ["CREATE", "DROP", "NO_READS", "READS"]

_ID = """
CREATE FUNCTION lockstep_workflows_id_v1(VARIADIC parts text[]) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN md5(array_to_string(parts, chr(31)))::uuid
"""

# Both are functions of their own so that a transition, which hardly ever asks them, does not prepare what they read.
_WRITTEN_UNTIL = """
CREATE FUNCTION lockstep_workflows_written_until_v1(thread text, ns text, checkpoint text, task text,
    otherwise timestamptz) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $body$
BEGIN
    RETURN coalesce(
        (SELECT known.expires_at FROM lockstep_workflows_checkpointwrite AS known
            WHERE known.id = lockstep_workflows_id_v1($1, $2, $3, $4)),
        (SELECT c.expires_at FROM lockstep_workflows_checkpoint AS c
            WHERE c.id = lockstep_workflows_id_v1($1, $2, $3)),
        otherwise);
END $body$
"""

# What was written first stays, but for what has a place below zero: of that the last counts.
_WRITTEN_AGAIN = """
CREATE FUNCTION lockstep_workflows_written_again_v1(before jsonb, now jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $body$
BEGIN
    RETURN now || before
        || (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(now) WHERE key LIKE '-%');
END $body$
"""

# The run's row comes first: without it, as its owner left it, nothing else is written. What is repeated after a lost
# reply changes nothing. A graph without a run has no owner and no fence, and no end that is known: each checkpoint
# expires by itself, with what was written at it.
_COMMIT = """
CREATE FUNCTION lockstep_workflows_commit_v1(run uuid, epoch bigint, lease_s float8, of_thread text, of_ns text,
    checkpoint text, parent text, at_step int, made_by text, state_digest text, channels jsonb, notes jsonb,
    done jsonb, written jsonb, nodes jsonb, stops jsonb) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    expires timestamptz;
    who text := '';
    cancelled boolean := false;
    moment constant timestamptz := clock_timestamp();
BEGIN
    IF run IS NULL THEN
        expires := coalesce((SELECT c.expires_at FROM lockstep_workflows_checkpoint AS c
            WHERE c.id = lockstep_workflows_id_v1(of_thread, of_ns, checkpoint)),
            lockstep_workflows_expiry_v1(statement_timestamp()));
    ELSE
        UPDATE lockstep_workflows_run AS known SET lease_until = moment + make_interval(secs => $3),
            transitions = known.transitions + CASE WHEN checkpoint <> known.head AND of_ns = '' THEN 1 ELSE 0 END,
            head = CASE WHEN checkpoint IS NOT NULL AND of_ns = '' THEN checkpoint ELSE known.head END,
            crash_count = CASE WHEN checkpoint IS NOT NULL THEN 0 ELSE known.crash_count END
        WHERE known.id = run AND known.epoch = $2 AND known.status = 'running'
        RETURNING known.expires_at, known.user_key, known.cancel_requested INTO expires, who, cancelled;
        IF NOT FOUND THEN
            RETURN '{"fenced": true}';
        END IF;
    END IF;
    IF checkpoint IS NOT NULL THEN
        INSERT INTO lockstep_workflows_checkpoint AS c (id, run_id, thread, ns, checkpoint_id, parent_id, epoch, step,
            source, state, outputs, meta, digest, subject, at, expires_at)
        VALUES (lockstep_workflows_id_v1(of_thread, of_ns, checkpoint), run, of_thread, of_ns, checkpoint,
            coalesce(parent, ''), $2, at_step, coalesce(made_by, ''), channels, done, notes,
            coalesce(state_digest, ''), who, moment, expires)
        ON CONFLICT (id, expires_at) DO UPDATE SET state = excluded.state, outputs = excluded.outputs,
            meta = excluded.meta, epoch = excluded.epoch, parent_id = excluded.parent_id, step = excluded.step,
            source = excluded.source, digest = excluded.digest;
    END IF;
    IF written IS NOT NULL THEN
        INSERT INTO lockstep_workflows_checkpointwrite AS w (id, run_id, thread, ns, checkpoint_id, task_id, task_path,
            writes, epoch, subject, at, expires_at)
        SELECT lockstep_workflows_id_v1(of_thread, x.ns, x.checkpoint, x.task), run, of_thread, x.ns, x.checkpoint,
            x.task, x.path, x.regular || x.special, $2, who, moment,
            CASE WHEN run IS NULL
                THEN lockstep_workflows_written_until_v1(of_thread, x.ns, x.checkpoint, x.task, expires)
                ELSE expires END
        FROM jsonb_to_recordset(written) AS x (ns text, checkpoint text, task text, path text, regular jsonb,
            special jsonb)
        ON CONFLICT (id, expires_at) DO UPDATE
            SET writes = lockstep_workflows_written_again_v1(w.writes, excluded.writes);
    END IF;
    IF nodes IS NOT NULL THEN
        INSERT INTO lockstep_workflows_nodeexecution (run_id, epoch, ns, step, node, task_id, attempt, status,
            error_kind, output_digest, checkpoint, started_at, elapsed_ms, worker, at)
        SELECT run, $2, x.ns, x.step, left(x.node, 200), x.task, x.attempt, x.status, x.error, x.digest,
            x.checkpoint, moment - make_interval(secs => x.ago), x.ms, x.worker, moment
        FROM jsonb_to_recordset(nodes) AS x (ns text, step int, node text, task text, attempt int, status text,
            error text, digest text, checkpoint text, ago float8, ms float8, worker text);
    END IF;
    IF stops IS NOT NULL THEN
        PERFORM lockstep_workflows_asks_v1(run, stops, who, moment, expires);
    END IF;
    RETURN CASE WHEN cancelled THEN '{"cancel": true}'::jsonb ELSE '{}' END;
END $body$
"""

# What the tasks at a checkpoint wrote: rows of their own, and what the next checkpoints were committed with.
_WRITTEN = """
CREATE FUNCTION lockstep_workflows_written_v1(thread text, ns text, checkpoint text)
RETURNS TABLE (path text, task text, writes jsonb) LANGUAGE sql STABLE AS $body$
    SELECT w.task_path, w.task_id, w.writes FROM lockstep_workflows_checkpointwrite AS w
    WHERE w.thread = $1 AND w.ns = $2 AND w.checkpoint_id = $3
    UNION ALL
    SELECT o.value ->> 0, o.key, (SELECT coalesce(jsonb_object_agg(p.key,
            CASE jsonb_array_length(p.value) WHEN 1
                THEN p.value || jsonb_build_array(c.state -> (p.value ->> 0)) ELSE p.value END), '{}')
        FROM jsonb_each(o.value -> 1) AS p)
    FROM lockstep_workflows_checkpoint AS c, jsonb_each(c.outputs) AS o
    WHERE c.thread = $1 AND c.ns = $2 AND c.parent_id = $3
$body$
"""

CREATE = (_ID, _WRITTEN_UNTIL, _WRITTEN_AGAIN, _COMMIT)

READS = (_WRITTEN,)

DROP = (
    "DROP FUNCTION IF EXISTS lockstep_workflows_commit_v1(uuid, bigint, float8, text, text, text, text, int, text,"
    " text, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_written_again_v1(jsonb, jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_written_until_v1(text, text, text, text, timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_id_v1(text[])",
)
NO_READS = ("DROP FUNCTION IF EXISTS lockstep_workflows_written_v1(text, text, text)",)
