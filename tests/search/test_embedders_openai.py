"""Embedding over HTTP: a real server on a real socket, and everything that goes wrong with one."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from lockstep.core import ports
from lockstep.core.ports import Usage
from lockstep.search.embedders.http import without_echo
from lockstep.search.embedders.openai import OpenAICompatible
from lockstep.search.exceptions import (
    BadAnswer,
    BadVector,
    EmbedderError,
    EmbedderMisconfigured,
    EmbedderRefused,
    EmbedderTimeout,
    EmbedderUnavailable,
    WrongDimensions,
)
from tests.search import embedding_server as server_module
from tests.search.embedding_server import DIMENSIONS, HASHING, EmbeddingServer, changed, slow, status

CANARY = "Wilhelmina Zwartkruis 943-476-5919"
KEY = "sk-canary-2718281828"


@pytest.fixture(autouse=True)
def unmetered() -> Iterator[None]:
    """These tests have no database: the ledger, which is in one, is not asked from any of their threads."""
    with ports.metering.override(ports.NoMetering()):
        yield


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with server_module.running() as running:
        yield running


@pytest.fixture
def build(server: EmbeddingServer) -> Iterator[Callable[..., OpenAICompatible]]:
    """Builds embedders that talk to the server and closes them before it stops."""
    built: list[OpenAICompatible] = []

    def build(**options: Any) -> OpenAICompatible:
        given = {"base_url": server.base_url, "model": "m", "dimensions": DIMENSIONS, "backoff_s": 0.01}
        built.append(OpenAICompatible(**{**given, **options}))
        return built[-1]

    yield build
    for embedder in built:
        embedder.close()


class Recorder:
    """Keeps what was metered: provider, usage and the outcome."""

    def __init__(self) -> None:
        self.attempts: list[tuple[str, Usage, str]] = []

    @contextmanager
    def measure(
        self,
        *,
        operation: str,
        provider: str,
        model: str,
        feature: str | None = None,
        remote: bool = True,
        most_tokens: int = 0,
        endpoint: str = "",
    ) -> Iterator[Usage]:
        usage = Usage()
        if provider == "hashing":  # the server's own vectors
            yield usage
            return
        try:
            yield usage
        except EmbedderError as error:
            self.attempts.append((provider, usage, type(error).__name__))
            raise
        self.attempts.append((provider, usage, "ok"))


Build = Callable[..., OpenAICompatible]


# --- requests --------------------------------------------------------------------------------------


def test_texts_become_vectors_in_order(server: EmbeddingServer, build: Build) -> None:
    vectors = build().embed_documents(["one", "two"])
    expected = HASHING.embed_documents(["one", "two"])
    assert [vector.tolist() for vector in vectors] == [
        pytest.approx(vector.tolist(), abs=1e-6) for vector in expected
    ]
    path, headers, body = server.seen[0]
    assert path == "/v1/embeddings"
    assert body == {"model": "m", "encoding_format": "float", "input": ["one", "two"]}
    assert "Authorization" not in headers


def test_base64_answers_are_the_same_vectors(server: EmbeddingServer, build: Build) -> None:
    assert build(encoding_format="base64").embed_query("one").tolist() == pytest.approx(
        build().embed_query("one").tolist(), abs=1e-6
    )
    assert server.bodies[0]["encoding_format"] == "base64"


def test_a_request_holds_no_more_texts_than_the_batch_size(server: EmbeddingServer, build: Build) -> None:
    texts = [f"text {number}" for number in range(7)]
    vectors = build(batch_size=3).embed_documents(texts)
    assert [len(body["input"]) for body in server.bodies] == [3, 3, 1]
    assert vectors[6].tolist() == pytest.approx(HASHING.embed_query("text 6").tolist(), abs=1e-6)


def test_a_request_holds_no_more_tokens_than_allowed(server: EmbeddingServer, build: Build) -> None:
    build(max_batch_tokens=20).embed_documents(["word " * 10, "word " * 5, "word", "word " * 100])
    assert [len(body["input"]) for body in server.bodies] == [2, 1, 1]


def test_options_travel_with_each_request(server: EmbeddingServer, build: Build) -> None:
    build(
        send_dimensions=True, extra_body={"truncate": True}, headers={"X-Gateway": "blue"}, api_key=KEY
    ).embed_query("one")
    _, headers, body = server.seen[0]
    assert (body["dimensions"], body["truncate"]) == (DIMENSIONS, True)
    assert (headers["X-Gateway"], headers["Authorization"]) == ("blue", f"Bearer {KEY}")


def test_prefixes_go_before_documents_and_queries(server: EmbeddingServer, build: Build) -> None:
    embedder = build(document_prefix="passage: ", query_prefix="query: ")
    embedder.embed_documents(["one"])
    embedder.embed_query("one")
    assert [body["input"] for body in server.bodies] == [["passage: one"], ["query: one"]]


def test_connections_are_kept_and_shared_by_threads(server: EmbeddingServer, build: Build) -> None:
    embedder = build()
    with ThreadPoolExecutor(4) as pool:
        vectors = list(pool.map(embedder.embed_query, [f"text {number % 3}" for number in range(24)]))
    assert vectors[0] == vectors[3] != vectors[1]
    assert len(server.seen) == 24


def test_a_closed_embedder_connects_again(server: EmbeddingServer, build: Build) -> None:
    embedder = build()
    embedder.embed_query("one")
    embedder.close()
    embedder.embed_query("one")
    assert len(server.seen) == 2


def test_a_forked_child_uses_a_connection_of_its_own(server: EmbeddingServer) -> None:
    program = f"""
