"""The outbox of messages to people, for whoever notices something inside the database."""

from __future__ import annotations

__all__ = ["CREATE", "DROP"]

CREATE = """
CREATE FUNCTION lockstep_core_notify_v1(topic text, subject text, body text, severity text, dedup_key text,
    resolves boolean, facts jsonb) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO lockstep_core_notice (at, topic, subject, body, severity, dedup_key, resolves, facts)
    VALUES (clock_timestamp(), $1, left($2, 300), $3, $4, left($5, 200), $6, coalesce($7, '{}'));
END $body$
"""

DROP = "DROP FUNCTION IF EXISTS lockstep_core_notify_v1(text, text, text, text, text, boolean, jsonb)"
