"""The watch over skips in tests/conftest.py: in CI a skip that nobody allowed fails the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent.parent / "conftest.py"
SKIPPING = "import pytest\n\ndef test_it(): pytest.skip('no quantum computer here')\ndef test_other(): pass\n"
MODULE = "import pytest\npytest.skip('no quantum computer here', allow_module_level=True)\n"


@pytest.fixture
def run(tmp_path):
    def run(test: str, allowed: str, ci: str) -> subprocess.CompletedProcess[str]:
        shutil.copy(CONFTEST, tmp_path)
        (tmp_path / "allowed_skips.txt").write_text(allowed)
        (tmp_path / "test_it.py").write_text(test)
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "--rootdir",
                str(tmp_path),
                str(tmp_path),
            ],
            cwd=tmp_path,
            env={**os.environ, "CI": ci},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.mark.parametrize("test", [SKIPPING, MODULE])
def test_a_skip_that_nobody_allowed_fails_ci_and_is_named(run, test):
    done = run(test, "# a comment\n\n", ci="true")
    assert done.returncode == 1
    assert "skips that allowed_skips.txt does not allow" in done.stdout
    assert "no quantum computer here" in done.stdout.split("does not allow")[1]


def test_an_allowed_skip_passes_ci(run):
    done = run(SKIPPING, "quantum computer\n", ci="true")
    assert done.returncode == 0, done.stdout


def test_outside_ci_a_skip_is_a_skip(run):
    done = run(SKIPPING, "", ci="")
    assert done.returncode == 0, done.stdout


def test_an_expected_failure_is_no_skip(run):
    done = run("import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n", "", ci="1")
    assert done.returncode == 0, done.stdout
