"""bin/setup.sh on checkouts whose requirements are empty, so that nothing is downloaded."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.services.places import CHECKOUT

TOOLS = (
    "cat",
    "cksum",
    "cut",
    "dirname",
    "head",
    "id",
    "mkdir",
    "mv",
    "ps",
    "rm",
    "sed",
    "sh",
    "sleep",
    "tail",
)

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "empty-lockstep"
version = "1"
"""

BACKEND = '''\
"""The least that pip accepts as an editable project."""
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name, info = "empty_lockstep-1-py3-none-any.whl", "empty_lockstep-1.dist-info"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: empty-lockstep\\nVersion: 1\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
'''


def empty_checkout(root: Path) -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "requirements").mkdir()
    shutil.copy(CHECKOUT / "bin" / "setup.sh", root / "bin")
    for name in ("demo", "dev", "bench", "model"):
        (root / "requirements" / f"{name}.txt").write_text("# nothing\n")
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "backend.py").write_text(BACKEND)
    return root


def posix_programs(folder: Path) -> Path:
    """A folder for PATH with what a POSIX system has, and no Python."""
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return empty_checkout(tmp_path / "a checkout")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    return posix_programs(tmp_path / "programs")


@dataclass
class Made:
    """A checkout in which two setups have run at once."""

    root: Path
    programs: Path
    results: list[tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("setup")
    root, programs = empty_checkout(folder / "a checkout"), posix_programs(folder / "programs")
    real_python(programs)
    both = [setup(root, programs), setup(root, programs)]
    return Made(root, programs, [finish(process) for process in both])


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def python_name() -> str:
    return "python{}.{}".format(*sys.version_info[:2])


def real_python(folder: Path, condition: str = "") -> None:
    """This Python; ``condition`` is shell that runs before it."""
    program(folder, python_name(), f'{condition}\nexec "{sys._base_executable}" "$@"')  # type: ignore[attr-defined]


def setup(root: Path, path: Path | str, script: str = "lockstep_setup dev") -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["/bin/sh", "-c", f'set -eu; root=$1; . "$root/bin/setup.sh"; {script}', "bin/test", str(root)],
        env={"PATH": str(path), "HOME": str(root), "LC_ALL": "C"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_two_at_once_install_once(made):
    assert [status for status, _, _ in made.results] == [0, 0]
    assert sum("Installing" in said for _, _, said in made.results) == 1
    assert (made.root / ".venv" / "bin" / "python").exists()
    assert not (made.root / ".lockstep" / "setup.lock").exists()


def test_a_second_time_there_is_nothing_to_do(made):
    assert finish(setup(made.root, made.programs)) == (0, "", "")
    assert finish(setup(made.root, made.programs, "lockstep_setup demo")) == (0, "", ""), (
        "dev serves the demo"
    )


def test_it_installs_again_what_was_changed_or_not_finished(made):
    (made.root / "requirements" / "dev.txt").write_text("# nothing more\n")
    status, _, said = finish(setup(made.root, made.programs))
    assert (status, "Installing" in said) == (0, True)
    (made.root / ".venv" / ".ready-dev").unlink()
    status, _, said = finish(setup(made.root, made.programs))
    assert (status, "Installing" in said) == (0, True)


def test_a_failed_installation_is_not_taken_for_a_good_one(made):
    (made.root / "requirements" / "bench.txt").write_text("./not-there.whl --hash=sha256:00\n")
    status, _, said = finish(setup(made.root, made.programs, "lockstep_setup bench"))
    assert (status, "Installing the requirements failed" in said) == (1, True)
    assert not (made.root / ".venv" / ".ready-bench").exists()


def test_an_environment_that_came_with_a_copied_checkout_is_not_used(made, tmp_path):
    shutil.copytree(made.root, tmp_path / "copy", symlinks=True)
    script = "is_ready dev || venv_usable || echo no"
    assert finish(setup(made.root, made.programs, script)) == (0, "", "")
    assert finish(setup(tmp_path / "copy", made.programs, script)) == (0, "no\n", "")


def test_the_lock_of_a_process_that_is_gone_is_broken(checkout, programs):
    gone = subprocess.Popen(["true"])
    gone.wait()
    lock = checkout / ".lockstep" / "setup.lock"
    lock.mkdir(parents=True)
    (lock / "pid").write_text(f"{gone.pid}\n")
    status, _, said = finish(setup(checkout, programs, "take_setup_lock; cat $root/.lockstep/*/pid || true"))
    assert status == 0
    assert "Waiting" not in said


def test_the_lock_of_a_process_that_lives_is_waited_for(checkout, programs):
    lock = checkout / ".lockstep" / "setup.lock"
    lock.mkdir(parents=True)
    (lock / "pid").write_text(f"{os.getpid()}\n")
    waiting = setup(checkout, programs, "take_setup_lock; drop_setup_lock")
    time.sleep(2.5)
    assert waiting.poll() is None
    shutil.rmtree(lock)
    status, _, said = finish(waiting)
    assert (status, f"process {os.getpid()}" in said) == (0, True)


def test_a_shim_that_fails_is_passed_over(checkout, programs, tmp_path):
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        program(tmp_path / "shims", name, "echo 'command not found in this version' >&2; exit 127")
    program(tmp_path / "old", "python3", "exit 1")  # 3.9, say: the question about its version says no
    real_python(tmp_path / "real one")
    path = ":".join(
        str(folder) for folder in (tmp_path / "shims", tmp_path / "old", programs, tmp_path / "real one")
    )
    status, out, said = finish(setup(checkout, path, "pythons_on_path"))
    assert (status, out) == (0, f"{tmp_path / 'real one' / python_name()}\n"), said


def test_no_python_ends_with_the_line_to_type(checkout, programs):
    status, _, said = finish(setup(checkout, programs))
    assert status == 3
    assert "Python 3.11, 3.12 or 3.13 is needed" in said
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("with_apt", [True, False])
def test_no_ensurepip_ends_with_the_line_to_type(checkout, programs, with_apt):
    real_python(programs, 'case "$*" in *ensurepip*|*virtualenv*) exit 1 ;; esac')
    line = f"{programs / python_name()} -m pip install --user virtualenv"
    if with_apt:
        program(programs, "apt-get", "exit 1")
        line = f"apt-get install -y {python_name()}-venv"
    status, _, said = finish(setup(checkout, programs))
    assert status == 3
    assert line in said
    assert not (checkout / ".venv" / ".ready-dev").exists()
    assert not (checkout / ".lockstep" / "setup.lock").exists()
