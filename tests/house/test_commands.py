"""What bin/test, bin/demo and bin/lint decide before they start anything."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tools.demo import StepFailed, listen, main, tour
from tools.hygiene import LINES, findings, tracked_files
from tools.run_tests import is_whole_suite
from tools.services.places import CHECKOUT


@pytest.mark.parametrize("arguments", [[], ["-q"], ["--durations=5", "-x"], ["-m", "not slow"]])
def test_the_whole_suite_runs_in_two_processes(arguments):
    assert is_whole_suite(arguments)


@pytest.mark.parametrize("arguments", [["tests/house"], ["-k", "kettle"], ["-kkettle"], ["--pdb"], ["-n0"]])
def test_a_chosen_part_runs_in_one(arguments):
    assert not is_whole_suite(arguments)


def test_the_demo_takes_the_next_free_port(settings):
    settings.STATIC_URL = "static/"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = listen(port)
        try:
            assert port < server.server_port < port + 50
        finally:
            server.server_close()


def test_the_demo_says_when_no_port_is_free(settings, monkeypatch):
    settings.STATIC_URL = "static/"
    monkeypatch.setattr("tools.demo.NEXT_PORTS", 0)
    with pytest.raises(StepFailed, match="--port"):
        listen(8000)


def test_the_tour_names_the_address():
    assert "http://127.0.0.1:8123/" in tour("http://127.0.0.1:8123/")
    assert "{url}" not in tour("http://127.0.0.1:8123/")


def test_reset_never_touches_a_database_of_the_users(monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/theirs")
    monkeypatch.setattr("tools.demo.MANAGE", Path(__file__))
    assert main(["--reset"]) == 2
    assert "names one of yours" in capsys.readouterr().err


# taken apart, so that this file is not among what is found
HOST, SIMPLE, WHEEL = "https://packages.example", "simple", "whl"
HOME, TMP = "/home", "/tmp"


@pytest.mark.parametrize(
    "line",
    [
        f"--extra-index-url {HOST}",
        f"see {HOST}/{SIMPLE}/django/",
        f"{HOST}/thing-1.0-py3-none-any.{WHEEL}",
        f"open('{HOME}/alice/data.json')",
        f"open('{TMP}/data.json')",
        f"root = '{CHECKOUT}/src'",
    ],
)
def test_what_belongs_to_one_machine_is_found(line):
    assert any(pattern.search(line) for pattern in LINES.values())


@pytest.mark.parametrize(
    "line",
    [
        "Path('/tmp') / name",
        f"https://docs.example/{SIMPLE}-steps",
        "prefix/root/thing",
        "--hash=sha256:00",
        "{url}home/x",
    ],
)
def test_what_belongs_to_every_machine_is_not(line):
    assert not any(pattern.search(line) for pattern in LINES.values())


def test_the_tracked_files_belong_to_no_machine():
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not a git checkout")
    assert [finding for file in tracked_files() for finding in findings(file)] == []


@pytest.mark.parametrize("name", ["bench", "demo", "lint", "lock", "test"])
def test_the_commands_are_programs_that_a_posix_shell_reads(name):
    command = CHECKOUT / "bin" / name
    assert os.access(command, os.X_OK)
    subprocess.run(["/bin/sh", "-n", str(command)], check=True)


@pytest.mark.parametrize("name", ["demo", "dev", "bench", "model", "litellm"])
def test_requirements_are_pinned_with_hashes_and_name_no_index(name):
    text = (CHECKOUT / "requirements" / f"{name}.txt").read_text()
    pins = [line for line in text.splitlines() if line and line[0] not in " #"]
    assert pins
    assert all("==" in pin and pin.endswith("\\") for pin in pins)
    assert not [pin for pin in pins if pin.startswith(("torch==", "nvidia-", "-"))]


def test_bin_test_explains_itself():
    told = subprocess.run(
        [sys.executable, "-m", "tools.run_tests", "--help"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "KEEP=1" in told.stdout
