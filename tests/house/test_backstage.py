"""What runs behind the demo shop: it comes back when it is killed, and nothing of it stays when the shop closes."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.backstage import Kept, worker_command
from tools.services import redis
from tools.services.exceptions import ServiceMissing
from tools.services.processes import is_taken

# writes the number of its child, which would outlive it
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
"""
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{PARENT}"


def until(holds: Callable[[], object], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kept(program: str, folder: Path) -> tuple[Kept, Path]:
    child = folder / "child"
    return Kept("it", [sys.executable, "-c", program, str(child)], folder / "log", {}), child


def is_gone(pid: int) -> bool:
    """A zombie that nobody reaps has gone, too."""
    return not is_taken(pid) or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_a_killed_program_is_started_again_and_its_children_go_with_it(tmp_path, capsys):
    program, child = kept(PARENT, tmp_path)
    try:
        until(lambda: child.exists() and child.read_text())
        first, orphan = program.pid, int(child.read_text())
        os.kill(first, signal.SIGKILL)
        until(lambda: program.pid != first)
        until(lambda: is_gone(orphan))
        assert f"pid {first} has ended, pid {program.pid} takes its place" in capsys.readouterr().out
    finally:
        program.end()
    assert is_gone(program.pid)


@pytest.mark.parametrize("text", [PARENT, DEAF])
def test_the_end_is_the_end_of_all_of_it(text, tmp_path, monkeypatch):
    monkeypatch.setattr("tools.backstage.GRACE_S", 1)
    program, child = kept(text, tmp_path)
    until(lambda: child.exists() and child.read_text())
    program.end()
    assert is_gone(program.pid)
    until(lambda: is_gone(int(child.read_text())))


def test_without_redis_the_workers_are_lockstep_work():
    assert "celery" in worker_command("one", on_celery=True)
    assert worker_command("one", on_celery=False)[-2:] == ["lockstep_work", "--follow"]


def test_redis_stops_after_its_last_user(tmp_path, monkeypatch):
    try:
        redis.redis_server()
    except ServiceMissing as missing:
        pytest.skip(str(missing))
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("LOCKSTEP_STATE", str(tmp_path))
    with redis.running_redis("test") as url:
        socket = Path(url.removeprefix("unix://"))
        with redis.running_redis("test") as same:
            assert same == url
        assert redis._say(socket, "PING").startswith("+PONG")
    assert not redis._say(socket, "PING")
