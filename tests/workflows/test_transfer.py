"""A run that is taken from one system to another."""

# ruff: noqa: F811 -- fixtures of the tests of replays

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from lockstep.core import ports
from lockstep.prompts import port
from lockstep.prompts.models import PromptVersion
from lockstep.testing.llm import FakeModels
from lockstep.testing.workflows import crash_at, run_inline
from lockstep.workflows import cancel, export_run, import_run, replay, retry, start
from lockstep.workflows.engine import advance
from lockstep.workflows.exceptions import NotExportable, NotImportable, NotReplayable, NotRetryable
from lockstep.workflows.models import Checkpoint, Run, RunExport, Wait
from lockstep.workflows.replays import transfer
from lockstep.workflows.replays.rows import TABLES
from lockstep.workflows.state import digest
from lockstep.workflows.sweeping import due
from tests.workflows.test_replay import changing, declared, effects, models, nodes, sql  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("in_one_commit")]


def gone(run: Run) -> str:
    """As in another system, where nobody has heard of the run."""
    key = str(run.pk)
    for model in TABLES:
        sql(f"DELETE FROM {model._meta.db_table} WHERE run_id = %s", key)
    sql("DELETE FROM lockstep_workflows_run WHERE id = %s", key)
    return key


def moved(run: Run, mode: Any = "exact") -> Run:
    text = export_run(run, mode=mode, by="ann")
    gone(run)
    return import_run(text, by="ben")


def altered(text: str, change: Any, *, sealed: bool = True) -> str:
    found = json.loads(text)
    change(found)
    if sealed:
        found["digest"] = digest(transfer._text(found["content"]))
    return json.dumps(found)


@pytest.mark.parametrize("name", ["linear", "nested", "fails", "asynchronous"])
def test_an_imported_run_is_replayed_as_it_was_where_it_ran(name: str) -> None:
    run = run_inline(name, {})
    then = nodes(replay(run))
    here = moved(run)
    assert here.pk == run.pk
    assert (here.status, here.origin["status"], here.origin["mode"]) == ("imported", run.status, "exact")
    report = replay(here)
    assert report.same, report.verdict
    assert nodes(report) == then
    assert report.status == run.status
    assert here.error == run.error
    assert here.input == {}


def test_tools_models_and_prompts_come_along(models: FakeModels) -> None:
    run = run_inline("buys", {"amount": 3})
    effects.clear()
    assert replay(moved(run)).same
    assert effects == []
    run = run_inline("asks", {})
    text = export_run(run, mode="exact", by="ann")
    gone(run)
    (version,) = [prompt["version"] for prompt in json.loads(text)["content"]["prompts"]]
    kept = PromptVersion.objects.get(key=version).canonical
    with ports.prompts.override(elsewhere := Elsewhere()):
        here = import_run(text, by="ben")
    assert elsewhere.added == {("tests-reply", version): kept}
    assert replay(here).same


class Elsewhere(ports.NoPrompts):
    """A system that has none of the prompts yet."""

    def __init__(self) -> None:
        self.added: dict[tuple[str, str], str] = {}

    def add(self, prompt: str, version: str, body: str) -> None:
        self.added[prompt, version] = body


def test_a_version_of_a_prompt_is_taken_in_by_its_address(models: FakeModels) -> None:
    body = PromptVersion.objects.get(prompt_id="tests-reply")
    with pytest.raises(Exception, match="is not its version"):
        port.bodies.add("tests-reply", "0" * 64, body.canonical)
    with pytest.raises(Exception, match="is no prompt"):
        port.bodies.add("tests-reply", body.key, "{}")
    port.bodies.add("tests-copy", body.key, body.canonical)
    assert PromptVersion.objects.get(prompt_id="tests-copy").note == "It came with a run."
    assert port.bodies.body("tests-copy", body.key) == body.canonical
    assert port.bodies.body("tests-copy", "0") is None


def test_nobody_works_at_an_imported_run() -> None:
    with crash_at("n3"):
        run = run_inline("linear", {})
    here = moved(run)
    assert here.origin["status"] == "running"
    assert due(patience_s=0) == []
    assert advance(str(here.pk)) is None
    assert cancel(here) == "imported"
    with pytest.raises(NotRetryable, match="is imported"):
        retry(here)
    assert nodes(replay(here)) == ["n0", "n1", "n2"]


def test_what_an_imported_run_waits_for_is_asked_of_nobody() -> None:
    here = moved(run_inline("review", {"amount": 3}))
    assert Wait.objects.get(run=here).status == "withdrawn"
    assert replay(here).same


