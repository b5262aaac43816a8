"""Markdown pages as programs: files are written, shell lines run, interpreter sessions compared."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
FENCE = re.compile(
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?(?P<append> append)?\n(?P<body>.*?)^```$",
    re.M | re.S,
)

#: Runs an interpreter session as a doctest inside the project; exits 1 with the difference.
SESSION = """
import doctest, sys
source = sys.stdin.read()
test = doctest.DocTestParser().get_doctest(source, {}, sys.argv[1], sys.argv[1], 0)
flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
runner = doctest.DocTestRunner(optionflags=flags)
runner.run(test)
sys.exit(1 if runner.failures else 0)
"""


@dataclass(frozen=True)
class Snippet:
    language: str
    title: str | None
    """File that the snippet belongs into."""
    append: bool
    body: str
    line: int


def snippets(page: Path) -> Iterator[Snippet]:
    """The page's snippets; interpreter sessions that nothing comes between are one session."""
    session: Snippet | None = None
    for snippet in _fences(page):
        if snippet.language == "pycon":
            session = replace(session, body=session.body + snippet.body) if session else snippet
            continue
        if session:
            yield session
            session = None
        yield snippet
    if session:
        yield session


def _fences(page: Path) -> Iterator[Snippet]:
    text = page.read_text()
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Snippet(found["language"], found["title"], bool(found["append"]), found["body"], line)


@dataclass
class Project:
    """A project on disk with an environment of its own."""

    folder: Path
    python: Path
    environment: dict[str, str]

    def follow(self, page: Path) -> int:
        """Do what the page says, in order. Returns how many snippets were done."""
        done = 0
        for snippet in snippets(page):
            place = f"{page.name}:{snippet.line}"
            if snippet.title:
                self.write(snippet.title, snippet.body, append=snippet.append)
            elif snippet.language == "sh":
                self.shell(snippet.body, place)
            elif snippet.language == "pycon":
                self.session(snippet.body, place)
            else:
                raise AssertionError(f"{place}: nothing knows how to run a {snippet.language} snippet")
            done += 1
        return done

    def write(self, title: str, body: str, *, append: bool = False) -> None:
        target = self.folder / title
        target.parent.mkdir(parents=True, exist_ok=True)
        before = target.read_text() if append else ""
        target.write_text(before + body)

    def shell(self, script: str, place: str) -> None:
        self._run(["sh", "-e", "-c", script], place)

    def session(self, body: str, place: str) -> None:
        program = f"import django; django.setup()\n{SESSION}"
        self._run([str(self.python), "-W", "error", "-c", program, place], place, body)

    def _run(self, command: list[str], place: str, stdin: str = "") -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{place} failed\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def environment(python: Path, database_url: str) -> dict[str, str]:
    keep = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DJANGO_", "PYTEST", "LOCKSTEP"))
    }
    path = os.pathsep.join([str(python.parent), keep.get("PATH", "")])
    return keep | {
        "PATH": path,
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "helpdesk.settings",
        "PYTHONPATH": ".",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
