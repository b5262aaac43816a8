"""Releases as the database admits them, and who gets which arm."""

from __future__ import annotations

from lockstep.llm.sql.hooks import RESOLVE_SIGNATURE

__all__ = ["CREATE", "DROP", "MAX_ARMS", "MAX_WEIGHT", "RESOLVE"]

MAX_ARMS = 20
MAX_WEIGHT = 1_000_000

# 60 bits of SHA-256, not hashtext(), which may differ between versions of PostgreSQL. The twin of arms.point().
POINT = """
CREATE OR REPLACE FUNCTION lockstep_prompts_point_v1(salt text, unit text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('x' || substr(encode(sha256(convert_to(salt || '|' || unit, 'UTF8')), 'hex'), 1, 15))::bit(60)::bigint
"""

# The twin of arms.pick(): each arm owns an interval as wide as its weight, in the order of their names.
PICK = """
CREATE OR REPLACE FUNCTION lockstep_prompts_pick_v1(arms jsonb, point bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT laid.value
    FROM (SELECT arm.value, arm.ordinality,
                 sum((arm.value ->> 'weight')::numeric) OVER (ORDER BY arm.ordinality) AS upto,
                 sum((arm.value ->> 'weight')::numeric) OVER () AS total
          FROM jsonb_array_elements(arms) WITH ORDINALITY AS arm) AS laid
    WHERE point * laid.total < laid.upto * 1152921504606846976
    ORDER BY laid.ordinality
    LIMIT 1
)
"""

RESOLVE = f"""
CREATE OR REPLACE FUNCTION {RESOLVE_SIGNATURE}
LANGUAGE plpgsql VOLATILE
AS $function$
DECLARE
    asked_name constant text := split_part(lockstep_llm_resolve_v1.prompt, '@', 1);
    asked_environment constant text := coalesce(
        nullif(split_part(lockstep_llm_resolve_v1.prompt, '@', 2), ''),
        nullif(current_setting('lockstep.environment', true), ''),
        'production');
    live record;
    chosen jsonb;
BEGIN
    SELECT r.id, r.arms, r.salt INTO live
    FROM lockstep_prompts_release AS r
    WHERE r.prompt_id = asked_name AND r.environment = asked_environment
    ORDER BY r.number DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    chosen := lockstep_prompts_pick_v1(live.arms, CASE
        WHEN coalesce(unit, '') = '' THEN floor(random() * 1152921504606846976)::bigint
        ELSE lockstep_prompts_point_v1(live.salt, unit) END);
    RETURN QUERY
        SELECT v.key::text, chosen ->> 'name', live.id,
               coalesce(nullif(chosen ->> 'model', ''), v.body #>> '{{parameters,model}}', ''), v.nbytes
        FROM lockstep_prompts_promptversion AS v
        WHERE v.prompt_id = asked_name AND v.key = chosen ->> 'version';
END
$function$
"""

REFUSE = """
CREATE OR REPLACE FUNCTION lockstep_prompts_refuse_v1(message text, hint text) RETURNS void
LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION '%', message USING
        ERRCODE = 'check_violation', CONSTRAINT = 'lockstep_prompts_release', HINT = hint;
END
$function$
"""