def test_a_run_that_goes_on_from_another_takes_its_state_along() -> None:
    first = run_inline("linear", {"answer": "x" * 600}, thread="one")
    second = run_inline("linear", {}, thread="one")
    assert second.result["answer"] == "x" * 600
    text = export_run(second, mode="exact", by="ann")
    gone(first), gone(second)
    here = import_run(text, by="ben")
    assert replay(here).same
    assert start("linear", {}, thread="one").thread != here.thread


def test_every_export_is_on_record_before_anybody_has_it(tmp_path: Path) -> None:
    run = run_inline("linear", {})
    text = export_run(run, mode="exact", by="ann")
    export_run(run, mode="redacted", by="ben")
    assert [(row.mode, row.actor) for row in RunExport.objects.order_by("id")] == [
        ("exact", "ann"), ("redacted", "ben"),
    ]  # fmt: skip
    assert RunExport.objects.order_by("id")[0].digest == json.loads(text)["digest"]
    with pytest.raises(NotExportable, match="Say who"):
        export_run(run, mode="exact", by=" ")


SECRET = "Anna Smith of 12 Harbour Road"


@pytest.mark.parametrize("policy", ["metadata", "redact"])
def test_a_redacted_file_has_nothing_that_the_policy_keeps_out(
    policy: str, models: FakeModels, settings: Any
) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {"privacy": {"policies": {"tests.plain": policy}}}
    models.otherwise = f"write to anna.smith@example.com, 07700 900123, says {SECRET}"
    given = {"steps": ["anna.smith@example.com 07700 900123", SECRET]}
    run = run_inline("asks", given, thread="anna.smith@example.com", idempotency_key="anna.smith@example.com")
    Run.objects.filter(pk=run.pk).update(feature="tests.plain")
    exact = export_run(run, mode="exact", by="ann")
    assert "anna.smith@example.com" in exact
    text = export_run(run, mode="redacted", by="ann")
    assert "anna.smith" not in text
    assert "900123" not in text
    if policy == "metadata":
        assert SECRET not in text
    digests = set(re.findall(r"[0-9a-f]{64}", text)) - {json.loads(text)["digest"]}
    assert digests <= {prompt["version"] for prompt in json.loads(text)["content"]["prompts"]}
    gone(run)
    here = import_run(text, by="ben")
    report = replay(here)
    assert (report.mode, report.same) == ("structure", True)
    assert nodes(report) == ["draft", "polish"]
    assert "The copy is redacted: what nodes do cannot be checked." in report.verdict
    with pytest.raises(NotReplayable, match="redacted copy"):
        replay(here, "live-model")
    with pytest.raises(NotExportable, match="redacted copy"):
        export_run(here, mode="exact", by="ann")
    assert "anna.smith" not in export_run(here, mode="redacted", by="ann")


def test_without_anybody_who_redacts_nothing_is_kept() -> None:
    run = run_inline("linear", {"answer": SECRET})
    with ports.redaction.override(ports.NoRedaction()):
        text = export_run(run, mode="redacted", by="ann")
    assert SECRET not in text
    gone(run)
    assert replay(import_run(text, by="ben")).same


def test_a_graph_without_the_node_is_named_by_a_redacted_copy_too() -> None:
    here = moved(run_inline("linear", {}), "redacted")
    Run.objects.filter(pk=here.pk).update(workflow="fan_out")
    report = replay(str(here.pk))
    assert report.first.node == "n0"
    assert report.first.why == "the graph has no such node any more"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f["content"]["Checkpoint"][0]["state"].update(steps=["x"]), "damaged or altered"),
        (lambda f: f.update(version=2), "is of format 2"),
        (lambda f: f.update(format="x"), "does not say so"),
        (lambda f: f.update(content=[]), "damaged or altered"),
    ],
)
def test_a_file_that_was_altered_is_refused_by_name(change: Any, says: str) -> None:
    run = run_inline("linear", {})
    text = export_run(run, mode="exact", by="ann")
    gone(run)
    with pytest.raises(NotImportable, match=says):
        import_run(altered(text, change, sealed=False), by="ben")
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("Checkpoint"),
        lambda c: c["run"].pop("id"),
        lambda c: c["run"].update(id="no uuid"),
        lambda c: c["run"].update(workflow="x" * 500),
        lambda c: c["run"].update(expires_at=7),
        lambda c: c["run"].update(expires_at="2099-01-01T00:00:00"),
        lambda c: c["run"].update(superuser=True),
        lambda c: c["NodeExecution"][0].update(node=None),
        lambda c: c["NodeExecution"].append("row"),
        lambda c: c["Checkpoint"][0].update(meta="a\0b"),
        lambda c: c["RunContent"].append(c["RunContent"][0]),
        lambda c: c.update(prompts=[{"prompt": "p", "version": "v", "body": "b"}]),
    ],
)
def test_what_is_no_run_is_refused_and_nothing_of_it_stays(change: Any) -> None:
    run = run_inline("linear", {})
    text = export_run(run, mode="exact", by="ann")
    gone(run)
    with pytest.raises(NotImportable):
        import_run(altered(text, lambda found: change(found["content"])), by="ben")
    assert not Run.objects.exists()
    assert not Checkpoint.objects.exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": "lockstep-run"}', b"\xff\xfe", "[" * 100_000]
)
def test_what_is_no_file_of_ours_is_refused(text: Any) -> None:
    with pytest.raises(NotImportable):
        import_run(text, by="ben")


