"""bin/test --mutants on a product of one line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import mutants
from tools.services.places import CHECKOUT

TESTS = """\
import pytest
from product import double

def test_two(): assert double(2) == 4

def test_zero(): assert double(0) == 0

@pytest.mark.parametrize("n", [0, 3])
def test_many(n): assert double(n) == n + n

@pytest.mark.skip(reason="no such machine")
def test_elsewhere(): assert double(5) == 10
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "a checkout"
    (root / "src").mkdir(parents=True)
    (root / "tests" / "mutants").mkdir(parents=True)
    (root / "tools").mkdir()
    (root / "src" / "product.py").write_text("def double(n):\n    return n * 2\n")
    (root / "tests" / "test_product.py").write_text(TESTS)
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\npythonpath = ['src', '.']\n")
    shutil.copy(CHECKOUT / "tools" / "mutants.py", root / "tools")
    return root


def mutant(root: Path, name: str, line: str, *tests: str, old: str = "    return n * 2") -> None:
    header = "".join(f"test: tests/test_product.py::{test}\n" for test in tests)
    diff = f"--- a/src/product.py\n+++ b/src/product.py\n@@ -1,2 +1,2 @@\n def double(n):\n-{old}\n+{line}\n"
    (root / "tests" / "mutants" / f"{name}.patch").write_text(f"promise: {name[0]}\n{header}{diff}")


def run(root: Path, *names: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "tools/mutants.py", *names],
        cwd=root,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_a_caught_mutant_and_one_that_its_test_does_not_see(checkout):
    mutant(checkout, "1-half", "    return n // 2", "test_two", "test_many")
    mutant(checkout, "2-square", "    return n * n", "test_zero", "test_many")
    status, lines = run(checkout)
    assert status == 1
    assert lines[0].startswith("caught    promise 1   1-half")
    assert lines[1].startswith("survived  promise 2   2-square")
    assert lines[1].endswith("tests/test_product.py::test_zero stays green")
    assert lines[-1] == "1 caught, 1 survived"
    status, lines = run(checkout, "half")
    assert (status, len(lines), lines[-1]) == (0, 2, "1 caught, 0 survived")
    assert (checkout / "src" / "product.py").read_text() == "def double(n):\n    return n * 2\n"


@pytest.mark.parametrize("line", ["    return n *", "    return nn * 2", "    import nowhere"])
def test_a_mutant_that_is_no_program_proves_nothing(checkout, line):
    mutant(checkout, "1-typo", line, "test_two")
    status, lines = run(checkout)
    assert status == 1
    assert lines[0].startswith("broken")


def test_a_patch_of_older_code_is_stale(checkout):
    mutant(checkout, "1-old", "    return n", "test_two", old="    return n + n")
    status, lines = run(checkout)
    assert status == 1
    assert lines[0].startswith("stale")


def test_a_test_that_is_red_without_the_mutant_or_not_there_proves_nothing(checkout):
    (checkout / "src" / "product.py").write_text("def double(n):\n    return n * 2 + 1\n")
    mutant(checkout, "1-half", "    return n // 2", "test_two", old="    return n * 2 + 1")
    mutant(checkout, "2-gone", "    return n // 2", "test_that_was_renamed", old="    return n * 2 + 1")
    status, lines = run(checkout, "1-half")
    assert (status, lines[0].startswith("broken")) == (1, True)
    status, lines = run(checkout, "2-gone")
    assert (status, "no such test" in lines[0]) == (1, True)


def test_a_test_that_this_machine_skips_is_named_and_counts_for_nothing(checkout):
    mutant(checkout, "1-half", "    return n // 2", "test_elsewhere")
    status, lines = run(checkout)
    assert (status, lines[0].startswith("not run"), lines[-1]) == (0, True, "0 caught, 0 survived")


def test_a_patch_without_its_header_is_refused(checkout):
    (checkout / "tests" / "mutants" / "1-bare.patch").write_text("--- a/src/product.py\n")
    status, lines = run(checkout)
    assert status == 2
    assert "1-bare.patch: needs one line 'promise: N'" in lines[0]


def test_every_mutant_of_the_house_fits_the_code_and_names_a_test():
    wrong = []
    for patch in sorted(mutants.MUTANTS.glob("*.patch")):
        fits = subprocess.run(
            ["git", "apply", "--check", str(patch)], cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
        wrong += [f"{patch.name}: {fits.stderr}"] if fits.returncode else []
        for test in mutants.read(patch).tests:
            path, _, name = test.partition("::")
            if f"def {name.split('[')[0]}(" not in (CHECKOUT / path).read_text():
                wrong.append(f"{patch.name}: no test {test}")
    assert not wrong
