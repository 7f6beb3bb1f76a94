"""The example of "A platform in an hour": a package outside of this tree, held to what a platform owes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "examples" / "platform-package"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The interpreter of an environment in which the package is installed beside what this one has."""
    uv = shutil.which("uv", path=f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("there is no uv to install the example with")
    if shutil.which("bwrap") is None:
        pytest.skip("the example's platform needs bwrap")
    directory = tmp_path_factory.mktemp("example")
    environment, copy = directory / "venv", directory / "platform-package"
    # a build may write beside its sources
    shutil.copytree(PACKAGE, copy)
    _run(uv, "venv", "--quiet", "--python", sys.executable, str(environment))
    python = environment / "bin" / "python"
    _run(uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python), str(copy))
    found = _run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(found) / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    yield python
    shutil.rmtree(directory)


def _run(*command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_keeps_every_promise_of_a_platform(python: Path) -> None:
    said = _run(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PACKAGE / "tests"))
    passed = int(said.split(" passed")[0].split()[-1])
    assert passed > 30
    assert "skipped" not in said


def test_it_is_found_and_says_what_it_does(python: Path) -> None:
    listed = "from fairlead.cli import main; main(['plugins', '--package', 'fairlead-bubblewrap', '--json'])"
    [found] = json.loads(_run(str(python), "-c", listed))
    assert (found["group"], found["name"]) == ("fairlead.platforms", "bubblewrap")
    assert found["usable"]
    assert found["about"]["does"].startswith("Runs unpacked OCI images by bubblewrap")


def test_the_guide_shows_the_package_as_it_is() -> None:
    page = (ROOT / "docs" / "write-a-platform.md").read_text(encoding="utf-8")
    source = (PACKAGE / "src" / "fairlead_bubblewrap" / "__init__.py").read_text(encoding="utf-8")
    source += (PACKAGE / "tests" / "test_contract.py").read_text(encoding="utf-8")
    shown = [block.partition("\n```")[0] for block in page.split("```python\n")[1:]]
    assert shown
    for block in shown:
        assert block in source
    tables = "".join((PACKAGE / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "README.md"))
    for block in page.split("```toml\n")[1:]:
        assert block.partition("\n```")[0] in tables