# Refuses what is no split of traffic between versions of this prompt; returns it in its one spelling.
ARMS = f"""
CREATE OR REPLACE FUNCTION lockstep_prompts_arms_v1(of_prompt text, arms jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $function$
DECLARE
    arm jsonb;
    tidy jsonb := '[]';
BEGIN
    IF NOT coalesce(CASE WHEN jsonb_typeof(arms) = 'array' THEN jsonb_array_length(arms) BETWEEN 1 AND {MAX_ARMS} END,
                    false) THEN
        PERFORM lockstep_prompts_refuse_v1('A release needs 1 to {MAX_ARMS} arms.', 'Name at least one version.');
    END IF;
    FOR arm IN SELECT e.value FROM jsonb_array_elements(arms) AS e ORDER BY e.value ->> 'name' COLLATE "C" LOOP
        IF coalesce(arm ->> 'name', '') !~ '^[a-z0-9][a-z0-9_-]{{0,39}}$' THEN
            PERFORM lockstep_prompts_refuse_v1(format('%L is no name of an arm.', arm ->> 'name'),
                'Lower-case letters, digits, - and _, at most 40.');
        ELSIF tidy @> jsonb_build_array(jsonb_build_object('name', arm -> 'name')) THEN
            PERFORM lockstep_prompts_refuse_v1(format('Two arms are named %s.', arm ->> 'name'), 'Name them apart.');
        ELSIF coalesce(jsonb_typeof(arm -> 'weight') <> 'number', true)
              OR (arm ->> 'weight')::numeric NOT BETWEEN 1 AND {MAX_WEIGHT}
              OR (arm ->> 'weight')::numeric % 1 <> 0 THEN
            PERFORM lockstep_prompts_refuse_v1(
                format('The weight of arm %s is %s.', arm ->> 'name', coalesce(arm ->> 'weight', 'missing')),
                'Weights are whole numbers from 1 to {MAX_WEIGHT}; leave an arm out to stop it.');
        ELSIF NOT EXISTS (SELECT FROM lockstep_prompts_promptversion AS v
                          WHERE v.prompt_id = of_prompt AND v.key = arm ->> 'version') THEN
            PERFORM lockstep_prompts_refuse_v1(
                CASE WHEN EXISTS (SELECT FROM lockstep_prompts_promptversion AS v WHERE v.key = arm ->> 'version')
                     THEN format('The version %s belongs to another prompt than %s.',
                                 left(arm ->> 'version', 12), of_prompt)
                     ELSE format('%s has no version %s.', of_prompt, coalesce(arm ->> 'version', 'null')) END,
                'Make the version first: lockstep_prompts sync, or in the admin.');
        END IF;
        tidy := tidy || jsonb_build_array(jsonb_build_object(
            'name', arm -> 'name', 'version', arm -> 'version', 'weight', trim_scale((arm ->> 'weight')::numeric),
            'model', coalesce(arm ->> 'model', '')));
    END LOOP;
    RETURN tidy;
END
$function$
"""

