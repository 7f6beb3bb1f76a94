"""The watch over skips in tests/conftest.py: in CI a skip that nobody allowed fails the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent.parent / "conftest.py"
TESTS = {
    "test_function.py": """
import pytest

def test_skipped(): pytest.skip("no quantum computer here")
def test_passed(): pass
@pytest.mark.xfail
def test_known_to_fail(): assert False
""",
    "test_module.py": "import pytest\npytest.skip('the moon is down', allow_module_level=True)\n",
}


@pytest.fixture(params=[0, 1], ids=["here", "in a worker"])
def run(tmp_path, request):
    def run(allowed: str, ci: str) -> subprocess.CompletedProcess[str]:
        shutil.copy(CONFTEST, tmp_path)
        (tmp_path / "allowed_skips.txt").write_text(allowed)
        for name, text in TESTS.items():
            (tmp_path / name).write_text(text)
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                f"--numprocesses={request.param}",
                f"--rootdir={tmp_path}",
                tmp_path,
            ],
            cwd=tmp_path,
            env={**os.environ, "CI": ci},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_skips_that_nobody_allowed_fail_ci_and_are_named(run):
    done = run("# a comment\n\nquantum entanglement\n", ci="true")
    assert done.returncode == 1
    named = done.stdout.split("skips that allowed_skips.txt does not allow")[1].splitlines()[1:3]
    assert sorted(named) == [
        "test_function.py::test_skipped: no quantum computer here",
        "test_module.py: the moon is down",
    ]
    assert "known_to_fail" not in done.stdout


def test_allowed_skips_pass_ci_and_outside_ci_all_do(run):
    for allowed, ci in (("quantum computer\nthe moon\n", "1"), ("", "")):
        done = run(allowed, ci)
        assert done.returncode == 0, done.stdout
        assert "1 passed, 2 skipped, 1 xfailed" in done.stdout
