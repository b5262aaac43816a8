"""A project with Sentry in a process of its own: the SDK patches what it finds, and a test's process stays whole."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from django.views.decorators.csrf import csrf_exempt

__all__ = ["ANSWER", "NUMBER", "QUESTION", "SURNAME", "report"]

SURNAME, NUMBER = "Zwart", "943 476 5919"
QUESTION = f"Wilhelm {SURNAME}, {NUMBER}"
ANSWER = f"Ottoline {SURNAME} rang"

#: Everything that can be collected is.
WORST: dict[str, Any] = {
    "dsn": "https://key@sentry.invalid/1", "send_default_pii": True, "include_local_variables": True,
    "traces_sample_rate": 1.0, "enable_logs": True, "max_request_body_size": "always", "attach_stacktrace": True,
    "max_value_length": 1_000_000, "auto_session_tracking": False,
}  # fmt: skip


def report(url: str, how: str, output: str) -> None:
    """Do what an application does, with and without luck. Writes what left as one JSON list of envelopes' items.

    Args:
        how: ``bare`` without our hooks, ``hooked`` with them, ``streamed`` with them and spans that travel alone,
            ``bare streamed`` likewise without; ``unpolitic`` with hooks that the application wrote itself too.
    """
    from tests.llm.workers import set_up

    support = set_up(url)
    sent = _start(how)
    import sentry_sdk
    from django.conf import settings

    settings.ROOT_URLCONF = "tests.contrib.sentry_worker"
    settings.ALLOWED_HOSTS = ["*"]
    for name in ("openai", "httpx", "httpcore", "langchain"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    with sentry_sdk.start_transaction(op="task", name="answering"):
        answered(support)
        failed(support)
        said()
    in_a_view()
    sentry_sdk.flush()
    Path(output).write_text(json.dumps(sent))


def _start(how: str) -> list[Any]:
    import sentry_sdk
    from sentry_sdk.integrations.openai import OpenAIIntegration
    from sentry_sdk.transport import Transport

    from lockstep.contrib.sentry import init_options

    sent: list[Any] = []

    class Here(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            for item in envelope.items:
                raw = item.payload.get_bytes().decode(errors="replace")
                sent.append(
                    [item.headers.get("type"), json.loads(raw) if raw.startswith(("{", "[")) else raw]
                )

    # beside LangChain's, which switches it off where nobody asks for it
    options = {**WORST, "transport": Here, "integrations": [OpenAIIntegration()]}
    if "streamed" in how:
        options["trace_lifecycle"] = "stream"
    if how == "unpolitic":
        options |= dict.fromkeys(("before_send", "before_breadcrumb", "before_send_log"), _theirs)
    sentry_sdk.init(**(options if how.startswith("bare") else init_options(**options)))
    return sent


def _theirs(given: Any, hint: Any) -> Any:
    assert SURNAME not in json.dumps(given, default=str)
    given["tags" if "event_id" in given else "theirs"] = {"theirs": "was here"}
    return given


def answered(support: Any) -> None:
    """A call that goes well, as an agent asks it: with a tool at hand."""
    import sentry_sdk

    question = QUESTION
    support.invoke(question)
    support.chat_model().invoke([("user", question)])
    with sentry_sdk.start_span(op="gen_ai.chat", name=question) as span:
        span.set_data("gen_ai.request.messages", json.dumps([{"role": "user", "content": question}]))
        span.set_data("gen_ai.some.future.name", question)
        span.set_data("gen_ai.usage.input_tokens", 7)
    with sentry_sdk.start_span(op="db", name=f"SELECT * FROM patient WHERE name = '{question}'"):
        pass
    with sentry_sdk.start_span(op="http.client", name=f"GET https://example.org/find?q={question}"):
        pass


def failed(support: Any) -> None:
    """A provider that quotes the request in its refusal, which the application wraps and reports."""
    import sentry_sdk

    question = QUESTION
    sentry_sdk.set_tag("question", question)
    sentry_sdk.set_tag("tenant", "north")
    sentry_sdk.set_context("conversation", {"question": question})
    sentry_sdk.set_extra("question", question)
    sentry_sdk.add_breadcrumb(category="chat", message=question, data={"question": question})
    sentry_sdk.get_current_scope().add_attachment(bytes=question.encode(), filename="question.txt")
    try:
        try:
            support.invoke(question)
        except Exception as error:
            raise RuntimeError(f"No answer to {question}") from error
    except RuntimeError:
        sentry_sdk.capture_exception()


def said() -> None:
    """What applications write into their logs."""
    import sentry_sdk

    logging.getLogger("shop").error("No answer to %s", QUESTION, extra={"question": QUESTION})
    logging.getLogger("shop").warning(f"Slow answer to {QUESTION}")
    sentry_sdk.capture_message(f"Was asked {QUESTION}")
    sentry_sdk.metrics.count("questions", 1, attributes={"question": QUESTION})


def in_a_view() -> None:
    """Through the application that a server calls: it is where Sentry looks."""
    from django.core.wsgi import get_wsgi_application
    from django.test import RequestFactory

    path = "/?q=" + QUESTION.replace(" ", "%20")
    request = RequestFactory().post(path, {"question": QUESTION}, HTTP_X_QUESTION=QUESTION)
    answers: list[str] = []
    list(get_wsgi_application()(request.environ, lambda status, headers, _=None: answers.append(status)))
    assert answers == ["500 Internal Server Error"], answers


@csrf_exempt
def view(request: Any) -> Any:
    from lockstep.llm import feature

    feature("tests.support", model="local:m").invoke(request.POST["question"])


def _urls() -> list[Any]:
    from django.urls import path

    return [path("", view)]


urlpatterns = _urls()
