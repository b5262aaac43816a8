"""What runs wait for: asked in the commit of the stop, answered once, and told to people from then until then.

Whoever locks several rows does it in this order: run, wait, event. An answer locks its run whatever the run is at: one
that is about to stop has stopped by then and is queued again, or sees the answer when it stops.
"""

from __future__ import annotations

__all__ = ["CREATE", "DROP"]

# A node that runs again asks the same again: it was asked already, and people were told. When a run that had ended is
# tried again, its questions are new.
_ASKS = """
CREATE FUNCTION lockstep_workflows_asks_v1(run uuid, stops jsonb, about text, moment timestamptz, expires timestamptz)
RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    x record;
    wait uuid;
BEGIN
    FOR x IN SELECT * FROM jsonb_to_recordset(stops) AS s (interrupt text, task text, ns text, node text, kind text,
        name text, key text, digest text, assignee text, payload jsonb, schema jsonb, due jsonb, link text)
        ORDER BY s.name, s.key
    LOOP
        wait := lockstep_workflows_id_v1($1::text, x.interrupt);
        INSERT INTO lockstep_workflows_wait AS w (id, run_id, interrupt_id, task_id, ns, node, kind, status, name, key,
            digest, assignee, payload, schema, due_at, decision, answered_by, subject, at, expires_at)
        VALUES (wait, $1, x.interrupt, x.task, x.ns, left(x.node, 200), x.kind, 'open', x.name, x.key, x.digest,
            x.assignee, x.payload, x.schema, coalesce((x.due ->> 'at')::timestamptz,
                clock_timestamp() + make_interval(secs => (x.due ->> 'in_s')::float8)), '', '', about, moment, expires)
        ON CONFLICT (id, expires_at) DO UPDATE SET status = 'open', name = excluded.name, key = excluded.key,
            digest = excluded.digest, assignee = excluded.assignee, payload = excluded.payload,
            schema = excluded.schema, due_at = excluded.due_at
        WHERE w.status = 'withdrawn';
        CONTINUE WHEN NOT FOUND;
        IF x.kind = 'event' THEN
            PERFORM lockstep_workflows_hear_v1(wait, expires);
        ELSIF x.kind IN ('review', 'input') THEN
            PERFORM lockstep_workflows_tell_v1(wait, expires, coalesce(x.link, ''));
        END IF;
    END LOOP;
END $body$
"""

# Not a word of what is asked: notices go to places where few may read it.
_TELL = """
CREATE FUNCTION lockstep_workflows_tell_v1(wait uuid, expires timestamptz, link text) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
    w record;
BEGIN
    SELECT known.kind, known.assignee, known.due_at, known.run_id, r.workflow INTO w
    FROM lockstep_workflows_wait AS known JOIN lockstep_workflows_run AS r ON r.id = known.run_id
    WHERE known.id = $1 AND known.expires_at = $2;
    PERFORM lockstep_core_notify_v1('workflows.' || w.kind,
        CASE w.kind WHEN 'review' THEN 'A review waits: ' ELSE 'A question waits: ' END || w.workflow,
        concat_ws(' ', 'For ' || coalesce(nullif(w.assignee, ''), 'everybody who may answer') || '.',
            'It can be answered until ' || to_char(w.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC.',
            nullif($3, '')),
        'info', 'lockstep.workflows.wait.' || $1, false,
        jsonb_strip_nulls(jsonb_build_object('wait', $1, 'run', w.run_id, 'workflow', w.workflow,
            'assignee', nullif(w.assignee, ''), 'due_at', w.due_at, 'link', nullif($3, ''))));
END $body$
"""

# However it was closed: answered, too late, withdrawn with its run, erased with its person.
_CLOSED = """
CREATE FUNCTION lockstep_workflows_closed_v1() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM lockstep_core_notify_v1('workflows.' || OLD.kind,
        CASE OLD.kind WHEN 'review' THEN 'A review waits no more' ELSE 'A question waits no more' END,
        CASE TG_OP WHEN 'DELETE' THEN 'It was erased.' ELSE CASE NEW.status WHEN 'answered' THEN 'It was answered.'
            WHEN 'expired' THEN 'Nobody answered in time.' ELSE 'The run has ended.' END END,
        'info', 'lockstep.workflows.wait.' || OLD.id, true, jsonb_build_object('wait', OLD.id, 'run', OLD.run_id));
    RETURN NULL;
END $body$
"""

