"""The socket in the database for whoever keeps what was said in a call; nobody does until another app fills it."""

from __future__ import annotations

__all__ = ["DROP", "NULL", "SIGNATURE"]

SIGNATURE = "lockstep_core_keep_v1(call uuid, content jsonb) RETURNS timestamptz"
"""Keep ``content``, as ``core.ports.contents`` wrote it. Returns when it expires; NULL: nothing was kept."""

NULL = f"""
CREATE OR REPLACE FUNCTION {SIGNATURE} LANGUAGE plpgsql AS $body$
BEGIN
    RETURN NULL;
END $body$
"""

DROP = "DROP FUNCTION IF EXISTS lockstep_core_keep_v1(uuid, jsonb)"
