"""A run as one file: out of one system, into another, with the versions of prompts that it used.

The digest in the file names what was damaged on its way. It proves nothing about who wrote it: import what comes from
people whom you would let deploy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from lockstep.core import ports
from lockstep.core.exceptions import LockstepError
from lockstep.workflows.conf import settings
from lockstep.workflows.exceptions import NotExportable, NotImportable
from lockstep.workflows.models import Checkpoint, Run, RunExport
from lockstep.workflows.replays.masking import masked
from lockstep.workflows.replays.rows import TABLES, of_row, row_of
from lockstep.workflows.state import digest

__all__ = ["MOST_BYTES", "export_run", "import_run"]

FORMAT, VERSION = "lockstep-run", 1
MOST_BYTES = 256 * 1024 * 1024
"""Largest file, written or read."""
OWN = (
    "owner",
    "owner_pid",
    "owner_since",
    "lease_until",
    "wake_at",
    "rung_at",
    "user_id",
    "idempotency_key",
    "origin",
)
"""Of the system where the run is: no other one could make use of it."""
NAMES = ("user_key", "cohort", "tenant")

Mode = Literal["exact", "redacted"]


def export_run(run: Run | str, *, mode: Mode, by: str) -> str:
    """The text of the file. Who exported it is on record before anybody has it.

    Args:
        mode: ``exact`` with all that the run says; ``redacted``: its shape, and what the policy of its feature lets be
            kept, of which a replay checks the shape only.
        by: who does it, as people know them.

    Raises:
        NotExportable: its content has expired, it is too large, or nobody says who does it.
        Run.DoesNotExist: there is none.
    """
    if mode not in ("exact", "redacted"):
        raise ValueError(f"mode is 'exact' or 'redacted', not {mode!r}.")
    if not by.strip():
        raise NotExportable("Say who exports the run: it is written down.")
    with transaction.atomic(using=settings().database):
        key = run.pk if isinstance(run, Run) else run
        run = Run.objects.using(settings().database).get(pk=key)
        if run.expires_at <= timezone.now():
            raise NotExportable(f"What run {run.pk} was about has expired: there is nothing to export.")
        content = _content(run, mode, by)
        sealed = digest(_text(content))
        text = _text({"format": FORMAT, "version": VERSION, "digest": sealed, "content": content})
        if len(text.encode()) > MOST_BYTES:
            raise NotExportable(f"Run {run.pk} has {len(text):,} bytes, and {MOST_BYTES:,} are the most.")
        RunExport.objects.using(settings().database).create(run=run, mode=mode, actor=by[:200], digest=sealed)
    return text


def import_run(text: str | bytes, *, by: str) -> Run:
    """The run of a file. No worker takes it up; it can be looked at and replayed, and expires no later than where it
    comes from.

    Raises:
        NotImportable: the file is damaged, of a later format, expired, or its run is here already.
    """
    content = _read(text)
    with transaction.atomic(using=settings().database):
        try:
            run = _run(content, by)
            for prompt in content["prompts"]:
                ports.prompts.get().add(prompt["prompt"], prompt["version"], prompt["body"])
            for model in TABLES:
                shared: dict[str, Any] = {"run_id": run.pk}
                names = {field.attname for field in model._meta.concrete_fields}
                shared |= {"thread": run.thread} if "thread" in names else {}
                shared |= {"expires_at": run.expires_at} if "expires_at" in names else {}
                rows = [
                    row_of(model, _settled(model.__name__, row), **shared) for row in content[model.__name__]
                ]
                model._default_manager.using(settings().database).bulk_create(rows, batch_size=500)
        except NotImportable:
            raise
        except (
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            ValidationError,
            DatabaseError,
            LockstepError,
        ) as error:
            told = str(error) if isinstance(error, LockstepError) else type(error).__name__
            raise NotImportable(
                f"What the file holds is no run ({told}). Nothing of it was imported."
            ) from error
    return run


# out


def _content(run: Run, mode: Mode, by: str) -> dict[str, Any]:
    facts = of_row(run, without=OWN)
    origin = run.origin or {}
    facts["status"] = origin.get("status", run.status)
    facts["thread"] = origin.get("thread", run.thread)
    if origin.get("mode") == "redacted" and mode == "exact":
        raise NotExportable(f"Run {run.pk} is a redacted copy itself: export it as redacted.")
    if mode == "redacted":
        facts |= {**dict.fromkeys(NAMES, ""), "thread": "", "input_digest": "", "rolls_back": []}
    tables = {model.__name__: _rows(run, model, mode) for model in TABLES}
    return {
        "mode": mode, "exported_at": timezone.now().isoformat(), "exported_by": by, "run": facts, **tables,
        "prompts": _prompts(tables["ModelAnswer"]),
    }  # fmt: skip


def _rows(run: Run, model: Any, mode: Mode) -> list[dict[str, Any]]:
    fields = {field.attname for field in model._meta.concrete_fields}
    found = model._default_manager.using(settings().database).filter(run=run).order_by("pk")
    if "expires_at" in fields:
        found = found.filter(expires_at=run.expires_at)
    without = ("run_id", "thread", "expires_at", *(("id",) if model._meta.auto_field else ()))
    rows = [of_row(row, without) for row in found]
    if model is Checkpoint:
        _complete(run, rows)
    return [masked(model.__name__, row, run.feature) for row in rows] if mode == "redacted" else rows


def _complete(run: Run, rows: Sequence[dict[str, Any]]) -> None:
    """Values that stand in checkpoints of an earlier run of the thread come along."""
    own = {(row["ns"], row["checkpoint_id"]) for row in rows}
    for row in rows:
        kept = row["meta"].get("kept", {})
        for channel, at in [*kept.items()]:
            if (row["ns"], at) not in own:
                held = Checkpoint.objects.using(settings().database).filter(
                    thread=run.thread, ns=row["ns"], checkpoint_id=at
                )
                states = held.values_list("state", flat=True)
                row["state"][channel] = states[0][channel] if states else None
                del kept[channel]


def _prompts(answers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    used = {(answer["prompt"], answer["prompt_version"]) for answer in answers if answer["prompt_version"]}
    bodies = [
        (prompt, version, ports.prompts.get().body(prompt, version)) for prompt, version in sorted(used)
    ]
    return [
        {"prompt": prompt, "version": version, "body": body}
        for prompt, version, body in bodies
        if body is not None
    ]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# in


def _read(text: str | bytes) -> dict[str, Any]:
    """What a file holds, checked as far as it can be without the database."""
    if len(text) > MOST_BYTES:
        raise NotImportable(f"The file has {len(text):,} bytes, and {MOST_BYTES:,} are the most.")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotImportable("This is no exported run: it is not JSON, or was cut off.") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise NotImportable("This is no exported run: it does not say so.")
    if found.get("version") != VERSION:
        raise NotImportable(
            f"The file is of format {found.get('version')!r:.20}, and this release reads {VERSION}. Import it with the"
            " release that wrote it, or a later one."
        )
    content = found.get("content")
    if not isinstance(content, dict) or digest(_text(content)) != found.get("digest"):
        raise NotImportable("The file was damaged or altered: its digest is not that of its content.")
    return content


def _run(content: Mapping[str, Any], by: str) -> Run:
    given = content["run"]
    runs = Run.objects.using(settings().database)
    known = runs.filter(pk=given["id"]).first()
    if known is not None:
        when = f"was imported already, on {known.origin['imported_at'][:10]}" if known.origin else "is here"
        raise NotImportable(f"Run {known.pk} {when}. Nothing was imported.")
    expires_at = _expiry(given)
    run = row_of(
        Run, {name: value for name, value in given.items() if name not in OWN}, status=Run.Status.IMPORTED,
        thread=f"imported {given['id']}", expires_at=expires_at.isoformat(), cancel_requested=False,
        origin={
            "status": given["status"], "mode": content["mode"], "thread": given["thread"] or given["id"],
            "exported_at": content["exported_at"], "exported_by": content["exported_by"],
            "imported_at": timezone.now().isoformat(), "imported_by": by,
        },
    )  # fmt: skip
    assert isinstance(run, Run)
    run.save(using=settings().database, force_insert=True)
    return run


def _expiry(given: Mapping[str, Any]) -> datetime:
    """When the copy expires: as what begins here now would, and never after the original."""
    original = parse_datetime(given["expires_at"])
    if original is None or original <= timezone.now():
        raise NotImportable("What the run was about has expired: a copy of it may not be kept either.")
    with connections[settings().database].cursor() as cursor:
        cursor.execute("SELECT lockstep_workflows_expiry_v1(statement_timestamp())")
        expires_at: datetime = min(original, cursor.fetchone()[0])
        cursor.execute(
            "SELECT lockstep_core_partition_v1(t.table_name, %s) FROM lockstep_core_expiringtable AS t"
            r" WHERE t.table_name LIKE 'lockstep\_workflows\_%%'",
            [expires_at],
        )
    return expires_at


def _settled(table: str, row: Any) -> Any:
    """Nobody is asked what a run waited for elsewhere."""
    if table == "Wait" and isinstance(row, dict) and row.get("status") == "open":
        return {**row, "status": "withdrawn"}
    return row
