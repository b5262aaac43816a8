"""Writing the content of a call: the partition of its last day, then the row, in one round trip."""

from __future__ import annotations

__all__ = ["DROP", "create"]

# A retry of the same call finds the first writing in at most two partitions: both expire within the same day.
_KEEP = """
CREATE FUNCTION lockstep_privacy_keep_v1(call uuid, feature text, subject text, policy text, detectors text,
    request text, response text, entities jsonb, encryption text, lifetime interval) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = {path} AS $body$
DECLARE
    until timestamptz := statement_timestamp() + coalesce($10,
        (SELECT t.keep FROM lockstep_core_expiringtable AS t WHERE t.table_name = 'lockstep_privacy_payload'));
BEGIN
    PERFORM lockstep_core_partition_v1('lockstep_privacy_payload', until);
    IF EXISTS (SELECT FROM lockstep_privacy_payload AS p WHERE p.call = $1
               AND p.expires_at BETWEEN until - interval '24 hours' AND until + interval '24 hours') THEN
        RETURN NULL;
    END IF;
    INSERT INTO lockstep_privacy_payload
        (call, at, expires_at, feature, subject, policy, detectors, request, response, entities, encryption)
    VALUES ($1, statement_timestamp(), until, $2, $3, $4, $5, $6, $7, $8, $9);
    RETURN until;
END $body$
"""


def create(schema: str) -> str:
    """The statement, for the schema (quoted) in which the table stands."""
    return _KEEP.replace("{path}", f"{schema}, pg_temp")


DROP = (
    "DROP FUNCTION IF EXISTS"
    " lockstep_privacy_keep_v1(uuid, text, text, text, text, text, text, jsonb, text, interval)"
)