def test_a_run_comes_once() -> None:
    run = run_inline("linear", {})
    text = export_run(run, mode="exact", by="ann")
    with pytest.raises(NotImportable, match="is here"):
        import_run(text, by="ben")
    gone(run)
    import_run(text, by="ben")
    with pytest.raises(NotImportable, match="was imported already, on 20"):
        import_run(text, by="ben")


def test_a_copy_expires_with_its_original_at_the_latest() -> None:
    run = run_inline("linear", {})
    text = export_run(run, mode="exact", by="ann")
    gone(run)
    soon = timezone.now() + timedelta(days=2)

    def sooner(found: Any) -> None:
        found["content"]["run"]["expires_at"] = soon.isoformat()

    def later(found: Any) -> None:
        found["content"]["run"]["expires_at"] = (soon + timedelta(days=5000)).isoformat()

    def past(found: Any) -> None:
        found["content"]["run"]["expires_at"] = (soon - timedelta(days=3)).isoformat()

    here = import_run(altered(text, sooner), by="ben")
    assert here.expires_at == soon
    assert set(Checkpoint.objects.values_list("expires_at", flat=True)) == {soon}
    gone(here)
    assert import_run(altered(text, later), by="ben").expires_at < soon + timedelta(days=30)
    gone(run)
    with pytest.raises(NotImportable, match="has expired"):
        import_run(altered(text, past), by="ben")


def test_what_has_expired_is_not_exported() -> None:
    run = run_inline("linear", {})
    Run.objects.filter(pk=run.pk).update(expires_at=timezone.now())
    with pytest.raises(NotExportable, match="has expired"):
        export_run(run, mode="exact", by="ann")


def test_too_large_a_run_is_refused_by_its_size(monkeypatch: Any) -> None:
    run = run_inline("linear", {})
    text = export_run(run, mode="exact", by="ann")
    monkeypatch.setattr(transfer, "MOST_BYTES", 1000)
    with pytest.raises(NotExportable, match="1,000 are the most"):
        export_run(run, mode="exact", by="ann")
    with pytest.raises(NotImportable, match="1,000 are the most"):
        import_run(text, by="ben")


# commands


def test_commands_write_read_and_replay(tmp_path: Path, capsys: Any) -> None:
    run = run_inline("nested", {})
    file = tmp_path / "run.json"
    call_command("lockstep_export_run", str(run.pk), str(file), actor="ann")
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="File exists"):
        call_command("lockstep_export_run", str(run.pk), str(file), actor="ann")
    gone(run)
    call_command("lockstep_import_run", str(file), actor="ben")
    with pytest.raises(CommandError, match="was imported already"):
        call_command("lockstep_import_run", str(file), actor="ben")
    capsys.readouterr()
    call_command("lockstep_replay", str(run.pk))
    assert "nested 1, recorded: 7 nodes came to the same." in capsys.readouterr().out
    call_command("lockstep_replay", str(run.pk), json=True)
    assert json.loads(capsys.readouterr().out)["same"] is True


def test_the_command_ends_with_1_where_a_node_differs(capsys: Any) -> None:
    run = run_inline("replayed", {})
    changing.add("second")
    with pytest.raises(SystemExit) as ended:
        call_command("lockstep_replay", str(run.pk))
    assert ended.value.code == 1
    assert "DIFFERS  step   2  node   second: what it writes differs, in steps" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["lockstep_replay", "lockstep_export_run"])
@pytest.mark.parametrize("run", ["nonsense", "01a20000-0000-7000-8000-000000000000"])
def test_commands_name_a_run_that_is_not_there(command: str, run: str, tmp_path: Path) -> None:
    more = [str(tmp_path / "x"), "--actor", "ann"] if command.endswith("export_run") else []
    with pytest.raises(CommandError, match="There is no run"):
        call_command(command, run, *more)
    assert not (tmp_path / "x").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("lockstep_import_run", str(tmp_path / "x"), actor="ann")
