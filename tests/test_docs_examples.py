"""Every command in the documentation: those that need no lab are run, the others must at least be understood.

A ```console block holds commands after `$ `, and what they print, which is not compared. What is run meets a
simulated broker (FAIRLEAD_URL and the like are set) and a database with recorded measurements.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fairlead.served import Served, start
from federation.clock import SystemClock
from federation.database import connect, upgrade
from netprobe.archive import Archive
from netprobe.recorded import load_recorded

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^ *```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)

# beginnings of the commands that work against a simulated broker and recorded measurements
RUN = (
    "fairlead run ",
    "fairlead sessions",
    "fairlead site check",
    "fairlead probe matrix",
    "fairlead probe forecast",
    "fairlead probe distances",
    "fairlead report network",
    "fairlead report space",
    "fairlead space when",
    "fairlead space now",
    "fairlead space calendar",
    "fairlead space afford",
    "fairlead space explain",
    "fairlead report accuracy",
    "fairlead report broker",
    "fairlead credits show",
    "fairlead credits flavour",
    "curl ",
)
SIMULATED_CATALOGUE = ROOT / "federation" / "data" / "simulated.toml"


@dataclass(frozen=True)
class Example:
    page: Path
    line: int
    command: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def examples() -> list[Example]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            first = text.count("\n", 0, block.start(1)) + 1
            # a command may go on after a backslash
            joined = re.sub(r"\\\n\s*", " ", block[1])
            lines = [line.strip() for line in joined.splitlines() if line.strip().startswith("$ ")]
            found += [
                Example(page, first, line.removeprefix("$ ").partition("  #")[0].strip()) for line in lines
            ]
    return found


EXAMPLES = examples()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = start(["--simulated"], tmp_path_factory.mktemp("broker") / "server.log")
    yield served
    served.stop()


@pytest.fixture(scope="module")
def environment(broker: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("docs")
    url = f"sqlite:///{directory / 'fairlead.db'}"
    engine = connect(url)
    upgrade(engine)
    load_recorded(Archive(engine), SystemClock().now())
    engine.dispose()
    # curl itself is content with an answer of 400 and more
    (directory / ".curlrc").write_text("fail\n")
    return {
        **os.environ,
        "CURL_HOME": str(directory),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FAIRLEAD_URL": broker.url,
        "FAIRLEAD_USER": broker.user,
        "FAIRLEAD_PASSWORD": broker.password,
        "FAIRLEAD_DATABASE_URL": url,
        "FAIRLEAD_CATALOGUE": str(SIMULATED_CATALOGUE),
        "NO_PROXY": "127.0.0.1",
        # what was last seen of clouds is kept there
        "XDG_DATA_HOME": str(directory / "data"),
    }


def test_there_are_examples() -> None:
    assert {example.page.name for example in EXAMPLES} >= {"README.md", "tutorial.md", "cli.md"}


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_example(example: Example, environment: dict[str, str], tmp_path: Path) -> None:
    command = example.command
    # what a command writes lands here, what it reads from the checkout is there
    for name in ("examples", "docs", "README.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    if command.startswith(RUN) and not {"--cloud", "--rucio"} & set(command.split()):
        if command.startswith("curl ") and shutil.which("curl") is None:
            pytest.skip("there is no curl")
        done = _shell(command, tmp_path, environment)
        assert done.returncode == 0, f"{example}: $ {command}\n{done.stdout}\n{done.stderr}"
        return
    words = shlex.split(command)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    if words[0] == "sudo":
        words = words[1:]
    if words[0] == "make":
        done = _shell("make --dry-run " + shlex.join(words[1:]), ROOT, environment)
        assert done.returncode == 0, f"{example}: $ {command}: {done.stderr}"
    elif words[0] == "fairlead":
        # what comes after -- or after the site of `lab exec` is another program's
        own = words[:3] if words[1:3] == ["lab", "exec"] else words
        done = _shell(shlex.join([*own, "--help"]), ROOT, environment)
        assert done.returncode == 0, f"{example}: $ {command}: {done.stderr}"
    else:
        assert words[0] in ("kill", "pip", "uv", "git", "cd", "export"), f"{example}: who tests `{words[0]}`?"


def _shell(command: str, directory: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        stdin=subprocess.DEVNULL,
    )