import os, sys
from lockstep.search.embedders.openai import OpenAICompatible
embedder = OpenAICompatible(base_url={server.base_url!r}, model="m", dimensions={DIMENSIONS})
before = embedder.embed_query("forked")
child = os.fork()
if child == 0:
    os._exit(0 if embedder.embed_query("forked") == before else 1)
_, status = os.waitpid(child, 0)
assert embedder.embed_query("forked") == before
sys.exit(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_connections_that_nobody_closes_warn_nobody(server: EmbeddingServer) -> None:
    program = f"""
from lockstep.search.embedders.openai import OpenAICompatible
options = dict(base_url={server.base_url!r}, model="m", dimensions={DIMENSIONS})
OpenAICompatible(**options).embed_query("collected")
kept = OpenAICompatible(**options)
kept.embed_query("kept to the end")
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


# --- metering --------------------------------------------------------------------------------------


def test_tokens_and_the_model_that_answered_are_metered(build: Build) -> None:
    recorder = Recorder()
    with ports.metering.override(recorder):
        build().embed_documents(["one two three", "four"])
    ((provider, usage, outcome),) = recorder.attempts
    assert (provider, outcome) == ("openai-compatible", "ok")
    assert (usage.input_tokens, usage.items, usage.response_model) == (4, 2, "served-model")


def test_each_attempt_is_metered_with_its_outcome(server: EmbeddingServer, build: Build) -> None:
    server.script = [status(500)]
    recorder = Recorder()
    with ports.metering.override(recorder):
        build().embed_query("one")
    assert [outcome for _, _, outcome in recorder.attempts] == ["EmbedderUnavailable", "ok"]


def test_what_was_paid_for_is_metered_though_the_answer_is_bad(server: EmbeddingServer, build: Build) -> None:
    server.script = [changed(lambda answer: answer["data"].clear())]
    recorder = Recorder()
    with ports.metering.override(recorder), pytest.raises(BadAnswer):
        build().embed_query("one two")
    ((_, usage, outcome),) = recorder.attempts
    assert (usage.input_tokens, outcome) == (2, "BadAnswer")


# --- failures that pass ------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_a_transient_status_is_tried_again(server: EmbeddingServer, build: Build, code: int) -> None:
    server.script = [status(code), status(code)]
    assert len(build().embed_query("one")) == DIMENSIONS
    assert len(server.seen) == 3


@pytest.mark.parametrize("fault", [server_module.reset, server_module.cut_short], ids=["reset", "cut short"])
def test_a_broken_connection_is_tried_again(server: EmbeddingServer, build: Build, fault: Any) -> None:
    server.script = [fault]
    assert len(build().embed_query("one")) == DIMENSIONS
    assert len(server.seen) == 2


def test_an_answer_that_is_no_json_is_tried_again(server: EmbeddingServer, build: Build) -> None:
    server.script = [status(200, b'{"data": [{"embe')]
    assert len(build().embed_query("one")) == DIMENSIONS


def test_a_slow_answer_is_tried_again(server: EmbeddingServer, build: Build) -> None:
    server.script = [slow(1.0)]
    assert len(build(attempt_timeout_s=0.2).embed_query("one")) == DIMENSIONS
    assert len(server.seen) == 2


def test_only_the_batch_that_failed_is_sent_again(server: EmbeddingServer, build: Build) -> None:
    server.script = [lambda handler: handler.answer(handler.embeddings()), status(503)]
    build(batch_size=1).embed_documents(["one", "two", "three"])
    assert [body["input"] for body in server.bodies] == [["one"], ["two"], ["two"], ["three"]]


@pytest.mark.parametrize(
    "value", ["0.3", lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)]
)
def test_the_wait_that_the_provider_asks_for_is_kept(
    server: EmbeddingServer, build: Build, value: str | Callable[[], str]
) -> None:
    server.script = [status(429, Retry_After=value if isinstance(value, str) else value())]
    began = time.monotonic()
    build().embed_query("one")
    assert time.monotonic() - began >= 0.3


def test_a_wait_beyond_the_deadline_is_not_begun(server: EmbeddingServer, build: Build) -> None:
    server.script = [status(429, Retry_After="3600")]
    began = time.monotonic()
    with pytest.raises(EmbedderUnavailable, match="answered 429") as caught:
        build().embed_query("one", timeout_s=5)
    assert time.monotonic() - began < 2
    assert caught.value.retryable
    assert caught.value.retry_after_s == 3600


def test_an_unreadable_wait_is_as_good_as_none(server: EmbeddingServer, build: Build) -> None:
    server.script = [status(429, Retry_After="soon")]
    assert len(build().embed_query("one")) == DIMENSIONS


# --- failures that stay ------------------------------------------------------------------------------


def test_attempts_end_after_the_retries(server: EmbeddingServer, build: Build) -> None:
    server.script = [status(503)] * 9
    with pytest.raises(EmbedderUnavailable, match="answered 503") as caught:
        build(max_retries=2).embed_query("one")
    assert len(server.seen) == 3
    assert (caught.value.status, caught.value.attempts) == (503, 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", [slow(2.0), server_module.trickle], ids=["slow", "trickling"])
def test_the_deadline_holds_against_a_server_that_dawdles(
    server: EmbeddingServer, build: Build, fault: Any
) -> None:
    server.script = [fault] * 9
    began = time.monotonic()
    with pytest.raises(EmbedderTimeout) as caught:
        build().embed_query("one", timeout_s=0.5)
    assert time.monotonic() - began < 1.5
    assert caught.value.retryable


def test_nobody_listening_is_unavailable(build: Build) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(EmbedderUnavailable, match=f"127.0.0.1:{port} cannot be reached"):
        build(base_url=f"http://127.0.0.1:{port}/v1", max_retries=1).embed_query("one")


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (400, ""),
        (401, "Check the key."),
        (403, "Check what the key may use."),
        (404, "Check base_url and model."),
        (413, "Lower batch_size"),
        (422, ""),
        (301, ""),
    ],
)
def test_other_refusals_are_not_tried_again(
    server: EmbeddingServer, build: Build, code: int, hint: str
) -> None:
    server.script = [status(code)]
    with pytest.raises(EmbedderRefused, match=f"answered {code}: as told.*{hint}") as caught:
        build().embed_query("one")
    assert len(server.seen) == 1
    assert (caught.value.status, caught.value.retryable) == (code, False)


def test_a_spent_quota_is_not_tried_again(server: EmbeddingServer, build: Build) -> None:
    server.script = [status(429, {"error": {"code": "insufficient_quota", "message": "You exceeded it"}})]
    with pytest.raises(EmbedderRefused, match="billing"):
        build().embed_query("one")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda answer: answer["data"].pop(), BadAnswer),
        (lambda answer: answer["data"].append(answer["data"][0]), BadAnswer),
        (lambda answer: answer["data"][0].update(index=5), BadAnswer),
        (lambda answer: answer["data"][0].pop("embedding"), BadAnswer),
        (lambda answer: answer["data"][0].update(embedding={"no": "numbers"}), BadAnswer),
        (lambda answer: answer["data"][0].update(embedding="not base64!"), BadAnswer),
        (lambda answer: answer.update(data=None), BadAnswer),
        (lambda answer: answer.clear(), BadAnswer),
        (lambda answer: answer["data"][0]["embedding"].pop(), WrongDimensions),
        (lambda answer: answer["data"][0].update(embedding=[0.0] * DIMENSIONS), BadVector),
        (lambda answer: answer["data"][0]["embedding"].__setitem__(0, float("nan")), BadVector),
        (lambda answer: answer["data"][0]["embedding"].__setitem__(0, None), BadVector),
    ],
    ids=[
        "too few", "too many", "foreign index", "no embedding", "no list", "no base64", "null data",
        "no data", "dimensions", "zero", "nan", "null",
    ],
)  # fmt: skip
def test_an_answer_that_is_not_one_vector_a_text_is_refused_at_once(
    server: EmbeddingServer, build: Build, change: Any, error: type[EmbedderError]
) -> None:
    server.script = [changed(change)]
    with pytest.raises(error) as caught:
        build().embed_documents(["one", "two"])
    assert not caught.value.retryable
    assert len(server.seen) == 1


def test_vectors_in_another_order_find_their_texts(server: EmbeddingServer, build: Build) -> None:
    server.script = [changed(lambda answer: answer["data"].reverse())]
    assert build().embed_documents(["one", "two"]) == build().embed_documents(["one", "two"])


def test_an_answer_without_indexes_is_taken_as_it_stands(server: EmbeddingServer, build: Build) -> None:
    server.script = [changed(lambda answer: [item.pop("index") for item in answer["data"]])]
    assert build().embed_documents(["one", "two"]) == build().embed_documents(["one", "two"])


def test_an_endless_answer_is_not_read_to_its_end(server: EmbeddingServer, build: Build) -> None:
    server.script = [status(200, b" " * 3_000_000)]
    with pytest.raises(BadAnswer, match="answered more than"):
        build().embed_query("one")


# --- configuration -----------------------------------------------------------------------------------


def test_the_key_is_read_from_the_environment_before_each_request(
    server: EmbeddingServer, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = build(api_key_env="SHOP_KEY")
    for key in ("first", "rotated"):
        monkeypatch.setenv("SHOP_KEY", key)
        embedder.embed_query("one")
    assert [headers["Authorization"] for _, headers, _ in server.seen] == ["Bearer first", "Bearer rotated"]


@pytest.mark.parametrize("value", [None, "", "two\nlines", "ключ"])
def test_a_missing_key_is_named_at_first_use_and_nothing_is_sent(
    server: EmbeddingServer, build: Build, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("SHOP_KEY", raising=False)
    else:
        monkeypatch.setenv("SHOP_KEY", value)
    embedder = build(api_key_env="SHOP_KEY")
    with pytest.raises(EmbedderMisconfigured, match="variable SHOP_KEY holds no key"):
        embedder.embed_query("one")
    assert server.seen == []


def test_openai_itself_needs_only_its_well_known_variable() -> None:
    embedder = OpenAICompatible()
    assert (embedder.dimensions, embedder.provider, embedder.remote) == (1536, "openai", True)
    assert embedder._api_key_env == "OPENAI_API_KEY"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "bge-m3"}, r"OPTIONS\['dimensions'\]"),
        ({"base_url": "localhost:8000"}, "no http"),
        ({"base_url": "https://user:secret@host/v1"}, "holds credentials"),
    ],
)
def test_options_that_cannot_work_are_refused_when_built(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EmbedderMisconfigured, match=message) as caught:
        OpenAICompatible(**options)
    assert "secret" not in str(caught.value)


# --- nothing leaks -----------------------------------------------------------------------------------


def test_no_log_at_any_level_holds_a_text_or_a_key(
    server: EmbeddingServer, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = [status(500), status(429, Retry_After="0")]
    with caplog.at_level(logging.DEBUG):
        build(api_key=KEY).embed_query(CANARY)
    assert caplog.records
    assert "Wilhelmina" not in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("code", [400, 500])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": f"Invalid input: '{CANARY}' is not allowed", "code": "bad"}},
        {"error": f"cannot embed {CANARY}"},
        {"detail": {"message": CANARY.upper()}},
        {"message": f"input {CANARY[:14]} is too long"},
        {"error": {"message": "".join(f"\\u{ord(letter):04x}" for letter in CANARY)}},
    ],
    ids=["quoted", "text", "upper case", "cut", "escaped"],
)
def test_an_error_does_not_repeat_the_text_that_the_provider_quotes(
    server: EmbeddingServer, build: Build, body: Any, code: int
) -> None:
    server.script = [status(code, body)]
    with pytest.raises(EmbedderError) as caught:
        build(api_key=KEY, max_retries=0).embed_query(CANARY)
    shown = f"{caught.value} {vars(caught.value)}".casefold()
    shown = shown.replace(str(server.server_port), "")
    for word in ("wilhelm", "zwart", "943", "476", "5919", KEY):
        assert word not in shown
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_message_that_quotes_nothing_stays_readable() -> None:
    message = "This model's maximum context length is 8192 tokens, you requested 9000 tokens"
    assert without_echo(message, ["the maximum length of a tokens list"]) == message
    assert len(without_echo("x" * 10_000, [])) == 300


def test_the_key_is_not_in_the_representation(build: Build) -> None:
    assert KEY not in repr(build(api_key=KEY))


# --- a server that others wrote ------------------------------------------------------------------------


def test_a_litserve_server_is_understood(tmp_path: Any) -> None:
    """LitServe's own implementation of the OpenAI embedding shape. Not in the requirements:
    pip install litserve, or name an interpreter that has it in LITSERVE_PYTHON."""
    python = os.environ.get("LITSERVE_PYTHON")
    if not python:
        pytest.importorskip("litserve", reason="pip install litserve, or set LITSERVE_PYTHON")
        python = sys.executable
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    script = tmp_path / "serve.py"
    script.write_text(
        f"""
import litserve

class Lengths(litserve.LitAPI):
    def setup(self, device):
        pass

    def predict(self, texts):
        return [[float(len(text)), 1.0, 0.0, 0.0] for text in texts]

    def encode_response(self, output):
        return {{"embeddings": output}}

if __name__ == "__main__":
    api = Lengths(spec=litserve.OpenAIEmbeddingSpec())
    litserve.LitServer(api, accelerator="cpu").run(port={port}, generate_client_file=False, num_api_servers=1)
"""
    )
    log = (tmp_path / "log").open("w+")
    served = subprocess.Popen(
        [python, str(script)], cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
    )
    embedder = OpenAICompatible(
        base_url=f"http://127.0.0.1:{port}/v1", model="lengths", dimensions=4, max_retries=99, backoff_s=0.2
    )
    try:
        vectors = embedder.embed_documents(["one", "seven"], timeout_s=60)
        assert [round(vector[0] / vector[1]) for vector in vectors] == [3, 5]
    except EmbedderError as error:
        log.seek(0)
        raise AssertionError(log.read()) from error
    finally:
        embedder.close()
        os.killpg(served.pid, signal.SIGKILL)  # its workers too
        served.wait()
        log.close()
