"""The command line as a script meets it: exit statuses, one line on stderr, and quick to start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.cli import COMMANDS, main
from federation.errors import InputError, OutsideError

# far too slow to have at every start of the command
HEAVY = {"sqlalchemy", "httpx", "fastapi", "uvicorn", "pandas", "matplotlib", "numpy", "alembic"}


def fairlead(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fairlead", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def test_help_lists_every_command() -> None:
    done = fairlead("--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = fairlead(name, "--help")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    if "Commands:" not in lines:
        assert "Example" in done.stdout
        return
    listed = lines[lines.index("Commands:") + 1 :]
    for line in listed[: listed.index("")] if "" in listed else listed:
        # a help text that is too long goes on, further in, on the next line
        if not line.startswith("   "):
            help_text = fairlead(name, line.split()[0], "--help").stdout
            assert "Example" in help_text, f"fairlead {name} {line.split()[0]} --help shows no example"


def test_version() -> None:
    done = fairlead("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("fairlead 0.")


def test_an_unknown_command_is_wrong_usage() -> None:
    done = fairlead("nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr


@pytest.mark.parametrize(
    ("error", "status"), [(InputError("sites.toml:3: no"), 2), (OutsideError("the disk is full"), 3)]
)
def test_an_error_is_one_line_and_its_status(
    error: Exception, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FAIRLEAD_DEBUG", raising=False)
    monkeypatch.setattr("federation.catalogue.builtin_federation", _raiser(error))
    with pytest.raises(SystemExit) as left:
        main(["site", "check"])
    assert left.value.code == status
    assert capsys.readouterr().err == f"fairlead: {error}\n"


def test_a_defect_is_one_line_too_and_debug_shows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FAIRLEAD_DEBUG", raising=False)
    monkeypatch.setattr("federation.catalogue.builtin_federation", _raiser(RuntimeError("two\nlines")))
    with pytest.raises(SystemExit) as left:
        main(["site", "check"])
    assert left.value.code == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "RuntimeError: two lines" in line

    monkeypatch.setenv("FAIRLEAD_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main(["site", "check"])


def test_ctrl_c_is_one_line_and_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("federation.catalogue.builtin_federation", _raiser(KeyboardInterrupt()))
    with pytest.raises(SystemExit) as left:
        main(["site", "check"])
    assert left.value.code == 130
    assert capsys.readouterr().err == "fairlead: interrupted\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_starts_quickly(name: str) -> None:
    """Nothing heavy is imported to show help or to find that an option is misspelt."""
    code = (
        "import sys, contextlib, io, json\n"
        "from fairlead.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        f"    main([{name!r}, '--help'])\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert HEAVY & set(json.loads(done.stdout)) == set()


def test_site_check_shows_the_built_in_sites() -> None:
    done = fairlead("site", "check", "--json")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["sites"]) == {
        "perth",
        "capetown",
        "manchester",
        "lausanne",
        "penticton",
    }
    assert "manchester" in fairlead("site", "check").stdout


def test_site_check_names_file_and_line(tmp_path: Path) -> None:
    bad = tmp_path / "sites.toml"
    bad.write_text(
        'name = "mine"\n[sites.perth]\nname = "Perth"\nlatitude = 1.0\nlongitude = 2.0\nrses = 7\n'
    )
    done = fairlead("site", "check", str(bad))
    assert done.returncode == 2
    assert f"{bad}:6" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _raiser(error: BaseException) -> object:
    def fail() -> None:
        raise error

    return fail
