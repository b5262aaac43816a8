"""What a model said, written while its node still works. It waits for no disk: the node's own commit follows."""

from __future__ import annotations

__all__ = ["CREATE", "DROP"]

_SAID = """
CREATE FUNCTION lockstep_workflows_said_v1(told jsonb, answer jsonb) RETURNS boolean LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO lockstep_workflows_modelanswer AS a (id, run_id, key, ns, node, task_id, ordinal, request, feature,
        model, prompt, prompt_version, cost_micros, answer, kept_out, subject, at, expires_at)
    SELECT lockstep_workflows_id_v1(t.key), r.id, t.key, t.ns, t.node, t.task, t.ordinal, t.request, t.feature,
        t.model, t.prompt, t.prompt_version, t.cost_micros, answer, t.kept_out, r.user_key, clock_timestamp(),
        r.expires_at
    FROM jsonb_to_record(told) AS t (run uuid, epoch bigint, key text, ns text, node text, task text, ordinal int,
        request text, feature text, model text, prompt text, prompt_version text, cost_micros bigint, kept_out text)
    JOIN lockstep_workflows_run AS r ON r.id = t.run AND r.epoch = t.epoch AND r.status = 'running'
    ON CONFLICT (id, expires_at) DO UPDATE SET answer = excluded.answer, model = excluded.model,
        prompt_version = excluded.prompt_version, cost_micros = excluded.cost_micros, kept_out = excluded.kept_out;
    RETURN FOUND;
END $body$
"""

CREATE = (_SAID,)

DROP = ("DROP FUNCTION IF EXISTS lockstep_workflows_said_v1(jsonb, jsonb)",)
