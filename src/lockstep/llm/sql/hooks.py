"""Functions that the door calls and other apps replace. Each null body is what stands there while nobody does.

An app replaces one by ``CREATE OR REPLACE FUNCTION`` in a migration and puts the null body back in reverse.
"""

from __future__ import annotations

__all__ = [
    "DROP_RESERVE",
    "DROP_RESOLVE",
    "DROP_SETTLE",
    "RESERVE_NULL",
    "RESERVE_SIGNATURE",
    "RESOLVE_NULL",
    "RESOLVE_SIGNATURE",
    "SETTLE_NULL",
    "SETTLE_SIGNATURE",
]

RESOLVE_SIGNATURE = """\
lockstep_llm_resolve_v1(feature text, prompt text, unit text)
RETURNS TABLE(prompt_version text, arm text, release_id bigint, model text, template_bytes int)"""
"""Which version of ``prompt`` a call uses now. ``unit`` is the sticky key of the user, '' when there is none."""

RESOLVE_NULL = f"""
CREATE OR REPLACE FUNCTION {RESOLVE_SIGNATURE}
LANGUAGE plpgsql VOLATILE
AS $function$
BEGIN
    RETURN;
END
$function$
"""

DROP_RESOLVE = "DROP FUNCTION IF EXISTS lockstep_llm_resolve_v1(text, text, text)"

RESERVE_SIGNATURE = """\
lockstep_llm_reserve_v1(call uuid, asked jsonb, began timestamptz, bound_tokens bigint, bound_micros bigint)
RETURNS jsonb"""
"""Whether the call may be made: NULL, or ``{"refused": reason, "retry_after_s": n, ...}``. A call that holds a
reservation already asks for a larger one: ``{"had": {"tokens": n, "micros": n}}`` in ``asked`` is what its row says
until now. ``{"forced": true}`` in ``asked`` was sent already: it must be counted."""

RESERVE_NULL = f"""
CREATE OR REPLACE FUNCTION {RESERVE_SIGNATURE}
LANGUAGE plpgsql VOLATILE
AS $function$
BEGIN
    RETURN NULL;
END
$function$
"""

DROP_RESERVE = "DROP FUNCTION IF EXISTS lockstep_llm_reserve_v1(uuid, jsonb, timestamptz, bigint, bigint)"

SETTLE_SIGNATURE = "lockstep_llm_settle_v1(call uuid) RETURNS void"
"""Takes note of what a reserved call cost in the end: the row says it. Comes again if a lapsed call comes back."""

SETTLE_NULL = f"""
CREATE OR REPLACE FUNCTION {SETTLE_SIGNATURE}
LANGUAGE plpgsql VOLATILE
AS $function$
BEGIN
    RETURN;
END
$function$
"""

DROP_SETTLE = "DROP FUNCTION IF EXISTS lockstep_llm_settle_v1(uuid)"
