"""Tables to which rows are only ever added, and versions whose address the database recomputes."""

from __future__ import annotations

__all__ = ["CREATE", "DROP", "TABLES", "TRUNCATE_GUARDS"]

TABLES = ("lockstep_prompts_promptversion", "lockstep_prompts_release", "lockstep_prompts_gatedecision")

# The twin of canonical.py. A dump is restored with an empty search_path, and the function calls itself: hence SET.
CANONICAL = """
CREATE OR REPLACE FUNCTION lockstep_prompts_canonical_v1(value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path FROM CURRENT
AS $function$
BEGIN
    RETURN CASE jsonb_typeof(value)
        WHEN 'object' THEN '{' || coalesce((
            SELECT string_agg(to_json(member.key)::text || ':' || lockstep_prompts_canonical_v1(member.value), ','
                              ORDER BY member.key COLLATE "C")
            FROM jsonb_each(value) AS member), '') || '}'
        WHEN 'array' THEN '[' || coalesce((
            SELECT string_agg(lockstep_prompts_canonical_v1(item.value), ',' ORDER BY item.ordinality)
            FROM jsonb_array_elements(value) WITH ORDINALITY AS item), '') || ']'
        WHEN 'number' THEN trim_scale(value::text::numeric)::text
        ELSE value::text
    END;
END
$function$
"""

APPEND_ONLY = """
CREATE OR REPLACE FUNCTION lockstep_prompts_append_only_v1() RETURNS trigger
LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation', TABLE = TG_TABLE_NAME,
              HINT = 'What was in production stays on record. Make a new version, or a new release.';
END
$function$
"""

CONSTRAINTS = """
ALTER TABLE lockstep_prompts_promptversion
    ADD CONSTRAINT lockstep_prompts_address
        CHECK (key = encode(sha256(convert_to(canonical, 'UTF8')), 'hex')),
    ADD CONSTRAINT lockstep_prompts_canonical
        CHECK (canonical = lockstep_prompts_canonical_v1(canonical::jsonb)),
    ADD CONSTRAINT lockstep_prompts_shape CHECK (
        coalesce(jsonb_typeof(body -> 'messages') = 'array' AND body -> 'messages' <> '[]'
            AND jsonb_typeof(body -> 'variables') = 'array' AND jsonb_typeof(body -> 'parameters') = 'object'
            AND jsonb_typeof(body -> 'tools') = 'array' AND jsonb_typeof(body -> 'output_schema') IN ('object', 'null')
            AND body - '{messages,variables,parameters,tools,output_schema}'::text[] = '{}', false))
"""


def _guard(table: str) -> str:
    return (
        f"CREATE OR REPLACE TRIGGER lockstep_append_only BEFORE UPDATE OR DELETE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION lockstep_prompts_append_only_v1()"
    )


CREATE = (CANONICAL, APPEND_ONLY, CONSTRAINTS, *(_guard(table) for table in TABLES))

DROP = (
    *(f"DROP TRIGGER IF EXISTS lockstep_no_truncate ON {table}" for table in TABLES),
    *(f"DROP TRIGGER IF EXISTS lockstep_append_only ON {table}" for table in TABLES),
    "ALTER TABLE lockstep_prompts_promptversion DROP CONSTRAINT lockstep_prompts_address,"
    " DROP CONSTRAINT lockstep_prompts_canonical, DROP CONSTRAINT lockstep_prompts_shape",
    "DROP FUNCTION lockstep_prompts_append_only_v1()",
    "DROP FUNCTION lockstep_prompts_canonical_v1(jsonb)",
)

TRUNCATE_GUARDS = tuple(
    f"CREATE OR REPLACE TRIGGER lockstep_no_truncate BEFORE TRUNCATE ON {table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION lockstep_prompts_append_only_v1()"
    for table in TABLES
)
"""Apart, because the flush of a test runner truncates every table."""
