"""Chromium for the browser tests: the one that the machine has, never a download of Playwright's."""

import os
import shutil
from pathlib import Path

from tools.debian import in_ci
from tools.debian import install_in_ci as install

__all__ = ["FLAGS", "find", "in_ci", "install_in_ci"]

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

MAC_PROGRAMS = (
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
)


def find() -> str | None:
    """The program: ``CHROMIUM``, a known name on PATH, or where macOS keeps it."""
    if named := os.environ.get("CHROMIUM"):
        return named
    on_path = (shutil.which(name) for name in NAMES)
    on_mac = (str(program) for program in MAC_PROGRAMS if program.exists())
    return next((program for program in (*on_path, *on_mac) if program), None)


def install_in_ci() -> None:
    """Install it on a CI machine that lacks it."""
    if not find():
        install("chromium", "the browser tests")