# Serialised by the row of the prompt, so numbers are without gaps, in the order of commit, and no clock matters.
BEFORE = """
CREATE OR REPLACE FUNCTION lockstep_prompts_release_v1() RETURNS trigger
LANGUAGE plpgsql
AS $function$
DECLARE
    policy text;
    previous record;
    source record;
    arm jsonb;
    decision record;
BEGIN
    SELECT p.release_policy INTO policy FROM lockstep_prompts_prompt AS p
    WHERE p.name = NEW.prompt_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM lockstep_prompts_refuse_v1(
            format('There is no prompt %s.', NEW.prompt_id), 'Make a version of it first.');
    END IF;
    SELECT r.number, r.at, r.salt INTO previous FROM lockstep_prompts_release AS r
    WHERE r.prompt_id = NEW.prompt_id AND r.environment = NEW.environment ORDER BY r.number DESC LIMIT 1;
    NEW.number := coalesce(previous.number, 0) + 1;
    NEW.at := greatest(clock_timestamp(), previous.at + interval '1 microsecond');

    IF NEW.reason !~ '\\S' OR NEW.actor !~ '\\S' THEN
        PERFORM lockstep_prompts_refuse_v1('A release needs an actor and a reason.', 'Say who, and why.');
    END IF;
    IF NEW.copied_from_id IS NOT NULL THEN
        SELECT r.arms, r.salt INTO source FROM lockstep_prompts_release AS r
        WHERE r.id = NEW.copied_from_id AND r.prompt_id = NEW.prompt_id AND r.environment = NEW.environment;
        IF NOT FOUND THEN
            PERFORM lockstep_prompts_refuse_v1('The release to copy is not one of this prompt and environment.',
                'Choose one of its own history.');
        ELSIF NEW.arms NOT IN ('[]', source.arms) THEN
            PERFORM lockstep_prompts_refuse_v1('A roll-back has the arms of the release that it copies.',
                'Leave the arms out, or make an ordinary release.');
        END IF;
        NEW.arms := source.arms;
        NEW.salt := source.salt;
        RETURN NEW;  -- what was live before may be live again, whatever the policy says today
    END IF;

    NEW.arms := lockstep_prompts_arms_v1(NEW.prompt_id, NEW.arms);
    NEW.salt := coalesce(nullif(NEW.salt, ''), previous.salt, gen_random_uuid()::text);
    IF policy <> 'gated' THEN
        RETURN NEW;
    END IF;
    IF NEW.override_by <> '' THEN
        IF lower(btrim(NEW.override_by)) = lower(btrim(NEW.actor))
           OR NEW.override_by !~ '\\S' THEN
            PERFORM lockstep_prompts_refuse_v1(
                'The gate is overridden by a second person, not by the one who releases.', 'Ask somebody else.');
        ELSIF NEW.override_reason !~ '\\S' THEN
            PERFORM lockstep_prompts_refuse_v1('An override of the gate needs a reason.', 'Say why.');
        END IF;
        RETURN NEW;
    END IF;
    FOR arm IN SELECT e.value FROM jsonb_array_elements(NEW.arms) AS e LOOP
        SELECT d.passed, d.source, d.actor, d.detail INTO decision
        FROM lockstep_prompts_gatedecision AS d
        JOIN lockstep_prompts_promptversion AS v ON v.id = d.version_id
        WHERE v.prompt_id = NEW.prompt_id AND v.key = arm ->> 'version' ORDER BY d.id DESC LIMIT 1;
        IF NOT FOUND OR NOT decision.passed THEN
            PERFORM lockstep_prompts_refuse_v1(
                format('%s is gated, and version %s %s.', NEW.prompt_id, left(arm ->> 'version', 12),
                       CASE WHEN decision.passed IS NULL THEN 'has no decision' ELSE 'did not pass' END),
                'Run its evaluation, or have a second person override the gate with a reason.');
        ELSIF decision.source = 'override' THEN
            IF lower(btrim(decision.actor)) = lower(btrim(NEW.actor)) THEN
                PERFORM lockstep_prompts_refuse_v1(
                    'The gate is overridden by a second person, not by the one who releases.', 'Ask somebody else.');
            END IF;
            NEW.override_by := decision.actor;
            NEW.override_reason := decision.detail;
        END IF;
    END LOOP;
    RETURN NEW;
END
$function$
"""

TRIGGER = """
CREATE OR REPLACE TRIGGER lockstep_release BEFORE INSERT ON lockstep_prompts_release
FOR EACH ROW EXECUTE FUNCTION lockstep_prompts_release_v1()
"""

# An override without a person and a reason would be a hole in the gate.
DECISION = """
ALTER TABLE lockstep_prompts_gatedecision ADD CONSTRAINT lockstep_prompts_override_says_why
    CHECK (source <> 'override' OR (actor ~ '\\S' AND detail ~ '\\S'))
"""

CREATE = (REFUSE, POINT, PICK, ARMS, BEFORE, TRIGGER, DECISION)

DROP = (
    "ALTER TABLE lockstep_prompts_gatedecision DROP CONSTRAINT lockstep_prompts_override_says_why",
    "DROP TRIGGER lockstep_release ON lockstep_prompts_release",
    "DROP FUNCTION lockstep_prompts_release_v1()",
    "DROP FUNCTION lockstep_prompts_arms_v1(text, jsonb)",
    "DROP FUNCTION lockstep_prompts_pick_v1(jsonb, bigint)",
    "DROP FUNCTION lockstep_prompts_point_v1(text, text)",
    "DROP FUNCTION lockstep_prompts_refuse_v1(text, text)",
)
