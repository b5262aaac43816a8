"""Chromium for the browser tests: the one that the machine has, never a download of Playwright's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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


def in_ci() -> bool:
    """Whether this run is nobody's machine, by the convention of every CI service."""
    return os.environ.get("CI") == "true"


def find() -> str | None:
    """The program: ``CHROMIUM``, a known name on PATH, or where macOS keeps it."""
    if named := os.environ.get("CHROMIUM"):
        return named
    on_path = (shutil.which(name) for name in NAMES)
    on_mac = (str(program) for program in MAC_PROGRAMS if program.exists())
    return next((program for program in (*on_path, *on_mac) if program), None)


def install_in_ci() -> None:
    """Install it on a CI machine of Debian's family that lacks it; a person's machine is left alone."""
    if find() or not in_ci() or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print("Installing Chromium for the browser tests ...", file=sys.stderr, flush=True)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        done = subprocess.run(
            ["apt-get", "-qq", *command], check=False, env=os.environ | quiet, stdout=subprocess.DEVNULL
        )
        if done.returncode != 0:
            print(f"apt-get {command[0]} ended with status {done.returncode}", file=sys.stderr, flush=True)
