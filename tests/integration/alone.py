"""What a project with some of the apps does first: ``python -W error -m tests.integration.alone``."""

from __future__ import annotations

import sys
from typing import Any


def main() -> None:
    """Start, check, migrate from nothing, look for drift, open the admin, and use what is there once."""
    import django

    django.setup()
    heavy = {"celery", "jsonschema", "langchain_core", "langgraph", "numpy", "openai", "redis"} & set(
        sys.modules
    )
    assert not heavy, f"every command of a project waits for {heavy}"
    from django.apps import apps
    from django.core.management import call_command

    call_command("check", fail_level="ERROR", databases=["default"], verbosity=0)
    call_command("migrate", verbosity=0)
    call_command("check", fail_level="WARNING", databases=["default"], verbosity=0)
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
    if apps.is_installed("django.contrib.admin"):
        open_admin()
    uses = {
        "lockstep.search": search,
        "lockstep.llm": ask,
        "lockstep.prompts": ask_prompted,
        "lockstep.budgets": ask_too_much,
        "lockstep.privacy": forget,
        "lockstep.workflows": run,
    }
    for app, use in uses.items():
        if apps.is_installed(app):
            use()
    heavy = {"langgraph": "workflows", "celery": "workflows", "langchain_core": "llm", "openai": "llm"}
    if apps.is_installed("lockstep.workflows"):
        heavy.pop("langchain_core")  # what LangGraph stands on
    unwanted = [name for name, app in heavy.items() if not apps.is_installed(f"lockstep.{app}")]
    assert not set(unwanted) & set(sys.modules), unwanted


def open_admin() -> None:
    """The index, and the list of every model of ours that has one."""
    from django.contrib import admin
    from django.contrib.auth.models import User
    from django.test import Client
    from django.urls import reverse

    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    pages = [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
        if model._meta.app_label.startswith("lockstep_")
    ]
    for page in [reverse("admin:index"), *pages]:
        assert client.get(page).status_code == 200, page


def search() -> None:
    from lockstep.search.embedders import get_embedder

    assert len(get_embedder().embed_query("a kettle")) == 64


def ask() -> None:
    from lockstep.llm.models import Call

    assert declared("alone.plain").invoke("How?").text
    assert Call.objects.get().outcome == "ok"


def ask_prompted() -> None:
    from lockstep.llm.models import Call
    from lockstep.prompts.body import Body, Message
    from lockstep.prompts.models import PromptVersion
    from lockstep.prompts.releases import release

    body = Body(messages=(Message("user", "Answer: {question}"),), variables=("question",))
    version, _ = PromptVersion.objects.add("support-answer", body)
    release("support-answer", version.key, actor="ann", reason="first")
    reply = declared("alone.prompted", prompt="support-answer").invoke({"question": "How?"})
    assert Call.objects.get(pk=reply.call).prompt_version == version.key


def ask_too_much() -> None:
    from lockstep.budgets.models import Budget
    from lockstep.llm.exceptions import BudgetExceeded

    Budget.objects.create(feature="alone.capped", unit="tokens", cap=10, period="day")
    try:
        declared("alone.capped").invoke("How?")
    except BudgetExceeded:
        return
    raise AssertionError("The budget let it pass.")


def forget() -> None:
    from lockstep.privacy.models import Receipt
    from lockstep.privacy.rights import erase, export

    found = erase("7", actor="ann").counts
    assert "lockstep_privacy.Payload" in found
    assert not any(any(table.values()) for table in found.values())
    export("7", lambda text: None, actor="ann")
    assert Receipt.objects.count() == 2


def run() -> None:
    from langgraph.graph import END, START, StateGraph

    from lockstep.testing.workflows import run_inline
    from lockstep.workflows import workflow

    @workflow("alone", version="1")
    def graph() -> StateGraph[Any]:
        made = StateGraph(dict)
        made.add_node("only", lambda state: {"asked": state["ask"]})
        made.add_edge(START, "only")
        made.add_edge("only", END)
        return made

    assert run_inline("alone", {"ask": 1}).status == "succeeded"


def declared(name: str, **how: Any) -> Any:
    from lockstep.llm import feature

    return feature(name, owner="ann@example.com", model="standin:quoting", **how)


if __name__ == "__main__":
    main()
