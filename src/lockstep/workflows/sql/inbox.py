"""Events from outside: kept when they come, given to whoever waits for them, once.

The event and its wait may be written at the same instant, neither seeing the other. So a run that begins to wait holds
the lock of its event until it has committed, and a match first waits for that lock: from then on each of them either
sees the other or is seen by it.
"""

from __future__ import annotations

__all__ = ["CREATE", "DROP"]

_LOCK = "hashtextextended('lockstep.event ' || {name} || chr(31) || {key}, 0)"

_RECEIVE = """
CREATE FUNCTION lockstep_workflows_receive_v1(asked jsonb, body jsonb) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    a record;
    known uuid;
    expires timestamptz;
    moment constant timestamptz := statement_timestamp();
BEGIN
    SELECT * INTO a FROM jsonb_to_record(asked) AS x (id uuid, source text, dedupe text, name text, key text);
    INSERT INTO lockstep_workflows_inboundevent (id, source, dedupe, name, key, subject, received_at)
    VALUES (a.id, a.source, a.dedupe, a.name, a.key, '', moment)
    ON CONFLICT (source, dedupe) DO NOTHING;
    IF NOT FOUND THEN
        SELECT e.id INTO known FROM lockstep_workflows_inboundevent AS e
        WHERE e.source = a.source AND e.dedupe = a.dedupe;
        RETURN jsonb_build_object('event', known, 'known', true);
    END IF;
    SELECT moment + t.keep INTO expires FROM lockstep_core_expiringtable AS t
    WHERE t.table_name = 'lockstep_workflows_inboundbody';
    PERFORM lockstep_core_partition_v1('lockstep_workflows_inboundbody', expires);
    INSERT INTO lockstep_workflows_inboundbody (id, data, at, expires_at) VALUES (a.id, $2, moment, expires);
    RETURN jsonb_build_object('event', a.id, 'known', false);
END $body$
"""

# What was said goes to the wait, and with it to its run's person and expiry.
_GIVE = """
CREATE FUNCTION lockstep_workflows_give_v1(event uuid, data jsonb, wait uuid, expires timestamptz) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
    w record;
BEGIN
    UPDATE lockstep_workflows_wait AS known SET status = 'answered', answer = $2, answered_at = clock_timestamp()
    WHERE known.id = $3 AND known.expires_at = $4 RETURNING known.run_id, known.subject INTO w;
    UPDATE lockstep_workflows_inboundevent AS e SET wait_id = $3, run_id = w.run_id, subject = w.subject,
        matched_at = clock_timestamp(), looked_at = clock_timestamp() WHERE e.id = $1;
    BEGIN
        DELETE FROM lockstep_workflows_inboundbody AS b WHERE b.id = $1;
    EXCEPTION WHEN restrict_violation THEN  -- under legal hold
        NULL;
    END;
END $body$
"""

# In the commit of the wait.
_HEAR = """
CREATE FUNCTION lockstep_workflows_hear_v1(wait uuid, expires timestamptz) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    w record;
    kept record;
BEGIN
    SELECT known.name, known.key INTO w FROM lockstep_workflows_wait AS known
    WHERE known.id = $1 AND known.expires_at = $2;
    PERFORM pg_advisory_xact_lock({lock});
    SELECT e.id, b.data INTO kept FROM lockstep_workflows_inboundevent AS e
    JOIN lockstep_workflows_inboundbody AS b ON b.id = e.id
    WHERE e.name = w.name AND e.key = w.key AND e.wait_id IS NULL
    ORDER BY e.received_at, e.id LIMIT 1 FOR UPDATE OF e;
    IF FOUND THEN
        PERFORM lockstep_workflows_give_v1(kept.id, kept.data, $1, $2);
    END IF;
END $body$
""".replace("{lock}", _LOCK.format(name="w.name", key="w.key"))

# After the event is committed. The lock is let go of at once: whoever held it has committed its wait.
_MATCH = """
CREATE FUNCTION lockstep_workflows_match_v1(event uuid) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    e lockstep_workflows_inboundevent%ROWTYPE;
    w lockstep_workflows_wait%ROWTYPE;
    said jsonb;
    workflow text;
BEGIN
    SELECT * INTO e FROM lockstep_workflows_inboundevent AS known WHERE known.id = $1 AND known.wait_id IS NULL;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_lock({lock});
    PERFORM pg_advisory_unlock({lock});
    LOOP
        SELECT * INTO w FROM lockstep_workflows_wait AS known
        WHERE known.kind = 'event' AND known.name = e.name AND known.key = e.key AND known.status = 'open'
            AND (known.due_at IS NULL OR known.due_at > clock_timestamp())
        ORDER BY known.at, known.id LIMIT 1;
        EXIT WHEN NOT FOUND;
        PERFORM FROM lockstep_workflows_run AS r WHERE r.id = w.run_id FOR UPDATE;
        PERFORM FROM lockstep_workflows_wait AS known
        WHERE known.id = w.id AND known.expires_at = w.expires_at AND known.status = 'open' FOR UPDATE;
        CONTINUE WHEN NOT FOUND;  -- it is answered now; another may wait
        SELECT b.data INTO said FROM lockstep_workflows_inboundevent AS known
        JOIN lockstep_workflows_inboundbody AS b ON b.id = known.id
        WHERE known.id = e.id AND known.wait_id IS NULL FOR UPDATE OF known;
        EXIT WHEN NOT FOUND;
        PERFORM lockstep_workflows_give_v1(e.id, said, w.id, w.expires_at);
        workflow := lockstep_workflows_queue_v1(w.run_id);
        RETURN jsonb_build_object('run', w.run_id, 'ring', workflow);
    END LOOP;
    UPDATE lockstep_workflows_inboundevent AS known SET looked_at = clock_timestamp() WHERE known.id = e.id;
    RETURN NULL;
END $body$
""".replace("{lock}", _LOCK.format(name="e.name", key="e.key"))

CREATE = (_RECEIVE, _GIVE, _HEAR, _MATCH)

DROP = (
    "DROP FUNCTION IF EXISTS lockstep_workflows_match_v1(uuid)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_hear_v1(uuid, timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_give_v1(uuid, jsonb, uuid, timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_receive_v1(jsonb, jsonb)",
)
