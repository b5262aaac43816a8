"""Functions that the door calls and other apps replace. Each null body is what stands there while nobody does.

An app replaces one by ``CREATE OR REPLACE FUNCTION`` in a migration and puts the null body back in reverse.
"""

from __future__ import annotations

__all__ = ["DROP_RESOLVE", "RESOLVE_NULL", "RESOLVE_SIGNATURE"]

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
