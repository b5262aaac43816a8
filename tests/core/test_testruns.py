"""Asking whether tests run costs production nothing."""

import subprocess
import sys


def test_who_asks_whether_tests_run_does_not_import_what_tests_need() -> None:
    asked = (
        "import sys; from lockstep.core.testruns import under_test_runner; assert not under_test_runner();"
        "assert 'django.test' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_here_it_is_known() -> None:
    from lockstep.core.testruns import under_test_runner

    assert under_test_runner()
