"""Putting versions into production and taking them back: one row each, never changed afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import IntegrityError, transaction

from lockstep.prompts.arms import Arm
from lockstep.prompts.conf import settings
from lockstep.prompts.exceptions import NoPrompt, ReleaseRefused
from lockstep.prompts.models import GateDecision, Prompt, PromptVersion, Release

__all__ = ["before", "live", "override_gate", "release", "roll_back"]


def live(prompt: str, environment: str | None = None) -> Release | None:
    """The release in force."""
    rows = Release.objects.using(settings().database).filter(
        prompt_id=prompt, environment=_environment(environment)
    )
    return rows.order_by("-number").first()


def release(
    prompt: str,
    arms: str | Iterable[Arm | Mapping[str, Any]],
    *,
    actor: str,
    reason: str,
    ticket: str = "",
    environment: str | None = None,
    override_by: str = "",
    override_reason: str = "",
    expected: int | None = None,
) -> Release:
    """Make these the versions of ``prompt``, from the next call in every process on.

    Args:
        arms: one version (an address or its unambiguous beginning) for all, or the arms of a split.
        actor: who decides, as people know them.
        environment: None takes the one of the settings.
        override_by: a second person who answers for a version that did not pass its gate.
        expected: number of the release in force when the decision was made, 0 for none; another one refuses.

    Raises:
        ReleaseRefused: the database did not admit it; says why. Nothing was changed.
        NoVersion: the prompt has no such version.
    """
    given = [Arm("a", arms)] if isinstance(arms, str) else [_arm(arm) for arm in arms]
    whole = [Arm(arm.name, _key(prompt, arm.version), arm.weight, arm.model) for arm in given]
    return _insert(
        expected,
        prompt_id=prompt,
        environment=_environment(environment),
        arms=[arm.as_json() for arm in whole],
        actor=actor,
        reason=reason,
        ticket=ticket,
        override_by=override_by,
        override_reason=override_reason,
    )


def roll_back(
    prompt: str,
    *,
    actor: str,
    reason: str,
    to: int | None = None,
    ticket: str = "",
    environment: str | None = None,
    expected: int | None = None,
) -> Release:
    """Release again what an earlier release had: its versions, weights, models and salt. No gate stands in the way.

    Args:
        to: number of the release to copy; None takes the last one that had another split than the one in force.
        expected: as in ``release``.

    Raises:
        ReleaseRefused: there is nothing to go back to, or no reason was given.
    """
    where = _environment(environment)
    history = (
        Release.objects.using(settings().database)
        .filter(prompt_id=prompt, environment=where)
        .order_by("-number")
    )
    source = history.filter(number=to).first() if to is not None else before(list(history))
    if source is None:
        wanted = f"release {to}" if to is not None else "earlier release"
        raise ReleaseRefused(f"{prompt} has no {wanted} in {where} to go back to.", prompt=prompt)
    return _insert(
        expected,
        prompt_id=prompt,
        environment=where,
        arms=[],
        actor=actor,
        reason=reason,
        ticket=ticket,
        copied_from_id=source.pk,
    )


def override_gate(version: PromptVersion, *, by: str, reason: str) -> GateDecision:
    """A person answers for a version, so that *another* person may release it.

    Raises:
        ReleaseRefused: no name or no reason.
    """
    if not by.strip() or not reason.strip():
        raise ReleaseRefused("An override needs a person and a reason.")
    decisions = GateDecision.objects.using(settings().database)
    return decisions.create(
        version=version, passed=True, source=GateDecision.OVERRIDE, actor=by, detail=reason
    )


def before(history: list[Release]) -> Release | None:
    """The newest with another split than the live one, not counting what roll-backs left behind."""
    if not history:
        return None
    now = history[0]
    origin = {row.pk: row for row in history}
    while now.copied_from_id in origin and now.copied_from_id is not None:
        now = origin[now.copied_from_id]
    older = (row for row in history if row.number < now.number)
    return next((row for row in older if not row.same_split(now.split)), None)


def _insert(expected: int | None, **values: Any) -> Release:
    using = settings().database
    if not Prompt.objects.using(using).filter(name=values["prompt_id"]).exists():
        raise NoPrompt(f"There is no prompt {values['prompt_id']!r}.", prompt=values["prompt_id"])
    try:
        with transaction.atomic(using):
            if expected is not None:
                _unchanged(expected, **values)
            row = Release.objects.using(using).create(**values)
            row.refresh_from_db()
    except IntegrityError as error:
        found = getattr(error.__cause__, "diag", None)
        if found is None or found.constraint_name != "lockstep_prompts_release":
            raise
        hint = f" {found.message_hint}" if found.message_hint else ""
        raise ReleaseRefused(f"{found.message_primary}{hint}", prompt=values["prompt_id"]) from None
    return row


def _unchanged(expected: int, *, prompt_id: str, environment: str, **_: Any) -> None:
    """Under the lock that every release takes, so that nobody comes between this look and the new row."""
    Prompt.objects.using(settings().database).select_for_update(no_key=True).get(name=prompt_id)
    now = live(prompt_id, environment)
    if expected != (now.number if now else 0):
        raise ReleaseRefused(
            "Somebody released meanwhile. Look at what is live now, then open this form again.",
            prompt=prompt_id,
        )


def _environment(given: str | None) -> str:
    return given or settings().environment


def _arm(given: Arm | Mapping[str, Any]) -> Arm:
    if isinstance(given, Arm):
        return given
    try:
        return Arm(**given)
    except TypeError as error:
        raise ReleaseRefused(f"{dict(given)} is no arm: {error}.") from None


def _key(prompt: str, version: str) -> str:
    """A whole address is the database's to judge; the beginning of one is looked up."""
    if len(version) == 64:
        return version
    return PromptVersion.objects.using(settings().database).named(prompt, version).key
