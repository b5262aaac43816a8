import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_demo_shop_keeps_its_promises():
    if not os.environ.get("DATABASE_URL"):
        pytest.skip("the demo shop needs DATABASE_URL: run bin/test")
    mine = ("PYTEST_", "DJANGO_SETTINGS_MODULE", "DJANGO_ALLOW_ASYNC_UNSAFE")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(mine)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--ds=demo.settings",
        "tests/demo",
    ]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr, sep="\n")
    assert done.returncode == 0, "see the captured output"