_CLOSED_BY_STATUS = """
CREATE TRIGGER lockstep_workflows_closed AFTER UPDATE ON lockstep_workflows_wait FOR EACH ROW
WHEN (OLD.status = 'open' AND NEW.status <> 'open' AND OLD.kind IN ('review', 'input'))
EXECUTE FUNCTION lockstep_workflows_closed_v1()
"""

_CLOSED_BY_ERASURE = """
CREATE TRIGGER lockstep_workflows_erased AFTER DELETE ON lockstep_workflows_wait FOR EACH ROW
WHEN (OLD.status = 'open' AND OLD.kind IN ('review', 'input')) EXECUTE FUNCTION lockstep_workflows_closed_v1()
"""

# The run that got an answer; nothing where somebody is at it, who will see the answer when the run stops. The doorbell
# is the caller's, at COMMIT; the next sweep rings too.
_QUEUE = """
CREATE FUNCTION lockstep_workflows_queue_v1(run uuid) RETURNS text LANGUAGE sql VOLATILE AS $body$
    UPDATE lockstep_workflows_run AS known SET status = 'queued', reason = '', wake_at = NULL, rung_at = NULL
    WHERE known.id = $1 AND known.status = 'waiting' RETURNING known.workflow
$body$
"""

_ANSWER = """
CREATE FUNCTION lockstep_workflows_answer_v1(asked jsonb, answer jsonb) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    a record;
    r lockstep_workflows_run%ROWTYPE;
    w lockstep_workflows_wait%ROWTYPE;
    ring text;
BEGIN
    SELECT * INTO a FROM jsonb_to_record(asked) AS x (wait uuid, digest text, decision text, person text);
    SELECT known.* INTO r FROM lockstep_workflows_run AS known WHERE known.id = (SELECT q.run_id
        FROM lockstep_workflows_wait AS q WHERE q.id = a.wait) FOR UPDATE;
    SELECT known.* INTO w FROM lockstep_workflows_wait AS known
    WHERE known.id = a.wait AND known.expires_at = r.expires_at FOR UPDATE;
    IF NOT FOUND THEN
        RETURN '{"refused": "missing"}';
    END IF;
    IF w.status <> 'open' THEN
        RETURN jsonb_build_object('refused', w.status, 'by', w.answered_by, 'at', w.answered_at,
            'decision', w.decision);
    END IF;
    IF w.due_at <= clock_timestamp() THEN
        RETURN jsonb_build_object('refused', 'expired', 'at', w.due_at);
    END IF;
    IF w.digest <> a.digest THEN
        RETURN '{"refused": "stale"}';
    END IF;
    UPDATE lockstep_workflows_wait AS known SET status = 'answered', answer = $2, decision = a.decision,
        answered_by = a.person, answered_at = clock_timestamp()
    WHERE known.id = w.id AND known.expires_at = w.expires_at;
    ring := lockstep_workflows_queue_v1(r.id);
    RETURN jsonb_build_object('run', r.id, 'ring', ring);
END $body$
"""

CREATE = (_TELL, _CLOSED, _CLOSED_BY_STATUS, _CLOSED_BY_ERASURE, _QUEUE, _ANSWER, _ASKS)

DROP = (
    "DROP FUNCTION IF EXISTS lockstep_workflows_asks_v1(uuid, jsonb, text, timestamptz, timestamptz)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_answer_v1(jsonb, jsonb)",
    "DROP FUNCTION IF EXISTS lockstep_workflows_queue_v1(uuid)",
    "DROP TRIGGER IF EXISTS lockstep_workflows_erased ON lockstep_workflows_wait",
    "DROP TRIGGER IF EXISTS lockstep_workflows_closed ON lockstep_workflows_wait",
    "DROP FUNCTION IF EXISTS lockstep_workflows_closed_v1()",
    "DROP FUNCTION IF EXISTS lockstep_workflows_tell_v1(uuid, timestamptz, text)",
)
