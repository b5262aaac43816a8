"""The door before a server that others wrote: ``transformers serve`` with a model made here.

Not in the requirements, PyTorch is large: ``pip install 'transformers[serving]' torch`` somewhere, and name that
interpreter in ``TRANSFORMERS_PYTHON``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lockstep.core import features
from lockstep.llm import feature
from lockstep.llm.exceptions import ProviderError
from lockstep.llm.models import Call

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture(scope="module")
def served(tmp_path_factory: Any) -> Iterator[tuple[str, str]]:
    """Base URL and name of the model."""
    python = os.environ.get("TRANSFORMERS_PYTHON")
    if not python:
        pytest.skip(
            "pip install 'transformers[serving]' torch, and set TRANSFORMERS_PYTHON to that interpreter"
        )
    model = tmp_path_factory.mktemp("tiny")
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    offline.pop("PYTHONPATH", None)
    subprocess.run([python, Path(__file__).with_name("tiny_model.py"), str(model)], check=True, env=offline)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(python).with_name("transformers"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (model / "server.txt").open("w") as output:
        server = subprocess.Popen([*command, "--device", "cpu"], env=offline, stdout=output, stderr=output)
        try:
            _wait(f"http://127.0.0.1:{port}/health", server)
            yield f"http://127.0.0.1:{port}/v1", str(model)
        finally:
            server.terminate()
            server.wait(30)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.5)
        else:
            return
    pytest.fail("the server did not start")


def test_every_way_is_counted_by_the_server_itself(served: tuple[str, str], settings: Any) -> None:
    url, model = served
    local = {
        "BACKEND": "lockstep.llm.providers.openai.OpenAI",
        "OPTIONS": {"base_url": url, "api_key_env": "NO_KEY"},
    }
    settings.LOCKSTEP = settings.LOCKSTEP | {
        "llm": {"providers": {"local": local}, "max_output_tokens": 12, "timeout_s": 60.0, "attempts": 1}
    }
    desk = feature("tests.served", model=f"local:{model}")
    try:
        reply = desk.invoke("How do I reset the kettle?")
        "".join(desk.stream("How do I reset the kettle?").text())
        asyncio.run(desk.ainvoke("How do I reset the kettle?"))
        with pytest.raises(ProviderError):
            desk.invoke("How?", model="local:no-such-model")
    finally:
        features.forget("tests.served")
    assert reply.message.content is not None
    answered = Call.objects.filter(outcome="ok")
    assert answered.count() == 3
    for row in answered:
        assert row.usage_source == "provider", row.pk
        assert 0 < row.input_tokens <= row.bound_input
        assert 0 < row.output_tokens <= row.bound_output == 12
    assert Call.objects.get(outcome="error").error_type
