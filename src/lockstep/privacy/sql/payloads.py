"""Writing the content of a call: the partition of its last day, then the row, in the transaction that settles it."""

from __future__ import annotations

from lockstep.core.sql.contents import SIGNATURE

__all__ = ["keep"]

# A retry of the same call finds the first writing in at most two partitions: both expire within the same day.
_KEEP = f"""
CREATE OR REPLACE FUNCTION {SIGNATURE} LANGUAGE plpgsql SET search_path = {{path}} AS $body$
DECLARE
    until timestamptz := statement_timestamp() + coalesce(make_interval(secs => (content ->> 'lifetime_s')::float8),
        (SELECT t.keep FROM lockstep_core_expiringtable AS t WHERE t.table_name = 'lockstep_privacy_payload'));
    known timestamptz;
BEGIN
    PERFORM lockstep_core_partition_v1('lockstep_privacy_payload', until);
    SELECT p.expires_at INTO known FROM lockstep_privacy_payload AS p
    WHERE p.call = $1 AND p.expires_at BETWEEN until - interval '24 hours' AND until + interval '24 hours';
    IF FOUND THEN
        RETURN known;
    END IF;
    INSERT INTO lockstep_privacy_payload
        (call, at, expires_at, feature, subject, policy, detectors, request, response, entities, encryption)
    SELECT $1, statement_timestamp(), until, c.feature, c.subject, c.policy, c.detectors, c.request, c.response,
        c.entities, c.encryption
    FROM jsonb_to_record(content) AS c (feature text, subject text, policy text, detectors text, request text,
        response text, entities jsonb, encryption text);
    RETURN until;
END $body$
"""


def keep(schema: str) -> str:
    """The statement, for the schema (quoted) in which the table stands."""
    return _KEEP.replace("{path}", f"{schema}, pg_temp")
