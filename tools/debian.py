"""Programs that a CI machine of Debian's family may install for the tests; a person's machine is left alone."""

import os
import shutil
import subprocess
import sys

__all__ = ["in_ci", "install_in_ci"]


def in_ci() -> bool:
    """Whether this run is nobody's machine, by the convention of every CI service."""
    return os.environ.get("CI") == "true"


def install_in_ci(package: str, purpose: str) -> None:
    """Install it, in CI, as root, and where there is apt-get; else nothing happens.

    What cannot be installed is told, and the tests that need it say so in their turn.
    """
    if not in_ci() or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print(f"Installing {package} for {purpose} ...", file=sys.stderr, flush=True)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", package]):
        done = subprocess.run(
            ["apt-get", "-qq", *command], check=False, env=os.environ | quiet, stdout=subprocess.DEVNULL
        )
        if done.returncode != 0:
            print(f"apt-get {command[0]} ended with status {done.returncode}", file=sys.stderr, flush=True)
