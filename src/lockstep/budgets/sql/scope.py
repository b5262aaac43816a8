"""Whom a budget counts a call to, and how much of it: every other function asks these, and the planner inlines them."""

from __future__ import annotations

__all__ = ["ALONE", "CREATE", "DROP", "OPEN", "TOGETHER", "matching", "starts"]

TOGETHER = "together constant text := pg_advisory_xact_lock_shared(hashtext('lockstep_budgets'))"
"""Declared by whoever begins or ends a call: after it no budget is made or switched on until the call is committed."""

ALONE = "PERFORM pg_advisory_xact_lock(hashtext('lockstep_budgets'))"
"""Whoever counts a budget from the ledger: nobody begins or ends a call until that is committed."""

OPEN = "interval '35 days'"
"""For so long after its end a period still takes what calls come back with; then it is history."""

_WHO = """
CREATE FUNCTION lockstep_budgets_who_v1(per text, cohort text, tenant text, user_key text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE per WHEN 'cohort' THEN cohort WHEN 'tenant' THEN tenant WHEN 'user' THEN user_key ELSE '' END
"""

# NULL: nobody knows the price. More than the largest limit is as good as the largest limit.
_BOUND = """
CREATE FUNCTION lockstep_budgets_bound_v1(unit text, currency text, tokens bigint, micros bigint, paid_in text)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN unit = 'tokens' THEN tokens WHEN currency IS DISTINCT FROM paid_in THEN NULL
    WHEN micros > 1000000000000000 THEN 1000000000000000 ELSE micros END
"""

_TOKENS = """
CREATE FUNCTION lockstep_budgets_tokens_v1(call lockstep_llm_call) RETURNS bigint LANGUAGE sql IMMUTABLE
RETURN CASE (call).usage_source
    WHEN 'none' THEN 0
    WHEN 'provider' THEN coalesce((call).input_tokens, 0)::bigint + coalesce((call).output_tokens, 0)
    ELSE (call).bound_input::bigint + (call).bound_output END
"""

_ACTUAL = """
CREATE FUNCTION lockstep_budgets_actual_v1(unit text, currency text, call lockstep_llm_call) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN unit = 'tokens' THEN lockstep_budgets_tokens_v1(call)
    WHEN currency = (call).currency THEN coalesce((call).cost_micros, (call).bound_micros, 0) ELSE 0 END
"""


def matching(feature: str, who: str) -> str:
    """The condition that budget ``b`` counts a call of ``feature`` to ``who``."""
    return f"b.feature IN ('', {feature}) AND (b.per = 'all' OR ({who} <> '' AND b.who IN ('', {who})))"


def starts(at: str) -> str:
    """When the period of budget ``b`` that holds the moment ``at`` began, by the budget's own clock."""
    return f"date_trunc(b.period, {at} AT TIME ZONE b.time_zone) AT TIME ZONE b.time_zone"


CREATE = (_WHO, _BOUND, _TOKENS, _ACTUAL)

DROP = (
    "DROP FUNCTION IF EXISTS lockstep_budgets_actual_v1(text, text, lockstep_llm_call)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_tokens_v1(lockstep_llm_call)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_bound_v1(text, text, bigint, bigint, text)",
    "DROP FUNCTION IF EXISTS lockstep_budgets_who_v1(text, text, text, text)",
)
